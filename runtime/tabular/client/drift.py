"""How this client's rows differ from those of its last run: for its owner, in its own account and ledger.

What is kept is count, mean and squared deviations of each feature, in records that are only ever created,
beside the account's privacy ledger. Nothing of it is in any answer to the server.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.contract import FedstackError
from runtime.privacy.records import BrokenRecordsError, open_records
from runtime.tabular.client import silo
from runtime.tabular.data.moments import Moments

SMALL: Final = 0.1
"""A standardised mean difference below this is negligible (Austin, Statistics in Medicine 28.25, 2009)."""

LARGE: Final = 0.25
"""From here on a model's answers may not hold (Stuart, Statistical Science 25.1, 2010)."""

RATIO: Final = 2.0
"""Variances further apart than this factor differ (Rubin, Health Services 2, 2001)."""

CHANCE: Final = 4.0
"""Standard errors within which two samples of the same rows differ by chance, of a whole table's features."""

MOST_NAMED: Final = 20
FARTHEST: Final = 1e6
"""What is said of a difference from a feature that did not vary."""

log = logging.getLogger("fedstack.client")


def compared(data: Path, place: str, run_id: str) -> dict[str, Any] | None:
    """Compare a silo with that of the last run, and keep its moments for the next one.

    A comparison that cannot be made is told and ends no run.

    Parameters
    ----------
    place
        URI of the account's privacy ledger; the records lie in `moments/` beneath it.

    Returns
    -------
    dict or None
        What the ledger says; None at the first run.
    """
    rows = silo.load(str(data))
    now = Moments.of(rows.x, rows.schema)
    kept = {
        "run": run_id,
        "time": dt.datetime.now(dt.UTC).isoformat(),
        "schema": rows.schema.digest(),
        "count": now.count,
        "labels": rows.label_summary(),
        "mean": now.mean.tolist(),
        "m2": now.m2.tolist(),
    }
    try:
        records = open_records(f"{place.rstrip('/')}/moments")
        before = [json.loads(record) for record in records.read(0)]
        last = next((one for one in reversed(before) if one["run"] != run_id), None)
        if not before or before[-1]["run"] != run_id:
            records.create(len(before), json.dumps(kept).encode())
        told = None if last is None else _told(last, kept, rows.schema.encoding.names)
    except (BrokenRecordsError, FedstackError, ValueError, KeyError, TypeError) as error:
        log.warning("drift cannot be told: %s in %s/moments", type(error).__name__, place)
        return {"level": "unknown", "reason": type(error).__name__}
    if told is not None:
        log.log(logging.WARNING if told["level"] == "large" else logging.INFO, "drift: %s", _sentence(told))
    return told


def _told(last: dict[str, Any], now: dict[str, Any], features: Sequence[str]) -> dict[str, Any]:
    since = {"since": last["run"], "rows": now["count"], "rows_before": last["count"]}
    if last["schema"] != now["schema"]:
        return {**since, "level": "unknown", "reason": "the schema is another"}
    smd, ratio = differences(_moments(last), _moments(now))
    by_chance = np.sqrt(1 / last["count"] + 1 / now["count"])
    small = np.abs(smd) > max(SMALL, CHANCE * by_chance)
    spread = np.abs(np.log(ratio)) > max(np.log(RATIO), CHANCE * np.sqrt(2) * by_chance)
    large = (small & (np.abs(smd) > LARGE)) | spread
    named = sorted(np.flatnonzero(small | spread), key=lambda at: -abs(smd[at]))[:MOST_NAMED]
    return {
        **since,
        "level": "large" if large.any() else "small" if small.any() else "none",
        "labels_before": last["labels"],
        "labels": now["labels"],
        "largest_mean_difference": float(np.abs(smd).max()),
        "features": {
            features[int(at)]: {"mean_difference": float(smd[at]), "variance_ratio": float(ratio[at])}
            for at in named
        },
    }


def differences(last: Moments, now: Moments) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return each feature's standardised mean difference, and its variance over the last one: shape (d,)."""
    before, after = last.m2 / last.count, now.m2 / now.count
    apart, pooled = now.mean - last.mean, np.sqrt((before + after) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        smd = np.where(pooled > 0, apart / pooled, np.sign(apart) * FARTHEST)
        ratio = np.where(before == after, 1.0, after / before)
    return smd.clip(-FARTHEST, FARTHEST), ratio.clip(1 / FARTHEST, FARTHEST)


def _moments(kept: dict[str, Any]) -> Moments:
    return Moments(int(kept["count"]), np.array(kept["mean"], dtype=float), np.array(kept["m2"], dtype=float))


def _sentence(told: dict[str, Any]) -> str:
    names = ", ".join(list(told.get("features", {}))[:3])
    return (
        f"{told['level']} since {told['since']} ({told['rows_before']:,} rows then, {told['rows']:,} now)"
        + (f": {names}" if names else "")
    )
