"""Processes that die, hang, never come or are stopped: the run ends with a verdict and never hangs."""

from __future__ import annotations

import signal

import numpy as np

from end_to_end.conftest import ROUNDS
from rehearsal.link.place import Place
from rehearsal.link.processes import Federation
from rehearsal.link.waiting import eventually


def held(federation: Federation, name: str) -> tuple[str, ...]:
    return ("hold", str(federation.place.root / name))


def await_hold(federation: Federation, name: str) -> None:
    file = federation.place.root / f"{name}.holding"
    eventually(file.exists, f"{name} in the middle of round 2")


def release(federation: Federation, name: str) -> None:
    (federation.place.root / f"{name}.release").touch()


def arrays(place: Place) -> dict[str, bytes]:
    """Return the model of the last round, bit by bit."""
    with np.load(place.out / "checkpoint.npz", allow_pickle=False) as stored:
        return {name: stored[name].tobytes() for name in stored.files if name.startswith("arrays/")}


def test_a_client_that_is_killed_and_started_again_is_back_in_its_round(
    federation: Federation, whole: Place
) -> None:
    server = federation.server(f"--rounds={ROUNDS}")
    others = federation.clients("insurer", "pharmacy")
    victim = federation.client("clinic", odd=held(federation, "clinic"))
    await_hold(federation, "clinic")
    victim.send(signal.SIGKILL)
    assert victim.end() == -signal.SIGKILL
    again = federation.client("clinic")  # a new process, a new key, a new certificate in the mailbox
    assert server.end() == 0, server.text
    assert [client.end() for client in (again, *others.values())] == [0, 0, 0]
    place = federation.place
    assert place.report()["verdict"] == "COMPLETE"
    assert place.events("clinic") == ["trusted", "joined", "lost", "trusted", "rejoined"]
    certificates = {one["certificate"] for one in place.ledger() if one["event"] == "trusted"}
    assert len(certificates) == 4
    place.agree()
    assert arrays(place) == arrays(whole)


def test_a_roster_that_never_joins_ends_the_run_at_the_join_deadline(federation: Federation) -> None:
    server = federation.server("--join-seconds=0.5")
    assert server.end() == 20
    report = federation.place.report()
    assert (report["verdict"], report["code"]) == ("FAILED", 20)
    assert "fedstack-error 20 JOIN_DEADLINE: 0 of 3 clients joined within 0.5 s" in server.text


def test_a_stopped_run_goes_on_to_the_very_model_of_an_undisturbed_one(
    federation: Federation, whole: Place
) -> None:
    server = federation.server(f"--rounds={ROUNDS}")
    others = federation.clients("insurer", "pharmacy")
    slow = federation.client("clinic", odd=held(federation, "clinic"))
    await_hold(federation, "clinic")
    server.send(signal.SIGINT)
    assert server.end() == 130, server.text
    assert [client.end() for client in others.values()] == [15, 15]
    release(federation, "clinic")
    assert slow.end() == 15
    report = federation.place.report()
    assert (report["verdict"], report["code"], len(report["rounds"])) == ("FAILED", 130, 1)
    assert (federation.place.out / "checkpoint.npz").exists()

    resumed = federation.server(f"--rounds={ROUNDS}", "--resume")
    clients = federation.clients()
    assert resumed.end() == 0, resumed.text
    assert [client.end() for client in clients.values()] == [0, 0, 0]
    assert arrays(federation.place) == arrays(whole)
    rounds = federation.place.report()["rounds"]
    assert [one["round"] for one in rounds] == list(range(1, ROUNDS + 1))
    assert [one["test"] for one in rounds] == [one["test"] for one in whole.report()["rounds"]]
    assert "resumed" in [one["event"] for one in federation.place.ledger()]
    federation.place.agree()


def test_a_checkpoint_that_was_changed_or_another_test_set_does_not_go_on(federation: Federation) -> None:
    place = federation.place
    server = federation.server(f"--rounds={ROUNDS}")
    others = federation.clients("insurer", "pharmacy")
    slow = federation.client("clinic", odd=held(federation, "clinic"))
    await_hold(federation, "clinic")
    server.send(signal.SIGINT)
    assert server.end() == 130, server.text
    release(federation, "clinic")
    assert [client.end() for client in (slow, *others.values())] == [15, 15, 15]
    place.agree()

    whole = (place.out / "checkpoint.npz").read_bytes()
    with np.load(place.out / "checkpoint.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(place.out / "checkpoint.npz", **(arrays | {"arrays/coef": -arrays["arrays/coef"]}))
    changed = federation.server("--resume", invites=False)
    assert changed.end() == 10, changed.text
    assert "checkpoint.npz was changed: its SHA-256 is" in changed.text

    (place.out / "checkpoint.npz").write_bytes(whole)
    place.test.write_text("\n".join(place.test.read_text().splitlines()[:-1]) + "\n")
    other = federation.server(f"--rounds={ROUNDS}", "--resume", invites=False)
    assert other.end() == 10, other.text
    assert "test.csv is not the one that the run began with" in other.text


def test_a_client_gives_up_on_a_server_that_was_killed(federation: Federation) -> None:
    server = federation.server("--rounds=2")
    client = federation.client("clinic", odd=("give-up", "1"))
    eventually((federation.place.out / "ledger.jsonl").exists, "the first event")
    eventually(lambda: federation.place.events("clinic", "joined"), "the clinic")
    server.send(signal.SIGKILL)
    assert client.end() == 14, client.text
    assert "fedstack-error 14 UNREACHABLE: No link to 127.0.0.1:" in client.text
    assert (federation.place.root / "failure").read_text().startswith("fedstack-error 14 UNREACHABLE")


def test_a_stopped_client_says_goodbye_and_is_not_waited_for(federation: Federation) -> None:
    server = federation.server("--rounds=2", "--min-clients=2", "--round-seconds=600")
    others = federation.clients("insurer", "pharmacy")
    stopped = federation.client("clinic", odd=held(federation, "clinic"))
    await_hold(federation, "clinic")
    stopped.send(signal.SIGTERM)
    assert stopped.end() == 130, stopped.text
    assert server.end() == 22, server.text
    assert [client.end() for client in others.values()] == [0, 0]
    assert federation.place.reasons("clinic", "left") == ["it was stopped"]
    assert "clinic to 1 of 2 rounds" in federation.place.report()["reason"]


def test_a_client_that_finds_another_server_exits_with_13(federation: Federation) -> None:
    federation.server("--join-seconds=600")
    client = federation.client("clinic", f"--server-fingerprint=sha256:{'0' * 64}")
    assert client.end() == 13, client.text
    assert "fedstack-error 13 IDENTITY: The server at 127.0.0.1:" in client.text
    eventually(lambda: federation.place.events("clinic", "trusted"), "the certificate in the mailbox")
    assert federation.place.events("clinic", "joined") == []
