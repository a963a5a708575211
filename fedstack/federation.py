"""`fedstack validate`: what is wrong with a federation file, all at once and offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import typer

from cdk_app.bundles import BundleError
from cdk_app.config.load import ConfigError, Federation, load
from cdk_app.config.quotas import outgrown
from fedstack.options import AsJson, FederationFile
from runtime.contract import FedstackError, Updates
from runtime.flower_app import FlowerApp

_WAYS: Final = {"privatelink": "by PrivateLink", "existing": "on a way of its own network"}
_MEANINGS: Final = {
    "privatelink": "By PrivateLink: the client's stack makes one interface endpoint to the server's endpoint "
    "service, and the\nserver's operator accepts it (`fedstack accept NAME`). No peering, no route, no stack "
    "for it on the server's side;\nits addresses may be another's. docs/privatelink.md",
    "existing": "On a way of its own network: no peering and no route is made. The owners of both networks "
    "route between the two\ncidrs (Transit Gateway, Cloud WAN); `fedstack preflight` looks. "
    "docs/privatelink.md",
}


def validate(federation: FederationFile = Path("federation.yaml"), as_json: AsJson = False) -> None:
    """Check a federation file offline: every error at once, with its account, value and remedy."""
    try:
        found = load(federation)
        _check_app(found, federation.parent)
    except FedstackError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"valid": False, "file": str(federation), "problems": _problems(error)}))
        raise typer.Exit(int(error.code)) from None
    quotas = list(outgrown(found))
    if as_json:
        accounts = {client.name: client.account for client in found.clients}
        told = {"valid": True, "file": str(federation), "problems": [], "quotas": quotas, "name": found.name}
        typer.echo(json.dumps({**told, "server": found.server.account, "clients": accounts}))
        return
    typer.echo(f"{federation} is valid: {found.name}, {len(found.clients)} client(s).")
    typer.echo(f"  {'server':<11} {found.server.account} in {found.server.region}")
    for client in found.clients:
        how = "updates in sums" if client.privacy.updates is Updates.SUMS else client.privacy.updates.value
        way = "" if found.reached_by(client) == "peering" else f", {_WAYS[found.reached_by(client)]}"
        typer.echo(f"  {client.name:<11} {client.account} in {client.region}, {client.kickoff}, {how}{way}")
    if ways := {found.reached_by(client) for client in found.clients} - {"peering"}:
        typer.echo("\n".join(_MEANINGS[way] for way in sorted(ways)))
    for sentence in quotas:
        typer.echo(f"Quota: {sentence}")


def _check_app(found: Federation, folder: Path) -> None:
    """Hold the app that a federation names, and its run config, against the app itself."""
    if found.app:
        FlowerApp.read(folder / found.app).run_config(found.run_config)
    elif found.run_config:
        raise BundleError(f"run_config is {found.run_config}, and the built-in app has none: remove it.")


def _problems(error: FedstackError) -> list[dict[str, str]]:
    if isinstance(error, ConfigError):
        return [problem._asdict() for problem in error.problems]
    return [{"where": "file", "what": error.what, "remedy": error.remedy}]
