"""The private doors to AWS's APIs: are they open, named, and policed as the template says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cdk_app.preflight.account import Described
from cdk_app.preflight.checks.existing_vpc import existing_vpc
from cdk_app.preflight.deployed import Resource
from cdk_app.preflight.policies import differences
from cdk_app.preflight.side import DEPLOY, Side, is_of_the_server
from runtime.server.preflight.findings import Problem

ENDPOINT: Final = "AWS::EC2::VPCEndpoint"
_KICKOFF: Final = "KickoffEndpoint"
_RESOLVERS: Final = "PrivateDnsOnlyForInboundResolverEndpoint"
_INBOUND_ONLY: Final = {"AllResolvers": False, "OnlyInboundResolver": True}
"""What CloudFormation calls it, and EC2's API."""
_LISTS: Final = {"SubnetIds": "SubnetIds", "RouteTableIds": "RouteTableIds", "SecurityGroupIds": "Groups"}


def endpoints(side: Side) -> Iterator[Problem | str]:
    """Compare each endpoint with the template: state, service, place, names, groups and policy."""
    there = side.account.of_vpc("describe_vpc_endpoints", "VpcEndpoints", side.vpc_id)
    by_id = {each["VpcEndpointId"]: each for each in there}
    names = []
    for endpoint in side.stack().resources(ENDPOINT):
        live = by_id.get(endpoint.physical_id)
        service = str(endpoint.properties["ServiceName"])
        names.append(service.split(".", 3)[-1])
        if live is None or str(live["State"]).lower() in ("deleting", "deleted"):
            what = f"The endpoint {endpoint.physical_id} of {service} is not there."
            yield Problem(
                side.owner, what, "Deploy the stack under another name of it, or make the endpoint again."
            )
            continue
        for difference in _differences(endpoint, live):
            yield Problem(
                side.owner, f"The endpoint {endpoint.physical_id} of {service}: {difference}.", DEPLOY
            )
    if side.place.vpc is not None:
        yield from existing_vpc(side, side.place.vpc, there)
    yield ", ".join(names) or "none of ours"
    yield from _kickoff_endpoint(side)


def _kickoff_endpoint(side: Side) -> Iterator[Problem | str]:
    """Compare what the server was told of the way to a broker in another Region with what the stack says."""
    name = next((o["OutputValue"] for o in side.stack().outputs if o["OutputKey"] == _KICKOFF), None)
    if side.client is None or name is None:
        return
    if side.client.kickoff_endpoint not in (None, name):
        yield Problem(
            side.server,
            f"The server was told the kickoff endpoint {side.client.kickoff_endpoint}; it is {name}.",
            "Put that into kickoff_endpoint of this client, `make synth`, deploy the server's stack.",
        )
    yield f"the server calls {name}"


def _differences(endpoint: Resource, live: Described) -> Iterator[str]:
    said = endpoint.properties
    if str(live["State"]).lower() != "available" and not is_of_the_server(endpoint):  # checks/privatelink.py
        yield f"it is {live['State']}"
    if live["ServiceName"] != said["ServiceName"]:
        yield f"it is one of {live['ServiceName']}"
    if "PrivateDnsEnabled" in said and bool(live.get("PrivateDnsEnabled")) is not bool(
        said["PrivateDnsEnabled"]
    ):
        yield f"its private DNS name is {'on' if live.get('PrivateDnsEnabled') else 'off'}"
    resolvers = _INBOUND_ONLY.get(said.get("DnsOptions", {}).get(_RESOLVERS))
    if resolvers is not None and live.get("DnsOptions", {}).get(_RESOLVERS, resolvers) is not resolvers:
        yield f"{_RESOLVERS} is {not resolvers}, and the template says {resolvers}"
    for key, of_live in _LISTS.items():
        if key not in said:
            continue
        is_there = {each["GroupId"] if isinstance(each, dict) else each for each in live.get(of_live, [])}
        if missing := set(said[key]) - is_there:
            yield f"it is not in {', '.join(sorted(missing))}"
        if more := is_there - set(said[key]):
            yield f"it is also in {', '.join(sorted(more))}"
    if "PolicyDocument" in said:
        for difference in differences(live.get("PolicyDocument"), said["PolicyDocument"]):
            yield f"of its policy, {difference}"
