"""Who gets in, and who is refused before anything of the run is said."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from end_to_end.hub import Hub, Running, code_of, echo
from rehearsal.drills.intruders import Stream, streams
from rehearsal.link.waiting import eventually
from runtime.contract import ExitCode, FedstackError
from runtime.link import identity, limits, wire
from runtime.link.client import LinkClient
from runtime.link.conversation import Conversation
from runtime.link.identity import Identity, make_identity
from runtime.link.limits import STREAMS_EACH
from runtime.link.versions import versions
from runtime.link.wire import Kind


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub("clinic", "insurer")
    yield hub
    hub.close()


@contextmanager
def conversation(
    hub: Hub, credentials: grpc.ChannelCredentials | None, *frames: bytes
) -> Iterator[Iterator[bytes]]:
    """Say all this to the server, as a client of another make would, and listen to its answers."""
    options = (("grpc.ssl_target_name_override", identity.SERVER_NAME), *wire.CHANNEL_OPTIONS)
    channel = (
        grpc.secure_channel(hub.address, credentials, options)
        if credentials
        else grpc.insecure_channel(hub.address, options)
    )
    over = threading.Event()

    def say() -> Iterator[bytes]:
        yield from frames
        over.wait(60)  # who hangs up is not answered

    with channel:
        try:
            answers = channel.stream_stream(wire.METHOD)(say(), timeout=30)
            yield answers  # held here: a call that nobody holds is cancelled
        finally:
            over.set()


def call(hub: Hub, credentials: grpc.ChannelCredentials | None, *frames: bytes) -> bytes:
    """Say all this to the server; return the first that it answers."""
    with conversation(hub, credentials, *frames) as answers:
        return next(answers)


def hello(**changed: str) -> bytes:
    return wire.control(Kind.HELLO, versions=versions() | changed)


def refusal(hub: Hub, credentials: grpc.ChannelCredentials | None, *frames: bytes) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        call(hub, credentials, *frames)
    code: grpc.StatusCode = raised.value.code()
    return code


def credentials(hub: Hub, own: Identity) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(hub.own.certificate, own.key, own.certificate)


def nobody_joined(hub: Hub) -> bool:
    return hub.told == []


def test_a_trusted_certificate_gets_in(hub: Hub) -> None:
    own = hub.enrol("clinic")["clinic"]
    answer = call(hub, credentials(hub, own), hello())
    assert wire.kind_of(answer) is Kind.WELCOME
    assert wire.body_of(answer)["client"] == "clinic"


@pytest.mark.parametrize("somebody", [True, False])
def test_an_unknown_certificate_is_refused_at_the_handshake(hub: Hub, somebody: bool) -> None:
    if somebody:
        hub.enrol("clinic")
    stranger = make_identity("clinic", 600)  # the right name says nothing
    assert refusal(hub, credentials(hub, stranger), hello()) is grpc.StatusCode.UNAVAILABLE
    assert nobody_joined(hub)


def test_no_certificate_is_refused_at_the_handshake(hub: Hub) -> None:
    hub.enrol("clinic")
    bare = grpc.ssl_channel_credentials(hub.own.certificate)
    assert refusal(hub, bare, hello()) is grpc.StatusCode.UNAVAILABLE
    assert nobody_joined(hub)


def test_plaintext_is_refused(hub: Hub) -> None:
    hub.enrol("clinic")
    assert refusal(hub, None, hello()) is grpc.StatusCode.UNAVAILABLE
    assert nobody_joined(hub)


def test_the_servers_own_certificate_opens_nothing(hub: Hub) -> None:
    """It is gRPC's only root while nobody is trusted yet, and everybody may know it."""
    assert refusal(hub, credentials(hub, hub.own), hello()) is grpc.StatusCode.UNAUTHENTICATED
    assert nobody_joined(hub)


def test_a_replaced_certificate_opens_nothing_any_more(hub: Hub) -> None:
    old = hub.enrol("clinic")["clinic"]
    hub.enrol("clinic")
    assert refusal(hub, credentials(hub, old), hello()) is grpc.StatusCode.UNAVAILABLE


