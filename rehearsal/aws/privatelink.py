"""PrivateLink between accounts: who may connect, who accepts, and the bytes that then pass.

Source: AWS PrivateLink Guide, "Share your services". An endpoint's name is a loopback address here, since
nothing looks names up, and its port is open for as long as AWS runs; each connection is let through, or
cut, by what holds at that moment: accepted, rules of security groups, a listener, and a registered target.
"""

from __future__ import annotations

import ipaddress
import random
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends

from cdk_app.regions import interface_service, partition, service_of
from rehearsal.aws.errors import AwsError
from rehearsal.aws.protocol import Call

_NAME: Final = re.compile(
    r"(?:cn\.)?com\.amazonaws\.vpce\.(?P<region>[a-z0-9-]+)\.(?P<id>vpce-svc-[0-9a-f]+)"
)
_WAITING: Final = "pendingAcceptance"


def is_of_a_customer(call: Call) -> bool:
    """Whether an endpoint is asked for that leads to a customer's service: those to AWS's own are moto's."""
    name, region = str(call.parameters.get("ServiceName")), call.parameters.get("ServiceRegion", call.region)
    ours = _NAME.fullmatch(name)
    service = service_of(name, region)
    gateway = f"com.amazonaws.{region}.{service}" if service in ("s3", "dynamodb") else None
    if ours is None and name not in (interface_service(service, region), gateway):
        raise _no_such(name)
    return ours is not None


class PrivateLink:
    """The endpoint services of all accounts, and the endpoints that lead to them."""

    def __init__(self) -> None:
        self._listeners: list[socket.socket] = []

    def create(self, call: Call) -> Mapping[str, Any]:
        """CreateVpcEndpoint, to a customer's service: only an account that the service lists finds it."""
        asked, account, region = call.parameters, call.principal.account, call.region
        found = _service(asked["ServiceName"])
        if found is None or not _may_ask(found[1], account, region, asked.get("ServiceRegion", region)):
            raise _no_such(asked["ServiceName"])
        if asked.get("PrivateDnsEnabled", True):
            raise _invalid(f"{asked['ServiceName']} has no private DNS name to be switched on")
        owner, service = found
        _check_zones(service, owner, account, region, asked.get("SubnetIds", []))
        groups = asked.get("SecurityGroupIds", [])
        made = ec2_backends[account][region].create_vpc_endpoint(
            vpc_id=asked["VpcId"],
            service_name=asked["ServiceName"],
            endpoint_type=asked["VpcEndpointType"],
            policy_document=None,
            route_table_ids=[],
            subnet_ids=asked.get("SubnetIds", []),
            security_group_ids=groups,
            private_dns_enabled=False,
        )
        made.state = _WAITING if service.acceptance_required else "available"
        address = self._listen(account, region, made.id, _ports(owner, service))
        made.dns_entries = [{"DnsName": address, "HostedZoneId": "ZONE0RE"}]
        return {"VpcEndpoint": _described(made, account)}

    def connections(self, call: Call) -> Mapping[str, Any]:
        """DescribeVpcEndpointConnections: whoever's endpoints that lead to the caller's services."""
        wanted = {each["Name"]: each["Values"] for each in call.parameters.get("Filters", [])}
        if unknown := wanted.keys() - {"service-id", "vpc-endpoint-owner", "vpc-endpoint-state"}:
            raise _invalid(f"The rehearsal filters no connections by {sorted(unknown)}")
        found = [
            {
                "ServiceId": service,
                "VpcEndpointId": endpoint.id,
                "VpcEndpointOwner": owner,
                "VpcEndpointState": endpoint.state,
                "VpcEndpointRegion": region,
                "CreationTimestamp": endpoint.creation_timestamp,
            }
            for service in ec2_backends[call.principal.account][call.region].configurations
            for owner, region, endpoint in _endpoints_of(service)
        ]
        of = {
            "service-id": "ServiceId",
            "vpc-endpoint-owner": "VpcEndpointOwner",
            "vpc-endpoint-state": "VpcEndpointState",
        }
        return {
            "VpcEndpointConnections": [
                each for each in found if all(each[of[name]] in values for name, values in wanted.items())
            ]
        }

    def accept(self, call: Call) -> Mapping[str, Any]:
        """AcceptVpcEndpointConnections, which the service's own account alone can."""
        return _decide(call, {_WAITING, "rejected"}, "available")

    def reject(self, call: Call) -> Mapping[str, Any]:
        """RejectVpcEndpointConnections."""
        return _decide(call, {_WAITING, "available"}, "rejected")

    def delete_services(self, call: Call) -> Mapping[str, Any]:
        """DeleteVpcEndpointServiceConfigurations: not while anybody is connected."""
        backend = ec2_backends[call.principal.account][call.region]
        unsuccessful = []
        for service in call.parameters["ServiceIds"]:
            if any(e.state in (_WAITING, "available") for _, _, e in _endpoints_of(service)):
                code, why = "ExistingVpcEndpointConnections", "has existing active VPC endpoint connections"
            elif backend.delete_vpc_endpoint_service_configurations([service]):
                code, why = "InvalidVpcEndpointService.NotFound", "does not exist"
            else:
                continue
            unsuccessful.append({"ResourceId": service, "Error": {"Code": code, "Message": why}})
        return {"Unsuccessful": unsuccessful}

    def close(self) -> None:
        """Let nobody through any more."""
        for listener in self._listeners:
            listener.close()

    def _listen(self, account: str, region: str, endpoint: str, ports: list[int]) -> str:
        """Open an endpoint's ports on an address of its own; return the address."""
        for _ in range(20):
            address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
            try:
                listeners = [(port, socket.create_server((address, port))) for port in ports]
            except OSError:
                continue
            for port, listener in listeners:
                self._listeners.append(listener)
                asked = (listener, account, region, endpoint, port)
                threading.Thread(target=_pass_on, args=asked, daemon=True).start()
            return address
        raise AwsError("InternalError", "This machine's loopback has no address for an endpoint.", 500)


