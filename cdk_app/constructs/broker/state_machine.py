"""A Step Functions state machine whose executions are logged in full and traced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk_app.constructs.broker.broker_role import BrokerRole
from cdk_app.constructs.identity.role import acknowledge_wildcards
from cdk_app.constructs.observability.log_group import EncryptedLogGroup
from cdk_app.constructs.once import home_of
from cdk_app.constructs.storage.keys import OperationsKey


def log_group_name(state_machine: str) -> str:
    """Return where a state machine logs; the prefix keeps CloudWatch's resource policy short."""
    return f"/aws/vendedlogs/states/{state_machine}"


def _in_partition(value: Any, partition: str) -> Any:
    """Return a definition whose integrations are those of an AWS partition; states are written for `aws`."""
    if isinstance(value, Mapping):
        return {key: _in_partition(part, partition) for key, part in value.items()}
    if isinstance(value, list):
        return [_in_partition(part, partition) for part in value]
    if isinstance(value, str) and value.startswith("arn:aws:states:::"):
        return value.replace("arn:aws:", f"arn:{partition}:", 1)
    return value


class LoggedStateMachine(Construct):
    """A standard state machine of a fixed name, with a role of its own."""

    def __init__(self, scope: Construct, construct_id: str, *, name: str, key: OperationsKey) -> None:
        super().__init__(scope, construct_id)
        home = home_of(self)
        self.name, self.arn = name, home.arn("states", "stateMachine", name, ":")
        executions = home.arn("states", "execution", name, ":")
        self.execution_prefix, self.executions_arn = f"{executions}:", f"{executions}:*"
        self.role = BrokerRole(self, "Role", state_machine_arn=self.arn)
        self.log_group = EncryptedLogGroup(self, "Log", name=log_group_name(name), key=key)

    def define(self, definition: Mapping[str, Any]) -> sfn.StateMachine:
        """Make the state machine, once its role has what its states need."""
        machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=self.name,
            definition_body=sfn.DefinitionBody.from_string(
                cdk.Stack.of(self).to_json_string(_in_partition(definition, home_of(self).partition))
            ),
            role=self.role,
            logs=sfn.LogOptions(
                destination=self.log_group, level=sfn.LogLevel.ALL, include_execution_data=True
            ),
            tracing_enabled=True,
        )
        # What CDK itself grants the role for that.
        why = "Log delivery and X-Ray, which Step Functions needs to log an execution, take no resource."
        acknowledge_wildcards(self.role, {"*": why})
        return machine
