"""What a peer says is escaped before a terminal, a ledger or a report has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from botocore.exceptions import ClientError
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from nasty import NASTY, raw_in

from rehearsal.in_process import Federation
from runtime import errors
from runtime.contract import FedstackError
from runtime.errors import LONGEST, escaped, printable
from runtime.ledger import read
from runtime.link import client as link
from runtime.link import flower, wire
from runtime.link.client import LinkClient
from runtime.link.exchange import Exchange
from runtime.link.identity import make_identity
from runtime.link.server import LinkServer
from runtime.link.versions import differences
from runtime.link.wire import Kind
from runtime.mailbox import Mailbox
from runtime.server.aggregation import validation as guard
from runtime.server.aggregation.validation import (
    Expected,
    reason_of,
    sort_replies,
)
from runtime.server.jobs import certificates as admission
from runtime.server.jobs import kickoff
from runtime.server.jobs.assumed_role import KickoffRole
from runtime.server.jobs.kickoff import Kickoff
from runtime.server.jobs.launchers import Outcome
from runtime.server.run.join import Names
from runtime.tabular.server.privacy import PREPARE_METRICS, TRAIN_METRICS
from runtime.tabular.server.settings import parse

flower.adopt_identity(1)

PEERS = pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY)
IN_A_MESSAGE = pytest.mark.parametrize(
    "nasty", [text for text in NASTY.values() if not any("\ud800" <= c <= "\udfff" for c in text)]
)
"""Protobuf carries no lone surrogate."""


@PEERS
def test_what_is_shown_is_printable_short_and_says_what_it_was(nasty: str) -> None:
    shown = printable(nasty)
    assert raw_in(shown) == []
    assert 0 < len(shown) <= LONGEST
    if len(nasty) < 50:
        assert shown.encode("ascii", "backslashreplace").decode("unicode_escape") == nasty


@given(st.text())
def test_nothing_but_printable_text_is_ever_shown(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= LONGEST
    if text.isprintable():
        assert escaped(text) == text


@given(st.text(), st.integers(0, 20))
def test_it_is_as_short_as_asked_for(text: str, longest: int) -> None:
    assert len(printable(text, longest)) <= longest


# The doors of the server ------------------------------------------------------------------------------


class Watched:
    """A server that does not listen, and what it tells."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, Any]] = []
        self.exchange = Exchange(["clinic", "insurer"])
        self.exchange.watch(lambda kind, **details: self.told.append({"kind": kind, **details}))
        self.server = LinkServer(self.exchange, make_identity("server", 60), ["clinic"], 60)

    @property
    def text(self) -> str:
        """All that it told, as it is."""
        leave_reasons = [*self.exchange.leave_reasons().values()]
        return " ".join([*(str(value) for one in self.told for value in one.values()), *leave_reasons])


@PEERS
def test_other_versions_are_shown_escaped(nasty: str) -> None:
    assert raw_in(differences({"flwr": "1"}, {"flwr": nasty})) == []


