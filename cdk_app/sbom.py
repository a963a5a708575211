"""What a bundle is made of, for whoever has to approve it: a software bill of materials in CycloneDX 1.6.

It is read from the finished bundle and says nothing of time or machine: the same bundle gives the same bytes.
Specification: CycloneDX 1.6, JSON (ECMA-424).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any, Final

from packaging.utils import parse_wheel_filename

from runtime.contract import RELEASE

ENDING: Final = ".cdx.json"
_WHEELS: Final = "wheels/"
_LICENCE: Final = "License :: OSI Approved :: "


def beside(bundle: Path) -> Path:
    """Return where a bundle's bill lies."""
    return bundle.with_name(bundle.name.removesuffix(".tar.gz") + ENDING)


def write(bundle: Path, sha256: str) -> Path:
    """Write the bill beside a bundle, in place of one of an older bundle of its name; return where it is."""
    name = bundle.name.removesuffix(".tar.gz")
    path = beside(bundle)
    for old in bundle.parent.glob(f"{name.removesuffix(sha256)}{'[0-9a-f]' * 64}{ENDING}"):
        old.unlink()
    path.write_bytes(bill(bundle, sha256))
    return path


def bill(bundle: Path, sha256: str) -> bytes:
    """List a bundle's code, its app and its wheels, each with version, SHA-256, package URL and licence."""
    role = bundle.name.removesuffix(f"-{sha256}.tar.gz")
    with tarfile.open(bundle) as archive:
        held = {
            entry.name: content.read()
            for entry in archive.getmembers()
            if entry.name.startswith((_WHEELS, "bundle.json")) and (content := archive.extractfile(entry))
        }
    root = _component("application", f"fedstack-{role}", RELEASE, sha256)
    parts = [_wheel(name, content) for name, content in sorted(held.items()) if name.startswith(_WHEELS)]
    if app := json.loads(held["bundle.json"]).get("app"):
        parts.append(_component("application", app["name"], app["version"], app["sha256"]))
    told = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, sha256)}",
        "version": 1,
        "metadata": {"component": root},
        "components": parts,
        "dependencies": [{"ref": root["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode("utf-8")


def _component(kind: str, name: str, version: str, sha256: str) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": f"{name}@{version}",
        "name": name,
        "version": version,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }


def _wheel(path: str, content: bytes) -> dict[str, Any]:
    name, version, *_ = parse_wheel_filename(Path(path).name)
    purl = f"pkg:pypi/{name}@{version}"
    part = _component("library", name, str(version), hashlib.sha256(content).hexdigest())
    licences = _licences(_metadata(content))
    return part | {"bom-ref": purl, "purl": purl} | ({"licenses": licences} if licences else {})


def _metadata(wheel: bytes) -> Message:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        (path,) = (n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(path).decode("utf-8"), headersonly=True)


def _licences(metadata: Message) -> list[dict[str, Any]]:
    """Return what the package says: an SPDX expression, its classifiers' names, or one line of its own."""
    if expression := metadata.get("License-Expression"):
        return [{"expression": expression}]
    named = [str(line) for line in metadata.get_all("Classifier", []) if str(line).startswith(_LICENCE)]
    own = [line for line in [str(metadata.get("License", ""))] if 0 < len(line) < 80 and "\n" not in line]
    return [{"license": {"name": line.removeprefix(_LICENCE)}} for line in named or own]
