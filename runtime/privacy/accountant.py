"""How much privacy releases cost: what Gaussian releases add up to, in (epsilon, delta).

Releases of Gaussian noise compose exactly: k of them with noise z, in units of their sensitivity, are as
good as one with noise z / sqrt(k), so their cost is the sum of 1 / z^2 (Dong, Roth and Su, "Gaussian
differential privacy", JRSS-B 84.1, 2022, corollary 2). That holds as well when each is chosen after the ones
before it were seen, up to a limit that was set first (Smith and Thakurta, "Fully adaptive composition for
Gaussian differential privacy", 2022): a server that adapts its questions gains nothing. The cost becomes
(epsilon, delta) by dp-accounting's exact Gaussian mechanism (Balle and Wang, ICML 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# dp_accounting is imported where it is used: it costs a process a second, and runs without noise need none.


@dataclass(frozen=True)
class Spend:
    """Some releases of the same noise.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise, in units of what one row can change.
    compositions
        How many.
    """

    noise_multiplier: float
    compositions: int

    @property
    def cost(self) -> float:
        """What they cost; costs add up."""
        return self.compositions / self.noise_multiplier**2


def epsilon(cost: float, delta: float) -> float:
    """Return the epsilon that a cost amounts to, given a delta."""
    from dp_accounting import get_epsilon_gaussian

    return float(get_epsilon_gaussian(1 / math.sqrt(cost), delta)) if cost > 0 else 0.0


def noise_for(limit: float, delta: float, releases: int) -> float:
    """Return the noise with which so many releases together have the epsilon given as limit."""
    from dp_accounting import get_sigma_gaussian

    return float(get_sigma_gaussian(limit, delta)) * math.sqrt(releases)
