"""A client account's privacy budget, and the ledger of all that was spent of it, over all runs.

Every spend is one numbered object that is only ever created, never written again, and holds the hash of the
one before it. Two jobs of an account that spend at once cannot both create the same number: the second one
reads the first one's and asks again whether there is enough left.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from runtime.contract import ExitCode, FedstackError
from runtime.ledger import GENESIS
from runtime.privacy.accountant import Spend, epsilon
from runtime.privacy.records import BrokenRecordsError, open_records

ROUNDING: Final = 1 + 1e-9


@dataclass(frozen=True)
class Spent:
    """What was spent, in one run and over all."""

    run: float
    total: float
    delta: float


class Budget:
    """What a client account may spend, and has spent.

    Parameters
    ----------
    uri
        Where the ledger lies: `s3://bucket/prefix` or `file:///absolute/folder`.
    limit
        The epsilon that all runs together may reach; None to keep the ledger only.
    delta
        At which epsilon is counted.
    """

    def __init__(self, uri: str, limit: float | None, delta: float) -> None:
        self._place, self._limit, self.delta = open_records(uri), limit, delta
        self._read: list[tuple[bytes, dict[str, Any]]] = []

    def check(self, run_id: str, asked: Spend) -> Spent:
        """Return what it would be after a spend.

        Raises
        ------
        FedstackError
            With ExitCode.PRIVACY_BUDGET, naming budget, spent and asked, if that is more than there is.
        """
        return self._after(self._entries(), run_id, asked)

    def charge(self, run_id: str, asked: Spend, **details: Any) -> Spent:
        """Spend, before anything leaves: it is in the ledger when this returns.

        Raises
        ------
        FedstackError
            As `check`; nothing was spent then.
        """
        while True:
            entries = self._entries()
            after = self._after(entries, run_id, asked)
            body = {
                "seq": len(entries),
                "time": dt.datetime.now(dt.UTC).isoformat(),
                "run": run_id,
                "noise": asked.noise_multiplier,
                "releases": asked.compositions,
                **details,
                "epsilon": after.total,
                "delta": self.delta,
                "previous": _digest(entries[-1][0]) if entries else GENESIS,
            }
            if self._place.create(len(entries), json.dumps(body).encode()):
                return after

    def entries(self) -> list[dict[str, Any]]:
        """Return every spend, oldest first, having checked that none was changed or taken out."""
        return [body for _, body in self._entries()]

    def _after(self, entries: list[tuple[bytes, dict[str, Any]]], run_id: str, asked: Spend) -> Spent:
        spends = [(body["run"], Spend(body["noise"], body["releases"]).cost) for _, body in entries]
        before = sum(cost for _, cost in spends)
        in_run = sum(cost for run, cost in spends if run == run_id) + asked.cost
        total = epsilon(before + asked.cost, self.delta)
        if self._limit is not None and total > self._limit * ROUNDING:
            raise FedstackError(
                ExitCode.PRIVACY_BUDGET,
                f"The privacy budget is epsilon {self._limit:g} at delta {self.delta:g}; "
                f"{epsilon(before, self.delta):.4g} is spent, and {asked.compositions} release(s) of noise "
                f"{asked.noise_multiplier:.4g} would make it {total:.4g}.",
                "Ask for a smaller epsilon or fewer rounds; only the client's account can raise its budget.",
            )
        return Spent(epsilon(in_run, self.delta), total, self.delta)

    def _entries(self) -> list[tuple[bytes, dict[str, Any]]]:
        """Return all entries; those that were read before, which nobody may have changed, are not again."""
        try:
            new = self._place.read(len(self._read))
        except BrokenRecordsError as error:
            raise _broken(self._place.uri, error.args[0]) from error
        for number, data in enumerate(new, len(self._read)):
            previous = _digest(self._read[-1][0]) if self._read else GENESIS
            try:
                body = json.loads(data)
                follows = (body["seq"], body["previous"]) == (number, previous)
                sound = Spend(float(body["noise"]), int(body["releases"])).cost > 0 and bool(body["run"])
            except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
                raise _broken(self._place.uri, number) from error
            if not (follows and sound):
                raise _broken(self._place.uri, number)
            self._read.append((data, body))
        return list(self._read)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _broken(uri: str, number: int) -> FedstackError:
    return FedstackError(
        ExitCode.PRIVACY_BUDGET,
        f"The privacy ledger at {uri} was changed: entry {number} does not follow from the one before.",
        "Restore it from its backup; nothing leaves this account without it.",
        public=f"The privacy ledger was changed: entry {number} does not follow from the one before.",
    )
