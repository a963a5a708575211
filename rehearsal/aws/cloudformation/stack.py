"""One stack: created, updated, rolled back and deleted as CloudFormation does.

Rules (CloudFormation User Guide): resources are made after what they depend on and deleted in the reverse
order; a failed creation is rolled back (ROLLBACK_COMPLETE), a failed update too (UPDATE_ROLLBACK_COMPLETE);
a resource that cannot be deleted leaves DELETE_FAILED; DeletionPolicy and UpdateReplacePolicy Retain keep
it.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.aws.clients import Clients
from rehearsal.aws.cloudformation import types  # noqa: F401 - fills the list of handlers
from rehearsal.aws.cloudformation.handler import Handler, Made, Properties, handler_for
from rehearsal.aws.cloudformation.template import Template
from rehearsal.aws.errors import AwsError

FAILURES = (ClientError, BotoCoreError, AwsError, KeyError, NotImplementedError)
"""What a handler may fail with; anything else is a bug of ours and is not turned into a stack event."""


@dataclass(frozen=True)
class Deployed:
    """A resource of a stack as it stands."""

    type_name: str
    made: Made
    properties: Properties
    retained: bool


@dataclass
class Stack:
    """One stack and its history."""

    name: str
    arn: str
    account: str
    region: str
    clients: Clients
    status: str = "REVIEW_IN_PROGRESS"
    reason: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    template: Template | None = None
    resources: dict[str, Deployed] = field(default_factory=dict)
    outputs: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    created: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def create(self, template: Template) -> None:
        """Make every resource; on the first failure take all of them away again."""
        self._say("CREATE_IN_PROGRESS", "User Initiated")
        try:
            self._apply(template)
        except FAILURES as error:
            self._say("ROLLBACK_IN_PROGRESS", str(error))
            self._remove([*self.resources])
            self._say("ROLLBACK_COMPLETE", str(error))
        else:
            self._finish(template, "CREATE_COMPLETE")

    def update(self, template: Template) -> None:
        """Bring the stack to a new template; on a failure go back to the old one."""
        before = self.template
        assert before is not None  # noqa: S101 - only a stack that was created is updated
        self._say("UPDATE_IN_PROGRESS", "User Initiated")
        try:
            self._apply(template)
        except FAILURES as error:
            self._say("UPDATE_ROLLBACK_IN_PROGRESS", str(error))
            before.scope.resources.clear()
            self._apply(before)
            self._finish(before, "UPDATE_ROLLBACK_COMPLETE", str(error))
        else:
            self._finish(template, "UPDATE_COMPLETE")

    def delete(self) -> None:
        """Delete every resource that is not retained."""
        self._say("DELETE_IN_PROGRESS", "User Initiated")
        failed = self._remove([*self.resources])
        if failed:
            self._say("DELETE_FAILED", f"The following resource(s) failed to delete: {failed}.")
        else:
            self._say("DELETE_COMPLETE")

    def _apply(self, template: Template) -> None:
        wanted = template.resources()
        replaced: list[Deployed] = []
        for logical_id, declaration in wanted.items():
            properties = template.scope.resolve(declaration.get("Properties", {}))
            present = self.resources.get(logical_id)
            deployed = self._one(logical_id, declaration, properties, present, replaced)
            self.resources[logical_id] = deployed
            template.scope.resources[logical_id] = (deployed.made.physical_id, deployed.made.attributes)
        for old in reversed(replaced):
            if not old.retained:
                self._handler(old.type_name, "Replaced").delete(old.made, old.properties)
        self._remove([name for name in self.resources if name not in wanted])

    def _one(
        self,
        logical_id: str,
        declaration: Mapping[str, Any],
        properties: Properties,
        present: Deployed | None,
        replaced: list[Deployed],
    ) -> Deployed:
        """Make, keep, change or replace one resource."""
        type_name = declaration["Type"]
        retained = declaration.get("DeletionPolicy", "Delete").startswith("Retain")
        handler = self._handler(type_name, logical_id)
        if present is None:
            made = self._doing(logical_id, type_name, "CREATE", lambda: handler.create(properties))
        elif present.properties == properties and present.type_name == type_name:
            made = present.made
        elif _changed(present.properties, properties) <= handler.mutable and present.type_name == type_name:
            old = present
            made = self._doing(
                logical_id, type_name, "UPDATE", lambda: handler.update(old.made, old.properties, properties)
            )
        else:
            made = self._doing(logical_id, type_name, "UPDATE", lambda: handler.create(properties))
            kept = declaration.get("UpdateReplacePolicy", "Delete").startswith("Retain")
            replaced.append(Deployed(present.type_name, present.made, present.properties, kept))
        return Deployed(type_name, made, properties, retained)

    def _doing(self, logical_id: str, type_name: str, verb: str, work: Any) -> Made:
        self._event(logical_id, type_name, f"{verb}_IN_PROGRESS")
        try:
            made: Made = work()
        except FAILURES as error:
            self._event(logical_id, type_name, f"{verb}_FAILED", reason=str(error))
            raise AwsError("ResourceFailed", f"{logical_id} ({type_name}): {error}") from error
        self._event(logical_id, type_name, f"{verb}_COMPLETE", made.physical_id)
        return made

    def _remove(self, logical_ids: list[str]) -> list[str]:
        """Delete resources in the reverse order of their creation; return those that would not go."""
        failed = []
        for logical_id in reversed(logical_ids):
            there = self.resources[logical_id]
            if there.retained:
                self._event(logical_id, there.type_name, "DELETE_SKIPPED", there.made.physical_id)
                del self.resources[logical_id]
                continue
            self._event(logical_id, there.type_name, "DELETE_IN_PROGRESS", there.made.physical_id)
            try:
                self._handler(there.type_name, logical_id).delete(there.made, there.properties)
            except FAILURES as error:
                failed.append(logical_id)
                self._event(
                    logical_id, there.type_name, "DELETE_FAILED", there.made.physical_id, reason=str(error)
                )
            else:
                del self.resources[logical_id]
                self._event(logical_id, there.type_name, "DELETE_COMPLETE", there.made.physical_id)
        return failed

    def _handler(self, type_name: str, logical_id: str) -> Handler:
        return handler_for(type_name)(self.clients, self.name, logical_id)

    def _finish(self, template: Template, status: str, reason: str = "") -> None:
        self.template, self.outputs = template, list(template.outputs())
        self._say(status, reason)

    def _say(self, status: str, reason: str = "") -> None:
        self.status, self.reason = status, reason
        self._event(self.name, "AWS::CloudFormation::Stack", status, self.arn, reason=reason)

    def _event(
        self, logical_id: str, type_name: str, status: str, physical_id: str = "", reason: str = ""
    ) -> None:
        self.events.append(
            {
                "StackId": self.arn,
                "EventId": str(uuid.uuid4()),
                "StackName": self.name,
                "LogicalResourceId": logical_id,
                "PhysicalResourceId": physical_id,
                "ResourceType": type_name,
                "Timestamp": dt.datetime.now(dt.UTC),
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
                "ClientRequestToken": self.request.get("ClientRequestToken", ""),
            }
        )


def _changed(old: Properties, new: Properties) -> set[str]:
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}
