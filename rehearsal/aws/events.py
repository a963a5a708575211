"""EventBridge's default bus: which rules an event of AWS or a schedule matches, and who is told.

Moto keeps the rules and matches patterns, but delivers to neither Step Functions nor SNS. A state machine is
started with the target's role, which must trust events.amazonaws.com; a topic's own policy must allow the
service (EventBridge User Guide, "Targets" and "Using resource-based policies").
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from moto.events.models import Rule, events_backends
from moto.sns.models import sns_backends

from rehearsal.aws.authorization import Authorization
from rehearsal.aws.clients import Clients
from rehearsal.aws.errors import AwsError
from rehearsal.aws.policy import Decision, Request, evaluate_resource
from rehearsal.aws.principals import Principals

_RATE: Final = re.compile(r"rate\((\d+) (minutes?|hours?|days?)\)")
_SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86400}
log = logging.getLogger("rehearsal.aws")


class Events:
    """Delivers AWS's own events."""

    def __init__(
        self, principals: Principals, authorization: Authorization, service: Callable[[str, str], Clients]
    ) -> None:
        self._principals, self._authorization, self._service = principals, authorization, service

    def put(
        self, account: str, region: str, source: str, kind: str, resource: str, detail: Mapping[str, Any]
    ) -> None:
        """Tell every rule that an event matches."""
        event = _event(account, region, source, kind, resource, detail)
        for rule in _rules(account, region):
            if rule.event_pattern.get_pattern() and rule.event_pattern.matches_event(event):  # type: ignore[arg-type]
                self._tell(account, region, rule, event)

    def keep_schedules(self, time_scale: float, over: threading.Event) -> None:
        """Tell every rule that has a rate as often as it says, until it is over."""
        due: dict[str, float] = {}
        while not over.wait(1):
            places = [(account, region) for account, regions in events_backends.items() for region in regions]
            for account, region in places:
                for rule in _rules(account, region):
                    if not (rate := _RATE.fullmatch(rule.scheduled_expression or "")):
                        continue
                    every = int(rate[1]) * _SECONDS[rate[2].rstrip("s")] * time_scale
                    if time.monotonic() >= due.setdefault(rule.arn, time.monotonic() + every):
                        due[rule.arn] += every
                        event = _event(account, region, "aws.events", "Scheduled Event", rule.arn, {})
                        self._tell(account, region, rule, event)

    def _tell(self, account: str, region: str, rule: Rule, event: Mapping[str, Any]) -> None:
        if rule.state == "ENABLED":
            for target in rule.targets:
                self._deliver(account, region, rule.arn, target, event)

    def _deliver(
        self, account: str, region: str, rule_arn: str, target: Mapping[str, Any], event: Mapping[str, Any]
    ) -> None:
        kind = target["Arn"].split(":")[2]
        try:
            if kind == "states":
                self._authorization.check_service(
                    "events.amazonaws.com", target["RoleArn"], account, rule_arn
                )
                _, keys = self._principals.session(target["RoleArn"], "events", 3600)
                own = Clients(self._service(account, region).endpoint, region, keys)
                own.get("stepfunctions").start_execution(
                    stateMachineArn=target["Arn"], input=json.dumps(event)
                )
            elif kind == "sns":
                topic = sns_backends[account][region].topics[target["Arn"]]
                context = {
                    "aws:SourceAccount": account,
                    "aws:SourceArn": rule_arn,
                    "aws:SecureTransport": "true",
                }
                request = Request("sns:Publish", target["Arn"], context)
                if evaluate_resource(topic.policy, request, ("events.amazonaws.com",)) is not Decision.ALLOW:
                    raise AwsError(
                        "AccessDenied", f"{target['Arn']} lets events.amazonaws.com not publish", 403
                    )
                self._service(account, region).get("sns").publish(
                    TopicArn=target["Arn"], Message=json.dumps(event)
                )
            else:
                raise NotImplementedError(f"a rule's target of {kind}")
        except Exception:  # a target that fails is EventBridge's, not the service's that has the event
            log.exception("rule %s could not tell %s", rule_arn, target["Arn"])


def _rules(account: str, region: str) -> list[Rule]:
    return list(events_backends[account][region].event_buses["default"].rules.values())


def _event(
    account: str, region: str, source: str, kind: str, resource: str, detail: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": source,
        "account": account,
        "time": dt.datetime.now(dt.UTC).isoformat(),
        "region": region,
        "resources": [resource],
        "detail": json.loads(json.dumps(detail, default=str)),
    }
