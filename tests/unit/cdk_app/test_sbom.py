"""The bill of materials says what is in the bundle that it lies beside, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from assembly import ROOT

import fedstack.bundle
from cdk_app import bundles, sbom
from cdk_app.bundles import Bundle, build
from runtime.contract import RELEASE
from runtime.flower_app import FlowerApp


def wheel(folder: Path, name: str, version: str, *metadata: str) -> Path:
    """A wheel with nothing but what it says of itself."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    told = "\n".join(
        ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *metadata, "", "Licence: no"]
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-{version}.dist-info/METADATA", told)
        archive.writestr(f"{name}/_vendor/other-9.dist-info/METADATA", "Name: other\nVersion: 9\n")
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "wheels"
    return [
        wheel(folder, "spdx_one", "1.0", "License-Expression: MIT OR Apache-2.0"),
        wheel(folder, "Old.One", "2.0.post1", "Classifier: License :: OSI Approved :: BSD License"),
        wheel(folder, "own_words", "3", "License: Apache License 2.0"),
        wheel(folder, "silent", "0.1"),
    ]


def billed(bundle: Bundle) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(sbom.write(bundle.path, bundle.sha256).read_bytes())
    return told


def test_it_has_what_cyclonedx_requires(wheels: list[Path], tmp_path: Path) -> None:
    bundle = build("client", [wheels[0].parent], tmp_path / "out")
    told = billed(bundle)
    assert (told["bomFormat"], told["specVersion"], told["version"]) == ("CycloneDX", "1.6", 1)
    assert uuid.UUID(told["serialNumber"].removeprefix("urn:uuid:")).urn == told["serialNumber"]
    parts = [told["metadata"]["component"], *told["components"]]
    references = [part["bom-ref"] for part in parts]
    assert len(set(references)) == len(references)
    for part in parts:
        assert part["type"] in {"library", "application"}
        assert part["name"]
        assert part["version"]
        assert [entry["alg"] for entry in part["hashes"]] == ["SHA-256"]
        assert re.fullmatch("[0-9a-f]{64}", part["hashes"][0]["content"])
    assert told["dependencies"] == [{"ref": references[0], "dependsOn": references[1:]}]


def test_each_wheel_stands_in_it_with_its_own_digest_url_and_licence(
    wheels: list[Path], tmp_path: Path
) -> None:
    told = billed(build("client", [wheels[0].parent], tmp_path / "out"))
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}
    found = {
        part["purl"]: (part["hashes"][0]["content"], part.get("licenses")) for part in told["components"]
    }
    assert found == {
        "pkg:pypi/spdx-one@1.0": (hashes[wheels[0].name], [{"expression": "MIT OR Apache-2.0"}]),
        "pkg:pypi/old-one@2.0.post1": (hashes[wheels[1].name], [{"license": {"name": "BSD License"}}]),
        "pkg:pypi/own-words@3": (hashes[wheels[2].name], [{"license": {"name": "Apache License 2.0"}}]),
        "pkg:pypi/silent@0.1": (hashes[wheels[3].name], None),
    }


def test_it_is_of_this_bundle_the_same_bytes_each_time_and_replaces_an_older_one(
    wheels: list[Path], tmp_path: Path
) -> None:
    bundle = build("client", [wheels[0].parent], tmp_path / "out")
    path = sbom.write(bundle.path, bundle.sha256)
    assert path.name == f"client-{bundle.sha256}.cdx.json"
    first = path.read_bytes()
    assert sbom.write(bundle.path, bundle.sha256).read_bytes() == first
    told = json.loads(first)["metadata"]["component"]
    assert (told["name"], told["version"]) == ("fedstack-client", RELEASE)
    assert told["hashes"][0]["content"] == hashlib.sha256(bundle.path.read_bytes()).hexdigest()
    server = build("server", [wheels[0].parent], tmp_path / "out")
    kept = sbom.write(server.path, server.sha256)
    wheels[3].unlink()
    other = build("client", [wheels[0].parent], tmp_path / "out")
    bills = {sbom.write(other.path, other.sha256), kept}
    assert set((tmp_path / "out").glob(f"*{sbom.ENDING}")) == bills
    assert b"silent" not in sbom.bill(other.path, other.sha256)


def test_an_app_of_one_s_own_stands_in_it(wheels: list[Path], tmp_path: Path) -> None:
    app = FlowerApp.read(ROOT / "examples" / "wine-softmax")
    told = billed(build("client", [wheels[0].parent], tmp_path / "out", app=app))
    (part,) = [part for part in told["components"] if part["type"] == "application"]
    assert (part["name"], part["version"], part["hashes"][0]["content"]) == (
        app.name,
        app.version,
        app.digest(),
    )


def test_the_command_writes_one_beside_each_bundle_and_shows_its_digest(
    wheels: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundles, "fetch_wheels", lambda *_: wheels[0].parent)
    fedstack.bundle.bundle(out=tmp_path / "out")
    shown = capsys.readouterr().out
    bills = sorted((tmp_path / "out").glob(f"*{sbom.ENDING}"))
    assert len(bills) == 2
    for path in bills:
        assert f"{path}  SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}\n" in shown
        with tarfile.open(path.with_name(path.name.replace(sbom.ENDING, ".tar.gz"))) as archive:
            packed = {name for name in archive.getnames() if name.startswith("wheels/")}
        assert len(packed) == len(json.loads(path.read_bytes())["components"]) == len(wheels)


def test_all_of_the_lock_is_in_a_bundle_s_bill() -> None:
    """Of the bundles that `make bundle` built last."""
    bundle = bundles.load_bundles()["client"]
    told = json.loads(sbom.bill(bundle.path, bundle.sha256))
    with tarfile.open(bundle.path) as archive:
        member = archive.extractfile("requirements.txt")
        assert member is not None
        locked = dict(re.findall(r"^([\w.-]+)==([^ ;]+)", member.read().decode(), re.MULTILINE))
    assert {part["name"]: part["version"] for part in told["components"]} == locked
    assert locked.keys() >= {"flwr", "scikit-learn", "grpcio"}
