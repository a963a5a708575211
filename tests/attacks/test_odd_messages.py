"""Messages that nobody wrote a rule for: what is not known to be allowed is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attacker import RUN, Refused, model, public_scaler, settings, silos
from flwr.app import ConfigRecord

from runtime.flower_app import BUILT_IN_APP, FlowerApp
from runtime.messages import MessageType, Releases
from runtime.tabular.client.client_app import app
from runtime.tabular.client.tabular_mod import TabularMod

SCALER = public_scaler()
RELEASES = FlowerApp.read(BUILT_IN_APP).releases
VISIBLE = [kind for kind, releases in RELEASES.items() if releases is not Releases.NOTHING]
UNKNOWN = ["train.default", "train.other", "evaluate.other", "query.anything", "query", "system", ""]


@pytest.mark.parametrize("kind", [*VISIBLE, *UNKNOWN])
def test_no_kind_of_message_is_answered_to_the_server_under_sums(tmp_path: Path, kind: str) -> None:
    victim = silos(tmp_path, {"north": 200, "south": 200, "west": 200})["north"]
    noise = {"privacy-noise": 5.0, "privacy-clip": 4.0, "privacy-delta": 1e-5, "privacy-releases": 1}
    with pytest.raises((Refused, ValueError)):
        victim.ask(kind, arrays=model(np.zeros(50)), config=settings(SCALER, rounds=1, **noise))


@pytest.mark.parametrize("kind", [kind for kind in VISIBLE if RELEASES[kind] is Releases.PLAIN])
def test_a_secure_record_does_not_make_a_plain_answer_a_sum(tmp_path: Path, kind: str) -> None:
    victim = silos(tmp_path, {"north": 200, "south": 200, "west": 200})["north"]
    told = ConfigRecord({"run": RUN, "sum": "one"})
    with pytest.raises(Refused, match="would be visible to the server"):
        victim.ask(kind, arrays=model(np.zeros(50)), config=settings(SCALER), secure=told)


@pytest.mark.parametrize("kind", [kind for kind in VISIBLE if RELEASES[kind] is Releases.SUMS])
def test_a_secure_record_without_membership_gets_nothing(tmp_path: Path, kind: str) -> None:
    victim = silos(tmp_path, {"north": 200, "south": 200, "west": 200})["north"]
    told = ConfigRecord({"run": RUN, "sum": "one"})
    with pytest.raises(Refused, match="has no keys for the run's sums"):
        victim.ask(kind, arrays=model(np.zeros(50)), config=settings(SCALER, rounds=1), secure=told)


def test_every_handler_of_the_app_declares_what_it_releases() -> None:
    assert set(app._registered_funcs) <= {str(kind) for kind in MessageType} | {
        f"{kind}.default" for kind in ("train", "evaluate", "query")
    }
    assert TabularMod().releases("query.anything") is Releases.PLAIN
    assert TabularMod().releases("train.default") is Releases.PLAIN  # what is counted has one name
