"""`fedstack synth`: the templates of a federation, or of one account alone, without the cdk command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from cdk_app.bundles import BUNDLES
from cdk_app.config.load import load
from cdk_app.config.selection import select
from cdk_app.synthesis import synthesise
from fedstack.options import Account, AsJson, FederationFile
from runtime.server.run.folder import check_folder


def synth(
    federation: FederationFile = Path("federation.yaml"),
    account: Account = None,
    out: Annotated[Path, typer.Option(help="Where the assembly goes; `cdk deploy -a` takes it.")] = Path(
        "cdk.out"
    ),
    bundles: Annotated[Path, typer.Option(help="Where `fedstack bundle` built the bundles.")] = BUNDLES,
    as_json: AsJson = False,
) -> None:
    """Write the templates of every account, or of one alone: the same bytes, at no other account's cost."""
    select(load(federation), account)
    check_folder(out)
    context = {} if account is None else {"account": account}
    written = synthesise(federation, bundles, account or str(federation), out, context)
    told = {name: hashlib.sha256(content).hexdigest() for name, content in written.items()}
    if as_json:
        typer.echo(json.dumps({"assembly": str(out), "templates": told}))
        return
    for name, digest in told.items():
        typer.echo(f"{out / name}.template.json  SHA-256 {digest}")
