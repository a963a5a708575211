"""The gate that the data's owner keeps: a broker that starts one pinned job, and who ends it without."""

from __future__ import annotations

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.constructs.broker.broker_states import AdmittedBundle, definition
from cdk_app.constructs.broker.lock_states import RunLock
from cdk_app.constructs.broker.run_lock import RunLockTable
from cdk_app.constructs.broker.state_machine import LoggedStateMachine
from cdk_app.constructs.broker.stopper_states import stopping
from cdk_app.constructs.broker.sweeper_states import MINUTES, sweeping
from cdk_app.constructs.broker.window import Window
from cdk_app.constructs.identity.kickoff_role import KickoffRole
from cdk_app.constructs.job.job import JobRequest
from cdk_app.constructs.once import home_of, minutes
from cdk_app.constructs.storage.keys import Keys, OperationsKey
from cdk_app.naming import ClientNames


class Broker(Construct):
    """Starts the client's job for the server, exactly as pinned here, while participation is on."""

    def __init__(
        self,
        scope: Construct,
        *,
        names: ClientNames,
        request: JobRequest,
        code: AdmittedBundle,
        keys: Keys,
        kickoff_role: KickoffRole,
        runs_per_day: int,
        window: Window | None,
    ) -> None:
        super().__init__(scope, "Broker")
        machine = LoggedStateMachine(self, "Start", name=names.broker, key=keys.operations)
        table = RunLockTable(self)
        machine.role.allow_switch(names.participation)
        machine.role.allow_bundle(code, keys.data)
        machine.role.allow_lock(table.table_arn, machine.executions_arn)
        machine.role.allow_job(job_prefix=names.job_prefix, execution_role_arn=request.role_arn)
        self.runs_per_day = runs_per_day
        self.state_machine = machine.define(
            definition(
                request=request,
                bundle=code,
                run_lock=RunLock(
                    table=table.table_name,
                    client=names.client,
                    runs_per_day=runs_per_day,
                    execution_prefix=machine.execution_prefix,
                ),
                switch=names.participation,
                job_prefix=names.job_prefix,
                window=window,
            )
        )
        self.role_arn = machine.role.role_arn
        self.arn, self.log_group = machine.arn, machine.log_group
        kickoff_role.allow_broker(names.broker)
        self.stopper = Stopper(self, names=names, broker=machine, key=keys.operations)
        self.sweeper = Sweeper(self, names=names, broker=machine, key=keys.operations)


class Stopper(Construct):
    """Stops the job of a broker's execution that ended before it: Step Functions itself does not."""

    def __init__(
        self, scope: Construct, *, names: ClientNames, broker: LoggedStateMachine, key: OperationsKey
    ) -> None:
        super().__init__(scope, "Stopper")
        machine = LoggedStateMachine(self, "Stop", name=f"{names.broker}-stop", key=key)
        machine.role.allow_stop(job_prefix=names.job_prefix)
        self.state_machine = machine.define(stopping(names.job_prefix))
        events.Rule(
            self,
            "BrokerEnded",
            description="An execution of the broker ended without its job: stop that job",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={"stateMachineArn": [broker.arn], "status": ["ABORTED", "FAILED", "TIMED_OUT"]},
            ),
            targets=[targets.SfnStateMachine(self.state_machine, role=_events_role(self))],
        )


class Sweeper(Construct):
    """Looks from time to time for a job that no execution watches, whatever the stopper missed."""

    def __init__(
        self, scope: Construct, *, names: ClientNames, broker: LoggedStateMachine, key: OperationsKey
    ) -> None:
        super().__init__(scope, "Sweeper")
        machine = LoggedStateMachine(self, "Sweep", name=f"{names.broker}-sweep", key=key)
        machine.role.allow_sweep(job_prefix=names.job_prefix, executions_arn=broker.executions_arn)
        self.state_machine = machine.define(sweeping(names.job_prefix, broker.execution_prefix))
        events.Rule(
            self,
            "Schedule",
            description="Look for a job that no execution of the broker watches",
            schedule=events.Schedule.rate(minutes(MINUTES)),
            targets=[targets.SfnStateMachine(self.state_machine, role=_events_role(self))],
        )


def _events_role(scope: Construct) -> iam.Role:
    return iam.Role(
        scope,
        "EventsRole",
        description="Starts a state machine for EventBridge",
        assumed_by=iam.ServicePrincipal(
            "events.amazonaws.com",
            conditions={"StringEquals": {"aws:SourceAccount": home_of(scope).account}},
        ),
    )
