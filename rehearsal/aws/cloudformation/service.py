"""CloudFormation's API, as far as the cdk command line and people call it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlparse

from rehearsal.aws.clients import Clients
from rehearsal.aws.cloudformation.changes import ChangeSet, differs
from rehearsal.aws.cloudformation.descriptions import described, listed
from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.template import Template, parse
from rehearsal.aws.errors import AwsError
from rehearsal.aws.protocol import Call

Answer = Mapping[str, Any]


_NO_UPDATES = "No updates are to be performed."


class CloudFormation:
    """The stacks of every account and Region."""

    def __init__(self, clients: Callable[[str, str], Clients]) -> None:
        self._clients = clients
        self._stacks: dict[tuple[str, str], list[Stack]] = {}
        self._change_sets: dict[str, ChangeSet] = {}

    def answer(self, call: Call) -> Answer:
        """Answer one call."""
        name = "_" + "".join(f"_{c.lower()}" if c.isupper() else c for c in call.operation).lstrip("_")
        method = getattr(self, name, None)
        if method is None:
            raise AwsError("NotImplemented", f"The rehearsal has no cloudformation:{call.operation}.", 501)
        answer: Answer = method(call)
        return answer

    def stacks(self) -> list[Stack]:
        """Return every stack that is there."""
        return [s for stacks in self._stacks.values() for s in stacks if s.status != "DELETE_COMPLETE"]

    def _create_stack(self, call: Call) -> Answer:
        if self._present(call, call.parameters["StackName"]):
            raise AwsError("AlreadyExistsException", f"Stack [{call.parameters['StackName']}] already exists")
        stack = self._new(call)
        stack.create(self._template(stack, call.parameters))
        return {"StackId": stack.arn}

    def _update_stack(self, call: Call) -> Answer:
        stack = self._need(call)
        template = self._template(stack, call.parameters)
        if not differs(stack, template):
            raise AwsError("ValidationError", _NO_UPDATES)
        stack.request = call.parameters
        stack.update(template)
        return {"StackId": stack.arn}

    def _create_change_set(self, call: Call) -> Answer:
        """Keep what is asked for; nothing happens to the stack until it is executed."""
        stack = self._present(call, call.parameters["StackName"]) or self._new(call)
        arn = f"{stack.arn.replace(':stack/', ':changeSet/')}/{call.parameters['ChangeSetName']}"
        self._change_sets[arn] = ChangeSet(stack, self._template(stack, call.parameters), call.parameters)
        return {"Id": arn, "StackId": stack.arn}

    def _describe_change_set(self, call: Call) -> Answer:
        arn, change_set = self._change_set(call)
        status = {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE"}
        if not differs(change_set.stack, change_set.template):
            why = "The submitted information didn't contain changes."
            status = {"Status": "FAILED", "StatusReason": why, "ExecutionStatus": "UNAVAILABLE"}
        return {
            "ChangeSetId": arn,
            "ChangeSetName": change_set.request["ChangeSetName"],
            "StackId": change_set.stack.arn,
            "StackName": change_set.stack.name,
            "Changes": change_set.changes(),
            **status,
        }

    def _execute_change_set(self, call: Call) -> Answer:
        arn, change_set = self._change_set(call)
        del self._change_sets[arn]
        stack = change_set.stack
        stack.request = {**change_set.request, **call.parameters}
        (stack.create if stack.template is None else stack.update)(change_set.template)
        return {}

    def _delete_change_set(self, call: Call) -> Answer:
        name, stack = call.parameters["ChangeSetName"], call.parameters.get("StackName")
        self._change_sets = {
            arn: kept
            for arn, kept in self._change_sets.items()
            if name not in (arn, kept.request["ChangeSetName"])
            or stack not in (None, kept.stack.name, kept.stack.arn)
        }
        return {}

    def _delete_stack(self, call: Call) -> Answer:
        stack = self._present(call, call.parameters["StackName"])
        if stack:
            if stack.request.get("EnableTerminationProtection"):
                raise AwsError("ValidationError", f"Stack [{stack.name}] cannot be deleted while protected")
            self._check_unused(call, stack)
            stack.request = call.parameters
            stack.delete()
        return {}

    def _describe_stacks(self, call: Call) -> Answer:
        if call.parameters.get("StackName"):
            return {"Stacks": [described(self._need(call, deleted=True))]}
        return {"Stacks": [described(stack) for stack in self._here(call)]}

    def _describe_stack_events(self, call: Call) -> Answer:
        return {"StackEvents": list(reversed(self._need(call, deleted=True).events))}

    def _describe_stack_resources(self, call: Call) -> Answer:
        return {"StackResources": listed(self._need(call))}

    def _list_stack_resources(self, call: Call) -> Answer:
        return {"StackResourceSummaries": listed(self._need(call))}

    def _list_stacks(self, call: Call) -> Answer:
        return {"StackSummaries": [described(stack) for stack in self._here(call)]}

    def _get_template(self, call: Call) -> Answer:
        stack = self._need(call)
        return {"TemplateBody": _text(stack), "StagesAvailable": ["Original", "Processed"]}

    def _get_template_summary(self, call: Call) -> Answer:
        name = call.parameters.get("StackName")
        text = (
            _text(self._need(call))
            if name
            else _body(call.parameters, self._clients(call.principal.account, call.region))
        )
        declared = parse(text).get("Parameters", {})
        return {
            "Parameters": [
                {"ParameterKey": key, "DefaultValue": d.get("Default"), "ParameterType": d["Type"]}
                for key, d in declared.items()
            ]
        }

    def _here(self, call: Call) -> list[Stack]:
        found = self._stacks.get((call.principal.account, call.region), [])
        return [stack for stack in found if stack.status != "DELETE_COMPLETE"]

    def _present(self, call: Call, name: str) -> Stack | None:
        return next((s for s in self._here(call) if name in (s.name, s.arn)), None)

    def _need(self, call: Call, *, deleted: bool = False) -> Stack:
        """Return the stack of a call; a deleted one can still be looked at by its ARN."""
        name = call.parameters["StackName"]
        found = self._present(call, name)
        if found is None and deleted:
            everything = self._stacks.get((call.principal.account, call.region), [])
            found = next((stack for stack in everything if stack.arn == name), None)
        if found is None:
            raise AwsError("ValidationError", f"Stack with id {name} does not exist")
        return found

    def _new(self, call: Call) -> Stack:
        place, name = (call.principal.account, call.region), call.parameters["StackName"]
        arn = f"arn:aws:cloudformation:{call.region}:{place[0]}:stack/{name}/{uuid.uuid4()}"
        stack = Stack(name, arn, *place, self._clients(*place), request=call.parameters)
        self._stacks.setdefault(place, []).append(stack)
        return stack

    def _change_set(self, call: Call) -> tuple[str, ChangeSet]:
        name, stack = call.parameters["ChangeSetName"], call.parameters.get("StackName")
        for arn, found in self._change_sets.items():
            if name == arn or (
                name == found.request["ChangeSetName"] and stack in (found.stack.name, found.stack.arn)
            ):
                return arn, found
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)

    def _template(self, stack: Stack, request: Mapping[str, Any]) -> Template:
        """Return the template that a request brings, or the stack's own, with the request's parameters."""
        previous = bool(request.get("UsePreviousTemplate")) and stack.template is not None
        text = stack.template.text if previous and stack.template else _body(request, stack.clients)
        known = stack.template.given if stack.template else {}
        given = {
            p["ParameterKey"]: known[p["ParameterKey"]] if p.get("UsePreviousValue") else p["ParameterValue"]
            for p in request.get("Parameters") or []
        }
        pseudo = {
            "AWS::AccountId": stack.account,
            "AWS::Region": stack.region,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": stack.name,
            "AWS::StackId": stack.arn,
        }
        ssm = stack.clients.get("ssm")
        return Template(
            text,
            given,
            pseudo,
            lambda name: ssm.get_parameter(Name=name)["Parameter"]["Value"],
            lambda name: self._export((stack.account, stack.region), name),
        )

    def _export(self, place: tuple[str, str], name: str) -> str:
        for stack in self._stacks[place]:
            for output in stack.outputs if stack.status != "DELETE_COMPLETE" else []:
                if output.get("ExportName") == name:
                    return output["OutputValue"]
        raise AwsError("ValidationError", f"No export named {name} found.")

    def _check_unused(self, call: Call, stack: Stack) -> None:
        """Refuse: an export that is imported keeps its stack (User Guide, Fn::ImportValue)."""
        exported = {output.get("ExportName") for output in stack.outputs}
        for other in self._here(call):
            if other is not stack and other.template and (used := exported & other.template.scope.imported):
                raise AwsError(
                    "ValidationError",
                    f"Export {used.pop()} cannot be deleted as it is in use by {other.name}",
                )


def _text(stack: Stack) -> str:
    return stack.template.text if stack.template else ""


def _body(parameters: Mapping[str, Any], clients: Clients) -> str:
    if parameters.get("TemplateBody"):
        return str(parameters["TemplateBody"])
    url = urlparse(parameters["TemplateURL"])
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    content: bytes = clients.get("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content.decode()
