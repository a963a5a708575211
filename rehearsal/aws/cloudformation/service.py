"""CloudFormation's API, as far as the cdk command line and people call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.aws.clients import Clients
from rehearsal.aws.cloudformation.descriptions import ChangeSet, described, differs, listed
from rehearsal.aws.cloudformation.stacks import Deployer, Stacks
from rehearsal.aws.cloudformation.template import parse
from rehearsal.aws.errors import AwsError
from rehearsal.aws.protocol import Call

Answer = Mapping[str, Any]


class CloudFormation:
    """The stacks of every account and Region."""

    def __init__(self, clients: Callable[[str, str], Clients], deployer: Deployer) -> None:
        self._stacks = Stacks(clients, deployer)
        self._change_sets: dict[str, ChangeSet] = {}

    def answer(self, call: Call) -> Answer:
        """Answer one call."""
        name = "_" + "".join(f"_{c.lower()}" if c.isupper() else c for c in call.operation).lstrip("_")
        method = getattr(self, name, None)
        if method is None:
            raise AwsError("NotImplemented", f"The rehearsal has no cloudformation:{call.operation}.", 501)
        answer: Answer = method(call)
        return answer

    def _create_stack(self, call: Call) -> Answer:
        if self._stacks.find(call):
            raise AwsError("AlreadyExistsException", f"Stack [{call.parameters['StackName']}] already exists")
        stack = self._stacks.new(call)
        self._stacks.deploys(call, stack, call.parameters)
        stack.protected = bool(call.parameters.get("EnableTerminationProtection"))
        stack.create(self._stacks.template(stack, call.parameters))
        return {"StackId": stack.arn}

    def _update_stack(self, call: Call) -> Answer:
        stack = self._stacks.need(call)
        template = self._stacks.template(stack, call.parameters)
        if not differs(stack, template):
            raise AwsError("ValidationError", "No updates are to be performed.")
        self._stacks.deploys(call, stack, call.parameters)
        stack.update(template)
        return {"StackId": stack.arn}

    def _create_change_set(self, call: Call) -> Answer:
        """Keep what is asked for; nothing happens to the stack until it is executed."""
        stack = self._stacks.find(call) or self._stacks.new(call)
        arn = f"{stack.arn.replace(':stack/', ':changeSet/')}/{call.parameters['ChangeSetName']}"
        template = self._stacks.template(stack, call.parameters)
        self._change_sets[arn] = ChangeSet(stack, template, call.parameters)
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
        self._stacks.deploys(call, stack, {**change_set.request, **call.parameters})
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
        stack = self._stacks.find(call)
        if stack:
            if stack.protected:
                why = f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
                raise AwsError("ValidationError", why)
            stack.check_exports([])
            stack.request = call.parameters
            stack.delete()
        return {}

    def _update_termination_protection(self, call: Call) -> Answer:
        """Switch it, and nothing else: neither an update nor a change set does."""
        stack = self._stacks.need(call)
        stack.protected = bool(call.parameters["EnableTerminationProtection"])
        return {"StackId": stack.arn}

    def _describe_stacks(self, call: Call) -> Answer:
        if call.parameters.get("StackName"):
            return {"Stacks": [described(self._stacks.need(call, deleted=True))]}
        return {"Stacks": [described(stack) for stack in self._stacks.here(call)]}

    def _describe_stack_events(self, call: Call) -> Answer:
        return {"StackEvents": list(reversed(self._stacks.need(call, deleted=True).events))}

    def _describe_stack_resources(self, call: Call) -> Answer:
        return {"StackResources": listed(self._stacks.need(call))}

    def _list_stack_resources(self, call: Call) -> Answer:
        return {"StackResourceSummaries": listed(self._stacks.need(call))}

    def _list_stacks(self, call: Call) -> Answer:
        return {"StackSummaries": [described(stack) for stack in self._stacks.here(call)]}

    def _get_template(self, call: Call) -> Answer:
        return {"TemplateBody": self._stacks.text(call), "StagesAvailable": ["Original", "Processed"]}

    def _get_template_summary(self, call: Call) -> Answer:
        declared = parse(self._stacks.text(call)).get("Parameters", {})
        return {
            "Parameters": [
                {"ParameterKey": key, "DefaultValue": d.get("Default"), "ParameterType": d["Type"]}
                for key, d in declared.items()
            ]
        }

    def _change_set(self, call: Call) -> tuple[str, ChangeSet]:
        name, stack = call.parameters["ChangeSetName"], call.parameters.get("StackName")
        for arn, found in self._change_sets.items():
            if name == arn or (
                name == found.request["ChangeSetName"] and stack in (found.stack.name, found.stack.arn)
            ):
                return arn, found
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
