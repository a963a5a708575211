"""What `pip install .` installs: the packages and what they read, and nothing else."""

from __future__ import annotations

import configparser
import os
import zipfile
from pathlib import Path

import pytest
from assembly import ROOT

PACKAGES = ("cdk_app", "fedstack", "rehearsal", "runtime", "stacks")
SHIPPED = ("app.py", "cdk.json", "package.json", "package-lock.json", "examples/constraints.txt")
NOT_CODE = {".yaml", ".json", ".j2", ".sh", ".txt", ".in", ".toml", ".ipynb"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built in this process and without a network."""
    from hatchling.build import build_wheel

    folder, before = tmp_path_factory.mktemp("wheel"), Path.cwd()
    os.chdir(ROOT)
    try:
        name = build_wheel(str(folder))
    finally:
        os.chdir(before)
    return zipfile.ZipFile(folder / name)


def test_a_wheel_has_every_file_of_the_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    ours = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")
    }
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == ours | {f"cdk_app/shipped/{name}" for name in SHIPPED}
    assert {Path(name).suffix for name in names} <= NOT_CODE | {".py"}


def test_what_the_cdk_command_line_starts_from_is_as_in_the_checkout(wheel: zipfile.ZipFile) -> None:
    for name in SHIPPED:
        assert wheel.read(f"cdk_app/shipped/{name}") == (ROOT / name).read_bytes()


def test_one_command_is_installed_and_extras_bring_the_rest(wheel: zipfile.ZipFile) -> None:
    folder = next(name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    points = configparser.ConfigParser()
    points.read_string(wheel.read(f"{folder}/entry_points.txt").decode())
    assert dict(points["console_scripts"]) == {"fedstack": "fedstack.__main__:main"}
    told = wheel.read(f"{folder}/METADATA").decode()
    for extra in ("infra", "rehearsal", "simulation", "trees"):
        assert f"Provides-Extra: {extra}\n" in told
    base = [line for line in told.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert not [line for line in base if any(name in line for name in ("aws-cdk", "moto", "ray", "torch"))]
