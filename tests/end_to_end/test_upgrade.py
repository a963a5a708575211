"""Accounts move to a release one after the other: who is not there yet is named, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from end_to_end.hub import code_of
from end_to_end.inside import Inside, honest
from rehearsal.link.place import NAMES, Place
from runtime.contract import PROTOCOL, RELEASE, ExitCode
from runtime.link.versions import differences, versions
from runtime.sides import load
from runtime.verify import verdict

BEFORE = {"fedstack": "0.0.9", "protocol": "1", "bundle": "0123456789abcdef"}
"""Of the release before: another wire, other code."""


def run(place: Place, **settings: Any) -> Inside:
    """A run of all three, after one of before."""
    (place.out / "invitation.json").unlink(missing_ok=True)
    return Inside(place, honest(*NAMES), **settings)


def made(out: Path) -> dict[str, bytes]:
    """What a run leaves that the next one may not touch."""
    return {name: (out / name).read_bytes() for name in ("checkpoint.npz", "model.joblib")}


def test_a_server_of_this_release_and_clients_of_the_one_before_end_by_name_and_lose_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(place, rounds=1).end()["verdict"] == "COMPLETE"
    kept, ledger = made(place.out), (place.out / "ledger.jsonl").read_bytes()

    with monkeypatch.context() as older:
        older.setattr("runtime.link.client.versions", lambda app: versions(app) | BEFORE)
        refused = run(place, rounds=2, resume=True)
        report = refused.end()
        ends = [client.end() for client in refused.clients.values()]
    said = (
        f"fedstack: server has {RELEASE}, client has 0.0.9; protocol: server has {PROTOCOL}, client has 1; "
    )
    assert [code_of(end) for end in ends] == [ExitCode.VERSION] * 3
    assert all(said in str(end) for end in ends)
    assert (report["verdict"], report["code"]) == ("FAILED", ExitCode.JOB)
    assert all(f"{name}: refused: {said}" in report["reason"] for name in NAMES)
    rejected = {entry["client"]: entry["reason"] for entry in place.ledger() if entry["event"] == "rejected"}
    assert rejected.keys() == set(NAMES)
    assert all(reason.startswith(said) for reason in rejected.values())

    assert made(place.out) == kept
    assert (place.out / "ledger.jsonl").read_bytes().startswith(ledger)
    assert verdict([load(place.out / "ledger.jsonl")])
    upgraded = run(place, rounds=2, resume=True).end()
    assert (upgraded["verdict"], [entry["round"] for entry in upgraded["rounds"]]) == ("COMPLETE", [1, 2])


@pytest.mark.parametrize(
    ("server", "client", "says"),
    [
        ("0.2.0", "0.1.0", "fedstack: server has 0.2.0, client has 0.1.0"),
        ("0.1.0", "0.2.0", "fedstack: server has 0.1.0, client has 0.2.0"),
        ("0.2.0", None, "fedstack: server has 0.2.0, client has none"),
    ],
    ids=["an older client", "a newer client", "a client of before releases were told"],
)
def test_the_sentence_names_the_release_first_whichever_side_is_behind(
    server: str, client: str | None, says: str
) -> None:
    theirs = versions() | {"bundle": "0123456789abcdef", "fedstack": client}
    told = {name: value for name, value in theirs.items() if value is not None}
    assert differences(versions() | {"fedstack": server}, told).startswith(f"{says}; bundle: ")
