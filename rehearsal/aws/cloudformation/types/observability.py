"""Logs, alarms, dashboards, topics and event rules."""

from __future__ import annotations

import json
from typing import ClassVar

from rehearsal.aws.cloudformation.handler import Handler, Made, Properties, picked, tags


class LogGroup(Handler, type_name="AWS::Logs::LogGroup"):
    """A log group."""

    mutable: ClassVar = frozenset({"RetentionInDays", "KmsKeyId", "Tags"})

    def create(self, properties: Properties) -> Made:
        """Make it."""
        name = properties.get("LogGroupName") or self.name(512)
        key = {"kmsKeyId": properties["KmsKeyId"]} if "KmsKeyId" in properties else {}
        labels = {tag["Key"]: tag["Value"] for tag in tags(properties)}
        self.client("logs").create_log_group(logGroupName=name, **key, **({"tags": labels} if labels else {}))
        arn = f"arn:aws:logs:{self.clients.region}:{self._account()}:log-group:{name}:*"
        return self.update(Made(name, {"Arn": arn}), {}, properties)

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set its retention."""
        if "RetentionInDays" in new:
            self.client("logs").put_retention_policy(
                logGroupName=made.physical_id, retentionInDays=int(new["RetentionInDays"])
            )
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it with all that was logged."""
        self.client("logs").delete_log_group(logGroupName=made.physical_id)

    def _account(self) -> str:
        return str(self.client("sts").get_caller_identity()["Account"])


class Topic(Handler, type_name="AWS::SNS::Topic"):
    """A topic."""

    mutable: ClassVar = frozenset({"KmsMasterKeyId", "DisplayName", "Tags"})

    def create(self, properties: Properties) -> Made:
        """Make it."""
        attributes = {name: str(value) for name, value in picked(properties, "KmsMasterKeyId").items()}
        name = properties.get("TopicName") or self.name(256)
        arn = self.client("sns").create_topic(Name=name, Attributes=attributes, Tags=tags(properties))
        return Made(arn["TopicArn"], {"TopicName": name, "TopicArn": arn["TopicArn"]})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set its key again."""
        for name, value in picked(new, "KmsMasterKeyId", "DisplayName").items():
            self.client("sns").set_topic_attributes(
                TopicArn=made.physical_id, AttributeName=name, AttributeValue=str(value)
            )
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("sns").delete_topic(TopicArn=made.physical_id)


class TopicPolicy(Handler, type_name="AWS::SNS::TopicPolicy"):
    """The policy of topics."""

    mutable: ClassVar = frozenset({"PolicyDocument"})

    def create(self, properties: Properties) -> Made:
        """Set it."""
        for topic in properties["Topics"]:
            self.client("sns").set_topic_attributes(
                TopicArn=topic,
                AttributeName="Policy",
                AttributeValue=json.dumps(properties["PolicyDocument"]),
            )
        return Made(self.name())

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set it again."""
        self.create(new)
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Nothing: a topic cannot be without a policy, and it goes with the same stack."""


class Subscription(Handler, type_name="AWS::SNS::Subscription"):
    """Who is told."""

    def create(self, properties: Properties) -> Made:
        """Subscribe."""
        answer = self.client("sns").subscribe(**picked(properties, "TopicArn", "Protocol", "Endpoint"))
        return Made(answer["SubscriptionArn"], {"Arn": answer["SubscriptionArn"]})

    def delete(self, made: Made, properties: Properties) -> None:
        """Unsubscribe."""
        self.client("sns").unsubscribe(SubscriptionArn=made.physical_id)


class Alarm(Handler, type_name="AWS::CloudWatch::Alarm"):
    """A metric alarm."""

    mutable: ClassVar = frozenset(
        {
            *("AlarmActions", "AlarmDescription", "ComparisonOperator", "EvaluationPeriods", "Metrics"),
            *("Threshold", "TreatMissingData", "Tags"),
        }
    )

    def create(self, properties: Properties) -> Made:
        """Set it."""
        return self._put(properties.get("AlarmName") or self.name(255), properties)

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set it again."""
        return self._put(made.physical_id, new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("cloudwatch").delete_alarms(AlarmNames=[made.physical_id])

    def _put(self, name: str, properties: Properties) -> Made:
        wanted = {key: value for key, value in properties.items() if key != "AlarmName"}
        self.client("cloudwatch").put_metric_alarm(AlarmName=name, **wanted)
        alarm = self.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
        return Made(name, {"Arn": alarm["AlarmArn"]})


class Dashboard(Handler, type_name="AWS::CloudWatch::Dashboard"):
    """A dashboard."""

    mutable: ClassVar = frozenset({"DashboardBody"})

    def create(self, properties: Properties) -> Made:
        """Set it."""
        name = properties.get("DashboardName") or self.name(255)
        return self.update(Made(name), {}, properties)

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set it again."""
        self.client("cloudwatch").put_dashboard(
            DashboardName=made.physical_id, DashboardBody=new["DashboardBody"]
        )
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("cloudwatch").delete_dashboards(DashboardNames=[made.physical_id])


class Rule(Handler, type_name="AWS::Events::Rule"):
    """An EventBridge rule with its targets."""

    mutable: ClassVar = frozenset({"Description", "EventPattern", "State", "Targets"})

    def create(self, properties: Properties) -> Made:
        """Make it."""
        return self._put(properties.get("Name") or self.name(), properties)

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set it and its targets again."""
        self._drop_targets(made, old)
        return self._put(made.physical_id, new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it; like EventBridge, only once it has no target."""
        self._drop_targets(made, properties)
        self.client("events").delete_rule(Name=made.physical_id)

    def _put(self, name: str, properties: Properties) -> Made:
        arn = self.client("events").put_rule(
            Name=name,
            EventPattern=json.dumps(properties["EventPattern"]),
            **picked(properties, "Description", "State"),
        )["RuleArn"]
        self.client("events").put_targets(Rule=name, Targets=list(properties["Targets"]))
        return Made(name, {"Arn": arn})

    def _drop_targets(self, made: Made, properties: Properties) -> None:
        targets = [target["Id"] for target in properties["Targets"]]
        self.client("events").remove_targets(Rule=made.physical_id, Ids=targets)
