"""One account of a federation, where a command is about no other: its own stacks, its own bundle."""

from __future__ import annotations

from typing import Final, NamedTuple

from cdk_app.config.models import ClientAccount, Federation
from runtime.command_line.near import near
from runtime.contract import ExitCode, FedstackError

SERVER: Final = "server"
"""What the server's account is called, beside its id."""


class Selection(NamedTuple):
    """The accounts that a command is about."""

    server: bool
    clients: tuple[ClientAccount, ...]


def select(federation: Federation, account: str | None) -> Selection:
    """Return the accounts of a name or an id; all of them where none is asked for.

    A client that is called `server` is itself; an id may be that of several clients, each in a Region.

    Raises
    ------
    FedstackError
        When there is no such account.
    """
    if account is None:
        return Selection(True, federation.clients)
    if clients := tuple(client for client in federation.clients if account in (client.name, client.account)):
        return Selection(False, clients)
    if account in (SERVER, federation.server.account):
        return Selection(True, ())
    names = [SERVER, *(client.name for client in federation.clients)]
    raise FedstackError(
        ExitCode.CONFIG,
        f"{account!r} is no account of {federation.name}.",
        f"Name the server, a client, or an account's id. {near(account, names)}".strip(),
    )
