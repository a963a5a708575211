"""FedNewton on noisy curvatures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord

from runtime.tabular.strategies.fednewton import FedNewton, Vector


class PrivateNewton(FedNewton):
    """Newton's method where gradient and Hessian are sums with Gaussian noise in them.

    The Hessian's eigenvalues are raised to what noise alone reaches (a symmetric Gaussian matrix of size d
    and deviation s has its largest near s sqrt(2 d)), so that no step follows noise: Ganesh et al., "Faster
    differentially private convex optimization via second-order methods", NeurIPS 2023. No loss leaves a
    client, so no step is judged, and the run plays all its rounds.

    Parameters
    ----------
    noise
        Standard deviation of the noise on the diagonal of one client's Hessian.
    """

    def __init__(self, quorum: int, c: float, noise: float) -> None:
        super().__init__(quorum, c, tolerance=0.0)
        self._noise = noise

    def update_like(self, arrays: ArrayRecord) -> ArrayRecord:
        """Return what a client's update must look like, given the global model."""
        like = super().update_like(arrays)
        return ArrayRecord({name: like[name] for name in ("gradient", "hessian")})

    def _next(self, sums: dict[str, npt.NDArray[np.float64]], nodes: frozenset[int]) -> Vector:
        assert self._sent is not None  # noqa: S101 - aggregate_train() has checked
        theta = self._sent
        penalty = np.append(np.ones(len(theta) - 1), 0.0)
        gradient = self._c * sums["gradient"] + penalty * theta
        values, vectors = np.linalg.eigh(self._c * sums["hessian"] + np.diag(penalty))
        floor = self._c * self._noise * math.sqrt(self._clients(nodes) * len(theta))
        step = vectors @ ((vectors.T @ gradient) / np.maximum(values, max(floor, 1.0)))
        return np.asarray(theta - step, dtype=np.float64)

    def _clients(self, nodes: frozenset[int]) -> int:
        """Return how many clients' noise is in the sums; of a masked sum only the quorum is known."""
        return max(len(nodes), self.min_train_nodes)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return nothing: each round starts from the global model alone."""
        return {}
