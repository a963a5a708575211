"""What a data's owner asks on the account's own notebook; every answer is JSON, and none leaves the account.

`data_owner.ipynb` asks, from whatever Python its kernel has.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from runtime.cli import run_cli
from runtime.client.privacy_policy import PrivacyPolicy
from runtime.contract import INSTALLED_FILE, ExitCode, FedstackError, Updates
from runtime.errors import printable
from runtime.ledger import LedgerError, read
from runtime.sides import load
from runtime.tabular.data.dataset import load_csv, together
from runtime.tabular.data.schema import schema_of
from runtime.verify import verdict

Home = Annotated[Path, typer.Option(help="Where the notebook's start script wrote what it was told.")]
HOME: Final = Path(__file__).parents[4]
"""The folder of the bundle that this file is of."""
LEDGER: Final = "ledger.jsonl"
GAIN: Final = "value.json"
MODEL: Final = "model.joblib"

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


def told(home: Path) -> dict[str, str]:
    """Return what the account's stack told this notebook."""
    try:
        found: dict[str, str] = json.loads((home / INSTALLED_FILE).read_text())
    except (OSError, ValueError) as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{home / INSTALLED_FILE} cannot be read: {error}.",
            "Ask on the notebook of the client's stack, once its STATUS says ready; or stop it and start it.",
        ) from error
    return found


@cli.command("fetch")
def fetch(folder: Annotated[Path, typer.Argument(help="Where to.")], home: Home = HOME) -> None:
    """Fetch the account's own data and what its last job left, into a folder of this notebook."""
    known = told(home)
    data, job = folder / "data", folder / "last"
    for place in (data, job):  # of an earlier look
        shutil.rmtree(place, ignore_errors=True)
    _download(known["data"], data)
    for uri in _archives(known["models"]):
        _unpack(uri, job)
    _say({"data": str(data), "last": str(job)})


def describe(data: Path) -> dict[str, Any]:
    """Count rows and labels of what jobs would train on, and check every cell against the schema."""
    schema = schema_of(data)
    files = sorted(data.rglob("*.csv")) if data.is_dir() else [data]
    if not files:
        raise FedstackError(ExitCode.DATA, f"There is no CSV in {data}.", "Upload one to the data bucket.")
    rows = together([load_csv(file, schema, both_labels=False) for file in files])
    return {
        "schema": schema.name,
        "digest": schema.digest(),
        "files": [file.name for file in files],
        "rows": len(rows),
        "task": schema.task.value,
        "labels": rows.label_summary(),
        "features": list(schema.features),
    }


@cli.command("describe")
def say_description(data: Path) -> None:
    """Count rows and labels, and check every cell against the schema."""
    _say(describe(data))


def sentences(policy: PrivacyPolicy, cohort: str) -> list[str]:
    """Say what a policy allows, as its owner would."""
    how = {
        Updates.SUMS: "Updates leave this account only masked, in a sum with those of "
        f"{cohort or 'others that you name'}, over {policy.least_members} members at least.",
        Updates.NOISE: "Updates leave only with noise, which this account adds itself.",
        Updates.PLAIN: "Updates leave as they are: the server sees each of them.",
    }
    found = [
        "No row ever leaves: updates, counts and sums do.",
        how[policy.updates],
        f"Nothing is answered that was computed from fewer than {policy.min_rows} rows.",
        f"A run gets at most {policy.max_answers} answers of a kind, and at most "
        f"{policy.max_numbers_per_cell:g} numbers for each cell of the data.",
    ]
    if policy.epsilon_budget is not None:
        found.append(
            f"All runs together may spend epsilon {policy.epsilon_budget:g} per row (delta {policy.delta:g})."
        )
    return [*found, "The server can ask for more privacy than this, never for less."]


