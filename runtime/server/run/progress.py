"""How far a run is, read from what it leaves in its folder: the ledger first, the report at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from runtime import ledger
from runtime.contract import ExitCode, FedstackError
from runtime.server.roster import Client
from runtime.server.run import lock

LEDGER: Final = "ledger.jsonl"
STANDINGS: Final = {
    "started": "its job was started",
    "started_again": "its job was started again",
    "not_started": "its job could not be started",
    "not_all_started": "jobs that could not be started",
    "job_failed": "its job failed",
    "job_completed": "its job is over",
    "stopped": "its job was stopped",
    "trusted": "its certificate is there",
    "joined": "ready",
    "rejoined": "back again",
    "lost": "lost, may come back",
    "left": "left",
    "rejected": "refused",
    "set_aside": "set aside",
    "taken_back": "answers again",
}
JOB_OVER: Final = ("job_completed", "job_failed", "stopped", "not_started")


@dataclass
class Progress:
    """A run as its folder shows it."""

    out: str
    run_id: str = ""
    name: str = ""
    state: str = "begins"
    """`running`, `killed` (no verdict and no process), or the verdict."""
    reason: str | None = None
    pid: int | None = None
    round: int = 0
    rounds: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    clients: dict[str, str] = field(default_factory=dict)
    last_event: str | None = None
    last_time: str | None = None
    checkpoint: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in ("running", "begins")

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        return asdict(self)


def last_run(out: Path) -> list[dict[str, Any]]:
    """Return the events of the last run of a folder; none where it has no ledger yet.

    Raises
    ------
    FedstackError
        When there is no such folder, or its ledger was changed.
    """
    if not out.is_dir():
        what = "is no folder" if out.exists() else "does not exist"
        raise FedstackError(
            ExitCode.CONFIG, f"{out} {what}.", "Name the folder that a run writes into, with --out."
        )
    if not (out / LEDGER).exists():
        return []
    try:
        events = ledger.read(out / LEDGER)
    except ledger.LedgerError as error:
        raise FedstackError(
            ExitCode.CONFIG, f"The ledger was changed: {error}.", "Restore it, or name another folder."
        ) from error
    begins = [number for number, event in enumerate(events) if event["event"] == "run"]
    return events[begins[-1] :] if begins else []


def no_run(out: Path) -> FedstackError:
    """Return what a person is told who names a folder without a run."""
    return FedstackError(
        ExitCode.CONFIG, f"There is no run in {out}.", "Name the folder that a run writes into, with --out."
    )


def read(out: Path) -> Progress:
    """Return how far the last run of a folder is.

    Raises
    ------
    FedstackError
        When there is nothing of a run there.
    """
    events, running = last_run(out), lock.holder(out)
    if not events and running is None:
        raise no_run(out)
    found = Progress(str(out), checkpoint=(out / "checkpoint.npz").exists())
    if running is not None:
        found.state, found.pid, found.run_id = "running", running.pid, running.run_id
    for event in events if running is None or _run_id(events) == running.run_id else []:
        _take(found, event)
    if events and not found.over and running is None:
        found.state, found.reason = "killed", "its process is gone and wrote no verdict"
    return found


def _take(found: Progress, event: Mapping[str, Any]) -> None:
    """Take one event of the ledger into account."""
    kind, client = event["event"], event.get("client")
    found.last_event, found.last_time = str(kind), event.get("time")
    if kind == "run":
        settings = event.get("settings") or {}
        found.run_id, found.name = str(settings.get("run_id", "")), str(settings.get("name", ""))
        found.rounds = settings.get("rounds")
        found.clients = {str(each["name"]): "awaited" for each in settings.get("clients", ())}
    elif kind in ("round", "replies"):
        found.round = max(found.round, int(event.get("round") or 0))
        scores = event.get("test") or event.get("metrics") or {}
        found.metrics = {n: v for n, v in scores.items() if isinstance(v, (int, float))}
    elif kind == "resumed":
        found.round = int(event.get("after_round") or 0)
    elif kind == "verdict":
        found.state, found.reason = str(event.get("verdict")), event.get("reason")
    elif client in found.clients and kind in STANDINGS:
        why = f": {event['reason']}" if event.get("reason") else ""
        found.clients[str(client)] = f"{STANDINGS[kind]}{why}"


def started_jobs(events: list[dict[str, Any]]) -> dict[Client, str]:
    """Return the clients whose jobs a run started and did not see end, each with what was started."""
    roster = {}
    for told in (events[0].get("settings") or {}).get("clients", ()) if events else ():
        try:
            client = Client.model_validate(told)
        except ValidationError as error:
            what = f"The ledger's roster cannot be read: {error.errors()[0]['msg']}."
            raise FedstackError(ExitCode.CONFIG, what, "Restore it.") from error
        roster[client.name] = client
    running: dict[Client, str] = {}
    for event in events:
        told_of = roster.get(str(event.get("client")))
        if told_of is None:
            continue
        if event["event"] in ("started", "started_again"):
            running[told_of] = str(event.get("what", ""))
        elif event["event"] in JOB_OVER:
            running.pop(told_of, None)
    return running


def report_of(out: Path) -> dict[str, Any]:
    """Return a run's report.json.

    Raises
    ------
    FedstackError
        When there is none, or it is none.
    """
    path = out / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(report, dict) or "verdict" not in report:
            raise ValueError("it is no report of a run")
    except FileNotFoundError:
        raise FedstackError(
            ExitCode.CONFIG, f"There is no {path}.", "Name the folder of a run that is over, with --out."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise FedstackError(
            ExitCode.CONFIG, f"{path} cannot be read ({reason}).", "Restore it, or run again."
        ) from error
    return report


def _run_id(events: list[dict[str, Any]]) -> str:
    return str((events[0].get("settings") or {}).get("run_id", "")) if events else ""
