"""Verify ledgers: each alone, and a server's and a client's against each other, message by message."""

from __future__ import annotations

from typing import Final, NamedTuple

from runtime.contract import ExitCode, FedstackError
from runtime.ledger import LedgerError
from runtime.sides import ENDS, JOB, MESSAGES, RUN, Line, Part, Side, shown

OF_REQUEST: Final = (("message", "message"), ("request_sha256", "request_sha256"), ("bytes_in", "bytes_down"))
OF_REPLY: Final = (("reply_sha256", "reply_sha256"), ("bytes_out", "bytes_up"), ("sha256", "client_ledger"))
"""Fields of a client's line, and those of the server's that must be equal."""


IN_FLIGHT: Final = 1
"""Answers of one client that a server may wait for when it is killed; who lacks more has dropped lines."""

KILLED: Final = "a run without a verdict: the server was killed there, or lines are missing"


class Matched(NamedTuple):
    """How many answers both sides have, how many the server says that it did not get, and how many came last
    in a run that it wrote no verdict of."""

    both: int
    lost: int
    cut: int


def verdict(sides: list[Side]) -> str:
    """Return the sentence about one ledger, or about two that agree.

    Raises
    ------
    LedgerError
        Naming the first difference.
    FedstackError
        When both are of the same side.
    """
    whole = " and ".join(f"{side.path} ({side.lines} lines)" for side in sides)
    if len(sides) == 1:
        return f"{whole} is whole, and every line follows from the one before."
    if sides[0].kind == sides[1].kind:
        whose = "a server's" if sides[0].kind == RUN else "a client's"
        raise FedstackError(
            ExitCode.CONFIG,
            f"Both {sides[0].path} and {sides[1].path} are {whose}.",
            "Name a server's ledger and a client's.",
        )
    server, client = sorted(sides, key=lambda side: side.kind != RUN)
    matched, elsewhere = compare(server, client)
    name = client.parts[0][0].text("client")
    lost = f"; {matched.lost} more did not reach the server, which says so too" if matched.lost else ""
    cut = f"; {matched.cut} more are after the last line of {KILLED}" if matched.cut else ""
    others = f"; {elsewhere} are of other jobs of it, with ledgers of their own" if elsewhere else ""
    return (
        f"{whole} are whole and agree: {matched.both} answers of {name} match one to one{lost}{cut}{others}."
    )


def compare(server: Side, client: Side) -> tuple[Matched, int]:
    """Match a client's lines with the server's, one to one.

    Returns
    -------
    matched, elsewhere
        What matched, and how many answers the server has of jobs that are not in this ledger of the client.

    Raises
    ------
    LedgerError
        Naming the first difference by client, line and field.
    """
    both = lost = cut = elsewhere = 0
    for job in client.parts:
        runs = _runs_of(server, client, job)
        killed = any(part[-1].kind not in ENDS[RUN] for part in runs)
        matched = _match(server, client, job, _messages(runs, job), killed=killed)
        both, lost, cut = both + matched.both, lost + matched.lost, cut + matched.cut
        _check_head(server, runs, job)
    own = [job[0].event["certificate"] for job in client.parts]
    for run in server.parts:
        if server.run_id(run) in map(client.run_id, client.parts):
            answered = [line for line in _messages([run], client.parts[0]) if line.kind != "missed"]
            elsewhere += sum(line.event.get("certificate") not in own for line in answered)
    return Matched(both, lost, cut), elsewhere


def _runs_of(server: Side, client: Side, job: Part) -> list[Part]:
    """Return the server's runs that a job was part of, by the run's name and the job's certificate."""
    name, run_id, certificate = job[0].text("client"), client.run_id(job), job[0].text("certificate")
    runs = [part for part in server.parts if server.run_id(part) == run_id and name in server.names(part)]
    if not runs:
        there = ", ".join(shown(server.run_id(part)) for part in server.parts)
        raise LedgerError(
            f"client {name}, {job[0]}: run_id is {shown(run_id)}, which {server.path} (of {there}) does not "
            "have with this client"
        )
    if all(line.kind not in MESSAGES[JOB] for line in job):
        return runs  # the server may not have heard of a job that answered nothing
    trusting = [part for part in runs if any(_trusts(line, name, certificate) for line in part)]
    if not trusting:
        raise LedgerError(
            f"client {name}, {job[0]}: certificate is {shown(certificate)}, which {server.path} never trusted"
        )
    return trusting


def _trusts(line: Line, name: str, certificate: str) -> bool:
    told = (line.kind, line.event.get("client"), line.event.get("certificate"))
    return told == ("trusted", name, certificate)


def _messages(runs: list[Part], job: Part) -> list[Line]:
    """Return the server's lines of messages to a job's client."""
    name = job[0].text("client")
    lines = [line for part in runs for line in part if line.kind in MESSAGES[RUN]]
    return [line for line in lines if line.event.get("client") == name]


def _match(server: Side, client: Side, job: Part, theirs: list[Line], *, killed: bool) -> Matched:
    """Match a job's answers with those that came over its own certificate, in order.

    A server that was killed has no line of what it waited for then: a line is written when an answer comes.
    """
    own = job[0].text("certificate")
    awaited = [line for line in theirs if line.event.get("certificate") == own]
    others: dict[str, Line] = {}
    for line in theirs:
        if line.event.get("certificate") != own:
            others.setdefault(line.text("id"), line)
    known, at, lost, cut = {line.text("id") for line in awaited}, 0, 0, 0
    for mine in (line for line in job if line.kind in MESSAGES[JOB]):
        message = mine.text("id")
        if at < len(awaited) and awaited[at].text("id") == message:
            _equal(job, mine, awaited[at], (*OF_REQUEST, *OF_REPLY))
            at += 1
        elif message not in known and message in others:  # the server gave up, or heard the client's next job
            _equal(job, mine, others[message], OF_REQUEST)
            lost += 1
        elif message in known and at < len(awaited):
            raise _missing(job, awaited[at], f"{client.path} before its line {mine.number}")
        elif killed and at == len(awaited) and cut < IN_FLIGHT:
            cut += 1
        else:
            raise _missing(job, mine, str(server.path))
    if at < len(awaited):
        raise _missing(job, awaited[at], str(client.path))
    return Matched(at, lost, cut)


def _equal(job: Part, mine: Line, theirs: Line, fields: tuple[tuple[str, str], ...]) -> None:
    """Compare two lines; of a reply that was too large to be read, the server has no digest."""
    for ours, other in fields:
        said, heard = mine.event.get(ours), theirs.event.get(other)
        if theirs.kind == "refused" and other == "reply_sha256" and heard is None:
            continue
        if said != heard:
            raise LedgerError(
                f"client {job[0].text('client')}, {mine}: {ours} is {shown(said)}, but {other} is "
                f"{shown(heard)} in {theirs}"
            )


def _missing(job: Part, line: Line, where: str) -> LedgerError:
    what = f"{shown(line.event.get('id'))} ({shown(line.event.get('message'))})"
    return LedgerError(f"client {job[0].text('client')}, {line}: id {what} is not in {where}")


def _check_head(server: Side, runs: list[Part], job: Part) -> None:
    """Find out whether the server's ledger still ends as the client was told that it did."""
    head = job[-1].event.get("server_ledger")
    if head is None and job[-1].kind != "ended":
        return  # the client did not hear the end
    if head not in [part[-1].event["sha256"] for part in runs]:
        raise LedgerError(
            f"client {job[0].text('client')}, {job[-1]}: server_ledger is {shown(head)}, which is not the "
            f"last line of the run in {server.path}"
        )
