"""report.json and report.html, as every run leaves them."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from pathlib import Path
from typing import Any

from runtime.contract import ExitCode
from runtime.link.versions import BUILT_IN, versions
from runtime.server.settings import PlatformSettings

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


def save(report: dict[str, Any], page: str, out: Path) -> None:
    """Write report.json, and the page made of it."""
    fresh = out / "report.json.tmp"
    try:
        fresh.write_text(json.dumps(finite_only(report), indent=1, allow_nan=False) + "\n")
    except OSError:
        fresh.unlink(missing_ok=True)  # what there is of it takes room
        raise
    fresh.replace(out / "report.json")
    (out / "report.html").write_text(page, encoding="utf-8")


def finite_only(value: Any) -> Any:
    """Turn NaN, which JSON has not, into null."""
    if isinstance(value, dict):
        return {key: finite_only(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite_only(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
