"""The shell commands of the documentation: every block's, and every command in the text, one by one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from assembly import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")],
    key=lambda path: str(path),
)
FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
HISTORY = {"CHANGELOG.md"}
"""Pages that tell of commands of before."""
SHELL, OTHER = {"sh", "bash"}, {"yaml", "json", "toml", "text", "python"}
PROGRAMS = (
    "make",
    "aws",
    "cdk",
    "fedstack",
    "git",
    "pip",
    "pipx",
    "uvx",
    "flwr",
    "python",
    ".venv/bin/python",
)
_HEREDOC = re.compile(r"<<'?(\w+)'?\n.*?^\1$", re.MULTILINE | re.DOTALL)
_PLACEHOLDER = re.compile(r"<[a-z][\w .'-]*>")
FUNCTION = re.compile(r"^(\w+)\(\) \{$|^\}$", re.MULTILINE)
_INNER = re.compile(r"[$<]\(([^()]*)\)")
_OPERATORS = {"|", "||", "&&", ";", "&", "(", ")"}
_REDIRECTIONS = {">", ">>", "<", ">|", "2>", "&>"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    """Every fenced block of every page."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            inside = "".join(line.removeprefix(match[1]) for line in match[3].splitlines(keepends=True))
            found.append(Block(path.relative_to(ROOT).as_posix(), line, match[2], inside))
    return found


def inline() -> list[Block]:
    """Every command in the text of a page that has more than a program's name."""
    found = []
    for path in PAGES:
        text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), path.read_text(encoding="utf-8"))
        for match in INLINE.finditer(text) if path.name not in HISTORY else ():
            words = match[1].replace("\\|", "|")
            if words.split(" ")[0] in PROGRAMS and " " in words.strip():
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(path.relative_to(ROOT).as_posix(), line, "sh", words))
    return found


def commands(text: str) -> Iterator[list[str]]:
    """Yield each simple command of a piece of shell, as words without redirections."""
    text = FUNCTION.sub("", _HEREDOC.sub("", text)).replace("\\\n", " ")
    text = _PLACEHOLDER.sub("PLACEHOLDER", text)
    while inner := _INNER.search(text):
        yield from commands(inner[1])
        text = text[: inner.start()] + "PLACEHOLDER" + text[inner.end() :]
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        words: list[str] = []
        skip = False
        for token in lexer:
            if skip or token in _REDIRECTIONS:
                skip = not skip
            elif token in _OPERATORS:
                yield from [words] if words else []
                words = []
            else:
                words.append(token)
        yield from [words] if words else []


def functions(name: str) -> set[str]:
    """The shell functions that a page defines, which its other commands may use."""
    return set(FUNCTION.findall((ROOT / name).read_text(encoding="utf-8"))) - {""}
