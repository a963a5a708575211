"""The way by PrivateLink: is the service as its template says, and is each client's endpoint accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cdk_app.config.models import ClientAccount
from cdk_app.connections import OPEN, WAITING, connections
from cdk_app.preflight.side import DEPLOY, Side
from runtime.server.preflight.findings import Problem

SERVICE = "AWS::EC2::VPCEndpointService"
PERMISSIONS = "AWS::EC2::VPCEndpointServicePermissions"


def privatelink(side: Side) -> Iterator[Problem | str]:
    """Look at each connection by PrivateLink, from whichever end this side is."""
    if not side.linked:
        yield "no client comes by PrivateLink"
    elif side.client is None:
        yield from _service(side)
    else:
        yield from _endpoint(side, side.client)


def _service(side: Side) -> Iterator[Problem | str]:
    service = side.stack().resource(SERVICE)
    if service is None:
        yield Problem(side.server, f"The stack {side.stack_name} has no endpoint service.", DEPLOY)
        return
    identity = service.physical_id
    live = side.account.get("ec2", "describe_vpc_endpoint_service_configurations", ServiceIds=[identity])
    if live is None or not live["ServiceConfigurations"]:
        yield Problem(side.server, f"The endpoint service {identity} is not there.", DEPLOY)
        return
    if not live["ServiceConfigurations"][0]["AcceptanceRequired"]:
        yield Problem(side.server, f"{identity} lets whoever is listed in without being accepted.", DEPLOY)
    yield from _listed(side, identity)
    ec2, home = side.account.client("ec2"), side.place.region
    for client in side.linked:
        yield from _connection(side, client, connections(ec2, identity, client, home))
    yield "a run's server registers itself when it starts"


def _listed(side: Side, identity: str) -> Iterator[Problem]:
    """Find accounts that may ask though no template says so, and those that may not."""
    permissions = side.stack().resource(PERMISSIONS)
    said = set(permissions.properties["AllowedPrincipals"]) if permissions else set()
    found = side.account.all(
        "ec2", "describe_vpc_endpoint_service_permissions", "AllowedPrincipals", ServiceId=identity
    )
    there = {str(each["Principal"]) for each in found}
    for principal in sorted(there - said):
        yield Problem(side.server, f"{principal} may connect to {identity}, which no template says.", DEPLOY)
    for principal in sorted(said - there):
        yield Problem(side.server, f"{principal} may not connect to {identity}.", DEPLOY)


def _connection(side: Side, client: ClientAccount, found: list[Any]) -> Iterator[Problem | str]:
    states = {each["VpcEndpointId"]: str(each["VpcEndpointState"]) for each in found}
    waiting = [name for name, state in states.items() if state == WAITING]
    accepted = [name for name, state in states.items() if state == OPEN]
    if len(waiting) + len(accepted) > 1:
        yield Problem(
            side.server,
            f"Account {client.account} has {', '.join([*accepted, *waiting])}, and {client.name} has one.",
            "Ask its owner which is its stack's, and reject the others (docs/privatelink.md).",
        )
    elif waiting:
        yield _waits(side, client, waiting[0])
    elif not accepted:
        yield Problem(
            side.owner_of(client),
            f"No endpoint of {client.name} ({client.account}, {client.region}) is connected.",
            "Deploy the client's stack, with the output EndpointService of the server's stack.",
        )
    else:
        yield f"{client.name} {accepted[0]}"


def _endpoint(side: Side, client: ClientAccount) -> Iterator[Problem | str]:
    there = side.account.of_vpc("describe_vpc_endpoints", "VpcEndpoints", side.vpc_id)
    live = {each["VpcEndpointId"]: each for each in there}
    for endpoint in side.link_endpoints():
        state = str(live.get(endpoint.physical_id, {}).get("State", "deleted"))
        if state.lower() == WAITING.lower():
            yield _waits(side, client, endpoint.physical_id)
        elif state.lower() == "rejected":
            yield Problem(
                side.server,
                f"The server's operator rejected {endpoint.physical_id} of {client.name}.",
                "Agree with the operator; then `fedstack accept` with the server's credentials.",
            )
        else:
            yield f"{endpoint.physical_id} is {state}"


def _waits(side: Side, client: ClientAccount, endpoint: str) -> Problem:
    return Problem(
        side.server,
        f"{endpoint} of {client.name} ({client.account}) waits to be accepted.",
        f"`fedstack accept {client.name}` with the server's credentials.",
    )
