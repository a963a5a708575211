"""One CloudWatch dashboard per account: what ran, what failed, and what it cost in compute."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct


class Dashboard(Construct):
    """A dashboard that its account reads; it shows nothing of any other account."""

    def __init__(self, scope: Construct, *, name: str) -> None:
        super().__init__(scope, "Dashboard")
        self._board = cloudwatch.Dashboard(self, "Board", dashboard_name=name)

    def show_broker(self, broker: sfn.StateMachine, log: logs.ILogGroup) -> None:
        """Show how executions ended, and the last refusals with their reasons."""
        self._add(
            "Broker executions",
            [
                broker.metric_started(),
                broker.metric_succeeded(),
                broker.metric_failed(),
                broker.metric_aborted(),
            ],
        )
        self._board.add_widgets(
            cloudwatch.LogQueryWidget(
                title="Refused or failed",
                log_group_names=[log.log_group_name],
                query_lines=[
                    "fields @timestamp, details.error, details.cause",
                    "filter type = 'ExecutionFailed'",
                    "sort @timestamp desc",
                    "limit 20",
                ],
                width=24,
            )
        )

    def show_jobs(self, job_prefix: str) -> None:
        """Show what training jobs use; SageMaker names each host after its job.

        Quoted, a term is the whole value; without quotes each word may stand anywhere in it (CloudWatch User
        Guide, "CloudWatch search expression syntax"), and a word ends at whatever is no letter or digit.
        """
        search = '{{/aws/sagemaker/TrainingJobs,Host}} MetricName="{metric}" {words} algo'
        words = " ".join(filter(None, job_prefix.split("-")))
        self._add(
            "Training jobs (%)",
            [
                cloudwatch.MathExpression(
                    expression=f"SEARCH('{search.format(words=words, metric=metric)}', 'Average', 60)",
                    using_metrics={},
                    label=metric,
                )
                for metric in ("CPUUtilization", "MemoryUtilization", "DiskUtilization")
            ],
        )

    def show_notebook(self, notebook_name: str) -> None:
        """Show what a notebook uses."""
        self._add(
            "Notebook (%)",
            [
                cloudwatch.Metric(
                    namespace="/aws/sagemaker/NotebookInstances",
                    metric_name=metric,
                    dimensions_map={"NotebookInstanceName": notebook_name},
                )
                for metric in ("CPUUtilization", "MemoryUtilization", "DiskUtilization")
            ],
        )

    def _add(self, title: str, metrics: Sequence[cloudwatch.IMetric]) -> None:
        self._board.add_widgets(
            cloudwatch.GraphWidget(title=title, left=list(metrics), width=24, period=cdk.Duration.minutes(5))
        )