@cli.command("policy")
def policy(home: Home = HOME) -> None:
    """Say what the account's stack lets leave."""
    known = told(home)
    said = dict(pair.split("=", 1) for pair in known.get("policy", "").split())
    members = dict.fromkeys(known.get("cohort", "").split(), "")
    given = {name.removeprefix("privacy-").replace("-", "_"): value for name, value in said.items()}
    kinds: dict[str, Any] = {
        "updates": Updates,
        "min_cohort": int,
        "min_rows": int,
        "max_answers": int,
    }
    values = {name: kinds.get(name, float)(value) for name, value in given.items()}
    pinned = PrivacyPolicy(cohort=members, **values)
    _say({"sentences": sentences(pinned, ", ".join(members)), "switch": known.get("switch", "")})


def last_run(folder: Path) -> dict[str, Any]:
    """Tell the last job's story from its own ledger: what was asked, what was answered, how it ended."""
    events = read(folder / LEDGER)
    begins = [n for n, event in enumerate(events) if event["event"] == "started"]
    part = events[begins[-1] :] if begins else []
    if not part:
        raise FedstackError(ExitCode.CONFIG, f"{folder / LEDGER} holds no job.", "Run a federation first.")
    answered = [event for event in part if event["event"] == "answered"]
    kinds = [str(event.get("message", "")) for event in answered]
    gain = folder / GAIN
    return {
        "run": part[0].get("run_id"),
        "client": part[0].get("client"),
        "answered": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "refused": sum("error" in event for event in answered),
        "bytes_out": sum(int(event.get("bytes_out", 0)) for event in answered),
        "ended": part[-1]["event"],
        "why": printable(part[-1].get("reason", "")),
        "gain": json.loads(gain.read_text()) if gain.exists() else None,
    }


@cli.command("last")
def say_last_run(folder: Path) -> None:
    """Tell the last job's story from its own ledger."""
    _say(last_run(folder))


@cli.command("verify")
def verify(folder: Path, server: Path) -> None:
    """Hold the account's own ledger against the one that the server's operator sent."""
    try:
        _say({"agree": True, "said": verdict([load(server), load(folder / LEDGER)])})
    except LedgerError as error:
        _say({"agree": False, "said": str(error)})


@cli.command("model")
def model(folder: Path, data: Path) -> None:
    """Score the federation's model, which the account's own ledger must have, on the account's own rows."""
    from runtime.model.vouched import vouch
    from runtime.tabular import task_scores
    from runtime.tabular.columns.columns import Task

    schema = schema_of(data)
    files = sorted(data.rglob("*.csv")) if data.is_dir() else [data]
    rows = together([load_csv(file, schema, both_labels=False) for file in files])
    place = next(iter(sorted(folder.rglob(MODEL))), folder / MODEL)
    fitted = vouch(place, next(iter(sorted(folder.rglob(LEDGER))), folder / LEDGER)).load()
    says = fitted.predict_proba if schema.of_classes else fitted.predict
    predicted = says(rows.raw())[:, 1] if schema.task is Task.BINARY else says(rows.raw())
    _say({"rows": len(rows), **task_scores.scores(rows, predicted)})


def _say(answer: dict[str, Any]) -> None:
    typer.echo(json.dumps(answer, indent=1))


def _s3() -> Any:
    import boto3

    return boto3.client("s3")


def _objects(place: str) -> Iterator[tuple[str, Any]]:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    for page in _s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            if not found["Key"].endswith("/"):
                yield found["Key"], found["LastModified"]


def _download(place: str, folder: Path) -> list[str]:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    names = [key.removeprefix(prefix) for key, _ in _objects(place)]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _s3().download_file(bucket, prefix + name, str(folder / name))
    return names


def _archives(place: str) -> list[str]:
    """Return what the newest job left: `models/JOB/output/{model,output}.tar.gz`."""
    bucket = place.removeprefix("s3://").partition("/")[0]
    found = sorted(_objects(place), key=lambda each: each[1], reverse=True)
    jobs = [key.split("/")[-3] for key, _ in found if key.endswith(".tar.gz")]
    return [f"s3://{bucket}/{key}" for key, _ in found if jobs and key.split("/")[-3:-2] == jobs[:1]]


def _unpack(uri: str, folder: Path) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = _s3().get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        archive.extractall(folder, filter="data")


if __name__ == "__main__":
    run_cli(cli, lambda line: print(line, file=sys.stderr))  # noqa: T201
