"""The few kinds of state that our state machines are made of: Amazon States Language with JSONata."""

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

EXECUTION: Final = "$states.context.Execution.Name"


def jsonata(expression: str) -> str:
    """Return a value that Step Functions computes; anything else in a definition is taken as it stands."""
    return f"{{% {expression} %}}"


def machine(comment: str, start: str, seconds: int, states: Mapping[str, Any]) -> dict[str, Any]:
    """Return a whole definition; `seconds` is how long an execution may take."""
    return {
        "Comment": comment,
        "QueryLanguage": "JSONata",
        "StartAt": start,
        "TimeoutSeconds": seconds,
        "States": dict(states),
    }


def task(action: str, arguments: Mapping[str, Any], then: str, **more: Any) -> dict[str, Any]:
    """Return a state that calls one AWS API."""
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:{action}",
        "Arguments": dict(arguments),
        "Next": then,
        **more,
    }


def choice(rules: Mapping[str, str], otherwise: str) -> dict[str, Any]:
    """Return a state that goes to the first state whose condition holds."""
    choices = [{"Condition": jsonata(rule), "Next": then} for then, rule in rules.items()]
    return {"Type": "Choice", "Choices": choices, "Default": otherwise}


def caught(errors: list[str], then: str) -> list[dict[str, Any]]:
    """Return where a task goes that failed with one of these errors."""
    return [{"ErrorEquals": errors, "Output": jsonata("$states.errorOutput"), "Next": then}]


def no_job(then: str, otherwise: str) -> dict[str, Any]:
    """Return a state, after `DescribeTrainingJob` failed, that tells whether there is no such job.

    SageMaker has no error of its own for it, only words; a throttled call says nothing of the job.
    """
    return choice({then: "$contains($states.input.Cause, 'Requested resource not found')"}, otherwise)


def failure(error: str, cause: str) -> dict[str, Any]:
    """Return an end that fails, in words that the server reads."""
    return {"Type": "Fail", "Error": error, "Cause": cause}


def job_name(job_prefix: str, run: str = EXECUTION) -> dict[str, str]:
    """Return the argument that names a run's job: by default this execution's."""
    return {"TrainingJobName": jsonata(f"'{job_prefix}' & {run}")}


def participation(switch: str, then: str, absent: str) -> dict[str, Any]:
    """Return a state that reads whether the account takes part; one that never said so does not."""
    return task(
        "ssm:getParameter",
        {"Name": switch},
        then,
        Output=jsonata("$states.result.Parameter.Value"),
        Retry=[{"ErrorEquals": [NO_PARAMETER], "MaxAttempts": 0}, *AGAIN],
        Catch=caught([NO_PARAMETER], absent),
    )
