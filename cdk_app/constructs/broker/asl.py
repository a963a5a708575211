"""The few kinds of state that our state machines are made of, in the Amazon States Language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

AGAIN: Final = [
    {
        "ErrorEquals": ["States.TaskFailed"],
        "IntervalSeconds": 2,
        "MaxAttempts": 4,
        "BackoffRate": 2.0,
        "JitterStrategy": "FULL",
    }
]
"""How a call that may fail for a moment is repeated."""


NO_PARAMETER: Final = "Ssm.ParameterNotFoundException"


def task(action: str, parameters: Mapping[str, Any], then: str, result: str, **more: Any) -> dict[str, Any]:
    """Return a state that calls one AWS API and keeps what it answers at a path of the state.

    There is no `ResultPath: null`, which would discard it: CDK drops a null from what it renders, and without
    a path the answer takes the place of the whole state.
    """
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:{action}",
        "Parameters": dict(parameters),
        "ResultPath": result,
        "Next": then,
        **more,
    }


def choice(rule: Mapping[str, Any], then: str, otherwise: str) -> dict[str, Any]:
    """Return a state that goes one way when a rule holds, and another otherwise."""
    return {"Type": "Choice", "Choices": [{**rule, "Next": then}], "Default": otherwise}


def participation(switch: str, then: str, absent: str) -> dict[str, Any]:
    """Return a state that reads whether the account takes part; one that never said so does not."""
    return task(
        "ssm:getParameter",
        {"Name": switch},
        then,
        "$.participation",
        ResultSelector={"value.$": "$.Parameter.Value"},
        Retry=[{"ErrorEquals": [NO_PARAMETER], "MaxAttempts": 0}, *AGAIN],
        Catch=[{"ErrorEquals": [NO_PARAMETER], "ResultPath": "$.participation", "Next": absent}],
    )
