"""What a network that an owner brought must have by itself: the stack adds no endpoint to it."""

from __future__ import annotations

from collections.abc import Iterator

from cdk_app.config.own import ExistingVpc
from cdk_app.preflight.account import Described
from cdk_app.preflight.side import Side
from cdk_app.regions import interface_service
from runtime.contract import Updates
from runtime.server.preflight.findings import Problem

_ADVICE = "(docs/deploy.md, Bring your own)."


def existing_vpc(side: Side, vpc: ExistingVpc, there: list[Described]) -> Iterator[Problem]:
    """Find what is lacking: S3's gateway on every table, and by name each API that is called from there.

    Where every table leads out (a NAT gateway, a proxy, Transit Gateway), that way is taken to reach them.
    """
    open_ = [endpoint for endpoint in there if str(endpoint["State"]).lower() == "available"]
    ours = _tables(side, vpc)
    for identity in dict.fromkeys(vpc.route_table_ids):
        if identity not in ours:
            yield Problem(
                side.owner,
                f"The VPC {side.vpc_id} has no route table {identity}.",
                "Correct vpc.route_table_ids in federation.yaml, and deploy again.",
            )
    if leads_out(side):
        return
    yield from _gateway(side, open_, list(ours))
    named = {endpoint["ServiceName"] for endpoint in open_ if endpoint.get("PrivateDnsEnabled")}
    for name, needed_for in _needed(side).items():
        if name not in named:
            yield Problem(
                side.owner,
                f"{side.vpc_id} has no endpoint of {name} with a private DNS name: {needed_for}.",
                f"Add an interface endpoint of it {_ADVICE}",
            )


def leads_out(side: Side) -> bool:
    """Whether this is a network that an owner brought, and every route table of it leads out."""
    ours = {} if side.place.vpc is None else _tables(side, side.place.vpc)
    return bool(ours) and all(map(_leads_out, ours.values()))


def _tables(side: Side, vpc: ExistingVpc) -> dict[str, Described]:
    tables = side.account.of_vpc("describe_route_tables", "RouteTables", side.vpc_id)
    return {table["RouteTableId"]: table for table in tables if table["RouteTableId"] in vpc.route_table_ids}


def _gateway(side: Side, open_: list[Described], tables: list[str]) -> Iterator[Problem]:
    name = f"com.amazonaws.{side.place.region}.s3"
    gateways = [e for e in open_ if e["ServiceName"] == name and e["VpcEndpointType"] == "Gateway"]
    routed = {table for gateway in gateways for table in gateway.get("RouteTableIds", [])}
    if missing := set(tables) - routed:
        what = "the notebook cannot read its bundle" if side.client is None else "jobs cannot read their data"
        yield Problem(
            side.owner,
            f"No S3 gateway endpoint serves {', '.join(sorted(missing))}: {what}.",
            f"Add one to those route tables {_ADVICE}",
        )


def _needed(side: Side) -> dict[str, str]:
    """Return the interface endpoints that are called from the network, and what for."""
    region, client = side.place.region, side.client
    found: dict[str, str] = {}
    if client is not None:
        if client.privacy.updates is Updates.SUMS:
            found[interface_service("kms", region)] = "no job can sign"
        if client.notebook_type is not None:
            found[interface_service("sagemaker.api", region)] = "the notebook cannot stop itself"
        return found
    clients = side.federation.clients
    found[interface_service("sts", region)] = "the notebook can take no kickoff role"
    found[interface_service("sagemaker.api", region)] = "the notebook cannot stop itself"
    if any(c.kickoff == "broker" and c.region == region for c in clients):
        found[interface_service("states", region)] = "the notebook can call no broker"
    if any(c.kickoff == "direct" for c in clients):
        found[interface_service("ssm", region)] = "the notebook cannot read the jobs of direct kickoff"
    if side.linked:
        found[interface_service("elasticloadbalancing", region)] = "no run can register its server"
    for away in sorted({c.region for c in clients} - {region}):
        found[interface_service("s3", away)] = f"the notebook cannot read the mailboxes in {away}"
    return found


def _leads_out(table: Described) -> bool:
    return any(
        route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State", "active") == "active"
        for route in table["Routes"]
    )
