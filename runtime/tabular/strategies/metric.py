"""What turns a gradient into a step: the Hessian, what later gradients make of it, or gradients alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

MOST_PAIRS: Final = 100


@dataclass(eq=False)
class Metric:
    """The objective's Hessian, exact where it was asked for last, and corrected by the gradients since.

    Without any Hessian it is that of L-BFGS (Nocedal and Wright, "Numerical optimization", 2006, 7.2); with
    one it is BFGS from there (6.1).

    Parameters
    ----------
    hessian
        That of the summed loss, as it was asked for last.
    bent
        That of the objective, corrected.
    theta, gradient
        Where the last gradient of the objective was taken, and that.
    pairs
        Steps and what they changed of the gradient, where there is no Hessian.
    """

    hessian: npt.NDArray[np.float64] | None = None
    bent: npt.NDArray[np.float64] | None = None
    theta: Vector | None = None
    gradient: Vector | None = None
    pairs: list[tuple[Vector, Vector]] = field(default_factory=list)

    @property
    def dense(self) -> bool:
        """Whether there is a Hessian."""
        return self.bent is not None

    def take(
        self,
        theta: Vector,
        gradient: Vector,
        scale: float,
        hessian: npt.NDArray[np.float64],
        penalty: Vector,
        *,
        exact: bool = True,
    ) -> None:
        """Take the Hessian at a model, or what it is taken for."""
        self.hessian, self.bent = hessian if exact else None, scale * hessian + np.diag(penalty)
        self.theta, self.gradient, self.pairs = theta, gradient, []

    def update(self, theta: Vector, gradient: Vector) -> None:
        """Take a gradient only: what it changed since the last one corrects the Hessian along that step."""
        if self.theta is not None and self.gradient is not None:
            step, change = theta - self.theta, gradient - self.gradient
            if (along := float(step @ change)) > 1e-14 * float(np.linalg.norm(step) * np.linalg.norm(change)):
                self._correct(step, change, along)
        self.theta, self.gradient = theta, gradient

    def _correct(self, step: Vector, change: Vector, along: float) -> None:
        if self.bent is None:
            self.pairs = [*self.pairs, (step, change)][-MOST_PAIRS:]
            return
        bent = self.bent @ step
        self.bent = self.bent + np.outer(change, change) / along - np.outer(bent, bent) / float(step @ bent)

    def solve(self, gradient: Vector) -> Vector:
        """Return the inverse Hessian times a gradient."""
        if self.bent is not None:
            return np.asarray(np.linalg.lstsq(self.bent, gradient, rcond=None)[0], dtype=np.float64)
        if not self.pairs:
            return gradient * min(1.0, 1.0 / max(float(np.linalg.norm(gradient)), 1e-300))
        left, weights = gradient.copy(), list[float]()
        for step, change in reversed(self.pairs):
            weights.append(float(step @ left) / float(step @ change))
            left = left - weights[-1] * change
        step, change = self.pairs[-1]
        found = left * (float(step @ change) / float(change @ change))
        for (step, change), weight in zip(self.pairs, reversed(weights), strict=True):
            found = found + step * (weight - float(change @ found) / float(step @ change))
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return it as arrays."""
        named = {"hessian": self.hessian, "bent": self.bent, "at": self.theta, "gradient": self.gradient}
        made = {name: array for name, array in named.items() if array is not None}
        if self.pairs:
            made |= {
                "steps": np.stack([s for s, _ in self.pairs]),
                "changes": np.stack([c for _, c in self.pairs]),
            }
        return made

    @classmethod
    def of(cls, state: Mapping[str, npt.NDArray[Any]]) -> Metric:
        """Return it from its arrays."""
        pairs = list(zip(state.get("steps", ()), state.get("changes", ()), strict=True))
        hessian, bent, theta, gradient = (state.get(n) for n in ("hessian", "bent", "at", "gradient"))
        return cls(hessian, bent, theta, gradient, pairs)
