"""Creates, updates and deletes one resource of a stack as its type's provider declares."""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from cdk_app.regions import dns_suffix, partition
from rehearsal.aws.clients import Clients
from rehearsal.aws.cloudformation import calls, schemas
from rehearsal.aws.cloudformation.calls import Facts
from rehearsal.aws.cloudformation.provider import PhysicalResource, ResourceProvider
from rehearsal.aws.errors import AwsError

Properties = Mapping[str, Any]
FAILURES: Final = (ClientError, BotoCoreError, AwsError, KeyError)
"""What a resource may fail with; anything else is a bug of ours and is not turned into a stack event."""

_LETTERS: Final = string.ascii_uppercase + string.digits


@dataclass(frozen=True)
class Resource:
    """One resource of a stack, in the stack's account and Region; its properties were `checked`."""

    provider: ResourceProvider
    clients: Clients
    account: str
    stack: str
    logical_id: str

    def run(self, line: str, facts: Facts, *, discard: bool = False) -> Mapping[str, Any]:
        """Make the calls of a line."""
        return calls.run(self.clients.get(self.provider.service), line, facts, discard=discard)

    def create(self, properties: Properties) -> PhysicalResource:
        """Create the resource; one that cannot be completed is deleted again."""
        provider = self.provider
        facts = {"name": self._made_up_name(), **self._facts(properties)}
        facts = {**self.run(provider.create, facts), **facts}
        facts["id"] = calls.assign(f"id={provider.physical_id}", facts)["id"]
        facts |= (attributes := calls.assign(provider.attributes, facts))
        try:
            if provider.after_create:
                attributes |= provider.after_create(self, facts) or {}
            self._change(set(properties) - calls.used(provider.create), {}, facts)
        except FAILURES:
            with suppress(*FAILURES):
                self.delete(PhysicalResource(facts["id"], attributes), properties)
            raise
        return PhysicalResource(facts["id"], attributes)

    def update(self, resource: PhysicalResource, old: Properties, new: Properties) -> PhysicalResource:
        """Change in place what differs; put it back if that fails."""
        before, after = self._facts(old, resource), self._facts(new, resource)
        names = changed(old, new)
        if stuck := sorted(names - {*self.provider.updatable, *self.provider.ignored}):
            raise AwsError("ValidationError", f"The rehearsal cannot change {stuck} in place.")
        try:
            self._change(names, before, after)
        except FAILURES:
            self._change(names, after, before)
            raise
        attributes = calls.assign(self.provider.attributes, after)
        return PhysicalResource(resource.physical_id, {**resource.attributes, **attributes})

    def delete(self, resource: PhysicalResource, properties: Properties) -> None:
        """Delete the resource; one that is gone is deleted."""
        provider, facts = self.provider, self._facts(properties, resource)
        rest = {name: fact for name, fact in facts.items() if name not in provider.cleared}
        self._change(provider.cleared, facts, rest)
        for step in provider.delete:
            self.run(step, facts, discard=True) if isinstance(step, str) else step(self, facts)

    def replaces(self, old: Properties, new: Properties) -> bool:
        """Whether a change needs another resource, which cannot have the name of the present one."""
        if not schemas.replacing(schemas.schema_of(self.provider.type_name), old, new):
            return False
        name = new.get(self.provider.name)
        if name and name == old.get(self.provider.name):
            raise AwsError(
                "ValidationError",
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {name} and update the stack again.",
            )
        return True

    def checked(self, properties: Properties) -> Properties:
        """Return properties as the schema types them; what it, or the type's table, has not is an error."""
        checked = schemas.checked(schemas.schema_of(self.provider.type_name), properties)
        if unknown := sorted(set(checked) - self.provider.properties):
            known = sorted(self.provider.properties)
            raise AwsError("ValidationError", f"The rehearsal does not know {unknown}, only {known}")
        return checked

    def _facts(self, properties: Properties, resource: PhysicalResource | None = None) -> dict[str, Any]:
        """Return all that the type's calls may use."""
        region = self.clients.region
        facts: dict[str, Any] = {"account": self.account, "region": region, "true": True}
        facts |= {"partition": partition(region), "suffix": dns_suffix(region)}
        if region != "us-east-1":  # S3 refuses the Region that is its default
            facts["location"] = region
        if resource:
            facts |= {**resource.attributes, "id": resource.physical_id, "name": resource.physical_id}
        for name, value in properties.items():
            convert = self.provider.convert.get(name)
            try:
                facts[name] = convert(value) if convert else value
            except (AwsError, KeyError) as error:
                raise AwsError("ValidationError", f"{name}: {error}") from error
        return facts | ({"name": properties[self.provider.name]} if self.provider.name in properties else {})

    def _change(self, names: Collection[str], old: Facts, new: Facts) -> None:
        """Make the change of each property that is named, as far as it has one."""
        for name, change in self.provider.updatable.items():
            if name in names:
                change(self, name, old, new)

    def _made_up_name(self) -> str:
        """Make a name as CloudFormation does for a resource that is given none."""
        ending = "".join(secrets.choice(_LETTERS) for _ in range(12))
        name = f"{self.stack}-{self.logical_id}"[: self.provider.name_length - 13].rstrip("-") + f"-{ending}"
        return name.lower() if self.provider.service in ("s3", "ecr") else name


def changed(old: Properties, new: Properties) -> set[str]:
    """Return the names of the properties that differ."""
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}
