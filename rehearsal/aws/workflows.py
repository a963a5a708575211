"""Step Functions on moto's interpreter: tasks act with the state machine's role, and ends are told as events.

Plain moto runs tasks as nobody of account 123456789012 and sends no event. Rules: a state machine calls other
services with its role, which must trust states.amazonaws.com for that state machine (Step Functions Developer
Guide, "Creating an IAM role for your state machine"); a change of an execution's status is an event
("Events for Step Functions in EventBridge").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication

from rehearsal.aws.authorization import Authorization
from rehearsal.aws.clients import Clients
from rehearsal.aws.events import Events
from rehearsal.aws.principals import Principals


def install(
    principals: Principals,
    authorization: Authorization,
    service: Callable[[str, str], Clients],
    events: Events,
    time_scale: float,
) -> None:
    """Put these rules into moto's interpreter.

    Parameters
    ----------
    time_scale
        How long a Wait state takes here, as a part of what it takes on AWS.
    """

    def call_service(
        self: Any, env: Any, resource_runtime_part: Any, normalised_parameters: Any, state_credentials: Any
    ) -> None:
        machine = env.states.context_object.context_object_data["StateMachine"]["Id"]
        account, role = machine.split(":")[4], state_credentials.role_arn
        authorization.check_service("states.amazonaws.com", role, account, machine)
        _, keys = principals.session(
            role, env.states.context_object.context_object_data["Execution"]["Name"], 3600
        )
        region = resource_runtime_part.region
        own = Clients(service(account, region).endpoint, region, keys).get(self._get_boto_service_name())
        answer = getattr(own, self._get_boto_service_action())(**normalised_parameters) or {}
        answer.pop("ResponseMetadata", None)
        env.stack.append(answer)

    def tell_end(self: Any) -> None:
        self._reflect_execution_status()
        execution = self.execution
        detail = {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine.arn,
            "name": execution.name,
            "status": str(getattr(execution.exec_status, "value", execution.exec_status)),
        }
        events.put(
            execution.account_id,
            execution.region_name,
            "aws.states",
            "Step Functions Execution Status Change",
            execution.exec_arn,
            detail,
        )

    wait = WaitFunction._wait_interval

    def wait_less(self: Any, env: Any, wait_seconds: float) -> None:
        env.program_state_event.wait(wait_seconds * time_scale) if wait_seconds * time_scale < 1 else wait(
            self, env, max(1, round(wait_seconds * time_scale))
        )

    StateTaskServiceAwsSdk._eval_service_task = call_service  # type: ignore[method-assign]
    BaseExecutionWorkerCommunication.terminated = tell_end  # type: ignore[method-assign]
    WaitFunction._wait_interval = wait_less  # type: ignore[method-assign]
