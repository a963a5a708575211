"""Defaults of a federation's runs: the server's own settings, checked as the server checks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from cdk_app.config.rules import Problem
from runtime.server.settings import problems
from runtime.tabular.server.settings import RunSettings

OF_A_RUN: Final = frozenset(
    {"name", "clients", "test_data", "out", "engine", "silos", "resume", "run_id", "address"}
)
"""Settings that the roster has, or that only a single run can know."""

REMEDY: Final = "Correct it; federation.schema.json lists what can stand here."


def broken_training(training: Mapping[str, Any], clients: Sequence[str]) -> Iterator[Problem]:
    """Yield what the server would refuse, before anything is deployed."""
    for name in sorted(OF_A_RUN & training.keys()):
        yield Problem("training", f"{name} is {training[name]!r}, no default of all runs", "Remove it.")
    said = {name: value for name, value in training.items() if name not in OF_A_RUN}
    roster = [{"name": name, "mailbox": "s3://mailbox"} for name in clients]
    try:
        RunSettings.model_validate({**said, "clients": roster, "test_data": "test.csv"})
    except ValidationError as error:
        for line in problems(error):
            yield Problem("training", line, REMEDY)


def training_schema() -> dict[str, Any]:
    """Return what an editor should know of these settings."""
    said = RunSettings.model_json_schema()["properties"]
    return {
        "type": "object",
        "description": "Defaults of the server's runs; its command line overrides them.",
        "additionalProperties": False,
        "properties": {name: shape for name, shape in said.items() if name not in OF_A_RUN},
    }
