"""What is wrong with the variables of a `make` command line, said before anything is set up.

The Makefile runs it with the machine's own Python: standard library only. Values are in the environment,
where make puts what its command line defines.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from fedstack import choices
from runtime.command_line.aim import SAY, read_aim
from runtime.command_line.near import near

CONFIG: Final = 10
ON: Final = ("1", "yes", "true", "on")
OFF: Final = ("", "0", "no", "false", "off")
ANYWHERE: Final = ("PYTHON", "OUT", "VENV", "SHELL", "MAKEFLAGS")
DEMO: Final = ("DATA", "APP", "CLIENTS", "ROUNDS", "MODEL", "STRATEGY", "SPLIT", "ENGINE", "SEED", "EPSILON")
TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "demo": (*DEMO, "THRESHOLD_FOR", "UPDATES", "KEEP", "IMAGE"),
    "bundle": ("APP", "IMAGE"),
    "synth": ("APP", "IMAGE", "FEDERATION"),
    "handoff": ("APP", "IMAGE", "FEDERATION", "CLIENT", "SIGN"),
    "preflight": ("FEDERATION", "SIDE"),
    "live": ("SERVER", "CLIENT", "REGION", "YES", "APP", "IMAGE"),
    "drill": ("ONLY", "JSON"),
}
"""The variables that each target takes beside those that all do; others take none."""

Check = Callable[[str], str]


def _whole(least: int, most: int = 10**9) -> Check:
    """Return what checks a whole number."""

    def check(value: str) -> str:
        if value.isascii() and value.isdigit() and len(value) < 12 and least <= int(value) <= most:
            return ""
        return f"which is no whole number from {least} to {most}."

    return check


def _one_of(words: Callable[[], list[str]]) -> Check:
    """Return what checks a word."""
    return lambda value: "" if value in words() else f"which is not known. {near(value, words())}"


def _epsilon(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return "which is no number. Give one above 0, such as EPSILON=3."
    within = math.isfinite(number) and 0 < number <= 100
    return "" if within else "which is not above 0 and at most 100. Leave it out for no noise."


def _aim(value: str) -> str:
    return "" if read_aim(value) else f"which is nothing that a threshold can be chosen for. {SAY}"


def _switch(value: str) -> str:
    return "" if value.lower() in ON + OFF else "which is neither on nor off. Give KEEP=1, or leave it out."


def _data(value: str) -> str:
    path = Path(value).expanduser()
    if not path.exists():
        return "which does not exist. Give a CSV file; without DATA the demo makes its own."
    if path.is_dir() and not os.environ.get("APP"):
        return "which is a folder. Give a CSV file; only an APP has parts of its own."
    return "" if os.access(path, os.R_OK) else "which is not yours to read. Give a readable CSV file."


def _app(value: str) -> str:
    if not (Path(value) / "pyproject.toml").is_file():
        return "which has no pyproject.toml. Name a Flower app's folder (docs/your-own-app.md)."
    return ""


def _out(value: str) -> str:
    there = Path(value)
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return f"but {there} is no folder. Name another one."
    return "" if os.access(there, os.W_OK | os.X_OK) else "which is not yours to write. Name another folder."


def _file(value: str) -> str:
    return "" if Path(value).is_file() else "which is no file. Name the federation file."


CHECKS: Final[Mapping[str, Check]] = {
    "CLIENTS": _whole(1),
    "ROUNDS": _whole(1, 10_000),
    "SEED": _whole(0, 2**32 - 1),
    "EPSILON": _epsilon,
    "THRESHOLD_FOR": _aim,
    "KEEP": _switch,
    "YES": _switch,
    "MODEL": _one_of(choices.models),
    "STRATEGY": _one_of(choices.strategies),
    "SPLIT": _one_of(choices.splits),
    "ENGINE": _one_of(choices.engines),
    "UPDATES": _one_of(choices.updates),
    "DATA": _data,
    "APP": _app,
    "OUT": _out,
    "FEDERATION": _file,
}


def faults(said: list[str], goals: list[str], values: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong: a name that no target of this command line knows, or a value.

    Parameters
    ----------
    said
        Names of the variables that the command line defines.
    goals
        The targets.
    values
        All variables' values.
    """
    mine = {name for goal in goals for name in TARGETS.get(goal, ())}
    everybodys = {name for names in TARGETS.values() for name in names}
    for name in said:
        if name in everybodys - mine:
            takers = ", ".join(goal for goal, names in TARGETS.items() if name in names)
            hint = near(name, sorted(mine)) if mine else ""
            hint = hint if hint.startswith("Did") else ""
            yield f"`make {' '.join(goals)}` has no variable {name}: it is of {takers}. {hint}".rstrip()
        elif name not in mine and name not in ANYWHERE:
            yield f"There is no variable {name}. {near(name, [*sorted(mine), *ANYWHERE[:2]])}"
    if "OUT" in said and not values.get("OUT"):
        yield "OUT is empty. Name a folder, or leave it out for `out`."
    for name, check in CHECKS.items():
        value = values.get(name, "")
        if name in (*mine, "OUT") and value and (what := check(value)):
            yield f"{name} is {value!r}, {what}"


def names_of(flags: str) -> list[str]:
    """Return the names of the variables that make's command line defines, as its MAKEFLAGS has them."""
    _, _, definitions = f" {flags}".partition(" -- ")
    words, word, escaped = [], "", False
    for character in definitions:
        if character == " " and not escaped:
            words.append(word)
            word = ""
        else:
            word += character
        escaped = character == "\\" and not escaped
    return [name.rstrip(":?+") for each in (*words, word) for name, sign, _ in [each.partition("=")] if sign]


def main() -> None:
    """Look at the variables; end with the exit code of a wrong setting when one is wrong."""
    found = list(faults(names_of(os.environ.get("MAKEFLAGS", "")), sys.argv[1:], os.environ))
    for fault in found:
        sys.stderr.write(f"fedstack-error {CONFIG} CONFIG: {fault}\n")
    if found:
        sys.exit(CONFIG)


if __name__ == "__main__":
    main()
