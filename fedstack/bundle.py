"""`fedstack bundle`: our code and every wheel that it needs, one file per side, named by its content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from cdk_app.bundles import BUNDLES, build_all
from cdk_app.config.load import load
from cdk_app.config.selection import select
from cdk_app.images import DEFAULT, check_image, published
from cdk_app.project import PACKAGES
from fedstack.options import Account, AsJson
from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import FlowerApp
from runtime.server.run.folder import check_folder


def bundle(
    app: Annotated[Path | None, typer.Option(help="A Flower app's folder, to carry in all bundles.")] = None,
    out: Annotated[Path, typer.Option(help="Where they go.")] = BUNDLES,
    image: Annotated[list[str] | None, typer.Option(help="An image that clients' jobs run on.")] = None,
    account: Account = None,
    federation: Annotated[Path, typer.Option(help="The federation file, for --account.")] = Path(
        "federation.yaml"
    ),
    as_json: AsJson = False,
) -> None:
    """Build what is shipped to the accounts, or to one of them alone, and say what it is."""
    images, server = image or [DEFAULT], True
    if account is not None:
        app, images, server = _of(account, federation, app, image)
    carried = None if app is None else FlowerApp.read(app)
    check_folder(out)
    for name in image or ():
        check_image(name)
    built = build_all(carried, out, images, server=server)
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


def _of(
    account: str, federation: Path, app: Path | None, image: list[str] | None
) -> tuple[Path | None, list[str], bool]:
    """Return app, images and whether the server's bundle is one of them, as the federation file has them."""
    if app is not None or image:
        raise FedstackError(
            ExitCode.CONFIG,
            "--account takes app and images from the federation file, and --app or --image is given too.",
            "Leave those out, or --account.",
        )
    found = load(federation)
    chosen = select(found, account)
    images = sorted({found.job(client).image for client in chosen.clients})
    known = [image if image in published() else DEFAULT for image in images]
    return federation.parent / found.app if found.app else None, known, chosen.server


def _shown(path: Path) -> Path:
    return path.relative_to(PACKAGES) if path.is_relative_to(PACKAGES) else path


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
