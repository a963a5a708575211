"""A run in MLflow, once it is over: settings, metrics by round, what the ledger vouches for, the files."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import numbers
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.ledger import MODEL_DIGEST, LedgerError
from runtime.sides import RUN, load

RUN_TAG: Final = "fedstack.run_id"
FILES: Final = ("report.json", "report.html", "ledger.jsonl", "model.joblib")
PLACE: Final = re.compile(r"(https?|sqlite|postgresql|mysql|mssql|databricks)(\+\w+)?://.|databricks$")
_LONGEST_PARAM: Final = 500
_GIVE: Final = "Give a tracking server's http(s):// address, or sqlite:////absolute/mlflow.db."


def track(out: Path, uri: str, experiment: str | None) -> tuple[str, bool]:
    """Log a run to an MLflow tracking server or database.

    Returns
    -------
    run, again
        MLflow's id of the run, and whether it had been logged before.

    Raises
    ------
    FedstackError
        When MLflow is not installed or not there, or the folder is not a whole run's.
    """
    report, head, digest, settings = _read(out)
    mlflow = _mlflow()
    with _said(uri):
        client = mlflow.MlflowClient(tracking_uri=uri)
        where = _experiment(client, experiment or str(report["name"]), uri)
        if there := client.search_runs([where], f"tags.`{RUN_TAG}` = '{report['run_id']}'", max_results=1):
            return str(there[0].info.run_id), True
        facts = {"verdict": report["verdict"], "ledger_head": head, "model_sha256": digest}
        tags = {RUN_TAG: report["run_id"], **{f"fedstack.{k}": v for k, v in facts.items() if v}}
        run = client.create_run(where, run_name=report["run_id"], tags=tags).info.run_id
        for name, value in settings.items():
            client.log_param(run, name, value)
        for step, name, number in metrics_of(report):
            client.log_metric(run, name, number, step=step)
        with _tracking_at(mlflow, uri):
            for file in FILES:
                if (out / file).exists():
                    client.log_artifact(run, str(out / file))
        client.set_terminated(run, "FAILED" if report["verdict"] == "FAILED" else "FINISHED")
    return str(run), False


def check(uri: str) -> None:
    """Find what would keep a run from being tracked, before it begins; nobody is asked yet.

    Raises
    ------
    FedstackError
        When MLflow is not installed, or the place is none that it knows.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise _not_installed()
    if not PLACE.match(uri):
        raise FedstackError(ExitCode.CONFIG, f"{without_password(uri)!r} is no place of MLflow's.", _GIVE)


def without_password(uri: str) -> str:
    """Return an address as it may be printed."""
    return re.sub(r"(?<=://)[^/@]*@", "", uri)


def metrics_of(report: Mapping[str, Any]) -> Iterator[tuple[int, str, float]]:
    """Yield every number of a report that a person would plot: step, name and value."""
    for entry in report.get("rounds", ()):
        scores = {f"test_{name}": value for name, value in entry.get("test", {}).items()}
        told = {"train_loss": entry.get("train_loss"), "seconds": entry.get("seconds"), **scores}
        yield from ((entry["round"], name, value) for name, value in told.items() if _is_number(value))
    last = int(report.get("final_round") or 0)
    yield from ((last, f"final_{n}", v) for n, v in report.get("final", {}).items() if _is_number(v))
    if "rounds" not in report:  # an app of one's own: what its replies and its strategy said
        for name, points in report.get("curves", {}).items():
            plain = "".join(c if c.isalnum() or c in "_-. /" else " " for c in name)
            yield from ((int(step), plain, value) for step, value in points if _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _read(out: Path) -> tuple[dict[str, Any], str, str, dict[str, str]]:
    """Return the report, and what the ledger, which must be whole, says beside it."""
    try:
        report: dict[str, Any] = json.loads((out / "report.json").read_text())
        side = load(out / "ledger.jsonl")
        run = next(part for part in reversed(side.parts) if side.run_id(part) == report["run_id"])
    except LedgerError as error:
        raise FedstackError(
            ExitCode.CONFIG, f"The ledger was changed: {error}.", "Track a run as it was left."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{out} is no folder of a run that has ended: {type(error).__name__}: {printable(error)}.",
            "Give the run's output folder, with report.json and ledger.jsonl.",
        ) from error
    if side.kind != RUN:
        raise FedstackError(
            ExitCode.CONFIG, f"{out} has a client's ledger.", "Track the server's folder of the run."
        )
    told = run[0].event["settings"]
    plain = {name: value for name, value in told.items() if isinstance(value, str | int | float)}
    settings = {name: str(value)[:_LONGEST_PARAM] for name, value in plain.items() if name != "out"}
    last = run[-1].event
    return report, str(last["sha256"]), str(last.get(MODEL_DIGEST, "")), settings


def _mlflow() -> Any:
    try:
        import mlflow
    except ImportError:
        raise _not_installed() from None
    return mlflow


def _not_installed() -> FedstackError:
    return FedstackError(
        ExitCode.CONFIG, "MLflow is not installed here.", "Install the extra: pip install '.[tracking]'."
    )


def _experiment(client: Any, name: str, uri: str) -> str:
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    path = uri.partition(":///")[2] if uri.startswith("sqlite") else ""
    # A database alone stores no files; by default they would go to wherever this process was started.
    folder = str((Path(path).absolute().parent / "artifacts") if path else "")
    return str(client.create_experiment(name, artifact_location=folder or None))


@contextlib.contextmanager
def _tracking_at(mlflow: Any, uri: str) -> Iterator[None]:
    """Let MLflow's uploads, which ask for the process's own server, find the one that was named."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


@contextlib.contextmanager
def _said(uri: str) -> Iterator[None]:
    """Say in one line what MLflow refuses, whichever library of its it comes from."""
    try:
        yield
    except Exception as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"MLflow at {without_password(uri)} does not take the run: {type(error).__name__}: "
            f"{without_password(printable(error, 300))}.",
            _GIVE,
        ) from error
