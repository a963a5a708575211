"""A server that leaves a member out of a sum: what two sums differ by is that member's alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacker import (
    RUN,
    SEEN,
    Accomplices,
    Refused,
    Victim,
    public_scaler,
    rebuilt,
    settings,
    silos,
    standardised,
    summed_curvature,
)
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from test_curious_server import models, rows_from

from runtime.contract import LEAST_COHORT, FedstackError
from runtime.messages import CONFIG, SECURE, MessageType
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.tabular.models.linear_model import MOST_COUNTED

SCALER = public_scaler()
SMALL, LARGE = 40, 300
SIZES = {"north": SMALL, "south": LARGE, "west": LARGE, "east": LARGE}
FEWER = {"privacy-min-cohort": 3}
NUMBERS = "more numbers would have left than its rows have cells"


class Hostile(SecureAggregation):
    """It asks as few members as it likes."""

    def _least(self) -> int:
        return LEAST_COHORT

    def leave_out(self, name: str) -> None:
        self._remove([node for node in self.members if self._names(node) == name], "left out")


def opened(grid: Accomplices) -> Hostile:
    aggregation = Hostile(grid, RUN, grid.name, lambda: 1.0)
    aggregation.open(grid.get_node_ids())
    return aggregation


def refusals(grid: Accomplices) -> dict[str, str]:
    return {grid.name(m.metadata.src_node_id): str(m.error.reason) for m in grid.seen if m.has_error()}


def alone(grid: Accomplices, *, nudge: float, victim: str = "north") -> list[np.ndarray]:
    """Have two Hessians of all, leave one out, and have them again; return what they differ by.

    A question that is a little another one is as good as the same one.
    """
    aggregation = opened(grid)
    hessians = [summed_curvature(aggregation, theta, SCALER)["hessian"] for theta in models(2)]
    aggregation.leave_out(victim)
    without = [summed_curvature(aggregation, theta + nudge, SCALER)["hessian"] for theta in models(2)]
    return [one - other for one, other in zip(hessians, without, strict=True)]


def truth_of(grid: Accomplices, name: str) -> np.ndarray:
    return standardised(next(one for one in grid.victims.values() if one.name == name).rows, SCALER)


@pytest.mark.parametrize("nudge", [1e-13, 1e-12])
def test_switched_off_a_member_that_is_left_out_tells_its_rows(tmp_path: Path, nudge: float) -> None:
    off: dict[str, Any] = {key: value for key, value in SEEN.items() if key != "privacy-updates"} | FEWER
    grid = Accomplices(silos(tmp_path, SIZES, **off).values())
    first, second = alone(grid, nudge=nudge)
    assert rebuilt(rows_from(first, second), truth_of(grid, "north"), within=0.05) >= SMALL - 5


@pytest.mark.parametrize("nudge", [0.0, 1e-13, 1e-3])
def test_by_default_no_member_can_be_left_out(tmp_path: Path, nudge: float) -> None:
    grid = Accomplices(silos(tmp_path, SIZES).values())
    with pytest.raises(FedstackError, match="0 members are left to be summed"):
        alone(grid, nudge=nudge)
    found = refusals(grid)
    assert set(found) == {"south", "west", "east"}
    assert all("a sum of 3 members, 4 are needed" in reason for reason in found.values())


def test_nor_left_out_from_the_beginning_of_another_run(tmp_path: Path) -> None:
    grid = Accomplices(victim for name, victim in silos(tmp_path, SIZES).items() if name != "north")
    with pytest.raises(FedstackError, match="0 members are left to be summed"):
        opened(grid)
    assert all("a sum of 3 members, 4 are needed" in reason for reason in refusals(grid).values())


def test_nor_another_be_there_in_its_place(tmp_path: Path) -> None:
    """Two runs of four of five members differ by one member against another."""
    five = {**SIZES, "islands": LARGE}
    grid = Accomplices(victim for name, victim in silos(tmp_path, five).items() if name != "north")
    with pytest.raises(FedstackError, match="0 members are left to be summed"):
        opened(grid)
    assert all("a sum of 4 members, 5 are needed" in reason for reason in refusals(grid).values())


def test_where_owners_let_sums_go_on_a_small_member_tells_no_more_than_its_own_cells(tmp_path: Path) -> None:
    """It answers the first question; its second answer would be one too many, and the others go on."""
    grid = Accomplices(silos(tmp_path, SIZES, **FEWER).values())
    first, second = alone(grid, nudge=1e-13)
    found = refusals(grid)
    assert set(found) == {"north"}
    assert NUMBERS in found["north"]
    assert np.abs(second).max() < 1e-6 < np.abs(first).max()


@pytest.mark.parametrize("strict", ["north", "others"])
def test_only_members_that_are_always_together_hide_each_other(tmp_path: Path, strict: str) -> None:
    """One side counts on all; where the other does not, it stands for its own cells."""
    victims = silos(tmp_path, SIZES)
    fewer = silos(tmp_path / "fewer", SIZES, **FEWER)
    keys = victims["south"].policy["privacy-cohort"], victims["north"].policy["privacy-cohort"]
    assert keys[0] != keys[1]
    mixed = {
        name: _as_before(
            tmp_path / "mixed", victims[name], {} if (name == "north") == (strict == "north") else FEWER
        )
        for name in fewer
    }
    grid = Accomplices(mixed.values())
    aggregation = opened(grid)
    for theta in models(2):
        try:
            summed_curvature(aggregation, theta, SCALER)
        except FedstackError:
            break
    assert NUMBERS in refusals(grid)["north"]


def _as_before(folder: Path, victim: Victim, more: dict[str, Any]) -> Victim:
    return Victim(folder, victim.rows, {**victim.policy, **more}, victim.name)


@pytest.mark.parametrize(("key", "lie"), [("min-cohorts", 3), ("whole-cohorts", True)])
def test_what_members_allow_is_signed_and_no_server_can_say_otherwise(
    tmp_path: Path, key: str, lie: object
) -> None:
    """A client that believed that the others count on all would count its numbers against theirs."""
    victims = silos(tmp_path, SIZES, **({} if key == "min-cohorts" else {"privacy-min-cohort": 3}))
    said = {
        name: victim.ask(MessageType.SECURE_KEYS, secure=ConfigRecord({"run": RUN})).config_records[SECURE]
        for name, victim in victims.items()
    }
    told: dict[str, Any] = {
        "run": RUN,
        "names": list(said),
        "agreement-keys": [one["agreement-key"] for one in said.values()],
        "min-cohorts": [one["min-cohort"] for one in said.values()],
        "whole-cohorts": [one["whole-cohort"] for one in said.values()],
        "signatures": [one["signature"] for one in said.values()],
    }
    told[key] = [lie] * len(said)
    with pytest.raises(Refused, match="is not signed by the account that this client's stack names"):
        victims["north"].ask(MessageType.SECURE_MEMBERS, secure=ConfigRecord(told))


def feature_sums(aggregation: Any) -> np.ndarray:
    content = RecordDict({CONFIG: settings()})
    asked = [Message(content, node, MessageType.FEATURE_SUMS.value) for node in aggregation.members]
    parts = {"sums": np.zeros(49), "labels": np.zeros(2), "votes": np.zeros(MOST_COUNTED)}
    like = ArrayRecord({name: Array(part) for name, part in parts.items()})
    return np.asarray(aggregation.sum(asked, like, frozenset()).vector.arrays["sums"])


def test_sums_of_features_are_not_told_again_without_a_member(tmp_path: Path) -> None:
    grid = Accomplices(silos(tmp_path, SIZES, **FEWER).values())
    aggregation = opened(grid)
    with_north = feature_sums(aggregation)
    summed_curvature(aggregation, models(2)[0], SCALER)
    aggregation.leave_out("north")
    with pytest.raises(FedstackError, match=r"'query\.feature_sums' was answered 1 times in this run"):
        feature_sums(aggregation)
    assert with_north.shape == (49,)


def test_what_remains_the_last_question_asked_again_without_a_member_is_its_answer(tmp_path: Path) -> None:
    """Where owners let sums go on: an answer of its own, which its own rules hold for."""
    grid = Accomplices(silos(tmp_path, SIZES, **FEWER).values())
    aggregation = opened(grid)
    with_north = feature_sums(aggregation)
    aggregation.leave_out("north")
    north = next(victim for victim in grid.victims.values() if victim.name == "north")
    difference = with_north - feature_sums(aggregation)
    np.testing.assert_allclose(difference, north.rows.transformed().sum(axis=0), rtol=1e-9)


def test_members_cannot_become_more(tmp_path: Path) -> None:
    grid = Accomplices(silos(tmp_path, SIZES, **FEWER).values())
    aggregation = opened(grid)
    everybody = dict(aggregation._keys)
    aggregation.leave_out("north")
    aggregation._keys = everybody
    with pytest.raises(FedstackError, match="may only become fewer"):
        aggregation._tell_members()
