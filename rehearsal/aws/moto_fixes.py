"""What plain moto does otherwise than AWS, or again for every call, mended where the gateway cannot.

Each function says what is wrong in moto 5.2.5, which is pinned.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

import moto.core.utils
from botocore.model import OperationModel
from jsonata.jexception import JException
from jsonata.jsonata import Jsonata
from moto import backends
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from moto.stepfunctions.parser.api import EvaluationFailedEventDetails, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_aws_sdk
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.responses import StepFunctionResponse

from rehearsal.aws import tasks


def leave_decisions_to_the_gateway() -> None:
    """Moto reads bucket policies without their conditions, so that `deny without TLS` denies everything."""

    def permitted(self: FakeBucket, action: str, resource: str) -> Any:  # noqa: ARG001 - moto's signature
        return PermissionResult.PERMITTED

    FakeBucket.get_permission = permitted  # type: ignore[method-assign,unused-ignore]


def remember_what_does_not_change() -> None:
    """Moto lists its own folder for every call, and botocore's for every service."""
    names = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: names
    moto.core.utils.create_loader = cache(moto.core.utils.create_loader)  # type: ignore[attr-defined]


def parse_definitions_once() -> None:
    """Moto parses a state machine, for a second of CPU, when it is made and again for every execution."""
    parse = AmazonStateLanguageParser.parse
    if not hasattr(parse, "cache_info"):
        AmazonStateLanguageParser.parse = staticmethod(lru_cache(64)(parse))  # type: ignore[method-assign]


def name_services_in_errors() -> None:
    """Moto knows of two services only what Step Functions calls them in errors."""
    state_task_service_aws_sdk._SERVICE_ERROR_NAMES.update(
        {"ssm": "Ssm", "sagemaker": "SageMaker", "s3": "S3"}
    )


def spell_members() -> None:
    """Step Functions spells an API's fields its own way and takes no others; moto passes on what it gets."""

    def to_api(self: StateTaskServiceAwsSdk, parameters: dict[str, Any], *_: Any) -> None:
        spelled = tasks.request(_operation(self).input_shape, parameters)
        parameters.clear()
        parameters.update(spelled)

    def from_api(self: StateTaskServiceAwsSdk, response: Any, *_: Any) -> None:
        spelled = tasks.answer(_operation(self).output_shape, response)
        response.clear()
        response.update(spelled)

    StateTaskServiceAwsSdk._normalise_parameters = to_api  # type: ignore[assignment,method-assign]
    StateTaskServiceAwsSdk._normalise_response = from_api  # type: ignore[assignment,method-assign]


def _operation(task: StateTaskServiceAwsSdk) -> OperationModel:
    return tasks.operation(task.resource.api_name, task.resource.api_action)


def keep_why_it_was_stopped() -> None:
    """Moto takes the error and the cause with which an execution is stopped, and drops both."""

    def stop(self: StepFunctionResponse) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        execution.error, execution.cause = self._get_param("error"), self._get_param("cause")
        execution.stop(stop_date=utcnow(), error=execution.error, cause=execution.cause)
        return ActionResult({"stopDate": execution.stop_date})

    StepFunctionResponse.stop_execution = stop  # type: ignore[method-assign]


def evaluate_jsonata() -> None:
    """Moto needs Java for JSONata, and pastes what a state was told into the expression unescaped."""
    StringJSONata._eval_body = _evaluated  # type: ignore[method-assign]


def _evaluated(self: StringJSONata, env: Environment) -> None:
    states = {"input": env.states.get_input(), "context": env.states.get_context()}
    for name, of_task in (("result", env.states.get_result), ("errorOutput", env.states.get_error_output)):
        with suppress(RuntimeError):  # only a task has a result, and only one that failed an error
            states[name] = of_task()
    variables = {**env.variable_store._outer_scope, **env.variable_store._inner_scope}
    try:
        expression = Jsonata(self.expression)
        frame = expression.create_frame()
        for name, value in {"states": states, **variables}.items():
            frame.bind(name, copy.deepcopy(value))
        found = expression.evaluate(None, frame)
    except JException as error:
        raise _query_failed(env, f"The JSONata expression '{self.expression}' failed: {error}") from error
    if found is None:
        raise _query_failed(env, f"The JSONata expression '{self.expression}' returned nothing (undefined).")
    env.stack.append(found)


def _query_failed(env: Environment, cause: str) -> FailureEventException:
    name = StatesErrorName(typ=StatesErrorNameType.StatesQueryEvaluationError)
    details = EventDetails(  # type: ignore[typeddict-item]
        evaluationFailedEventDetails=EvaluationFailedEventDetails(cause=cause, error=name.error_name)
    )
    kind = HistoryEventType.EvaluationFailed
    return FailureEventException(
        FailureEvent(env=env, error_name=name, event_type=kind, event_details=details)
    )


def mend_state_machines() -> None:
    """Mend what concerns Step Functions."""
    parse_definitions_once()
    name_services_in_errors()
    spell_members()
    keep_why_it_was_stopped()
    evaluate_jsonata()


def apply() -> None:
    """Mend all of it."""
    leave_decisions_to_the_gateway()
    remember_what_does_not_change()
    mend_state_machines()