def _service(name: str) -> tuple[str, Any] | None:
    """Return whose an endpoint service is, and the service, by its name."""
    if found := _NAME.fullmatch(name):
        for account in list(ec2_backends):
            services = ec2_backends[account][found["region"]].configurations
            if found["id"] in services:
                return account, services[found["id"]]
    return None


def _may_ask(service: Any, account: str, region: str, service_region: str) -> bool:
    home = service.ec2_backend.region_name
    if service_region != home or (region != home and region not in service._supported_region_names):
        return False
    return f"arn:{partition(region)}:iam::{account}:root" in service.principals or "*" in service.principals


def _check_zones(service: Any, owner: str, account: str, region: str, subnets: list[str]) -> None:
    """Refuse a zone of the service's own Region that its load balancer is not in."""
    if region != service.ec2_backend.region_name:
        return
    has = {ec2_backends[owner][region].get_subnet(s).availability_zone for s in _subnets(service, owner)}
    asked = {ec2_backends[account][region].get_subnet(subnet).availability_zone for subnet in subnets}
    if missing := sorted(asked - has):
        raise _invalid(
            f"The VPC endpoint service {service.service_name} does not support the zone {missing[0]}"
        )


def _subnets(service: Any, owner: str) -> Iterator[str]:
    for balancer in _balancers(service, owner):
        yield from (subnet.id for subnet in balancer.subnets)


def _balancers(service: Any, owner: str) -> list[Any]:
    there = elbv2_backends[owner][service.ec2_backend.region_name].load_balancers
    return [there[arn] for arn in service.network_load_balancer_arns if arn in there]


def _ports(owner: str, service: Any) -> list[int]:
    listeners = [each for b in _balancers(service, owner) for each in b.listeners.values()]
    return sorted({int(each.port) for each in listeners})


def _endpoints_of(service_id: str) -> Iterator[tuple[str, str, Any]]:
    for account in list(ec2_backends):
        for region, backend in list(ec2_backends[account].items()):
            for endpoint in list(backend.vpc_end_points.values()):
                if endpoint.service_name.endswith(f".{service_id}") and endpoint.state != "deleted":
                    yield account, region, endpoint


