"""How much an answer is made of, and whether that is enough for it to leave.

A handler declares what its answer is computed from; the privacy mod judges it by the account's policy before
anything leaves, and lets no answer go that declares nothing. A refusal tells the rule and never a figure of
the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.client.privacy_policy import LARGEST_LOSS, LEAST_EFFECTIVE, PrivacyPolicy, refusal
from runtime.contract import FAR_WORSE

Vector = npt.NDArray[np.float64]

ROUNDING = 1e-12
"""What is left of a vector, relative to it, when all of it was taken off."""


@dataclass(frozen=True, eq=False)
class Guard:
    """What an answer's sum is readable under: all members' own numbers add up to those claimed.

    Parameters
    ----------
    own, claimed
        For each number of the answer's vector, whole numbers of at least 0: shape (n,).
    """

    own: npt.NDArray[np.int64]
    claimed: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of rows that an answer tells apart, such as those in a branch of a tree.

    Parameters
    ----------
    own
        How many of the client's own rows each has: shape (k,).
    summed
        How many rows each has at least among all members, or the answer's guards do not hold: shape (k,).
    cells
        Cells of all members' rows together, by a guard as well.
    """

    own: npt.NDArray[np.int64]
    summed: npt.NDArray[np.int64]
    cells: int


@dataclass(frozen=True, eq=False)
class Basis:
    """What an answer is computed from.

    Parameters
    ----------
    rows
        The client's own rows in it, synthetic ones aside.
    shares
        What each row adds to each sum of the answer, as lengths: vectors of shape (n,).
    loss
        Mean log loss, in nats, of the model that was asked about, on the rows.
    cells
        Cells of the rows, where the answer's numbers are equations in them.
    smallest_group
        Rows of the rarer label, or those that alone differ from the others in some column: the fewest there
        are. A sum over a column is a sum over those rows only, for whoever knows what all others have in it.
    weights, lengths
        What each row weighs in the gradients that the answer tells, shape (n,) or (k, n), and how long a row
        is, shape (n,).
    groups
        What the answer tells apart, where its rows are told in groups.
    guards
        What the sum of all members' answers is readable under.
    """

    rows: int
    shares: tuple[Vector, ...] = ()
    loss: float | None = None
    cells: int | None = None
    smallest_group: int | None = None
    weights: Vector | None = None
    lengths: Vector | None = None
    groups: Groups | None = None
    guards: tuple[Guard, ...] = ()


_declared: ContextVar[list[Basis]] = ContextVar("declared")


def declare(basis: Basis) -> None:
    """Say what the answer that is being made is computed from, before anything else is done."""
    _declared.get().append(basis)


@contextmanager
def declarations() -> Iterator[list[Basis]]:
    """Collect what a handler declares."""
    token = _declared.set([])
    try:
        yield _declared.get()
    finally:
        _declared.reset(token)


def effective_rows(shares: Vector) -> float:
    """Return of how many rows a sum really is: (sum |s|)^2 / sum s^2 (Kish, "Survey sampling", 1965).

    With n effective rows no row is more than 1/sqrt(n) of the sum, so this is the dominance rule of
    statistical disclosure control as well (Hundepool et al., "Statistical disclosure control", 2012, 4.2.2;
    Brandt et al., "Guidelines for the checking of output based on microdata research", 2010: at least ten
    units, none with more than half).
    """
    length = float(np.abs(shares).sum())
    return length**2 / float(shares @ shares) if length > 0 else 0.0


def least_difference(weights: Vector, before: Vector, lengths: Vector) -> float:
    """Return of how many rows, at least, what is left of a sum is when another, or a multiple, is taken off.

    Two sums of many rows each may differ by one: "tracker" attacks, which controls of query set overlap are
    against (Denning and Schlorer, "Inference controls for statistical databases", Computer 16.7, 1983).

    Parameters
    ----------
    weights
        Of the rows in the new sum, shape (n,).
    before
        In sums that were told before, shape (k, n).
    """
    squares = (before**2).sum(axis=1)
    others = before[squares > 0]
    nearest = weights - (others @ weights / squares[squares > 0])[:, None] * others
    left = np.concatenate([nearest, weights - others])
    told = (left**2).sum(axis=1) > ROUNDING**2 * float(weights @ weights)
    return min((effective_rows(row * lengths) for row in left[told]), default=math.inf)


def check(policy: PrivacyPolicy, kind: str, basis: Basis, crowd: int, before: Vector | None = None) -> None:
    """Refuse an answer that is made of too little.

    Parameters
    ----------
    before
        Weights of the rows in the sums that the run's answers told before.
    crowd
        How many members' answers are always seen as one sum, this one's included; 1 for one not masked.

    Raises
    ------
    FedstackError
        With ExitCode.PRIVACY_POLICY.
    """
    if basis.rows < policy.min_rows:
        raise refusal(f"the answer to {kind!r} would come from fewer than {policy.min_rows} rows")
    if basis.loss is not None and not basis.loss <= LARGEST_LOSS:  # NaN compares false
        raise refusal(
            f"the model of {kind!r} {FAR_WORSE} (more than {LARGEST_LOSS:.1f} nats a row): such models "
            "single rows out"
        )
    least = policy.min_rows / crowd
    least = max(LEAST_EFFECTIVE, least) if policy.min_rows >= LEAST_EFFECTIVE else least
    group = math.inf if basis.smallest_group is None else basis.smallest_group
    if group < min(LEAST_EFFECTIVE, policy.min_rows):
        raise refusal(
            f"the answer to {kind!r} would tell apart fewer than {LEAST_EFFECTIVE:g} rows: so few have a "
            "label, or differ from all others in some column (leave that column out, or join its rare values)"
        )
    if basis.groups is not None and _too_small(basis.groups, policy.min_rows, crowd):
        raise refusal(
            f"the answer to {kind!r} would tell of a group of fewer than {policy.min_rows} rows"
            + ("" if crowd > 1 else " of this client, whose sums may go on without others")
        )
    for shares in basis.shares:
        if not effective_rows(shares) >= least:
            raise refusal(
                f"the answer to {kind!r} would be made of fewer than {math.ceil(least)} rows in effect: at "
                "this model a few rows outweigh all others"
            )
    if basis.weights is None or basis.lengths is None or before is None or least <= 1:
        return
    for weights in np.atleast_2d(basis.weights):
        if least_difference(weights, before, basis.lengths) < LEAST_EFFECTIVE:
            raise refusal(
                f"the answer to {kind!r} would differ from another by fewer than {LEAST_EFFECTIVE:g} rows in "
                "effect: a few rows would stand alone"
            )
        before = np.vstack([before, weights])


def _too_small(groups: Groups, least: int, crowd: int) -> bool:
    """Return whether a group has too few rows: of all members, where these are always in a sum together."""
    if crowd > 1:
        return bool((groups.summed < least).any())
    return bool(((groups.own > 0) & (groups.own < least)).any())
