"""A deployed stack: its template with every reference resolved to what is in the account.

Source: CloudFormation User Guide, "Intrinsic function reference". The attributes of a resource are those that
follow from its physical id.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any, Final

from cdk_app.regions import dns_suffix, partition

SETTLED: Final = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
_ARNS: Final = {
    "AWS::DynamoDB::Table": "arn:{partition}:dynamodb:{region}:{account}:table/{id}",
    "AWS::Events::Rule": "arn:{partition}:events:{region}:{account}:rule/{id}",
    "AWS::IAM::Role": "arn:{partition}:iam::{account}:role{path}{id}",
    "AWS::KMS::Key": "arn:{partition}:kms:{region}:{account}:key/{id}",
    "AWS::Logs::LogGroup": "arn:{partition}:logs:{region}:{account}:log-group:{id}:*",
    "AWS::S3::Bucket": "arn:{partition}:s3:::{id}",
}
_VARIABLE: Final = re.compile(r"\$\{([^!}][^}]*)\}")
_NO_VALUE: Final = object()

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """A resource of a stack: what the template says of it, resolved, and what it became."""

    logical_id: str
    type: str
    physical_id: str
    properties: Properties

    @property
    def name(self) -> str:
        """Its logical id without CDK's hash."""
        return re.sub(r"[0-9A-F]{8}$", "", self.logical_id)


class DeployedStack:
    """One stack, as CloudFormation tells it."""

    def __init__(
        self,
        described: Mapping[str, Any],
        template: str | Mapping[str, Any],
        resources: Sequence[Mapping[str, Any]],
        account: str,
        region: str,
    ) -> None:
        self.name, self.status = str(described["StackName"]), str(described["StackStatus"])
        self.reason = str(described.get("StackStatusReason") or "")
        self.updated = described.get("LastUpdatedTime") or described.get("CreationTime")
        self.template: Mapping[str, Any] = json.loads(template) if isinstance(template, str) else template
        self.outputs = described.get("Outputs", [])
        self.parameters: dict[str, str] = {
            each["ParameterKey"]: each.get("ResolvedValue") or each.get("ParameterValue", "")
            for each in described.get("Parameters", [])
        }
        self._there = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in resources
            if each.get("PhysicalResourceId")
        }
        self._place = {"partition": partition(region), "region": region, "account": account}
        self.imports: dict[str, str] = {}
        self.dns_entries: Callable[[str], list[str]] = lambda endpoint: [f":{endpoint}"]
        """The names of an endpoint, each behind its hosted zone: AWS alone knows them."""
        self._pseudo = {
            "AWS::AccountId": account,
            "AWS::Partition": partition(region),
            "AWS::Region": region,
            "AWS::StackId": described.get("StackId", ""),
            "AWS::StackName": self.name,
            "AWS::URLSuffix": dns_suffix(region),
        }

    @property
    def exports(self) -> dict[str, str]:
        """What other stacks of the account can import."""
        return {o["ExportName"]: o["OutputValue"] for o in self.outputs if "ExportName" in o}

    def resources(self, kind: str) -> Iterator[Resource]:
        """Yield the resources of a type that are there."""
        for logical_id, resource in self.template["Resources"].items():
            if resource["Type"] == kind and logical_id in self._there:
                properties = self.resolve(resource.get("Properties", {}))
                yield Resource(logical_id, kind, self._there[logical_id], properties)

    def resource(self, kind: str, begins: str = "") -> Resource | None:
        """Return the first one, by how its logical id begins."""
        return next((r for r in self.resources(kind) if r.logical_id.startswith(begins)), None)

    def resolve(self, value: Any) -> Any:
        """Return a value of the template with every function in it applied."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not _NO_VALUE]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Ref":
                return self._ref(argument)
            if name in self._functions():
                return self._functions()[name](argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _NO_VALUE}

    def _functions(self) -> Mapping[str, Callable[[Any], Any]]:
        return {
            "Fn::Base64": lambda a: base64.b64encode(str(self.resolve(a)).encode()).decode(),
            "Fn::FindInMap": lambda a: reduce(getitem, self.resolve(a), self.template["Mappings"]),
            "Fn::GetAtt": lambda a: self._attribute(*(a.split(".", 1) if isinstance(a, str) else a)),
            "Fn::ImportValue": lambda a: self.imports.get(self.resolve(a), ""),
            "Fn::Join": lambda a: str(self.resolve(a[0])).join(map(str, self.resolve(a[1]))),
            "Fn::Select": lambda a: self.resolve(a[1])[int(a[0])],
            "Fn::Split": lambda a: str(self.resolve(a[1])).split(a[0]),
            "Fn::Sub": self._sub,
        }

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        for known in (self._pseudo, self.parameters, self._there):
            if name in known:
                return known[name]
        return ""

    def _attribute(self, logical_id: str, attribute: str) -> Any:
        physical_id = self._there.get(logical_id, "")
        if attribute == "DnsEntries":
            return self.dns_entries(physical_id)
        resource = self.template["Resources"][logical_id]
        form = _ARNS.get(resource["Type"]) if attribute == "Arn" else None
        path = resource.get("Properties", {}).get("Path", "/")  # of a role
        return physical_id if form is None else form.format(id=physical_id, path=path, **self._place)

    def _sub(self, argument: Any) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else argument
        given = self.resolve(local)

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name in given:
                return str(given[name])
            return str(self._attribute(*name.split(".", 1)) if "." in name else self._ref(name))

        return _VARIABLE.sub(value, text).replace("${!", "${")


def digest(template: Mapping[str, Any]) -> str:
    """Return a SHA-256 of what a template says, however it is written."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()
