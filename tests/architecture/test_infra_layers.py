"""Who may import whom among the files that describe accounts, and how large they may grow."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from assembly import ROOT


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def files(*patterns: str) -> list[Path]:
    found = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    assert found
    return found


PURE = (
    "cdk_app/config*.py",
    "cdk_app/naming.py",
    "cdk_app/regions.py",
    "cdk_app/roster.py",
    "cdk_app/bundles.py",
)


@pytest.mark.parametrize("path", files(*PURE, "runtime/contract.py"), ids=lambda path: path.name)
def test_what_a_federation_is_knows_nothing_of_cdk(path: Path) -> None:
    assert not any(name.split(".")[0] in ("aws_cdk", "constructs", "cdk_nag") for name in imports(path))


@pytest.mark.parametrize("path", files("cdk_app/constructs/*.py"), ids=lambda path: path.name)
def test_a_construct_receives_values_and_never_the_configuration(path: Path) -> None:
    assert not any(name.startswith(("cdk_app.config", "stacks", "app")) for name in imports(path))


@pytest.mark.parametrize("path", files("stacks/*.py"), ids=lambda path: path.name)
def test_a_stack_never_imports_another_stack(path: Path) -> None:
    assert not any(name.startswith("stacks") for name in imports(path))


@pytest.mark.parametrize("path", files("runtime/**/*.py"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_shipped_never_imports_what_ships_it(path: Path) -> None:
    forbidden = ("cdk_app", "stacks", "app", "aws_cdk", "rehearsal")
    assert not any(name.split(".")[0] in forbidden for name in imports(path))


@pytest.mark.parametrize(("pattern", "most"), [("stacks/*.py", 100), ("cdk_app/constructs/*.py", 150)])
def test_a_reader_takes_a_file_in_at_once(pattern: str, most: int) -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in files(pattern)}
    assert {name: length for name, length in lengths.items() if length > most} == {}
