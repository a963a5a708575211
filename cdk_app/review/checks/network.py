"""The doors of a client's network: who may dial in, whom its own may dial, and the one way to the server."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cdk_app.config.types import LARGEST_PREFIX, PRIVATE
from cdk_app.review.reading.parts import Parts
from cdk_app.review.reading.template import Resource
from runtime.contract import LINK_PORT

HTTPS: Final = 443
_NOWHERE: Final = "255.255.255.255/32"
"""How CDK writes a group that may dial nobody."""

_SERVICE: Final = re.compile(r"(?:cn\.)?com\.amazonaws\.vpce\.[a-z0-9-]+\.vpce-svc-[0-9a-f]{8,17}")


@dataclass(frozen=True)
class Door:
    """One rule of a security group."""

    group: str
    way: str
    cidr: str
    ports: tuple[Any, Any]
    protocol: str

    @property
    def is_https(self) -> bool:
        """Whether it is TCP on 443 alone."""
        return self.protocol == "tcp" and self.ports == (HTTPS, HTTPS)


class Network:
    """A client's network as its template makes it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._template = parts.template
        self.vpc = next(iter(self._template.of_kind("EC2::VPC")), None)
        self.server_cidr = str(next(self._route_cidrs(), ""))
        self.by_link = bool(parts.links)
        self.doors = [
            door for group in self._template.of_kind("EC2::SecurityGroup") for door in self._doors(group)
        ]

    @property
    def cidr(self) -> str | None:
        """The network's own block, where it is this template's."""
        return None if self.vpc is None else self.vpc.properties.get("CidrBlock")

    def check(self) -> None:
        """Object to every door that the reviewed network does not have."""
        self._check_routes()
        self._check_peering()
        subnets = {self._template.reference(subnet.name) for subnet in self._template.of_kind("EC2::Subnet")}
        if self.vpc is not None and not set(self._parts.values["subnet"]) <= subnets:
            self._template.object("the training job", "It runs in a subnet that is not of this template.")
        for subnet in self._template.of_kind("EC2::Subnet"):
            if subnet.properties.get("MapPublicIpOnLaunch") not in (False, None):
                self._template.object(subnet.name, "Whatever starts in this subnet gets a public address.")
        uses = self._group_uses()
        for door in self.doors:
            self._check_door(door, uses.get(door.group, set()))
        self._check_endpoints()
        self._check_link()
        self._check_notebook()

    def _doors(self, group: Resource) -> Iterator[Door]:
        for way in ("Ingress", "Egress"):
            for rule in group.properties.get(f"SecurityGroup{way}", []):
                unknown = set(rule) - {"CidrIp", "Description", "FromPort", "ToPort", "IpProtocol"}
                if unknown or "CidrIp" not in rule:
                    self._template.object(
                        group.name,
                        f"A rule of it is not from or to one IPv4 block: {', '.join(sorted(rule))}.",
                    )
                ports = (rule.get("FromPort"), rule.get("ToPort"))
                yield Door(group.name, way, str(rule.get("CidrIp")), ports, str(rule.get("IpProtocol")))
        if "SecurityGroupEgress" not in group.properties:
            self._template.object(group.name, "It names nobody whom it may dial, which for AWS is everybody.")

    def _route_cidrs(self) -> Iterator[Any]:
        for route in self._template.of_kind("EC2::Route"):
            yield route.properties.get("DestinationCidrBlock")

    def _check_routes(self) -> None:
        peerings = {
            self._template.reference(p.name) for p in self._template.of_kind("EC2::VPCPeeringConnection")
        }
        for route in self._template.of_kind("EC2::Route"):
            cidr = str(route.properties.get("DestinationCidrBlock"))
            if route.properties.get("VpcPeeringConnectionId") not in peerings or cidr != self.server_cidr:
                self._template.object(
                    route.name, f"It leads to {cidr} on another way than the peering with the server."
                )
        if self.by_link or not self._template.of_kind("EC2::VPCPeeringConnection"):
            return  # nothing is routed here
        if not _is_private(self.server_cidr):
            self._template.object(
                "routes", f"{self.server_cidr or 'nothing'} is no private block of a server's network."
            )

    def _check_peering(self) -> None:
        values = self._parts.values
        accepter = (
            f"arn:{self._template.partition}:iam::{values.get('server')}:role{values.get('server_roles')}"
            f"FL-accept-peering-{values.get('federation')}-{values.get('client')}"
        )
        for peering in self._template.of_kind("EC2::VPCPeeringConnection"):
            if peering.properties.get("PeerRoleArn") != accepter:
                self._template.object(peering.name, f"It is not accepted by {accepter}.")
            if self.vpc and peering.properties.get("VpcId") != self._template.reference(self.vpc.name):
                self._template.object(peering.name, "It opens another network than this template's.")

    def _group_uses(self) -> dict[str, set[str]]:
        """Return what each security group is put on: `job`, `notebook`, `serving`, an endpoint's service."""
        uses: dict[str, set[str]] = {}

        def use(group_id: Any, what: str) -> None:
            group = self._parts.group(group_id)
            if group is None:
                shown = self._template.show(str(group_id))
                self._template.object(
                    what, f"It has the security group {shown}, which is not in this template."
                )
            else:
                uses.setdefault(group.name, set()).add(what)

        use(self._parts.values.get("job_group"), "job")
        for notebook in self._template.of_kind("SageMaker::NotebookInstance"):
            for group_id in notebook.properties.get("SecurityGroupIds", []):
                use(group_id, "notebook")
        for model in self._template.of_kind("SageMaker::Model"):
            for group_id in model.properties.get("VpcConfig", {}).get("SecurityGroupIds", []):
                use(group_id, "serving")
        for endpoint in self._template.of_kind("EC2::VPCEndpoint"):
            for group_id in endpoint.properties.get("SecurityGroupIds", []):
                service = str(endpoint.properties.get("ServiceName")).rpartition(".")[2]
                use(group_id, "endpoint link" if endpoint in self._parts.links else f"endpoint {service}")
        return uses

    def _check_door(self, door: Door, uses: set[str]) -> None:
        if not uses or not all(self._allowed(door, use) for use in uses):
            first, last = door.ports
            what = f"{door.protocol} {first}" if first == last else f"{door.protocol} {first}-{last}"
            way = f"in from {door.cidr}" if door.way == "Ingress" else f"out to {door.cidr}"
            of = " and ".join(sorted(uses)) or "nothing that this review knows"
            self._template.object(
                door.group, f"It lets {what} {way}, which the boundary of a group for {of} does not."
            )

    def _allowed(self, door: Door, use: str) -> bool:
        """Whether a door is among those that the reviewed network has."""
        if door.way == "Egress":
            if use.startswith("endpoint"):
                return door.cidr == _NOWHERE
            to_server = door.cidr == self.link_cidr and door.ports == (LINK_PORT, LINK_PORT)
            # S3's gateway is a route, not an address; an isolated subnet has no other way out on 443.
            return door.is_https or (use == "job" and door.protocol == "tcp" and to_server)
        if use == "endpoint link":  # its own jobs, on the one port
            return door.protocol == "tcp" and door.ports == (LINK_PORT,) * 2 and door.cidr == self.link_cidr
        callers = {"endpoint states": {self.server_cidr}}.get(use, {self.cidr})
        return use.startswith("endpoint") and door.is_https and door.cidr in callers

    def _check_endpoints(self) -> None:
        for endpoint in self._template.of_kind("EC2::VPCEndpoint"):
            if endpoint.properties.get("VpcEndpointType") not in ("Gateway", "Interface"):
                self._template.object(endpoint.name, "It is no gateway and no interface endpoint.")

    @property
    def link_cidr(self) -> str:
        """Where the link's port is: the server's network, or by PrivateLink this network's own endpoint.

        Where neither is of this template, it is the one block that the job may dial on that port.
        """
        if self.server_cidr and not self.by_link:
            return self.server_cidr
        if self.by_link and self.cidr is not None:
            return str(self.cidr)
        group = self._parts.group(self._parts.values.get("job_group"))
        dialled = [
            door.cidr
            for door in self.doors
            if group is not None and (door.group, door.way) == (group.name, "Egress") and not door.is_https
        ]
        return dialled[0] if len(dialled) == 1 and _is_private(dialled[0]) else ""

    def _check_link(self) -> None:
        """Object to a link endpoint that the job is not pinned to, or the reverse, or in another network."""
        host = self._parts.values.get("link_host")
        if bool(host) != self.by_link:
            said = self._template.show(str(host)) if host else "the address that the server says"
            self._template.object(
                "the training job", f"It dials {said}, which is no endpoint of this template."
            )
        told = self._template.symbol("parameter EndpointService")
        for endpoint in self._parts.links:
            service = str(endpoint.properties.get("ServiceName"))
            if service != told and not _SERVICE.fullmatch(service):
                self._template.object(endpoint.name, f"It is an endpoint of {service}, no endpoint service.")
            if host and host != self._template.dns_name(endpoint.name):
                self._template.object("the training job", f"It does not dial {endpoint.name}.")
            if endpoint.properties.get("PrivateDnsEnabled") is not False:
                self._template.object(endpoint.name, "It takes a name in this network's DNS.")
            if self.vpc and endpoint.properties.get("VpcId") != self._template.reference(self.vpc.name):
                self._template.object(endpoint.name, "It opens another network than this template's.")

    def _check_notebook(self) -> None:
        for notebook in self._template.of_kind("SageMaker::NotebookInstance"):
            if notebook.properties.get("DirectInternetAccess") != "Disabled":
                self._template.object(notebook.name, "The notebook has direct access to the internet.")
            scripts = self._template.of_kind("SageMaker::NotebookInstanceLifecycleConfig")
            ours = {self._template.reference(script.name) for script in scripts}
            if notebook.properties.get("LifecycleConfigName") not in ours:
                self._template.object(notebook.name, "It starts with a script that is not in this template.")
            if notebook.properties.get("RootAccess") != "Disabled":
                self._template.object(notebook.name, "Who uses the notebook is root there.")
            if notebook.properties.get("KmsKeyId") is None or "SubnetId" not in notebook.properties:
                self._template.object(
                    notebook.name, "The notebook's volume has no key, or it is in no subnet of ours."
                )


def _is_private(cidr: str) -> bool:
    try:
        block = ipaddress.IPv4Network(cidr)
    except ValueError:
        return False
    return block.prefixlen >= LARGEST_PREFIX and any(block.subnet_of(private) for private in PRIVATE)