def handshake(hub: Hub, own: Identity, folder: Path, version: ssl.TLSVersion) -> str | None:
    """Shake hands with no later TLS than this one; return the one agreed on."""
    for name, text in (("pem", own.certificate), ("key", own.key)):
        (folder / name).write_bytes(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ALL:@SECLEVEL=0")  # or this end would refuse the old versions itself
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.load_cert_chain(folder / "pem", folder / "key")
    host, _, port = hub.address.rpartition(":")
    with socket.create_connection((host, int(port)), 30) as plain, context.wrap_socket(plain) as secure:
        return secure.version()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_tls_is_refused_at_the_handshake(hub: Hub, tmp_path: Path, version: str) -> None:
    own = hub.enrol("clinic")["clinic"]
    with pytest.raises(ssl.SSLError, match=r"EOF|VERSION"):
        handshake(hub, own, tmp_path, ssl.TLSVersion[version])
    assert handshake(hub, own, tmp_path, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


class Impostor:
    """A TLS server with a certificate of its own that keeps whatever it is sent."""

    def __init__(self, own: Identity, folder: Path) -> None:
        for name, text in (("pem", own.certificate), ("key", own.key)):
            (folder / name).write_bytes(text)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "pem", folder / "key")
        self._context.set_alpn_protocols(["h2"])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        plain, _ = self._listener.accept()
        with plain, self._context.wrap_socket(plain, server_side=True) as secure:
            self.sent.append(secure.recv(65536))

    def close(self) -> None:
        self._listener.close()
        self._thread.join(30)


def test_a_server_with_another_fingerprint_is_told_nothing(tmp_path: Path) -> None:
    impostor, own = Impostor(make_identity(identity.SERVER_NAME, 600), tmp_path), make_identity("clinic", 600)
    pinned = make_identity(identity.SERVER_NAME, 600).fingerprint
    error = Running(LinkClient(impostor.address, pinned, own, echo, run_seconds=600)).end()
    impostor.close()
    assert isinstance(error, FedstackError)
    assert error.code is ExitCode.IDENTITY
    assert pinned in error.what
    assert impostor.address in error.what
    assert impostor.sent == [b""]


@pytest.mark.parametrize("name", ["protocol", "flwr", "scikit-learn", "bundle"])
def test_another_version_is_refused_with_a_message_that_names_both(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    theirs = versions() | {name: "0.0.1"}
    own = hub.enrol("clinic")["clinic"]
    monkeypatch.setattr("runtime.link.client.versions", lambda _: theirs)
    error = hub.client(own, echo).end()
    said = f"{name}: server has {versions()[name]}, client has 0.0.1"
    assert isinstance(error, FedstackError)
    assert error.code is ExitCode.VERSION
    assert said in error.what
    assert hub.told == [("rejected", {"client": "clinic", "reason": said})]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"versions": 1}'])
def test_a_hello_without_versions_is_refused(hub: Hub, body: bytes) -> None:
    shown = credentials(hub, hub.enrol("clinic")["clinic"])
    try:
        answer = call(hub, shown, bytes([Kind.HELLO]) + body)
    except grpc.RpcError:
        pass
    else:
        assert wire.kind_of(answer) is Kind.REFUSED
    assert hub.count("joined", "clinic") == 0


@pytest.mark.parametrize("frames", [[b""], [b"\x63"], [wire.control(Kind.BYE, reason="")]])
def test_whoever_does_not_say_hello_first_does_not_join(hub: Hub, frames: list[bytes]) -> None:
    said = refusal(hub, credentials(hub, hub.enrol("clinic")["clinic"]), *frames)
    assert said is grpc.StatusCode.FAILED_PRECONDITION
    assert [(kind, told["client"]) for kind, told in hub.told] == [("hello_refused", "clinic")]


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.link.conversation.HELLO_SECONDS", 0.5)


@pytest.mark.usefixtures("little_patience")
def test_silent_streams_of_one_client_keep_nobody_out_and_are_closed_and_named_once(hub: Hub) -> None:
    own = hub.enrol("clinic", "insurer")
    with streams(12, hub.address, hub.own.certificate, own["clinic"]) as held:
        hub.client(own["insurer"], echo)
        hub.await_event("joined", "insurer")
        eventually(lambda: not any(stream.open() for stream in held), "the end of every silent stream")
        codes = Counter(stream.answers.code() for stream in held)
        assert codes.keys() <= {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
        assert codes[grpc.StatusCode.DEADLINE_EXCEEDED] >= STREAMS_EACH
        assert hub.count("hello_refused", "clinic") == hub.count("stream_refused", "clinic") == 1
        hub.client(own["clinic"], echo)  # and it may still come
        hub.await_event("joined", "clinic")
    assert ("hello_refused", {"client": "clinic", "reason": "no HELLO within 0.5 s"}) in hub.told


@pytest.mark.usefixtures("little_patience")
def test_a_silent_stream_does_not_disturb_the_conversation_beside_it(hub: Hub) -> None:
    hub.start({"clinic": echo})
    with streams(3, hub.address, hub.own.certificate, hub.trusted["clinic"]) as held:
        assert not hub.ask(["clinic"])[0].has_error()
        eventually(lambda: not any(stream.open() for stream in held), "the end of every silent stream")
    assert not hub.ask(["clinic"])[0].has_error()
    assert hub.count("lost", "clinic") == 0


def test_connections_beyond_the_cap_are_closed_at_once_and_the_others_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "connections_for", lambda *_: 5)
    monkeypatch.setattr(limits, "HELLO_SECONDS", 600.0)  # else the handshake's deadline closes them all
    hub = Hub("clinic")
    host, _, port = hub.address.rpartition(":")
    try:
        with ExitStack() as held:
            idle = [held.enter_context(socket.create_connection((host, int(port)))) for _ in range(12)]
            eventually(lambda: len(_open(idle)) == 5, "the end of seven of the twelve connections")
    finally:
        hub.close()


def _open(connections: list[socket.socket]) -> list[socket.socket]:
    """Return the connections that the server has not closed."""
    ended, _, _ = select.select(connections, [], [], 0)
    for connection in ended:
        with suppress(ConnectionError):
            assert connection.recv(1) == b"", "a server says nothing before its client does"
    return [connection for connection in connections if connection not in ended]


def test_what_a_client_sends_ahead_of_what_is_read_is_bounded_however_fast_the_line_was(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one client's bytes fill the memory that all share: gRPC's own window grows with the line."""
    own, free = hub.enrol("clinic")["clinic"], 200
    said, read, go_on = list[int](), list[int](), threading.Event()
    take = Conversation._take

    def slow(self: Conversation, frame: bytes) -> None:
        read.append(len(frame))
        assert len(read) < free or go_on.wait(60)
        take(self, frame)

    def flood() -> Iterator[bytes]:
        yield hello()
        for frame in wire.message_frames("message-1", [bytes(3 * free * wire.CHUNK)]):  # nobody waits for it
            said.append(len(frame))
            yield frame

    monkeypatch.setattr(Conversation, "_take", slow)
    with closing(Stream(hub.address, hub.own.certificate, own, flood())):
        eventually(lambda: len(read) >= free, "the server to be fast for a while")
        time.sleep(1.0)  # all that the window lets through
        ahead = sum(said) - sum(read)
        assert 0 < ahead <= limits.WINDOW + 6 * wire.CHUNK
        go_on.set()
        eventually(lambda: len(read) > 2 * free, "the stream to go on")


def test_a_fault_of_the_servers_own_ends_a_conversation_and_tells_its_client_nothing(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(name: str) -> dict[str, Any]:
        raise KeyError(f"the salary of {name}")

    hub.server._told = wrong
    own = hub.enrol("clinic", "insurer")
    with streams(1, hub.address, hub.own.certificate, own["clinic"], [hello()]) as (stream,):
        eventually(lambda: not stream.open(), "the end of the stream")
        assert "salary" not in str(stream.answers.details())
    assert "The conversation with clinic broke" in caplog.text
    assert hub.count("lost", "clinic") == 1
    hub.server._told = lambda _: {}
    hub.client(own["clinic"], echo)
    hub.await_event("rejoined", "clinic")
    assert not hub.ask(["clinic"])[0].has_error()


def test_of_two_processes_with_one_certificate_the_newer_stays_and_the_other_is_told(hub: Hub) -> None:
    own = hub.enrol("clinic")["clinic"]
    older = hub.client(own, echo)
    hub.await_event("joined", "clinic")
    hub.client(own, echo)
    error = older.end()
    assert code_of(error) is ExitCode.IDENTITY
    assert "another process with this client's name" in str(error)
    assert not hub.ask(["clinic"])[0].has_error()
    assert hub.count("rejoined", "clinic") == 1


def test_a_client_that_comes_back_without_end_is_refused_and_the_ledger_stays_small(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_BURST", 5)
    own = hub.enrol("clinic", "insurer")
    shown, codes = credentials(hub, own["clinic"]), Counter[grpc.StatusCode]()
    for _ in range(20):
        try:
            call(hub, shown, hello(flwr="0.0.1"))
        except grpc.RpcError as error:
            codes[error.code()] += 1
    assert codes[grpc.StatusCode.RESOURCE_EXHAUSTED] >= 10
    assert hub.count("rejected", "clinic") <= 10
    assert hub.count("stream_refused", "clinic") == 1
    hub.client(own["insurer"], echo)
    hub.await_event("joined", "insurer")


@pytest.mark.parametrize("frame", [b"", b"\x63", b"\x04", wire.control(Kind.END), bytes([Kind.BYE]) + b"["])
def test_whoever_breaks_the_protocol_leaves(hub: Hub, frame: bytes) -> None:
    shown = credentials(hub, hub.enrol("clinic")["clinic"])
    with conversation(hub, shown, hello(), frame):
        hub.await_event("left", "clinic")
    assert hub.told[-1][1]["reason"].startswith("broke the protocol: ")
