"""`fedstack bundle`: our code and every wheel that it needs, one file per side, named by its content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from cdk_app.bundles import BUNDLES, build_all
from cdk_app.images import DEFAULT, check_image
from cdk_app.project import PACKAGES
from fedstack.options import AsJson
from runtime.flower_app import FlowerApp
from runtime.server.run.folder import check_folder


def bundle(
    app: Annotated[Path | None, typer.Option(help="A Flower app's folder, to carry in all bundles.")] = None,
    out: Annotated[Path, typer.Option(help="Where they go.")] = BUNDLES,
    image: Annotated[list[str] | None, typer.Option(help="An image that clients' jobs run on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Build what is shipped to the accounts, and say what it is."""
    carried = None if app is None else FlowerApp.read(app)
    check_folder(out)
    for name in image or ():
        check_image(name)
    built = build_all(carried, out, image or [DEFAULT])
    if as_json:
        told = {
            role: {"file": str(each.path), "sha256": each.sha256, "bill": str(each.bill)}
            for role, each in built.items()
        }
        typer.echo(json.dumps(told))
        return
    for each in built.values():
        typer.echo(f"{_shown(each.path)}  {each.path.stat().st_size / 1e6:.1f} MB")
        typer.echo(f"{_shown(each.bill)}  SHA-256 {_sha256(each.bill)}")


def _shown(path: Path) -> Path:
    return path.relative_to(PACKAGES) if path.is_relative_to(PACKAGES) else path


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
