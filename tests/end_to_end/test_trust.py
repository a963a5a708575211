"""Certificates that come, change, or are none, while the link runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from end_to_end.hub import Hub, echo
from rehearsal.link.waiting import eventually
from runtime.link.identity import make_identity
from runtime.link.wire import Kind


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub("clinic", "insurer")
    yield hub
    hub.close()


def test_many_certificates_are_trusted_one_by_one_while_clients_come_and_go() -> None:
    """gRPC's dynamic credentials crash here; each set of certificates has its own listener instead."""
    names = [f"client-{at}" for at in range(12)]
    with closing(Hub(*names)) as hub:
        made = {name: make_identity(name, 600) for name in names}
        running = {name: hub.client(own, echo) for name, own in made.items()}  # they knock all the time
        for name, own in made.items():
            hub.server.trust({name: own.certificate})
        hub.await_event("joined", *names)
        assert not any(reply.has_error() for reply in hub.ask(names))
        hub.exchange.end(Kind.END)
        assert {name: one.end() for name, one in running.items()} == dict.fromkeys(names)


def test_a_conversation_goes_on_while_others_are_trusted(hub: Hub) -> None:
    hub.start({"clinic": echo})
    for _ in range(5):
        hub.enrol("insurer")
        assert not hub.ask(["clinic"])[0].has_error()
    assert hub.count("joined", "clinic") == 1
    assert hub.count("lost", "clinic") == 0


def test_a_client_started_anew_with_a_new_key_takes_the_place_of_the_old_one(hub: Hub) -> None:
    hub.start({"clinic": echo})
    anew = hub.client(hub.enrol("clinic")["clinic"], echo)
    eventually(lambda: hub.count("rejoined", "clinic"), "the new one")
    assert not hub.ask(["clinic"])[0].has_error()
    hub.exchange.end(Kind.END)
    assert anew.end() is None


TORN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("garbage", [b"", b"no certificate", TORN])
def test_what_is_no_certificate_locks_out_nobody_else(hub: Hub, garbage: bytes) -> None:
    own = make_identity("insurer", 600)
    shown = hub.server.trust({"clinic": garbage, "insurer": own.certificate})
    assert shown == {"insurer": own.fingerprint}
    hub.client(own, echo)
    hub.await_event("joined", "insurer")
    assert hub.count("certificate_refused", "clinic") == 1


def test_only_the_first_certificate_of_a_file_counts(hub: Hub) -> None:
    own, smuggled = make_identity("clinic", 600), make_identity("stranger", 600)
    hub.server.trust({"clinic": own.certificate + smuggled.certificate + TORN})
    hub.client(own, echo)
    hub.await_event("joined", "clinic")
    assert smuggled.certificate not in hub.server._trusted["clinic"][1]


def test_nobody_takes_the_certificate_of_another(hub: Hub) -> None:
    own = make_identity("clinic", 600)
    assert hub.server.trust({"clinic": own.certificate}) == {"clinic": own.fingerprint}
    assert hub.server.trust({"insurer": own.certificate}) == {}
    reason = "it is the certificate of clinic"
    assert hub.told == [("certificate_refused", {"client": "insurer", "reason": reason})]
    hub.client(own, echo)
    hub.await_event("joined", "clinic")


def test_a_certificate_that_is_trusted_already_changes_nothing(hub: Hub) -> None:
    own = make_identity("clinic", 600)
    hub.server.trust({"clinic": own.certificate})
    listener = hub.server._listener
    assert hub.server.trust({"clinic": own.certificate}) == {}
    assert hub.server._listener is listener
