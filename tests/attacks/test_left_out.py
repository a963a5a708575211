"""A server that leaves a member out of a sum: what two sums differ by is that member's alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacker import (
    RUN,
    Accomplices,
    opened,
    public_scaler,
    rebuilt,
    settings,
    silos,
    standardised,
    summed_curvature,
)
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from test_curious_server import models, rows_from

from runtime.contract import FedstackError
from runtime.messages import CONFIG, MessageType

SCALER = public_scaler()
SMALL, LARGE = 40, 300
SIZES = {"north": SMALL, "south": LARGE, "west": LARGE, "east": LARGE}
NUMBERS = "more numbers would have left than its rows have cells"


def alone(grid: Accomplices, *, nudge: float) -> list[np.ndarray]:
    """Have two Hessians of all, leave north out, and have them again; return what they differ by.

    A question that is a little another one is as good as the same one.
    """
    aggregation = opened(grid)
    hessians = [summed_curvature(aggregation, theta, SCALER)["hessian"] for theta in models(2)]
    aggregation._remove([node for node in aggregation.members if grid.name(node) == "north"], "left out")
    without = [summed_curvature(aggregation, theta + nudge, SCALER)["hessian"] for theta in models(2)]
    return [one - other for one, other in zip(hessians, without, strict=True)]


@pytest.mark.parametrize("nudge", [0.0, 1e-13])
def test_what_remains_a_small_member_of_four_that_is_left_out_tells_its_rows(
    tmp_path: Path, nudge: float
) -> None:
    """Under the defaults: numbers are counted against the cells of all members."""
    grid = Accomplices(silos(tmp_path, SIZES).values())
    first, second = alone(grid, nudge=nudge)
    north = next(victim for victim in grid.victims.values() if victim.name == "north")
    assert rebuilt(rows_from(first, second), standardised(north.rows, SCALER), within=0.05) >= SMALL - 5


def test_a_member_whose_owner_counts_its_own_cells_tells_no_more_than_alone(tmp_path: Path) -> None:
    """It answers the first question; its second answer would be one too many, and the others go on."""
    own = {"privacy-max-numbers-per-cell": 1 / len(SIZES)}
    grid = Accomplices(silos(tmp_path, SIZES, **own).values())
    first, second = alone(grid, nudge=1e-13)
    refused = {grid.name(m.metadata.src_node_id): str(m.error.reason) for m in grid.seen if m.has_error()}
    assert set(refused) == {"north"}
    assert NUMBERS in refused["north"]
    assert np.abs(second).max() < 1e-6 < np.abs(first).max()


def test_three_members_are_all_or_none(tmp_path: Path) -> None:
    grid = Accomplices(silos(tmp_path, dict.fromkeys(("north", "south", "west"), LARGE)).values())
    with pytest.raises(FedstackError, match="2 members are left to be summed, 3 are needed"):
        alone(grid, nudge=0.0)


def feature_sums(aggregation: Any) -> np.ndarray:
    content = RecordDict({CONFIG: settings()})
    asked = [Message(content, node, MessageType.FEATURE_SUMS.value) for node in aggregation.members]
    like = ArrayRecord({"sums": Array(np.zeros(49))})
    return np.asarray(aggregation.sum(asked, like, frozenset()).vector.arrays["sums"])


def test_sums_of_features_are_not_told_again_without_a_member(tmp_path: Path) -> None:
    """The very question may be asked again, for a member was lost: what differs is one member's means."""
    grid = Accomplices(silos(tmp_path, SIZES).values())
    aggregation = opened(grid)
    with_north = feature_sums(aggregation)
    summed_curvature(aggregation, models(2)[0], SCALER)
    aggregation._remove([node for node in aggregation.members if grid.name(node) == "north"], "left out")
    with pytest.raises(FedstackError, match=r"'query\.feature_sums' was answered 1 times in this run"):
        feature_sums(aggregation)
    assert with_north.shape == (49,)


def test_what_remains_the_last_question_asked_again_without_a_member_is_its_answer(tmp_path: Path) -> None:
    grid = Accomplices(silos(tmp_path, SIZES).values())
    aggregation = opened(grid)
    with_north = feature_sums(aggregation)
    aggregation._remove([node for node in aggregation.members if grid.name(node) == "north"], "left out")
    north = next(victim for victim in grid.victims.values() if victim.name == "north")
    difference = with_north - feature_sums(aggregation)
    np.testing.assert_allclose(difference, north.rows.transformed().sum(axis=0), rtol=1e-9)


def test_members_cannot_become_more(tmp_path: Path) -> None:
    grid = Accomplices(silos(tmp_path, SIZES).values())
    aggregation = opened(grid)
    everybody = dict(aggregation._keys)
    aggregation._remove([aggregation.members[0]], "left out")
    aggregation._keys = everybody
    with pytest.raises(FedstackError, match="may only become fewer"):
        aggregation._tell_members()


def test_a_key_under_two_names_is_refused(tmp_path: Path) -> None:
    victims = silos(tmp_path, SIZES)
    said = {
        name: victim.ask(MessageType.SECURE_KEYS, secure=ConfigRecord({"run": RUN})).config_records["secure"]
        for name, victim in victims.items()
    }
    told = {
        "names": list(said),
        "agreement-keys": [said["east" if name == "west" else name]["agreement-key"] for name in said],
        "signatures": [said["east" if name == "west" else name]["signature"] for name in said],
    }
    with pytest.raises(Exception, match="a member or a key is named twice"):
        victims["north"].ask(
            MessageType.SECURE_MEMBERS,
            secure=ConfigRecord({"run": RUN, **told}),  # type: ignore[arg-type]
        )
