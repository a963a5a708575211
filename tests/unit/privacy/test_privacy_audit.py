"""The audit of differential privacy: the mechanism keeps its claim, and broken ones are caught."""

from __future__ import annotations

import numpy as np
import pytest

from bench.privacy_audit import bound, exchanged

TRIALS = 400


def seeded(seed: int):  # type: ignore[no-untyped-def]
    """Return a source of bytes that is the same in every run of the tests."""
    return np.random.default_rng(seed).bytes


@pytest.mark.parametrize("claim", [3.0, 8.0])
def test_what_can_be_shown_stays_below_the_claim_and_is_not_nothing(claim: float) -> None:
    assert 0 < bound(claim, TRIALS, source=seeded(1)) < claim


@pytest.mark.parametrize("defect", [{"noise": 0.5}, {"norm_of_canary": 2.0}])
def test_a_broken_mechanism_is_caught(defect: dict[str, float]) -> None:
    assert bound(8.0, TRIALS, source=seeded(2), **defect) > 8.0


@pytest.mark.parametrize(("claim", "cost"), [(1.0, 2.2), (3.0, 6.7), (8.0, 19.1)])
def test_exchanging_a_row_is_two_changes(claim: float, cost: float) -> None:
    assert exchanged(claim) == pytest.approx(cost, abs=0.06)
