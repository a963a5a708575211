"""`fedstack cost`: what each account of a federation costs; an estimate, and it says so."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

import typer

from cdk_app.config.load import Federation, load
from cdk_app.config.models import ClientAccount
from cdk_app.handoff import cost as reckoning
from cdk_app.naming import ClientNames, ServerNames, server_peer_stack
from cdk_app.synthesis import stand_ins, templates
from fedstack.options import AsJson, FederationFile

NOTE: Final = "AN ESTIMATE in US dollars of list prices, without tax, discounts, storage and traffic."


def cost(federation: FederationFile = Path("federation.yaml"), as_json: AsJson = False) -> None:
    """Estimate, offline, what each account pays in an idle month, and at most for one run and one day."""
    chosen = load(federation)
    with tempfile.TemporaryDirectory() as folder:
        bundles = stand_ins(chosen, federation.parent, Path(folder))
        written = {
            stack: json.loads(text) for stack, text in templates(federation, bundles, str(federation)).items()
        }
    accounts = [_server(chosen, written), *(_client(chosen, client, written) for client in chosen.clients)]
    if as_json:
        typer.echo(json.dumps({"note": NOTE, "accounts": accounts}))
        return
    typer.echo(f"{NOTE}\n")
    typer.echo(f"{'account':<34}{'idle month':>12}{'a run':>12}{'a day':>12}  (a run, a day: at most)")
    for account in accounts:
        name = f"{account['name']} {account['account']} {account['region']}"
        told = (account["idle_month"], account["run"], account["day"])
        typer.echo(f"{name:<34}" + "".join(f"{_dollars(value):>12}" for value in told))
    for account in accounts:
        typer.echo(f"\n{account['name']}:")
        for item in account["items"]:
            typer.echo(f"  {_dollars(item['dollars']):>10}  {item['what']}")


def _server(chosen: Federation, written: dict[str, Any]) -> dict[str, Any]:
    """Return what the server's account pays: its stack, and one for the way to each client."""
    names = chosen.server_names
    peers = [server_peer_stack(names, client.name) for client in chosen.clients]
    stacks = [names.stack, *(stack for stack in peers if stack in written)]
    items = [item for stack in stacks for item in reckoning.idle_month(written[stack], names.region)]
    return {**_account("server", names, items), "run": None, "day": None}


def _client(chosen: Federation, client: ClientAccount, written: dict[str, Any]) -> dict[str, Any]:
    """Return what a client's account pays: its stack, and its jobs to the last minute that they may have."""
    names = chosen.names_of(client)
    pinned = chosen.job(client)
    job = reckoning.Job(
        instance_type=pinned.instance_type,
        volume_gb=pinned.volume_gb,
        max_runtime_minutes=pinned.max_runtime_minutes,
        max_runs_per_day=client.max_runs_per_day,
    )
    told = _account(client.name, names, reckoning.idle_month(written[names.stack], client.region))
    worst = {"run": reckoning.run(job, client.region), "day": reckoning.day(job, client.region)}
    for kind, item in worst.items():
        told[kind] = _rounded(item.dollars)
        told["items"].append({"what": f"a {kind}, at most: {item.what}", "dollars": told[kind]})
    return told


def _account(name: str, names: ServerNames | ClientNames, items: list[reckoning.Item]) -> dict[str, Any]:
    told = [{"what": f"a month: {item.what}", "dollars": _rounded(item.dollars)} for item in items]
    idle = _rounded(sum(item.dollars or 0.0 for item in items))
    return {"name": name, "account": names.account, "region": names.region, "idle_month": idle, "items": told}


def _rounded(dollars: float | None) -> float | None:
    return None if dollars is None else round(dollars, 2)


def _dollars(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
