"""What every check gets: the federation, which side of it this is, and that side's account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from cdk_app.config.models import ClientAccount, Federation, ServerAccount
from cdk_app.naming import ClientNames, ServerNames, server_peer_stack
from cdk_app.preflight.account import Account, Described
from cdk_app.preflight.deployed import DeployedStack, Resource
from runtime.parallel import at_once
from runtime.server.preflight.caller import Caller
from runtime.server.preflight.findings import NotCheckedError, Owner

DEPLOY: Final = "Put it back as the template says; deploying again mends it only where the template changed."


def blocks_of(end: Described) -> list[str]:
    """Return the addresses of one end of a peering."""
    listed = [str(each["CidrBlock"]) for each in end.get("CidrBlockSet", [])]
    return listed or [str(end["CidrBlock"])] if end.get("CidrBlock") else listed


def is_of_the_server(endpoint: Resource) -> bool:
    """Whether an endpoint leads to the server's service, not to one of AWS's own."""
    name = str(endpoint.properties["ServiceName"])
    return name.removeprefix("cn.").startswith("com.amazonaws.vpce.")


@dataclass
class Side:
    """One side of a federation.

    Parameters
    ----------
    client
        Which client; None for the server.
    assembly, bundles
        Where `make synth` and `make bundle` have written.
    """

    federation: Federation
    client: ClientAccount | None
    account: Account
    caller: Caller
    assembly: Path
    bundles: Path
    server_names: ServerNames = field(init=False)

    def __post_init__(self) -> None:
        self.server_names = self.federation.server_names

    @property
    def place(self) -> ServerAccount | ClientAccount:
        """Return what the federation file says of this side's account."""
        return self.client or self.federation.server

    @property
    def owner(self) -> Owner:
        """Return who this side is."""
        return self.server if self.client is None else self.owner_of(self.client)

    @property
    def server(self) -> Owner:
        """Return the server as an owner."""
        return Owner("server", self.federation.server.account, is_server=True)

    @staticmethod
    def owner_of(client: ClientAccount) -> Owner:
        """Return a client as an owner."""
        return Owner(client.name, client.account)

    def names_of(self, client: ClientAccount) -> ClientNames:
        """Return the names that a client's account has."""
        return self.federation.names_of(client)

    @property
    def stack_name(self) -> str:
        """Return the name of this side's own stack."""
        return self.server_names.stack if self.client is None else self.names_of(self.client).stack

    def stack_names(self) -> Iterator[str]:
        """Yield the names of all stacks that this side deploys."""
        yield self.stack_name
        if self.client is None:
            yield from (self.peer_stack_name(client) for client in self.routed)

    def peer_stack_name(self, client: ClientAccount) -> str:
        """Return the name of the stack that the server deploys for one client."""
        return server_peer_stack(self.server_names, client.name)

    def stack(self) -> DeployedStack:
        """Return this side's own stack; without one, what needs it cannot be checked."""
        return self._deployed(self.stack_name)

    def stacks(self) -> Iterator[DeployedStack]:
        """Yield those stacks of this side that are deployed, its own first."""
        own = self.stack()
        yield own
        for peer in at_once(self.account.stack, list(self.stack_names())[1:]):
            if peer is not None:
                peer.imports = own.exports
                yield peer

    def peer_stack(self, client: ClientAccount) -> DeployedStack:
        """Return the server's stack for one client."""
        return self._deployed(self.peer_stack_name(client))

    def _deployed(self, name: str) -> DeployedStack:
        if (stack := self.account.stack(name)) is None:
            raise NotCheckedError(f"the stack {name} is not deployed")
        return stack

    @property
    def peers(self) -> tuple[ClientAccount, ...]:
        """Return the clients whose peerings this side sees: all that peer, or itself if it does."""
        return self._reached_by("peering")

    @property
    def routed(self) -> tuple[ClientAccount, ...]:
        """Return the clients whose packets are routed to the server, over a peering or otherwise."""
        return self._reached_by("peering", "existing")

    @property
    def linked(self) -> tuple[ClientAccount, ...]:
        """Return the clients that come by PrivateLink."""
        return self._reached_by("privatelink")

    def _reached_by(self, *ways: str) -> tuple[ClientAccount, ...]:
        seen = self.federation.clients if self.client is None else (self.client,)
        return tuple(client for client in seen if self.federation.reached_by(client) in ways)

    def link_ends(self) -> Iterator[tuple[ClientAccount, str]]:
        """Yield each client with the block that this side sees as the link's other end.

        By PrivateLink that is this side's own network: the client's endpoint, or the load balancer.
        """
        yield from ((client, self.far_cidr(client)) for client in self.routed)
        yield from ((client, self.place.cidr) for client in self.linked)

    def link_endpoints(self) -> Iterator[Resource]:
        """Yield the endpoint of this side's stack that leads to the server's service."""
        for endpoint in self.stack().resources("AWS::EC2::VPCEndpoint"):
            if is_of_the_server(endpoint):
                yield endpoint

    @cached_property
    def vpc_id(self) -> str:
        """The VPC that this side's stack made, or that its owner brought."""
        if self.place.vpc is not None:
            return self.place.vpc.vpc_id
        vpc = self.stack().resource("AWS::EC2::VPC")
        if vpc is None:
            raise NotCheckedError("the stack has no VPC")
        return vpc.physical_id

    @cached_property
    def subnet_ids(self) -> list[str]:
        """The subnets of jobs, or of the server."""
        if self.place.vpc is not None:
            return list(self.place.vpc.subnet_ids)
        return [subnet.physical_id for subnet in self.stack().resources("AWS::EC2::Subnet")]

    def peering_of(self, client: ClientAccount) -> Described | None:
        """Return a client's peering with the server's VPC, the active one before those that are over."""
        found = [p for p in self.account.peerings if self._is_of(client, p)]
        found.sort(key=lambda p: p["Status"]["Code"] != "active")
        return found[0] if found else None

    def far_cidr(self, client: ClientAccount) -> str:
        """Return the addresses of the other end of a client's peering: as they are, else as the file says."""
        end, said = (
            ("AccepterVpcInfo", self.federation.server.cidr)
            if self.client is not None
            else ("RequesterVpcInfo", client.cidr)
        )
        blocks = blocks_of((self.peering_of(client) or {}).get(end, {}))
        return blocks[0] if blocks and said not in blocks else said

    def _is_of(self, client: ClientAccount, peering: Described) -> bool:
        requester, accepter = peering.get("RequesterVpcInfo", {}), peering.get("AccepterVpcInfo", {})
        mine = requester if self.client is not None else accepter
        return (
            (requester.get("OwnerId"), requester.get("Region")) == (client.account, client.region)
            and (accepter.get("OwnerId"), accepter.get("Region"))
            == (self.federation.server.account, self.federation.server.region)
            and mine.get("VpcId") == self.vpc_id
        )
