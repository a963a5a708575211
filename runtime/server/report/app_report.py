"""The report of any app's run: the verdict, who answered what and when, bytes and seconds, every metric."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.serverapp.strategy import Result

from runtime.contract import ExitCode, FedstackError, Updates
from runtime.flower_app import FlowerApp, RunConfig
from runtime.server.report import page
from runtime.server.report.charts import line
from runtime.server.report.files import Drafts, Verdict, draft, heading, software_versions
from runtime.server.run import lock
from runtime.server.run.exchanged import Exchanged, curves
from runtime.server.settings import AppSettings

RESULT: Final = "result.npz"
"""The arrays of what a strategy's `start` returned; numpy loads them without pickle."""


@dataclass
class Record:
    """What is known of a run while it lasts."""

    roster: Sequence[str]
    exchanges: list[Exchanged] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    sent: dict[str, Counter[str]] = field(default_factory=dict)
    """Messages and bytes by kind, and bytes by client, as the link had them."""
    left: dict[str, str] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    """Clients that let a whole round wait and have not spoken since."""
    there: Mapping[str, int] = field(default_factory=dict)
    """What `files_in` the output folder were before the app ran."""

    def note(self, event: str, details: Mapping[str, Any]) -> None:
        """Take an event of the link's."""
        client = str(details.get("client", ""))
        if event in ("exchanged", "refused", "missed") and "message" in details:
            way = {key: int(details.get(key) or 0) for key in ("bytes_down", "bytes_up")}
            self.kinds.setdefault(str(details["message"]), Counter()).update({"messages": 1, event: 1, **way})
            self.sent.setdefault(client, Counter()).update(way)
        elif event in ("left", "rejected", "job_failed"):
            self.left[client] = str(details.get("reason", event))
        elif event == "set_aside":
            self.aside.add(client)
        elif event == "taken_back":
            self.aside.discard(client)


def build(
    settings: AppSettings, app: FlowerApp, config: RunConfig, record: Record, error: BaseException | None
) -> dict[str, Any]:
    """Build report.json's content.

    Parameters
    ----------
    error
        What ended the run early; None for an app that returned.
    """
    return {
        **heading(settings, _verdict(record, error)),
        "app": {
            "name": app.name,
            "version": app.version,
            "publisher": app.publisher,
            "sha256": app.digest(),
            "run_config": config,
            "messages": {kind: releases.value for kind, releases in app.releases.items()},
        },
        "clients": [_client(name, record) for name in settings.roster],
        "messages": [
            {"kind": kind, **counts, "seconds": round(_seconds(kind, record), 3)}
            for kind, counts in sorted(record.kinds.items())
        ],
        "exchanges": [
            {
                "kind": one.kind,
                "round": one.round,
                "seconds": one.seconds,
                "clients": one.clients,
                "metrics": one.metrics,
            }
            for one in record.exchanges
        ],
        "curves": {**curves(record.exchanges), **_results(record.results)},
        "privacy": {
            "updates": settings.updates.value,
            "visible": _visible(settings, record),
            "differential_privacy": None,
        },
        "seconds": record.seconds,
        "versions": software_versions(app.digest()),
    }


def write(report: dict[str, Any], out: Path, record: Record, drafts: Drafts) -> dict[str, Path]:
    """Draft the result's arrays, report and page; return every file of the run by what it is."""
    known = {"report": out / "report.json", "page": out / "report.html", "ledger": out / "ledger.jsonl"}
    found = next((result.arrays for result in reversed(record.results) if len(result.arrays)), None)
    files = dict(known)
    if found is not None:
        files = {"result": out / RESULT, **known}
        arrays: dict[str, Any] = {name: array.numpy() for name, array in found.items()}
        drafts.write(files["result"], lambda place: _save(place, arrays))
    own = _written_by_the_app(out, record.there, {path.name for path in files.values()})
    report["files"] = {label: path.name for label, path in files.items()} | {"app": own}
    draft(report, render(report), out, drafts)
    return {**files, **{f"app's {name}"[:40]: out / name for name in own}}


def _save(place: Path, arrays: Mapping[str, Any]) -> None:
    with place.open("wb") as file:  # given a name, numpy adds an ending
        np.savez(file, **arrays)


