"""report.json and report.html, as every run leaves them."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from runtime.contract import ExitCode
from runtime.link.versions import BUILT_IN, versions
from runtime.server.settings import PlatformSettings

REPORT: Final = "report.json"
MODEL: Final = "model.joblib"

Verdict = tuple[str, ExitCode, str | None]
"""COMPLETE, PARTIAL or FAILED, the exit code, and why it is not COMPLETE."""


def software_versions(app: str = BUILT_IN) -> dict[str, str]:
    """Return what a run of an app, by its digest, was made with."""
    packages = {name: importlib.metadata.version(name) for name in ("numpy", "grpcio", "joblib")}
    return {**versions(app), **packages, "python": platform.python_version()}


def heading(settings: PlatformSettings, verdict: Verdict) -> dict[str, Any]:
    """Return what the report of every run begins with."""
    name, code, reason = verdict
    return {
        "run_id": settings.run_id,
        "name": settings.name,
        "verdict": name,
        "code": int(code),
        "reason": reason,
        "engine": settings.engine.value,
    }


class Drafts:
    """Files of a run that are written beside their places, and put there together: report.json comes last.

    What a disk has no room for is found out before anything says that the run was COMPLETE.
    """

    def __init__(self) -> None:
        self._drafts: dict[Path, Path] = {}

    def write(self, place: Path, content: Callable[[Path], object]) -> None:
        """Write one file's draft; `content` is called with where to.

        Raises
        ------
        OSError
            When it cannot be written; what there is of it is removed.
        """
        draft = place.with_name(f"{place.name}.tmp")
        try:
            content(draft)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self._drafts[place] = draft

    def of(self, place: Path) -> Path | None:
        """Return the draft of a file, if it has one."""
        return self._drafts.get(place)

    def publish(self) -> None:
        """Put every draft into its place."""
        for place in sorted(self._drafts, key=lambda place: place.name == REPORT):
            self._drafts[place].replace(place)
        self._drafts.clear()

    def discard(self) -> None:
        """Remove the drafts: they take room."""
        for draft in self._drafts.values():
            draft.unlink(missing_ok=True)
        self._drafts.clear()


def draft(report: dict[str, Any], page: str, out: Path, drafts: Drafts) -> None:
    """Draft report.json, and the page made of it."""
    text = json.dumps(finite_only(report), indent=1, allow_nan=False) + "\n"
    drafts.write(out / REPORT, lambda place: place.write_text(text))
    drafts.write(out / "report.html", lambda place: place.write_text(page, encoding="utf-8"))


def save(report: dict[str, Any], page: str, out: Path) -> None:
    """Write report.json and the page made of it, both or none."""
    drafts = Drafts()
    try:
        draft(report, page, out, drafts)
    except OSError:
        drafts.discard()
        raise
    drafts.publish()


def finite_only(value: Any) -> Any:
    """Turn NaN, which JSON has not, into null."""
    if isinstance(value, dict):
        return {key: finite_only(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite_only(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
