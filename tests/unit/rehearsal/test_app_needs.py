"""What an app needs is installed beside what is here, and never in its place."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from app_federation import write_app

from rehearsal import app_needs
from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import FlowerApp


def app(folder: Path, *needs: str) -> FlowerApp:
    write_app(folder, "app = 1\n", "app = 2\n")
    text = (folder / "pyproject.toml").read_text()
    line = f'version = "1.0.0"\ndependencies = {list(needs)}'
    (folder / "pyproject.toml").write_text(text.replace('version = "1.0.0"', line))
    return FlowerApp.read(folder)


def test_what_is_here_is_not_installed(tmp_path: Path) -> None:
    assert app_needs.install(app(tmp_path / "app", "numpy>=2", "Scikit_Learn")) == []


def test_an_app_does_not_take_a_package_of_ours_to_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the constraint pip would only find no such version where there is no registry."""
    before = version("numpy")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(FedstackError, match=r"cannot be installed here: .*numpy<1") as raised:
        app_needs.install(app(tmp_path / "app", "numpy<1"))
    assert raised.value.code is ExitCode.CONFIG
    assert "conflicting dependencies" in str(raised.value)
    assert version("numpy") == before


def test_the_image_is_chosen_by_the_package_s_one_name(tmp_path: Path) -> None:
    assert app_needs.image_of(app(tmp_path / "app", "Torch>=2.13")) == "pytorch"