def render(report: Mapping[str, Any]) -> str:
    """Return the page as HTML: no script, nothing loaded from elsewhere; text of the report is escaped."""
    cleaned = page.clean(report)
    charts = [(name, line(points, name)) for name, points in cleaned["curves"].items() if len(points) > 1]
    return page.template("app_report.html.j2").render(
        report=cleaned,
        charts=[panel for panel in charts if panel[1]],
        last={name: points[-1][1] for name, points in cleaned["curves"].items()},
        visible=page.visible(cleaned),
        summary=_summary(cleaned),
    )


def _verdict(record: Record, error: BaseException | None) -> Verdict:
    if isinstance(error, FedstackError):
        return "FAILED", error.code, str(error)
    if error is not None:
        return "FAILED", ExitCode.INTERRUPTED, "It was stopped from outside. Run it again."
    if not record.exchanges:
        return "FAILED", ExitCode.SERVER_APP, "The app ended without asking any client anything."
    short = {name: text for name in record.roster if (text := _missed(name, record))}
    if short:
        who = "; ".join(f"{name}: {text}" for name, text in short.items())
        return "PARTIAL", ExitCode.PARTIAL, f"Not every client answered all that it was asked: {who}."
    return "COMPLETE", ExitCode.OK, None


def _missed(name: str, record: Record) -> str:
    """Say what came of a client that did not answer everything; '' for one that did."""
    asked = [one.clients[name] for one in record.exchanges if name in one.clients]
    if bad := [said for said in asked if said not in ("ok", "in the sum")]:
        set_aside = "; it was set aside" if name in record.aside else ""
        return f"{len(bad)} of {len(asked)} replies could not be used ({bad[-1]}){set_aside}"
    return "" if asked else record.left.get(name, "it was never asked")


def _client(name: str, record: Record) -> dict[str, Any]:
    asked = [one.clients[name] for one in record.exchanges if name in one.clients]
    return {
        "name": name,
        "asked": len(asked),
        "answered": sum(said in ("ok", "in the sum") for said in asked),
        "status": _missed(name, record) or "answered everything",
        "bytes_up": record.sent.get(name, Counter())["bytes_up"],
        "bytes_down": record.sent.get(name, Counter())["bytes_down"],
    }


def _seconds(kind: str, record: Record) -> float:
    return sum(one.seconds for one in record.exchanges if one.kind == kind.removesuffix(".default"))


def _results(results: Sequence[Result]) -> dict[str, list[tuple[int, float]]]:
    """Return what the ServerApp's own evaluations gave, as curves; the clients' are there already."""
    found: dict[str, list[tuple[int, float]]] = {}
    for result in results:
        for number, metrics in result.evaluate_metrics_serverapp.items():
            for name, value in metrics.items():
                if isinstance(value, (int, float)) and math.isfinite(value):
                    found.setdefault(f"server: {name}", []).append((number, float(value)))
    return found


def _visible(settings: AppSettings, record: Record) -> list[str]:
    if settings.updates is not Updates.PLAIN:
        return []
    seen = {name for one in record.exchanges for name, said in one.clients.items() if said == "ok"}
    return [name for name in settings.roster if name in seen]


def files_in(folder: Path) -> dict[str, int]:
    """Return the files of a folder, each with when it was written last."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}


def _written_by_the_app(out: Path, there: Mapping[str, int], ours: set[str]) -> list[str]:
    """Return the files of the output folder that are new or written anew, and not by the platform."""
    platform = {"settings.json", "invitation.json", "invitation.tmp", "superlink.log", lock.FILE}
    platform |= {f"{name}.tmp" for name in ours}
    names = {name for name, when in files_in(out).items() if there.get(name) != when} - ours - platform
    return sorted(name for name in names if not name.endswith(".pem"))


def _summary(report: Mapping[str, Any]) -> str:
    exchanges, clients = report["exchanges"], report["clients"]
    if not exchanges:
        return "No client was asked anything."
    kinds = ", ".join(f"{count} x {kind}" for kind, count in Counter(o["kind"] for o in exchanges).items())
    whole = sum(client["answered"] == client["asked"] and client["asked"] > 0 for client in clients)
    return f"{whole} of {len(clients)} clients answered all that they were asked: {kinds}."
