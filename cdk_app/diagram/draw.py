"""The two pictures: all accounts and what crosses between them, and one client's account from inside."""

from __future__ import annotations

from typing import Final

from cdk_app.diagram.read import Account, Role
from cdk_app.diagram.svg import LINE, arrow, box, page, text, wrapped

PAD: Final = 14
SERVER_WIDTH: Final = 365
GAP: Final = 330
CLIENT_WIDTH: Final = 460
CARD_WIDTH: Final = 550
_LEFT_OUT: Final = "Not drawn: rights on logs, metrics, traces and network interfaces."


def accounts(found: list[Account]) -> str:
    """Draw every account, and what one may do in another."""
    server, *clients = found
    left, right = PAD, PAD + SERVER_WIDTH + GAP
    parts, y = [], PAD
    for client in clients:
        lines = _lines(client, 66)
        crossings = _crossings(server, client)
        height = max((len(lines) + 1) * LINE + 2 * PAD, len(crossings) * 3 * LINE)
        parts += _account("client", right, y, CLIENT_WIDTH, height, client.title, lines)
        step = height // len(crossings)
        for number, (to_client, above, below) in enumerate(crossings):
            middle = y + number * step + step // 2
            start, end = (left + SERVER_WIDTH, right) if to_client else (right, left + SERVER_WIDTH)
            centre = left + SERVER_WIDTH + GAP // 2
            parts += [arrow(start, end, middle), text(centre, middle - 5, above, middle=True)]
            parts.append(text(centre, middle + 15, below, "soft", middle=True))
        y += height + PAD
    height = y - PAD - PAD
    lines = _lines(server, 48)
    lines += ["roles:", *(f"  {role.name}" for role in server.roles)]
    parts += _account("server", left, PAD, SERVER_WIDTH, height, server.title, lines)
    return page(
        right + CLIENT_WIDTH + PAD, y, "The accounts of a federation, and what crosses between them", parts
    )


def client(account: Account) -> str:
    """Draw one account's roles: who takes each, and what it may do."""
    columns = [(PAD, PAD + 2 * LINE), (2 * PAD + CARD_WIDTH, PAD + 2 * LINE)]
    parts = [text(PAD, PAD + LINE, f"{account.title}: every role, who takes it, what it may do", "head")]
    first = sorted(account.roles, key=lambda role: (not role.account, -len(role.rights)))
    for role in (role for role in first if role.rights):
        lines = [part for line in role.rights for part in wrapped(line, 84, "    ")]
        height = (len(lines) + 2) * LINE + 2 * PAD
        shortest = min(range(2), key=lambda column: columns[column][1])
        x, y = columns[shortest]
        parts += _card(role, x, y, height, lines)
        columns[shortest] = (x, y + height + PAD)
    bottom = max(y for _, y in columns)
    parts.append(text(PAD, bottom + PAD, _LEFT_OUT, "soft"))
    return page(
        3 * PAD + 2 * CARD_WIDTH,
        bottom + 2 * PAD + 4,
        f"Who may do what in the account of {account.client}",
        parts,
    )


def _card(role: Role, x: int, y: int, height: int, lines: list[str]) -> list[str]:
    kind = "server" if role.account else "card"
    parts = [box(kind, x, y, CARD_WIDTH, height), text(x + PAD, y + PAD + 10, role.name, "head")]
    parts.append(text(x + PAD, y + PAD + 10 + LINE, f"taken by {role.taken_by}", "soft"))
    at = y + PAD + 10 + 2 * LINE
    return parts + [text(x + PAD, at + n * LINE, line) for n, line in enumerate(lines)]


def _account(kind: str, x: int, y: int, width: int, height: int, title: str, lines: list[str]) -> list[str]:
    parts = [box(kind, x, y, width, height), text(x + PAD, y + PAD + 10, title, "head")]
    return parts + [text(x + PAD, y + PAD + 10 + (n + 1) * LINE, line) for n, line in enumerate(lines)]


def _lines(account: Account, columns: int) -> list[str]:
    told = [f"VPC {account.cidr}, endpoints: {', '.join(account.made['endpoints'])}"]
    told += [
        f"{what}: {', '.join(names)}" for what, names in account.made.items() if names and what != "endpoints"
    ]
    return [line for words in told for line in wrapped(words, columns, "  ")]


def _crossings(server: Account, client: Account) -> list[tuple[bool, str, str]]:
    """Return what one side may do in the other's account: towards the client?, and two lines of words."""
    kickoff = [
        (True, f"takes {role.name}", _started_by(role))
        for role in client.roles
        if role.account == server.account
    ]
    accept = [(False, f"its stack takes {role.name}", "to have its peering accepted") for role in server.roles
              if role.account == client.account]  # fmt: skip
    link = [(False, f"its job dials out, {port}, mutual TLS", client.way) for port in client.ports]
    return kickoff + link + accept


def _started_by(role: Role) -> str:
    """Say what a role may do with state machines, or in short with the rest."""
    told = [
        right.removeprefix("states: ").partition(" on ")[0]
        for right in role.rights
        if right.startswith("states: ")
    ]
    return ", ".join(told) or f"{len(role.rights)} rights"
