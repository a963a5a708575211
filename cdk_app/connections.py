"""Connections to the server's endpoint service: a client is let in by name, for its account, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cdk_app.config.models import ClientAccount, Federation
from runtime.contract import ExitCode, FedstackError

WAITING: Final = "pendingAcceptance"
OPEN: Final = "available"

Connection = Mapping[str, Any]


def accepted(ec2: Any, cloudformation: Any, federation: Federation, name: str) -> str:
    """Accept the one connection that a client's account asked for; return what to say of it.

    Raises
    ------
    FedstackError
        Where there is none, or another one already: a client has one endpoint.
    """
    client, server = federation.client(name), federation.server
    if federation.reached_by(client) != "privatelink":
        raise FedstackError(
            ExitCode.CONFIG,
            f"{name}'s connectivity is {federation.reached_by(client)}, which nobody accepts here.",
            "Write connectivity: privatelink for it, or accept nothing.",
        )
    service = service_of(cloudformation, federation)
    found = connections(ec2, service, client, server.region)
    waiting = [each["VpcEndpointId"] for each in found if each["VpcEndpointState"] == WAITING]
    there = [each["VpcEndpointId"] for each in found if each["VpcEndpointState"] == OPEN]
    if not waiting and len(there) == 1:
        return f"{name}: {there[0]} of account {client.account} is accepted already."
    if len(waiting) + len(there) != 1:
        raise _not_one(client, service, there, waiting)
    answer = ec2.accept_vpc_endpoint_connections(ServiceId=service, VpcEndpointIds=waiting)
    if answer.get("Unsuccessful"):
        raise FedstackError(
            ExitCode.CONFIG,
            f"AWS did not accept {waiting[0]}: {answer['Unsuccessful'][0]['Error']['Message']}.",
            "Look at the endpoint's state and try again.",
        )
    return f"{name}: {waiting[0]} of account {client.account} is accepted."


def service_of(cloudformation: Any, federation: Federation) -> str:
    """Return the id of the server's endpoint service, as its stack tells it."""
    names = federation.server_names
    stack = cloudformation.describe_stacks(StackName=names.stack)["Stacks"][0]
    for output in stack.get("Outputs", []):
        if output["OutputKey"] == "EndpointService":
            return str(output["OutputValue"]).rpartition(".")[2]
    raise FedstackError(
        ExitCode.CONFIG,
        f"The stack {names.stack} has no endpoint service.",
        "Deploy it with this federation.yaml first.",
    )


def connections(ec2: Any, service: str, client: ClientAccount, home: str) -> list[Connection]:
    """Return the connections to a service that come from a client's account and Region."""
    pages = ec2.get_paginator("describe_vpc_endpoint_connections").paginate(
        Filters=[{"Name": "service-id", "Values": [service]}]
    )
    return [
        each
        for page in pages
        for each in page["VpcEndpointConnections"]
        if each["VpcEndpointOwner"] == client.account and each.get("VpcEndpointRegion", home) == client.region
    ]


def _not_one(client: ClientAccount, service: str, there: list[str], waiting: list[str]) -> FedstackError:
    if not there and not waiting:
        return FedstackError(
            ExitCode.CONFIG,
            f"No endpoint of account {client.account} in {client.region} asks for a connection.",
            f"Let the owner of {client.name} deploy its stack with the output EndpointService.",
        )
    return FedstackError(
        ExitCode.CONFIG,
        f"Account {client.account} has {', '.join([*there, *waiting])} at {service}, and a client has one.",
        f"Ask its owner which is its stack's, and reject the others: aws ec2 "
        f"reject-vpc-endpoint-connections --service-id {service} --vpc-endpoint-ids ID.",
    )
