"""What a client remembers of a run, in Flower's own per-run state, which every engine keeps."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Context

from runtime.client.privacy_policy import LARGEST_VALIDATION, PrivacyPolicy, refusal
from runtime.contract import ExitCode, FedstackError
from runtime.messages import FEW_IN_A_RUN, FIXED_FOR_A_RUN

_RECORD: Final = "fedstack.privacy"
_TOLD: Final = "fedstack.told"

MOST_FAILURES: Final = 3
"""Answers that may fail before a client answers nothing any more."""


class RunState:
    """Settings that a run may not change, and how much was answered."""

    def __init__(self, context: Context) -> None:
        if _RECORD not in context.state.config_records:
            context.state[_RECORD] = ConfigRecord({"kept": json.dumps({})})
        if _TOLD not in context.state.array_records:
            context.state[_TOLD] = ArrayRecord()
        self._record = context.state.config_records[_RECORD]
        self._told = context.state.array_records[_TOLD]
        self._kept: dict[str, Any] = json.loads(str(self._record["kept"]))

    @property
    def refused(self) -> FedstackError | None:
        """What this client refused first; from then on it answers nothing."""
        said = self._kept.get("refused")
        return None if said is None else FedstackError(ExitCode(said[0]), *said[1:])

    def refuse(self, error: FedstackError) -> None:
        """Answer nothing any more: a refusal tells a bit, and there is no second one."""
        if "refused" not in self._kept:
            self._keep(refused=[int(error.code), error.what, error.remedy, error.public])

    def fix(self, config: ConfigRecord) -> None:
        """Hold the server to what it said first: a split or a scaler that changes would single rows out."""
        fixed: dict[str, str] = self._kept.get("fixed", {})
        for name in FIXED_FOR_A_RUN:
            if name not in config:
                continue
            value = config[name]
            if name == "validation" and not (
                isinstance(value, (int, float)) and 0 <= value <= LARGEST_VALIDATION
            ):
                raise refusal(f"validation may be from 0 to {LARGEST_VALIDATION:g} of the rows")
            digest = hashlib.sha256(repr(value).encode()).hexdigest()
            if fixed.setdefault(name, digest) != digest:
                raise refusal(f"{name!r} is another one than the run began with")
        self._keep(fixed=fixed)

    def count(self, kind: str, policy: PrivacyPolicy) -> None:
        """Count a message before it is answered, so that a refused one counts as well."""
        kind = kind.removesuffix(".default")  # Flower's other name for the same handler
        most = min(policy.max_answers, FEW_IN_A_RUN.get(kind, policy.max_answers))
        counts: dict[str, int] = self._kept.get("counts", {})
        counts[kind] = counts.get(kind, 0) + 1
        self._keep(counts=counts)
        if counts[kind] > most:
            raise refusal(f"{kind!r} was answered {most} times in this run")

    def failed(self) -> None:
        """Count an answer that failed: whether it does may depend on the rows, so each tells a bit."""
        failures = int(self._kept.get("failures", 0)) + 1
        self._keep(failures=failures)
        if failures >= MOST_FAILURES:
            self.refuse(refusal(f"{MOST_FAILURES} answers failed in this run"))

    def told_before(self, rows: int) -> npt.NDArray[np.float64]:
        """Return the weights of the rows in all sums told so far, of which one is that of all rows."""
        return np.stack([np.ones(rows), *(array.numpy() for array in self._told.values())])

    def remember(self, weights: npt.NDArray[np.float64]) -> None:
        """Keep the weights of the rows in the sum of an answer."""
        self._told[str(len(self._told))] = Array(weights)

    def spend(self, kind: str, numbers: int, cells: float, policy: PrivacyPolicy) -> None:
        """Count numbers that are equations in the rows' cells; there may not be more than cells."""
        spent = int(self._kept.get("numbers", 0)) + numbers
        self._keep(numbers=spent)
        if spent > policy.max_numbers_per_cell * cells:
            raise refusal(
                f"with the answer to {kind!r} more numbers would have left than its rows have cells (times "
                f"max_numbers_per_cell {policy.max_numbers_per_cell:g}): the rows could be solved for"
            )

    def _keep(self, **news: Any) -> None:
        self._kept.update(news)
        self._record["kept"] = json.dumps(self._kept)
