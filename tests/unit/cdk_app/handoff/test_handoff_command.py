"""The command that writes a package, without the minutes that a synthesis takes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from assembly import NORTH, ROOT, Assembly

from cdk_app.bundles import CONTENTS, MANIFEST, contents, gzip_stored, tar
from cdk_app.handoff import __main__ as command
from runtime.contract import ExitCode, FedstackError


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    content = gzip_stored(tar({CONTENTS: contents({}, None)}))
    digest = hashlib.sha256(content).hexdigest()
    folder = tmp_path / "bundles"
    folder.mkdir()
    (folder / f"client-{digest}.tar.gz").write_bytes(content)
    (folder / MANIFEST).write_text(json.dumps({"client": digest}))
    return folder


@pytest.fixture
def federation_file(tmp_path: Path) -> Path:
    text = (ROOT / "federation.yaml").read_text()
    deployer = "    deployed_by: arn:aws:iam::222222222222:role/platform\n"
    path = tmp_path / "federation.yaml"
    path.write_text(text.replace("  - name: north\n", f"  - name: north\n{deployer}"))
    return path


@pytest.fixture
def synthesised(assembly: Assembly, monkeypatch: pytest.MonkeyPatch) -> bytes:
    template = assembly.text(NORTH).encode()
    monkeypatch.setattr(command, "synthesise", lambda *_: template)
    return template


def review_that(monkeypatch: pytest.MonkeyPatch, *, passed: bool) -> list[bytes]:
    reviewed: list[bytes] = []

    def review(template: bytes) -> Any:
        reviewed.append(template)
        return SimpleNamespace(passed=passed, text="what it may do")

    monkeypatch.setattr(command, "review", review)
    return reviewed


def test_the_review_in_a_package_is_of_the_very_template_in_it(
    synthesised: bytes, federation_file: Path, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed = review_that(monkeypatch, passed=True)
    packed = command.hand_off(federation_file, "north", tmp_path / "out", bundles, None)
    folder = packed.with_suffix("")
    assert reviewed == [synthesised] == [(folder / "template.json").read_bytes()]
    assert (folder / "review.txt").read_text() == "what it may do\n"


def test_a_template_whose_review_fails_is_not_handed_off(
    synthesised: bytes, federation_file: Path, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    review_that(monkeypatch, passed=False)
    with pytest.raises(FedstackError, match="review of north's template fails") as caught:
        command.hand_off(federation_file, "north", tmp_path / "out", bundles, None)
    assert caught.value.code == ExitCode.REVIEW
    assert not (tmp_path / "out").exists()


def test_a_client_that_is_none_is_one_line_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cdk_app.handoff", "nord"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "'nord' is no client of cms" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_needs_somebody_whom_the_server_lets_peer(bundles: Path, tmp_path: Path) -> None:
    with pytest.raises(FedstackError, match="Write `deployed_by`"):
        command.hand_off(ROOT / "federation.yaml", "north", tmp_path / "out", bundles, None)


def test_a_federation_file_that_cannot_be_synthesised_says_why(tmp_path: Path) -> None:
    with pytest.raises(FedstackError, match="north's stack cannot be synthesised") as caught:
        command.synthesise(ROOT / "federation.yaml", "north", tmp_path / "no-bundles")
    assert "make bundle" in caught.value.what