@PEERS
def test_a_refused_certificate_is_shown_escaped(nasty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()

    def unreadable(_: bytes) -> str:
        raise ValueError(nasty)

    monkeypatch.setattr("runtime.link.identity.fingerprint", unreadable)
    watched.server.trust({"clinic": b"no certificate"})
    assert watched.told[-1]["kind"] == "certificate_refused"
    assert watched.told[-1]["reason"] == printable(nasty, 200)


@PEERS
def test_a_reply_that_is_refused_is_shown_escaped(nasty: str) -> None:
    watched = Watched()
    watched.exchange.join("clinic")
    message_id = watched.exchange.post(Message(RecordDict(), flower.number_of("clinic"), "train"))
    watched.exchange.refuse(message_id, nasty)
    assert watched.told[-1]["reason"] == printable(nasty)
    (reply,) = watched.exchange.collect([message_id])
    assert reply.error.reason == printable(nasty)


def replied(content: RecordDict | Error) -> Message:
    message = Message(RecordDict(), flower.number_of("clinic"), "train")
    flower.stamp(message, "message-1")
    return Message(content, reply_to=message)


@IN_A_MESSAGE
def test_whatever_a_reply_holds_is_shown_escaped(nasty: str) -> None:
    sound = MetricRecord({"num-examples": 7, "train-seconds": 0.5, "train-loss": 0.4})
    like = ArrayRecord({"coef": Array("float64", (1,), "numpy.ndarray", b"")})
    contents: list[RecordDict | Error] = [
        Error(2, nasty),
        RecordDict({nasty: sound}),
        RecordDict({"metrics": MetricRecord({nasty: 1})}),
        RecordDict({"metrics": sound, nasty: like}),
        RecordDict({"metrics": sound, "arrays": ArrayRecord({nasty: like["coef"]})}),
        RecordDict({"metrics": sound, "arrays": ArrayRecord({"coef": Array(nasty, (1,), nasty, b"")})}),
    ]
    for content in contents:
        (reason,) = sort_replies([replied(content)], TRAIN_METRICS, Expected(like)).refused.values()
        assert raw_in(reason) == []
    assert reason_of(replied(Error(2, nasty))) == printable(nasty)
    with pytest.raises(ValueError, match="it says that it is") as raised:
        Names(["clinic"]).learn(5, nasty)
    assert raw_in(printable(raised.value)) == []


@PEERS
def test_what_aws_says_of_a_mailbox_is_shown_escaped(nasty: str) -> None:
    watched, s3 = Watched(), MagicMock()
    s3.get_object.side_effect = ClientError({"Error": {"Code": "X", "Message": nasty}}, "GetObject")
    over = MagicMock()
    over.wait.side_effect = [False, True]
    admission._watch(
        {"clinic": Mailbox("s3://mail", lambda: s3)}, watched.server, watched.exchange, "run-1", over
    )
    assert watched.told[-1]["kind"] == "mailbox_unreadable"
    assert raw_in(watched.text) == []


@PEERS
def test_what_aws_says_of_a_job_is_shown_escaped(
    nasty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job's FailureReason is whatever the client's account wrote."""
    role = {"region": "eu-west-1", "external_id": "x", "kickoff_role_arn": "arn:aws:iam::222222222222:role/k"}
    names = ("north", "south", "west", "east")
    clients = [
        {"name": name, "mailbox": "s3://mail", "kickoff": "broker", "state_machine_arn": "arn:s", **role}
        for name in names
    ]
    told: list[str] = []
    roles = cast("dict[str, KickoffRole]", {name: MagicMock() for name in names})
    settings = parse({"clients": clients, "test_data": tmp_path, "out": tmp_path})
    jobs = Kickoff(
        settings,
        roles,
        lambda kind, **details: told.extend([kind, *map(str, details.values())]),
        lambda name, kind, reason: told.extend([name, kind, reason]),
    )
    wrong = ClientError({"Error": {"Code": "X", "Message": nasty}}, "StartExecution")
    north, south, west, east = (MagicMock() for _ in names)
    north.start.return_value = nasty
    south.start.side_effect = wrong
    west.outcome.side_effect = wrong
    east.outcome.return_value = Outcome(False, nasty)
    west.stop.side_effect = wrong
    jobs._launches = {"north": north, "south": south, "west": west, "east": east}
    for client in settings.clients:
        jobs._start(client, {})
    jobs._running = {"west", "east"}
    jobs._look_at("west")
    jobs._look_at("east")
    jobs._stop_all("why")
    assert {"started", "not_started", "not_watched", "job_failed", "not_stopped"} <= set(told)
    assert raw_in(" ".join(told)) == []


# The doors of a client --------------------------------------------------------------------------------


@PEERS
@pytest.mark.parametrize("kind", [Kind.ABORT, Kind.REFUSED])
def test_what_ends_a_client_is_shown_escaped(nasty: str, kind: Kind) -> None:
    own = make_identity("clinic", 60)
    client = LinkClient("127.0.0.1:1", "sha256:0", own, lambda message: message, run_seconds=1)
    with pytest.raises(FedstackError) as raised:
        client._control(kind, wire.control(kind, reason=nasty))
    assert printable(nasty) in raised.value.what
    assert raw_in(str(raised.value)) == []


@PEERS
def test_the_network_is_shown_escaped(nasty: str) -> None:
    own = make_identity("clinic", 60)
    client = LinkClient(
        "127.0.0.1:1", "sha256:0", own, lambda message: message, run_seconds=60, give_up_seconds=0
    )
    given_up = client._given_up(OSError(nasty))
    assert given_up is not None
    assert raw_in(str(given_up)) == []
    assert given_up.public == "No link to 127.0.0.1:1 for 0 s."


# A whole run ------------------------------------------------------------------------------------------


@contextmanager
def saying(nasty: str) -> Iterator[None]:
    """Let the clients answer every error with these words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "crossing", lambda _: nasty)
        yield


def told_of(folder: Path, nasty: str, capture: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Play a run in which a client says something nasty; return all that the server keeps and prints.

    Without the ends of lines and the spaces that do not break, which are the server's own.
    """
    federation = Federation.cut(folder, clients=3, rows=600)
    (folder / "silo-0.csv").write_text("no,data\n")
    with saying(nasty):
        federation.run(strategy="fedavg", rounds=1, updates="plain", min_clients=2, page=True)
    names = ("ledger.jsonl", "report.json", "report.html")
    said = {name: (folder / "out" / name).read_text() for name in names}
    printed = capture.readouterr()
    said["terminal"] = printed.out + printed.err
    return {name: text.replace("\n", " ").replace("\xa0", " ") for name, text in said.items()}


def test_a_run_keeps_and_prints_nothing_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nasty = "".join(text for text in NASTY.values() if len(text) < 60 and "\ud800" not in text)
    told = told_of(tmp_path, nasty, capsys)
    for name, text in told.items():
        assert raw_in(text) == [], name
        assert "<script>alert" not in text or name != "report.html"
    assert "[bold red]marked up[/]" in told["terminal"], "rich takes it for text"
    reasons = [one["reason"] for one in read(tmp_path / "out" / "ledger.jsonl") if "reason" in one]
    assert printable(nasty) in reasons
    assert json.loads(told["report.json"])["verdict"] == "PARTIAL"


def test_without_the_escape_the_terminal_would_obey(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (guard, errors, kickoff):
        monkeypatch.setattr(module, "printable", lambda text, *_: str(text))
    assert raw_in(told_of(tmp_path, NASTY["bidi"], capsys)["terminal"]) == ["\u202e"]


def test_the_preparation_names_who_was_refused(tmp_path: Path) -> None:
    """So that the run above is known to pass by the place where reasons are read."""
    message = Message(RecordDict({"config": ConfigRecord({})}), flower.number_of("clinic"), "query.prepare")
    flower.stamp(message, "message-1")
    said = sort_replies([flower.error_reply(message, 2, "\x1b")], PREPARE_METRICS).refused
    assert list(said.values()) == [r"\x1b"]
