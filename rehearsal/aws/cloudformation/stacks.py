"""The stacks of every account and Region, and the templates that requests bring for them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote, urlparse

from cdk_app.regions import dns_suffix, partition
from rehearsal.aws.clients import Clients
from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.template import Template
from rehearsal.aws.errors import AwsError
from rehearsal.aws.principals import Credentials, Principal
from rehearsal.aws.protocol import Call

Place = tuple[str, str]
"""An account and a Region."""

Deployer = Callable[[Principal, str | None, str], Credentials]
"""Returns the rights that a caller, a service role or none and a stack's ARN give a deployment."""


class Stacks:
    """All stacks, with those that were deleted."""

    def __init__(self, clients: Callable[[str, str], Clients], deployer: Deployer) -> None:
        self._clients, self._deployer = clients, deployer
        self._stacks: dict[Place, list[Stack]] = {}

    def here(self, call: Call) -> list[Stack]:
        """Return the stacks that there are where a call is made."""
        return self._at(_place(call))

    def find(self, call: Call) -> Stack | None:
        """Return the stack that a call names."""
        name = call.parameters["StackName"]
        return next((stack for stack in self.here(call) if name in (stack.name, stack.arn)), None)

    def need(self, call: Call, *, deleted: bool = False) -> Stack:
        """Return the stack that a call names; a deleted one can still be looked at by its ARN."""
        name = call.parameters["StackName"]
        everything = self._stacks.get(_place(call), []) if deleted else []
        found = self.find(call) or next((stack for stack in everything if stack.arn == name), None)
        if found is None:
            raise AwsError("ValidationError", f"Stack with id {name} does not exist")
        return found

    def new(self, call: Call) -> Stack:
        """Add the stack that a call makes."""
        (account, region), name = _place(call), call.parameters["StackName"]
        if not re.fullmatch("[a-zA-Z][-a-zA-Z0-9]{0,127}", name):
            raise AwsError("ValidationError", f"1 validation error detected: no name of a stack: {name!r}")
        arn = f"arn:{partition(region)}:cloudformation:{region}:{account}:stack/{name}/{uuid.uuid4()}"
        stack = Stack(name, arn, account, region, self._clients(account, region), request=call.parameters)
        stack.neighbours = lambda: [other for other in self.here(call) if other is not stack]
        self._stacks.setdefault((account, region), []).append(stack)
        return stack

    def deploys(self, call: Call, stack: Stack, request: Mapping[str, Any]) -> None:
        """Note how a stack is deployed: its service role stays until another is given (API reference)."""
        stack.request, stack.role_arn = request, request.get("RoleARN") or stack.role_arn
        stack.clients = stack.clients.deployed_by(self._deployer(call.principal, stack.role_arn, stack.arn))

    def template(self, stack: Stack, request: Mapping[str, Any]) -> Template:
        """Return the template that a request brings, or the stack's own, with the request's parameters."""
        present = stack.template
        known = present.given if present else {}
        given = {
            p["ParameterKey"]: known[p["ParameterKey"]] if p.get("UsePreviousValue") else p["ParameterValue"]
            for p in request.get("Parameters") or []
        }
        pseudo = {
            "AWS::AccountId": stack.account,
            "AWS::Region": stack.region,
            "AWS::Partition": partition(stack.region),
            "AWS::URLSuffix": dns_suffix(stack.region),
            "AWS::StackName": stack.name,
            "AWS::StackId": stack.arn,
        }
        template = Template(
            present.text if present and request.get("UsePreviousTemplate") else _body(request, stack.clients),
            given,
            pseudo,
            lambda name: stack.clients.get("ssm").get_parameter(Name=name)["Parameter"]["Value"],
            partial(self._export, (stack.account, stack.region)),
        )
        _check_capabilities(template, request.get("Capabilities") or [])
        return template

    def text(self, call: Call) -> str:
        """Return the text of the template of the stack that a call names, or of the one that it brings."""
        if call.parameters.get("StackName"):
            present = self.need(call).template
            return present.text if present else ""
        return _body(call.parameters, self._clients(*_place(call)))

    def _at(self, place: Place) -> list[Stack]:
        return [stack for stack in self._stacks.get(place, []) if stack.status != "DELETE_COMPLETE"]

    def _export(self, place: Place, name: str) -> str:
        for output in (output for stack in self._at(place) for output in stack.outputs):
            if output.get("ExportName") == name:
                return output["OutputValue"]
        raise AwsError("ValidationError", f"No export named {name} found.")


def _check_capabilities(template: Template, given: Sequence[str]) -> None:
    """Refuse IAM resources that nobody acknowledged (API reference, CreateStack, Capabilities)."""
    resources = [r for r in template.body["Resources"].values() if r["Type"].startswith("AWS::IAM::")]
    named = any({"RoleName", "ManagedPolicyName"} & {*r.get("Properties", {})} for r in resources)
    enough = {"CAPABILITY_NAMED_IAM"} if named else {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}
    if resources and not enough & {*given}:
        raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : {sorted(enough)[:1]}")


def _place(call: Call) -> Place:
    return call.principal.account, call.region


def _body(request: Mapping[str, Any], clients: Clients) -> str:
    if request.get("TemplateBody"):
        return str(request["TemplateBody"])
    url = urlparse(request["TemplateURL"])
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    content: bytes = clients.get("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content.decode()
