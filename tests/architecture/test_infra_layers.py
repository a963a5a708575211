"""How large files and folders may grow, and that each folder says what lives in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from assembly import ROOT


def files(*patterns: str) -> list[Path]:
    found = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    assert found
    return found


@pytest.mark.parametrize(("pattern", "most"), [("stacks/*.py", 120), ("cdk_app/constructs/**/*.py", 150)])
def test_a_reader_takes_a_file_in_at_once(pattern: str, most: int) -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in files(pattern)}
    assert {name: length for name, length in lengths.items() if length > most} == {}


FOLDERS = sorted({path.parent for path in ROOT.glob("runtime/**/*.py")} | {ROOT / "runtime"})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_folder_of_the_runtime_says_what_lives_there_and_stays_small(folder: Path) -> None:
    documented = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert documented
    assert len(documented.splitlines()) == 1
    assert len([path for path in folder.iterdir() if path.is_file()]) <= 14
