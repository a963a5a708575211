"""Who hears of it when a job fails: a topic of the account's own, an alarm and an event rule."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk_app.constructs.once import home_of, known, service
from cdk_app.constructs.once import minutes as lasting
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
        metrics: dict[str, cloudwatch.IMetric] = {
            "failed": machine.metric_failed(),
            "timedout": machine.metric_timed_out(),
        }
        self._alarm(construct_id, "failed + timedout", metrics, 5, 1, what)

    def on_many_starts(self, construct_id: str, machine: sfn.StateMachine, a_day: int) -> None:
        """Raise an alarm when the server asks more often in an hour than it may in a day."""
        what = f"The server started the broker more than {a_day} times in an hour, which it may in a day"
        self._alarm(construct_id, "started", {"started": machine.metric_started()}, 60, a_day + 1, what)

    def on_abort(self, construct_id: str, machine: sfn.StateMachine, what: str) -> None:
        """Raise an alarm when an execution is stopped."""
        self._alarm(construct_id, "aborted", {"aborted": machine.metric_aborted()}, 5, 1, what)

    def _alarm(
        self,
        construct_id: str,
        expression: str,
        metrics: dict[str, cloudwatch.IMetric],
        minutes: int,
        threshold: int,
        what: str,
    ) -> None:
        period = lasting(minutes)
        metric = cloudwatch.MathExpression(
            expression=expression, using_metrics=metrics, period=period, label=f"Executions {expression}"
        )
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            metric=metric,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=what,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
