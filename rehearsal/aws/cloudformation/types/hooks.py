"""What the tables name because no line of theirs can say it: conversions, changes and steps."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import TYPE_CHECKING, Any, Final

from rehearsal.aws.cloudformation.calls import Facts, assign, refuse, used
from rehearsal.aws.errors import AwsError
from rehearsal.aws.tasks import check_definition as known_tasks

if TYPE_CHECKING:
    from rehearsal.aws.cloudformation.resource import Resource

__all__ = ["known_tasks"]
_LONGEST_SCRIPT: Final = 16_384  # SageMaker API reference, NotebookInstanceLifecycleHook


def json(document: Any) -> str:
    """Return a document as JSON, as which a template may have written it itself."""
    return document if isinstance(document, str) else dumps(document)


def each(line: str, items: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rename the keys of a list's mappings by a line; a key that it does not use is an error."""
    for item in items:
        refuse(set(item) - used(line))
    return [assign(line, item) for item in items]


def only(key: str, value: Mapping[str, Any]) -> Any:
    """Return what a property has under the one key that it may have."""
    refuse(set(value) - {key})
    return value[key]


def lower(value: Any) -> Any:
    """Lower every key's first letter, as Step Functions writes it."""
    if isinstance(value, Mapping):
        return {key[0].lower() + key[1:]: lower(part) for key, part in value.items()}
    return [lower(part) for part in value] if isinstance(value, list) else value


def tags_of_map(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return a parameter's tags as a list, as other types have them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def private(access: str) -> str:
    """Return the one canned access control that we know."""
    return {"Private": "private"}[access]


def inline_policies(policies: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Write the documents of a role's inline policies as JSON."""
    return [{**policy, "PolicyDocument": json(policy["PolicyDocument"])} for policy in policies]


def short_scripts(hooks: list[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Refuse a lifecycle script that SageMaker would refuse for its length."""
    if any(len(hook["Content"]) > _LONGEST_SCRIPT for hook in hooks):
        raise AwsError(
            "ValidationException", f"A lifecycle script has more than {_LONGEST_SCRIPT} characters"
        )
    return hooks


def new_policy_version(resource: Resource, name: str, old: Facts, new: Facts) -> None:  # noqa: ARG001
    """Make a new default version and drop the old one: IAM keeps five at most."""
    resource.run("create_policy_version PolicyArn=id PolicyDocument SetAsDefault=true", new)
    for version in resource.run("list_policy_versions PolicyArn=id", new)["Versions"]:
        if not version["IsDefaultVersion"]:
            resource.run("delete_policy_version PolicyArn=id VersionId", {**new, **version})


def rotate_key(resource: Resource, name: str, old: Facts, new: Facts) -> None:  # noqa: ARG001
    """Switch a key's rotation on or off."""
    resource.run(f"{'enable' if new.get(name) else 'disable'}_key_rotation KeyId=id", new)


def stop_executions(resource: Resource, facts: Facts) -> None:
    """Stop what runs, as DeleteStateMachine does (Step Functions API reference)."""
    running = resource.run("list_executions stateMachineArn=id statusFilter='RUNNING'", facts)["executions"]
    resource.run("for running stop_execution executionArn=item.executionArn", {"running": running})


def only_on(value: str) -> str:
    """Refuse what would let PrivateLink's traffic past a load balancer's rules."""
    return {"on": "on"}[value]


def delete_service(resource: Resource, facts: Facts) -> None:
    """Delete an endpoint service; one that somebody is connected to stays, and the stack with it."""
    answer = resource.run("delete_vpc_endpoint_service_configurations ServiceIds[]=id", facts)
    for each in answer.get("Unsuccessful", []):
        if "NotFound" not in each["Error"]["Code"]:
            raise AwsError(each["Error"]["Code"], f"{each['ResourceId']} {each['Error']['Message']}")


def endpoint_dns(resource: Resource, facts: Facts) -> dict[str, Any]:  # noqa: ARG001
    """Return the attribute of the DNS name that AWS would form from the endpoint's id."""
    service = facts["ServiceName"].rpartition(".")[2]
    if service.startswith("vpce-svc-"):  # a customer's: its name is an address here (privatelink.py)
        entries = facts["VpcEndpoint"]["DnsEntries"]
        return {"DnsEntries": [f"{each['HostedZoneId']}:{each['DnsName']}" for each in entries]}
    return {"DnsEntries": [f"ZONE0RE:{facts['id']}-0re.{service}.{facts['region']}.vpce.{facts['suffix']}"]}


def accept_peering(resource: Resource, facts: Facts) -> None:
    """Accept a peering as the peer's role may, or as the account itself when the peer is its own.

    Source: "Walkthrough: Peer with a VPC in another AWS account" (CloudFormation User Guide): the role must
    trust the requester's account and allow ec2:AcceptVpcPeeringConnection on the VPC and on the peering.
    """
    peer = resource.clients.get("ec2")
    if facts.get("PeerOwnerId", facts["account"]) != facts["account"]:
        region = facts.get("PeerRegion", facts["region"])
        peer = resource.clients.taking(facts["PeerRoleArn"], region).get("ec2")
    peer.accept_vpc_peering_connection(VpcPeeringConnectionId=facts["id"])
