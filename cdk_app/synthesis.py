"""Synthesise templates without the cdk command line: in a process of app.py's own, offline."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cdk_app.bundles import MANIFEST, role_for
from cdk_app.config.models import Federation
from cdk_app.node import node
from cdk_app.project import SHIPPED
from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import FlowerApp


def templates(
    federation_file: Path, bundles: Path, what: str, context: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """Return the templates that app.py writes for a federation file, by the stack's name.

    Parameters
    ----------
    what
        What an error says cannot be synthesised.
    context
        More of cdk's context.
    """
    with tempfile.TemporaryDirectory() as assembly:
        return synthesise(federation_file, bundles, what, Path(assembly), context)


def synthesise(
    federation_file: Path,
    bundles: Path,
    what: str,
    assembly: Path,
    context: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """Write the assembly that `cdk synth` would; return its templates by the stack's name."""
    own = json.loads((SHIPPED / "cdk.json").read_text(encoding="utf-8"))["context"]
    asked = {"federation": str(federation_file.absolute()), "bundles": str(bundles.absolute())}
    environment = {
        **os.environ,
        "JSII_NODE": str(node() / "node"),
        "CDK_OUTDIR": str(assembly.absolute()),
        "CDK_CONTEXT_JSON": json.dumps({**own, **asked, **(context or {})}),
    }
    command = [sys.executable, "app.py"]
    done = subprocess.run(command, cwd=SHIPPED, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FedstackError(
            ExitCode.CONFIG, f"{what} cannot be synthesised:\n{done.stderr.strip()}\n", "Mend it."
        )
    written = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    stacks = [name for name, each in written.items() if each["type"] == "aws:cloudformation:stack"]
    return {name: (assembly / f"{name}.template.json").read_bytes() for name in sorted(stacks)}


def stand_ins(federation: Federation, folder: Path, place: Path) -> Path:
    """Write bundles that hold nothing, for templates that nobody deploys; return the folder.

    Parameters
    ----------
    folder
        The federation file's own, which an app's path is relative to.
    place
        Where to.
    """
    names = {"server", *(role_for(federation.job(client).image) for client in federation.clients)}
    told = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    for name, digest in told.items():
        (place / f"{name}-{digest}.tar.gz").write_bytes(name.encode())
    if federation.app:
        told["app"] = FlowerApp.read(folder / federation.app).digest()
    (place / MANIFEST).write_text(json.dumps(told))
    return place