def _decide(call: Call, before: set[str], after: str) -> Mapping[str, Any]:
    service, asked = call.parameters["ServiceId"], call.parameters["VpcEndpointIds"]
    if service not in ec2_backends[call.principal.account][call.region].configurations:
        raise AwsError("InvalidVpcEndpointServiceId.NotFound", f"The service {service} does not exist")
    endpoints = {endpoint.id: endpoint for _, _, endpoint in _endpoints_of(service)}
    unsuccessful = []
    for name in asked:
        if name not in endpoints or endpoints[name].state not in before:
            code = "InvalidVpcEndpointId.NotFound" if name not in endpoints else "InvalidState"
            error = {"Code": code, "Message": f"{name} cannot become {after}"}
            unsuccessful.append({"ResourceId": name, "Error": error})
        else:
            endpoints[name].state = after
    return {"Unsuccessful": unsuccessful}


def _described(endpoint: Any, account: str) -> dict[str, Any]:
    return {
        "VpcEndpointId": endpoint.id,
        "VpcEndpointType": endpoint.vpc_endpoint_type,
        "VpcId": endpoint.vpc_id,
        "ServiceName": endpoint.service_name,
        "State": endpoint.state,
        "SubnetIds": endpoint.subnet_ids,
        "Groups": endpoint.groups,
        "PrivateDnsEnabled": False,
        "DnsEntries": endpoint.dns_entries,
        "OwnerId": account,
    }


def _pass_on(listener: socket.socket, account: str, region: str, endpoint: str, port: int) -> None:
    """Let each connection through to the server behind a service, or cut it."""
    with suppress(OSError):  # the listener is closed
        while True:
            near, _ = listener.accept()
            far = None
            if (target := way(account, region, endpoint, port)) is not None:
                with suppress(OSError):  # nobody listens there
                    far = socket.create_connection(target)
            if far is None:
                near.close()
            else:
                _join(near, far)


def way(account: str, region: str, endpoint_id: str, port: int) -> tuple[str, int] | None:
    """Return where a connection to an endpoint ends by now; None where it ends at once."""
    ec2 = ec2_backends[account][region]
    endpoint = ec2.vpc_end_points[endpoint_id]
    found = _service(endpoint.service_name)
    if endpoint.state != "available" or found is None:
        return None
    owner, service = found
    there, caller = ec2_backends[owner][service.ec2_backend.region_name], ec2.get_vpc(endpoint.vpc_id)
    if not _lets(ec2, endpoint.security_group_ids, caller.cidr_block, port):
        return None
    for balancer in _balancers(service, owner):
        listeners = [each for each in balancer.listeners.values() if int(each.port) == port]
        if listeners and _lets(there, balancer.security_groups, caller.cidr_block, port):
            groups = elbv2_backends[owner][service.ec2_backend.region_name].target_groups
            targets = groups[listeners[0].default_actions[0].data["TargetGroupArn"]].targets
            for target in targets.values():
                return str(target["Id"]), int(target["Port"])
    return None


def _lets(ec2: Any, groups: list[str], caller: str, port: int) -> bool:
    """Whether a rule of these security groups lets all of a network in on a port."""
    block = ipaddress.IPv4Network(caller)
    return any(
        block.subnet_of(ipaddress.IPv4Network(rule.ip_range["CidrIp"]))
        for group in groups
        for rule in ec2.get_security_group_from_id(group).ingress_rules
        if rule.ip_protocol == "tcp" and rule.from_port <= port <= rule.to_port and "CidrIp" in rule.ip_range
    )


def _join(near: socket.socket, far: socket.socket) -> None:
    """Carry bytes both ways until either end has enough."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    for ends in ((near, far), (far, near)):
        threading.Thread(target=pump, args=ends, daemon=True).start()


def _no_such(service: str) -> AwsError:
    return AwsError("InvalidServiceName", f"The Vpc Endpoint Service '{service}' does not exist")


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameter", message)
