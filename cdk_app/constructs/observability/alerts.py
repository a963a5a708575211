"""Who hears of it when a job fails: a topic of the account's own, an alarm and an event rule."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk_app.constructs.once import home_of, known, service
from cdk_app.constructs.storage.keys import OperationsKey


class Alerts(Construct):
    """An encrypted topic that nobody outside the account can read or write."""

    def __init__(self, scope: Construct, *, key: OperationsKey, email: str | None) -> None:
        super().__init__(scope, "Alerts")
        key.allow_alerts()
        self.topic = sns.Topic(self, "Topic", master_key=key, enforce_ssl=True)
        services = ("cloudwatch.amazonaws.com", "events.amazonaws.com")
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlertsOfThisAccount",
                principals=[service(name) for name in services],
                actions=["sns:Publish"],
                resources=[known(self.topic, "topic_arn")],
                conditions={"StringEquals": {"aws:SourceAccount": home_of(self).account}},
            )
        )
        if email is not None:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))

    def on_failed_job(self, job_prefix: str) -> None:
        """Tell of every training job of this federation that failed, with SageMaker's own reason."""
        # Not events.Rule: its SNS target would let EventBridge publish for any account.
        events.CfnRule(
            self,
            "JobFailed",
            description="A federated training job failed",
            event_pattern={
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Training Job State Change"],
                "detail": {"TrainingJobName": [{"prefix": job_prefix}], "TrainingJobStatus": ["Failed"]},
            },
            targets=[events.CfnRule.TargetProperty(id="Topic", arn=known(self.topic, "topic_arn"))],
        )

    def on_failed_execution(self, construct_id: str, machine: sfn.StateMachine, what: str) -> None:
        """Raise an alarm when an execution fails or runs out of time."""
        metrics = {"failed": "ExecutionsFailed", "timedout": "ExecutionsTimedOut"}
        self._alarm(construct_id, machine, metrics, 5, 1, what)

    def on_many_starts(self, construct_id: str, machine: sfn.StateMachine, a_day: int) -> None:
        """Raise an alarm when the server asks more often in an hour than it may in a day."""
        what = f"The server started the broker more than {a_day} times in an hour, which it may in a day"
        self._alarm(construct_id, machine, {"started": "ExecutionsStarted"}, 60, a_day + 1, what)

    def on_abort(self, construct_id: str, machine: sfn.StateMachine, what: str) -> None:
        """Raise an alarm when an execution is stopped."""
        self._alarm(construct_id, machine, {"aborted": "ExecutionsAborted"}, 5, 1, what)

    def _alarm(
        self,
        construct_id: str,
        machine: sfn.StateMachine,
        metrics: Mapping[str, str],
        minutes: int,
        threshold: int,
        what: str,
    ) -> None:
        """Watch a sum of metrics of a state machine.

        Not cloudwatch.Alarm, which would be made of seven calls into CDK.
        """
        expression = " + ".join(metrics)
        query = cloudwatch.CfnAlarm.MetricDataQueryProperty
        machine_arn = cloudwatch.CfnAlarm.DimensionProperty(
            name="StateMachineArn", value=known(machine, "state_machine_arn")
        )
        counted = [
            query(id=name, metric_stat=_counted(metric, machine_arn, minutes), return_data=False)
            for name, metric in metrics.items()
        ]
        total = query(id="expr_1", expression=expression, label=f"Executions {expression}", return_data=True)
        cloudwatch.CfnAlarm(
            Construct(self, construct_id),
            "Resource",
            alarm_actions=[known(self.topic, "topic_arn")],
            alarm_description=what,
            comparison_operator="GreaterThanOrEqualToThreshold",
            evaluation_periods=1,
            metrics=[total, *counted],
            threshold=threshold,
            treat_missing_data="notBreaching",
        )


def _counted(
    metric: str, machine_arn: cloudwatch.CfnAlarm.DimensionProperty, minutes: int
) -> cloudwatch.CfnAlarm.MetricStatProperty:
    """Return how often something happened to executions of a state machine in so many minutes."""
    return cloudwatch.CfnAlarm.MetricStatProperty(
        metric=cloudwatch.CfnAlarm.MetricProperty(
            namespace="AWS/States", metric_name=metric, dimensions=[machine_arn]
        ),
        period=60 * minutes,
        stat="Sum",
    )
