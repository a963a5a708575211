"""Is a command one that exists? Its words are held against the program itself, which is not run."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import re
import sys
import warnings
from collections.abc import Callable, Container, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import click
import typer
from assembly import ROOT

from cdk_app.config.load import load
from cdk_app.naming import server_peer_stack

MAKEFILES = "\n".join((ROOT / name).read_text() for name in ("Makefile", "infra.mk"))
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILES, re.MULTILINE))
PLAIN = {"[", "cat", "cd", "cut", "diff", "echo", "export", "find", "jq", "printf", "read", "sort"}
PLAIN |= {"sha256sum", "ssh-keygen"}
"""Programs of the system, whose words are not looked at."""
KEYWORDS = {"!", "do", "done", "else", "fi", "if", "then", "while"}
VERBS = {
    "git": {"clone", "commit", "push", "tag"},
    "pip": {"install"},
    "pipx": {"install"},
    "pre-commit": {"install"},
}
OWN = ("cdk_app", "rehearsal", "runtime", "fedstack")
LEFT_OPEN = re.compile(r"\.\.\.|PLACEHOLDER|\$")
"""What a reader, or the shell, puts in."""


class WrongError(Exception):
    """What is wrong with a command."""


def check(words: Sequence[str], known: Container[str] = ()) -> None:
    """Raise WrongError where a program, a subcommand or an option is none; functions of a page are known."""
    while words and (words[0] in KEYWORDS or re.fullmatch(r"[A-Z_]+=.*", words[0])):
        words = words[1:]
    if not words or words[0] == "for":
        return
    program = words[0].rpartition("/")[2]
    if program in PLAIN or program in known:
        return
    if program in VERBS:
        if words[1] not in VERBS[program]:
            raise WrongError(f"{program} {words[1]}")
    elif program in CHECKS:
        CHECKS[program](list(words[1:]))
    else:
        raise WrongError(f"nobody knows the program {words[0]}")


def make(words: list[str]) -> None:
    targets = [word for word in words if "=" not in word]
    for target in targets:
        if target not in TARGETS:
            raise WrongError(f"make has no target {target}")
    for word in words:
        name = word.partition("=")[0]
        if "=" in word and not re.search(rf"\b{name}\b", MAKEFILES):
            raise WrongError(f"no target takes {name}")


def python(words: list[str]) -> None:
    words = [word for word in words if word != "-I"]
    if words[0] == "-c":
        compile(words[1], "<documentation>", "exec")
    elif words[0] == "-m":
        module(words[1], words[2:])
    elif not (ROOT / words[0]).is_file():
        raise WrongError(f"there is no {words[0]}")


def module(name: str, words: list[str]) -> None:
    if LEFT_OPEN.search(name):
        return
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        name, spec = f"{name}.__main__", importlib.util.find_spec(f"{name}.__main__")
    if spec is None:
        raise WrongError(f"there is no module {name}")
    if name.startswith(OWN):
        ours(name, words)
    elif name.startswith("bench."):  # which import what takes seconds
        source = (ROOT / f"{name.replace('.', '/')}.py").read_text()
        words = words[: words.index("--")] if "--" in words else words
        if strange := [
            word for word in words if word.startswith("--") and f'"{word.partition("=")[0]}"' not in source
        ]:
            raise WrongError(f"{name} has no {strange}")


def ours(name: str, words: list[str]) -> None:
    """Hold words against the parser of one of our own command lines."""
    loaded = importlib.import_module(name)
    if name == "runtime.ledger":
        loaded = importlib.import_module("runtime.ledger_command")
    apps = [value for value in vars(loaded).values() if isinstance(value, typer.Typer)]
    if apps:
        by_click(typer.main.get_command(apps[0]), words)
        return
    parser = parser_of(loaded.main)
    with mock.patch.object(parser, "error", complain):
        parser.parse_args(words)


def complain(message: str) -> NoReturn:
    raise WrongError(message)


class CaughtError(Exception):
    """A parser, at the moment when it would parse."""


def parser_of(main: Callable[[], None]) -> argparse.ArgumentParser:
    def catch(parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        raise CaughtError(parser)

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", catch),
        mock.patch.object(sys, "argv", ["x"]),
    ):
        try:
            main()
        except CaughtError as caught:
            parser: argparse.ArgumentParser = caught.args[0]
            return parser
    raise WrongError(f"{main.__module__} parses nothing")


def by_click(command: click.Command, words: list[str]) -> None:
    if load := getattr(command, "load", None):  # of a command that is imported when it is used
        command = load()
    context = click.Context(command)
    if isinstance(command, click.Group):
        first = next((n for n, word in enumerate(words) if not word.startswith("-")), None)
        if first is None or words[first] == "COMMAND":
            return
        inner = command.get_command(context, words[first])
        if inner is None:
            raise WrongError(f"no command {words[first]}")
        by_click(inner, words[first + 1 :])
        return
    try:
        command.make_parser(context).parse_args([word for word in words if word != "..."])
    except click.UsageError as error:
        raise WrongError(error.format_message()) from error


@cache
def stacks() -> frozenset[str]:
    """The stacks of the example federation."""
    federation = load(ROOT / "federation.yaml")
    server = federation.server_names
    clients = [federation.names_of(client) for client in federation.clients]
    peers = {server_peer_stack(server, client.client) for client in clients}
    return frozenset({server.stack, *(client.stack for client in clients), *peers})


@cache
def parameters() -> frozenset[str]:
    """The parameters of the example's templates, by their snapshots."""
    folder = ROOT / "tests" / "snapshot" / "__snapshots__" / "test_templates"
    return frozenset(
        name for path in folder.iterdir() for name in json.loads(path.read_text()).get("Parameters", {})
    )


