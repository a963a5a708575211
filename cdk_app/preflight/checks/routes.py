"""The way from a client's job to the server, and back: the peering, and the routes of every subnet."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from cdk_app.config.models import ClientAccount
from cdk_app.preflight.account import Described
from cdk_app.preflight.side import Side
from runtime.server.preflight.findings import NotCheckedError, Problem


def peering(side: Side) -> Iterator[Problem | str]:
    """Look at the state of each peering, and at whether the server was told the right one."""
    for client in side.peers:
        found = side.peering_of(client)
        if found is None:
            yield Problem(
                side.owner_of(client),
                f"No peering connects {client.name} ({client.account}, {client.region}) with the server.",
                "Deploy the client's stack, with the output VpcId of the server's stack as its ServerVpcId.",
            )
            continue
        status, identity = found["Status"], found["VpcPeeringConnectionId"]
        if status["Code"] != "active":
            yield _not_active(side, client, identity, status)
            continue
        if side.client is None and (peer := side.account.stack(side.peer_stack_name(client))):
            told = peer.parameters.get("PeeringId") or client.peering_id
            if told != identity:
                yield Problem(
                    side.server,
                    f"{peer.name} was told the peering {told}; that of {client.name} is {identity}.",
                    f"Deploy it again with --parameters PeeringId={identity}.",
                )
        yield f"{client.name} {identity}"


def _not_active(side: Side, client: ClientAccount, identity: str, status: Described) -> Problem:
    """Say whose work it is: a peering ends in the account that AWS names; else its stack is the client's."""
    message = str(status.get("Message", ""))
    owner = side.server if side.federation.server.account in message else side.owner_of(client)
    return Problem(
        owner,
        f"The peering {identity} of {client.name} is {status['Code']}: {message}",
        "A peering that has ended cannot be opened again: destroy and deploy the client's stack, then the "
        "server's stack for that client with the new PeeringId.",
    )


def routes(side: Side) -> Iterator[Problem | str]:
    """Follow the routes of each subnet to the other side, as the most specific one decides."""
    tables = side.account.of_vpc("describe_route_tables", "RouteTables", side.vpc_id)
    for client in side.peers:
        found = side.peering_of(client)
        if found is None or found["Status"]["Code"] != "active":
            continue  # which is said already
        if side.client is None and side.account.stack(side.peer_stack_name(client)) is None:
            continue  # this too
        target = side.far_cidr(client)
        for subnet in side.subnet_ids:
            table = _table_of(subnet, tables)
            yield from _route(side, client, subnet, table, target, found["VpcPeeringConnectionId"])
        yield f"{target} from {len(side.subnet_ids)} subnets"
    for client in (client for client in side.routed if client not in side.peers):
        yield from _own_way(side, client, tables)


def _own_way(side: Side, client: ClientAccount, tables: list[Described]) -> Iterator[Problem | str]:
    """Look for the way that the networks' owners made: some route of every subnet that leads somewhere."""
    target = side.far_cidr(client)
    for subnet in side.subnet_ids:
        table = _table_of(subnet, tables)
        routes = [r for r in table["Routes"] if _covers(r, target) and r.get("GatewayId") != "local"]
        if not any(route.get("State", "active") == "active" for route in routes):
            yield Problem(
                side.owner,
                f"The route table {table['RouteTableId']} of {subnet} has no route to {target} "
                f"({_other(side, client)}) that leads somewhere, and connectivity is existing.",
                "Let the network's owner route it, to Transit Gateway or Cloud WAN (docs/privatelink.md).",
            )
    yield f"{target} on a way of the network's own"


def _covers(route: Described, target: str) -> bool:
    cidr = route.get("DestinationCidrBlock")
    return bool(cidr) and IPv4Network(target).subnet_of(IPv4Network(cidr))


def _table_of(subnet: str, tables: list[Described]) -> Described:
    """Return a subnet's own route table, or the VPC's main one."""
    own = [t for t in tables if any(a.get("SubnetId") == subnet for a in t["Associations"])]
    main = [t for t in tables if any(a.get("Main") for a in t["Associations"])]
    if not own and not main:
        raise NotCheckedError(f"{subnet} has no route table that can be seen")
    return (own or main)[0]


def _route(
    side: Side, client: ClientAccount, subnet: str, table: Described, target: str, peering_id: str
) -> Iterator[Problem]:
    block = IPv4Network(target)
    whole: list[Described] = []
    for route in table["Routes"]:
        cidr = route.get("DestinationCidrBlock")
        if not cidr:
            continue
        there = IPv4Network(cidr)
        if block.subnet_of(there):
            whole.append(route)
        elif there.subnet_of(block) and route.get("VpcPeeringConnectionId") != peering_id:
            yield _wrong_route(
                side, table, f"sends {cidr}, a part of {target}, to {_target(route)}", target, peering_id
            )
    best = max(whole, key=lambda r: IPv4Network(r["DestinationCidrBlock"]).prefixlen, default=None)
    if best is None:
        yield _wrong_route(
            side, table, f"of {subnet} has no route to {target} ({_other(side, client)})", target, peering_id
        )
    elif best.get("VpcPeeringConnectionId") != peering_id:
        yield _wrong_route(
            side,
            table,
            f"of {subnet} sends {target} to {_target(best)}, not to {peering_id}",
            target,
            peering_id,
        )
    elif best.get("State") == "blackhole":
        yield _wrong_route(
            side,
            table,
            f"of {subnet} has a route to {target} that leads nowhere (blackhole)",
            target,
            peering_id,
        )


def _wrong_route(side: Side, table: Described, what: str, target: str, peering_id: str) -> Problem:
    identity = table["RouteTableId"]
    return Problem(
        side.owner,
        f"The route table {identity} {what}.",
        f"aws ec2 create-route --route-table-id {identity} --destination-cidr-block {target} "
        f"--vpc-peering-connection-id {peering_id} (or replace-route, where one is there).",
    )


def _other(side: Side, client: ClientAccount) -> str:
    return client.name if side.client is None else "the server"


def _target(route: Described) -> str:
    names = [
        value for key, value in route.items() if key.endswith("Id") and not key.startswith("Destination")
    ]
    return str(names[0]) if names else "nowhere"
