"""What Cox's sums say of the hazard never falls, whatever is rounded."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.tabular.cox_loss import cumulative_hazard


@pytest.mark.parametrize("cells", [1, 2, 8, 12, 52, 300])
def test_a_cumulative_hazard_never_falls(cells: int) -> None:
    """A client refuses one that does; sums of eight numbers or more may be rounded otherwise."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        deaths = rng.integers(0, 90, cells).astype(np.float64)
        hazards = cumulative_hazard({"deaths": deaths, "risk": rng.exponential(100.0, cells + 1)})
        assert hazards.shape == (cells + 1,)
        assert (np.diff(hazards) >= 0).all()
        assert hazards[-1] == hazards[-2]
