"""One stack: created, updated, rolled back and deleted as CloudFormation does.

Rules (CloudFormation User Guide): resources are made after what they depend on and deleted in the reverse
order; a failed creation is rolled back (ROLLBACK_COMPLETE), a failed update too (UPDATE_ROLLBACK_COMPLETE);
a resource that cannot be deleted leaves DELETE_FAILED; DeletionPolicy and UpdateReplacePolicy Retain keep
it, RetainExceptOnCreate not where its creation is rolled back. An export has one owner, and stays as it is
while another stack imports it.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rehearsal.aws.clients import Clients
from rehearsal.aws.cloudformation.provider import PhysicalResource
from rehearsal.aws.cloudformation.resource import FAILURES, Properties, Resource
from rehearsal.aws.cloudformation.template import Template
from rehearsal.aws.cloudformation.types import provider_for
from rehearsal.aws.errors import AwsError


@dataclass(frozen=True)
class Deployed:
    """A resource of a stack as it stands."""

    logical_id: str
    type_name: str
    resource: PhysicalResource
    properties: Properties
    policy: str

    def stays(self, *, created: bool) -> bool:
        """Whether it outlives its stack, or the operation that created it and is rolled back."""
        return self.policy == "Retain" or (self.policy == "RetainExceptOnCreate" and not created)


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
    role_arn: str | None = None
    protected: bool = False
    request: Mapping[str, Any] = field(default_factory=dict)
    template: Template | None = None
    resources: dict[str, Deployed] = field(default_factory=dict)
    outputs: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    created: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    neighbours: Callable[[], Iterable[Stack]] = tuple

    def create(self, template: Template) -> None:
        """Create every resource; on the first failure delete all of them again."""
        self._say("CREATE_IN_PROGRESS", "User Initiated")
        try:
            outputs = self._apply(template, [])
        except FAILURES as error:
            self._say("ROLLBACK_IN_PROGRESS", str(error))
            failed = self._remove([*self.resources.values()], created=True)
            self._say("ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE", str(error))
        else:
            self._finish(template, outputs, "CREATE_COMPLETE")

    def update(self, template: Template) -> None:
        """Bring the stack to a new template; on a failure go back to the old one."""
        before = self.template
        assert before is not None  # noqa: S101 - only a stack that was created is updated
        self._say("UPDATE_IN_PROGRESS", "User Initiated")
        replaced: list[Deployed] = []
        try:
            outputs = self._apply(template, replaced)
        except FAILURES as error:
            self._say("UPDATE_ROLLBACK_IN_PROGRESS", str(error))
            unneeded = [self.resources[old.logical_id] for old in replaced]
            self.resources |= {old.logical_id: old for old in replaced}
            try:
                before.scope.resources.clear()
                outputs = self._apply(before, [])
            except FAILURES as another:
                self._say("UPDATE_ROLLBACK_FAILED", f"{another}, after {error}")
                return
            self._clean_up(unneeded, template, before, created=True)
            self._finish(before, outputs, "UPDATE_ROLLBACK_COMPLETE", str(error))
        else:
            self._clean_up(replaced, before, template)
            self._finish(template, outputs, "UPDATE_COMPLETE")

    def delete(self) -> None:
        """Delete every resource that is not retained."""
        self._say("DELETE_IN_PROGRESS", "User Initiated")
        failed = self._remove([*self.resources.values()])
        if failed:
            self._say("DELETE_FAILED", f"The following resource(s) failed to delete: {failed}.")
        else:
            self._say("DELETE_COMPLETE")

    def check_exports(self, outputs: Iterable[Mapping[str, str]]) -> None:
        """Refuse exports that another stack has, and to take or change one that another stack imports."""
        before, after = (
            {o["ExportName"]: o["OutputValue"] for o in outputs if "ExportName" in o}
            for outputs in (self.outputs, outputs)
        )
        for other in self.neighbours():
            if taken := {o.get("ExportName") for o in other.outputs} & {*after}:
                message = f"Export with name {taken.pop()} is already exported by stack {other.name}"
                raise AwsError("ValidationError", message)
            imported = other.template.scope.imported if other.template else set()
            for name in imported & {*before}:
                if before[name] != after.get(name):
                    message = f"Export {name} cannot be deleted or updated as it is in use by {other.name}"
                    raise AwsError("ValidationError", message)

    def _apply(self, template: Template, replaced: list[Deployed]) -> list[dict[str, str]]:
        """Create, keep, update or replace every resource of a template; what is replaced is listed."""
        for logical_id, declaration in template.resources().items():
            properties = template.scope.resolve(declaration.get("Properties", {}))
            present = self.resources.get(logical_id)
            physical, properties = self._deploy(logical_id, declaration["Type"], properties, present)
            if present and present.resource.physical_id != physical.physical_id:
                replaced.append(replace(present, policy=declaration.get("UpdateReplacePolicy", "Delete")))
            policy = declaration.get("DeletionPolicy", "Delete")
            self.resources[logical_id] = Deployed(
                logical_id, declaration["Type"], physical, properties, policy
            )
            template.scope.resources[logical_id] = (physical.physical_id, physical.attributes)
        outputs = [*template.outputs()]
        self.check_exports(outputs)
        return outputs

    def _clean_up(
        self, replaced: list[Deployed], old: Template, new: Template, *, created: bool = False
    ) -> None:
        """Delete what only the old template has, and what was replaced."""
        wanted, order = new.resources(), [*old.resources()]
        dropped = [there for name, there in self.resources.items() if name not in wanted]
        gone = sorted([*replaced, *dropped], key=lambda there: order.index(there.logical_id))
        self._remove(gone, created=created)

    def _deploy(
        self, logical_id: str, type_name: str, properties: Properties, present: Deployed | None
    ) -> tuple[PhysicalResource, Properties]:
        """Bring one resource to its properties, and return these as they were checked."""
        verb = "UPDATE" if present else "CREATE"
        try:
            resource = self._resource(type_name, logical_id)
            properties = resource.checked(properties)
            if present and (present.type_name, present.properties) == (type_name, properties):
                return present.resource, properties
            self._event(logical_id, type_name, f"{verb}_IN_PROGRESS")
            if present and present.type_name != type_name:
                raise AwsError("ValidationError", f"A {present.type_name} cannot become another type.")
            if present and not resource.replaces(present.properties, properties):
                physical = resource.update(present.resource, present.properties, properties)
            else:
                physical = resource.create(properties)
        except FAILURES as error:
            self._event(logical_id, type_name, f"{verb}_FAILED", reason=str(error))
            raise AwsError("ResourceFailed", f"{logical_id} ({type_name}): {error}") from error
        self._event(logical_id, type_name, f"{verb}_COMPLETE", physical.physical_id)
        return physical, properties

    def _remove(self, resources: list[Deployed], *, created: bool = False) -> list[str]:
        """Delete resources, just created or not, in reverse order; return those that would not go."""
        failed = []
        for old in reversed(resources):
            about = (old.logical_id, old.type_name)
            stays = old.stays(created=created)
            status, reason = "DELETE_SKIPPED" if stays else "DELETE_COMPLETE", ""
            try:
                if not stays:
                    self._event(*about, "DELETE_IN_PROGRESS", old.resource.physical_id)
                    self._resource(old.type_name, old.logical_id).delete(old.resource, old.properties)
            except FAILURES as error:
                failed.append(old.logical_id)
                status, reason = "DELETE_FAILED", str(error)
            else:
                if self.resources.get(old.logical_id) == old:
                    del self.resources[old.logical_id]
            self._event(*about, status, old.resource.physical_id, reason)
        return failed

    def _resource(self, type_name: str, logical_id: str) -> Resource:
        return Resource(provider_for(type_name), self.clients, self.account, self.name, logical_id)

    def _finish(
        self, template: Template, outputs: list[dict[str, str]], status: str, reason: str = ""
    ) -> None:
        self.template, self.outputs = template, outputs
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
