"""The checks of each side, in the order in which they are made; the table of docs/preflight.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from botocore.exceptions import ClientError

from cdk_app.config.roster import roster
from cdk_app.preflight.checks import (
    addresses,
    broker,
    bundle,
    consent,
    data,
    endpoints,
    permissions,
    privatelink,
    quotas,
    routes,
    rules,
    stacks,
)
from cdk_app.preflight.side import Side
from runtime.parallel import AT_ONCE
from runtime.server.jobs.assumed_role import OwnAccount
from runtime.server.preflight.findings import Check, Finding, Owner, Problem, Status, each, may_not, run
from runtime.server.preflight.reach import MEND, ON_NOTEBOOK, Reach
from runtime.server.roster import Client

_FIRST: Final[Sequence[Check[Side]]] = (
    Check("clock", stacks.clock, decides=True),
    Check("identity", stacks.identity, decides=True),
    Check("region", stacks.region),
)
_BOTH: Final[Sequence[Check[Side]]] = (
    Check("bootstrap", stacks.bootstrap),
    Check("stacks", stacks.stacks),
    Check("template", stacks.template),
    Check("addresses", addresses.addresses),
    Check("peering", routes.peering),
    Check("routes", routes.routes),
    Check("privatelink", privatelink.privatelink),
    Check("security-groups", rules.groups),
    Check("network-acls", rules.network_acls),
    Check("free-addresses", addresses.free_addresses),
    Check("endpoints", endpoints.endpoints),
    Check("keys", permissions.keys),
    Check("roles", permissions.roles),
    Check("buckets", permissions.buckets),
    Check("bundle", bundle.bundle),
    Check("quotas", quotas.quotas),
    Check("data", data.data),
)


def _nobody_else(side: Side) -> Iterator[Problem | str]:
    """Take each client's role as somebody who is not the notebook: that must be refused."""
    subject = reach(side)

    def look(client: Client) -> Iterator[Problem | str]:
        try:
            subject.take(client, ExternalId=client.external_id)
        except ClientError as error:
            if not may_not(error):
                raise
        else:
            yield Problem(
                subject.owner(client),
                f"{client.kickoff_role_arn} lets in {side.caller.arn}, and not the notebook's role alone.",
                MEND,
            )

    yield from each(look, subject.started(), subject.owner)
    yield "refuses this caller, as it should"


SERVER: Final[Sequence[Check[Side]]] = (
    *_FIRST,
    *_BOTH,
    Check("roster", bundle.server_roster),
    Check("notebook", data.notebook),
    Check("kickoff-role", _nobody_else),
)
CLIENT: Final[Sequence[Check[Side]]] = (
    *_FIRST,
    *_BOTH,
    Check("broker", broker.broker),
    Check("participation", consent.participation),
    Check("run-lock", consent.run_lock),
    Check("signing-keys", broker.signing_keys),
    Check("image", data.image),
)


def reach(side: Side) -> Reach:
    """Return the clients as the server's notebook knows them."""
    clients = [Client.model_validate(entry) for entry in roster(side.federation)["clients"]]
    owners = {client.name: side.owner_of(client) for client in side.federation.clients}
    found = Reach(clients, side.server, owners, side.account.session)
    # The account's own: it is of the server's Region, whose partition alone knows these credentials.
    found.own = OwnAccount(side.account.session, side.account.client("sts"))
    return found


def findings(side: Side) -> Iterator[Finding]:
    """Yield what these credentials can see of this side, and at the end what only others can."""
    if side.client is not None:
        yield from run(CLIENT, side, side.owner, AT_ONCE)
        yield _elsewhere(SERVER[len(_FIRST) :], side.server, "--side server with the server's credentials")
        return
    if f":assumed-role/{side.server_names.notebook_role}/" in side.caller.arn:
        yield from run(_FIRST[:2], side, side.owner)
        yield from run(ON_NOTEBOOK, reach(side), side.owner)
        yield _elsewhere(SERVER[len(_FIRST) :], side.server, "this with read-only credentials of the account")
    else:
        yield from run(SERVER, side, side.owner, AT_ONCE)
        yield _elsewhere(
            ON_NOTEBOOK, side.server, "`python -m runtime.server.preflight` on the server's notebook"
        )
    for client in side.federation.clients:
        how = f"--side client {client.name} with that account's credentials"
        yield _elsewhere(CLIENT[len(_FIRST) :], side.owner_of(client), how)


def _elsewhere(checks: Sequence[Check[Side]] | Sequence[Check[Reach]], owner: Owner, how: str) -> Finding:
    names = ", ".join(check.name for check in checks)
    who = "server" if owner.is_server else owner.name
    return Finding(f"of {who}", owner, Status.NOT_CHECKED, f"{names}: run {how}")
