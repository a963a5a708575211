"""Over the real link: nothing of a client's data reaches the server, and nothing that it says does so raw."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from broken_data import MARK
from flwr.app import Message
from nasty import NASTY, raw_in

from end_to_end.hub import Hub
from end_to_end.test_handshake import conversation, credentials, hello
from rehearsal.link.place import Place
from rehearsal.link.processes import Federation, Process
from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.link import conversation as link_conversation
from runtime.link import wire
from runtime.link.wire import Kind
from runtime.tabular.data.schema import CMS

PLAIN = "--privacy-updates=plain"
PEERS = pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY)


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub("clinic", "insurer")
    yield hub
    hub.close()


def kept_by_the_server(place: Place, process: Process) -> bytes:
    """All that the server has of a run: its folder and what it printed."""
    files = [file.read_bytes() for file in sorted(place.out.rglob("*")) if file.is_file()]
    assert files
    return b"".join([*files, process.text.encode()])


def test_a_bad_cell_ends_its_client_and_stays_there(federation: Federation) -> None:
    place = federation.place
    lines = place.silo("clinic").read_text().splitlines()
    cells = lines[20].split(",")
    cells[7] = MARK
    lines[20] = ",".join(cells)
    place.silo("clinic").write_text("\n".join(lines) + "\n")
    server = federation.server("--updates=plain", "--rounds=2", "--join-seconds=600")
    bad = federation.client("clinic", PLAIN)
    assert bad.end() == ExitCode.DATA, bad.text
    server.send(signal.SIGINT)
    assert server.end() == ExitCode.INTERRUPTED, server.text
    where = f"line 21, column {CMS.columns[7]!r}"
    assert f"{where}: the value is '{MARK}', which is not a number." in bad.text
    failure = (place.root / "failure").read_text()
    assert failure.startswith(f"fedstack-error 11 DATA: Its data cannot be used: {where}. ")
    assert MARK.encode() not in kept_by_the_server(place, server) + failure.encode()


def test_a_text_of_an_exception_in_a_round_stays_in_its_client(federation: Federation) -> None:
    place = federation.place
    server = federation.server("--updates=plain", "--rounds=2", "--min-clients=2", "--join-seconds=300")
    others = [federation.client(name, PLAIN) for name in ("insurer", "pharmacy")]
    bad = federation.client("clinic", PLAIN, odd=("break", MARK))
    assert server.end() == ExitCode.PARTIAL, server.text
    assert [client.end() for client in (bad, *others)] == [0, 0, 0]
    assert place.reasons("clinic", "update_refused") == ["ValueError", "ValueError"]
    assert f"ValueError: {MARK}" in bad.text
    assert MARK.encode() not in kept_by_the_server(place, server)
    assert MARK not in (place.root / "clinic" / "ledger.jsonl").read_text()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError(MARK), "ValueError"),
        (ExceptionGroup(MARK, [KeyError(MARK)]), "ExceptionGroup"),
        (SystemExit(MARK), "SystemExit"),
        (FedstackError(ExitCode.DATA, f"The value is {MARK}.", f"Drop {MARK}."), "Its data cannot be used."),
        (FedstackError(ExitCode.CONFIG, f"/{MARK}", "Mend it.", public="It cannot."), "It cannot."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_a_goodbye_says_only_what_may_cross(hub: Hub, error: BaseException, words: str) -> None:
    def broken(message: Message) -> Message:
        raise error

    running = hub.start({"clinic": broken})
    (reply,) = hub.ask(["clinic"])
    assert reply.error.reason == f"clinic left: {words}"
    assert hub.told[-1] == ("left", {"client": "clinic", "reason": words})
    assert running["clinic"].end() is error


def goodbye(hub: Hub, nasty: str) -> str:
    """Leave with these words; return the reason that the server tells."""

    def leave(message: Message) -> Message:
        raise FedstackError(ExitCode.CONFIG, nasty, "Mend it.")

    running = hub.start({"clinic": leave})
    hub.ask(["clinic"])
    running["clinic"].end()
    return str(next(details["reason"] for kind, details in hub.told if kind == "left"))


@PEERS
def test_a_goodbye_is_told_escaped(hub: Hub, nasty: str) -> None:
    assert goodbye(hub, nasty) == printable(nasty)
    assert raw_in(hub.exchange.leave_reasons()["clinic"]) == []


def test_without_the_escape_a_goodbye_would_be_told_raw(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_conversation, "printable", str)
    assert goodbye(hub, NASTY["colour"]) == NASTY["colour"]


@PEERS
def test_versions_of_another_make_are_told_escaped(hub: Hub, nasty: str) -> None:
    shown = credentials(hub, hub.enrol("clinic")["clinic"])
    with conversation(hub, shown, hello(flwr=nasty)) as answers:
        refused = wire.body_of(next(answers))
    hub.await_event("rejected", "clinic")
    assert raw_in(str(hub.told[-1])) == []
    assert raw_in(refused["reason"]) == []


@PEERS
def test_an_abort_is_told_escaped(hub: Hub, nasty: str) -> None:
    running = hub.start({"clinic": lambda message: message})
    hub.exchange.end(Kind.ABORT, reason=nasty)
    error = running["clinic"].end()
    assert isinstance(error, FedstackError)
    assert error.what == f"The server ended the run: {printable(nasty)}"