def cdk(words: list[str]) -> None:
    registry = json.loads((ROOT / "node_modules/aws-cdk/lib/cli/cli-type-registry.json").read_text())
    verb = {"ls": "list", "synthesize": "synth"}.get(words[0], words[0])
    if verb not in registry["commands"]:
        raise WrongError(f"cdk has no command {words[0]}")
    options = registry["globalOptions"] | registry["commands"][verb].get("options", {})
    kinds = {f"--{name}": option["type"] for name, option in options.items()}
    kinds |= {f"--no-{name}": "boolean" for name, kind in options.items() if kind["type"] == "boolean"}
    for option in options.values():
        aliases = option.get("alias", [])
        for alias in [aliases] if isinstance(aliases, str) else aliases:
            kinds[f"-{alias}" if len(alias) == 1 else f"--{alias}"] = option["type"]
    value = ""
    for word in words[1:]:
        if value:
            told, value = value, ""
            name = word.partition("=")[0]
            if told == "--parameters" and name not in parameters() and not LEFT_OPEN.search(name):
                raise WrongError(f"no stack has the parameter {name}")
        elif word.startswith("-"):
            name, equals, _ = word.partition("=")
            if name not in kinds:
                raise WrongError(f"cdk {verb} has no {word}")
            value = word if kinds[name] != "boolean" and not equals else ""
        elif verb in {"deploy", "destroy", "diff"} and word not in stacks() and not LEFT_OPEN.search(word):
            raise WrongError(f"the example has no stack {word}")


@cache
def driver() -> Any:
    from awscli.clidriver import create_clidriver

    return create_clidriver()


def aws(words: list[str]) -> None:
    """Hold words against the AWS CLI's own tables, which botocore's models make."""
    table = driver()._get_command_table()
    known = {f"--{name}" for name in driver()._get_cli_data()["options"]}
    arguments: dict[str, Any] = {}
    at = 0
    while at < len(words) and not words[at].startswith("-"):
        if words[at] not in table:
            if arguments:
                break
            raise WrongError(f"aws has no {' '.join(words[: at + 1])}")
        command = table[words[at]]
        table = getattr(command, "subcommand_table", None) or (
            command._get_command_table() if hasattr(command, "_get_command_table") else {}
        )
        arguments = getattr(command, "arg_table", {}) if not table else {}
        at += 1
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    if strange := given - known - {f"--{name}" for name in arguments}:
        raise WrongError(f"aws {' '.join(words[:at])} has no {', '.join(sorted(strange))}")
    needed = {
        f"--{n}"
        for n, a in arguments.items()
        if getattr(a, "required", False) and not getattr(a, "positional_arg", False) and n != "outfile"
    }
    if (
        len(words) > at
        and (missing := needed - given - {name.replace("--no-", "--") for name in given})
        and not any(LEFT_OPEN.fullmatch(word) for word in words)
    ):
        raise WrongError(f"aws {' '.join(words[:at])} needs {', '.join(sorted(missing))}")


def fedstack(words: list[str]) -> None:
    """Hold words against the one command line, whose first module only starts it."""
    if importlib.util.find_spec("fedstack") is None:
        raise WrongError("there is no command fedstack")
    by_click(typer.main.get_command(importlib.import_module("fedstack.command").cli), words)


def flwr(words: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of typer, about Flower's own options
        from flwr.cli.app import app

        by_click(typer.main.get_command(app), words)


def flower_supernode(words: list[str]) -> None:
    spec = importlib.util.find_spec("flwr.supernode.cli.flower_supernode")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    if strange := [word for word in words if word.startswith("--") and f'"{word}"' not in source]:
        raise WrongError(f"flower-supernode has no {strange}")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "aws": aws,
    "cdk": cdk,
    "fedstack": fedstack,
    "flower-supernode": flower_supernode,
    "flwr": flwr,
    "make": make,
    "python": python,
    "python3": python,
    "uvx": lambda words: check(words) if words[0] == "fedstack" else None,
}
