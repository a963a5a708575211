"""Networks: VPC, subnets, routes, endpoints, flow logs."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from rehearsal.aws.cloudformation.handler import Handler, Made, Properties, picked, tags


class Ec2Handler(Handler):
    """What EC2's types have in common: tags."""

    def tagged(self, kind: str, properties: Properties) -> dict[str, Any]:
        """Return the argument that tags a new resource."""
        found = tags(properties)
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": found}]} if found else {}

    def retag(self, made: Made, new: Properties) -> Made:
        """Put a resource's tags on it anew."""
        self.client("ec2").create_tags(Resources=[made.physical_id], Tags=tags(new))
        return made


class Vpc(Ec2Handler, type_name="AWS::EC2::VPC"):
    """A VPC."""

    mutable: ClassVar = frozenset({"EnableDnsHostnames", "EnableDnsSupport", "Tags"})

    def create(self, properties: Properties) -> Made:
        """Make it, with its DNS attributes."""
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(
            **picked(properties, "CidrBlock", "InstanceTenancy"), **self.tagged("vpc", properties)
        )["Vpc"]
        made = Made(vpc["VpcId"], {"VpcId": vpc["VpcId"], "CidrBlock": vpc["CidrBlock"]})
        self._set_dns(made, properties)
        groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])
        attributes = {**made.attributes, "DefaultSecurityGroup": groups["SecurityGroups"][0]["GroupId"]}
        return Made(made.physical_id, attributes)

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set DNS attributes and tags again."""
        self._set_dns(made, new)
        return self.retag(made, new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("ec2").delete_vpc(VpcId=made.physical_id)

    def _set_dns(self, made: Made, properties: Properties) -> None:
        for name in ("EnableDnsSupport", "EnableDnsHostnames"):
            if name in properties:
                self.client("ec2").modify_vpc_attribute(
                    VpcId=made.physical_id, **{name: {"Value": properties[name]}}
                )


class Subnet(Ec2Handler, type_name="AWS::EC2::Subnet"):
    """A subnet."""

    mutable: ClassVar = frozenset({"Tags"})

    def create(self, properties: Properties) -> Made:
        """Make it."""
        wanted = picked(properties, "VpcId", "CidrBlock", "AvailabilityZone")
        subnet = self.client("ec2").create_subnet(**wanted, **self.tagged("subnet", properties))["Subnet"]
        return Made(subnet["SubnetId"], {"SubnetId": subnet["SubnetId"], "VpcId": subnet["VpcId"]})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set its tags again."""
        return self.retag(made, new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("ec2").delete_subnet(SubnetId=made.physical_id)


class RouteTable(Ec2Handler, type_name="AWS::EC2::RouteTable"):
    """A route table."""

    mutable: ClassVar = frozenset({"Tags"})

    def create(self, properties: Properties) -> Made:
        """Make it."""
        made = self.client("ec2").create_route_table(
            VpcId=properties["VpcId"], **self.tagged("route-table", properties)
        )["RouteTable"]["RouteTableId"]
        return Made(made, {"RouteTableId": made})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set its tags again."""
        return self.retag(made, new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("ec2").delete_route_table(RouteTableId=made.physical_id)


class SubnetRouteTableAssociation(Ec2Handler, type_name="AWS::EC2::SubnetRouteTableAssociation"):
    """Which table routes for a subnet."""

    def create(self, properties: Properties) -> Made:
        """Associate."""
        answer = self.client("ec2").associate_route_table(**picked(properties, "RouteTableId", "SubnetId"))
        return Made(answer["AssociationId"], {"Id": answer["AssociationId"]})

    def delete(self, made: Made, properties: Properties) -> None:
        """Dissociate."""
        self.client("ec2").disassociate_route_table(AssociationId=made.physical_id)


class Route(Ec2Handler, type_name="AWS::EC2::Route"):
    """A route; its target changes in place."""

    mutable: ClassVar = frozenset({"VpcPeeringConnectionId"})

    def create(self, properties: Properties) -> Made:
        """Add it to its table."""
        wanted = picked(properties, "RouteTableId", "DestinationCidrBlock", "VpcPeeringConnectionId")
        self.client("ec2").create_route(**wanted)
        return Made(f"{properties['RouteTableId']}|{properties['DestinationCidrBlock']}")

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Point it elsewhere."""
        wanted = picked(new, "RouteTableId", "DestinationCidrBlock", "VpcPeeringConnectionId")
        self.client("ec2").replace_route(**wanted)
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Take it out of its table."""
        self.client("ec2").delete_route(**picked(properties, "RouteTableId", "DestinationCidrBlock"))


class VpcEndpoint(Ec2Handler, type_name="AWS::EC2::VPCEndpoint"):
    """A gateway or interface endpoint; policy and places change in place."""

    mutable: ClassVar = frozenset(
        {"PolicyDocument", "RouteTableIds", "SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled", "Tags"}
    )

    def create(self, properties: Properties) -> Made:
        """Make it; its DNS names are what AWS would form from its id."""
        names = (
            *("VpcId", "ServiceName", "VpcEndpointType", "RouteTableIds"),
            *("SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled"),
        )
        wanted = picked(properties, *names)
        if "PolicyDocument" in properties:
            wanted["PolicyDocument"] = json.dumps(properties["PolicyDocument"])
        made = self.client("ec2").create_vpc_endpoint(**wanted, **self.tagged("vpc-endpoint", properties))
        identity = made["VpcEndpoint"]["VpcEndpointId"]
        service = properties["ServiceName"].rpartition(".")[2]
        dns = f"ZONE0RE:{identity}-0re.{service}.{self.clients.region}.vpce.amazonaws.com"
        return Made(identity, {"Id": identity, "DnsEntries": [dns]})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set its policy again and add the route tables that are new."""
        wanted: dict[str, Any] = {"VpcEndpointId": made.physical_id}
        if "PolicyDocument" in new:
            wanted["PolicyDocument"] = json.dumps(new["PolicyDocument"])
        for name, argument in (("RouteTableIds", "RouteTableIds"), ("SubnetIds", "SubnetIds")):
            before, after = set(old.get(name, [])), set(new.get(name, []))
            wanted |= {f"Add{argument}": sorted(after - before)} if after - before else {}
            wanted |= {f"Remove{argument}": sorted(before - after)} if before - after else {}
        self.client("ec2").modify_vpc_endpoint(**wanted)
        return self.retag(made, new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made.physical_id])


class FlowLog(Ec2Handler, type_name="AWS::EC2::FlowLog"):
    """Flow logs of a VPC, into CloudWatch Logs."""

    mutable: ClassVar = frozenset({"Tags"})

    def create(self, properties: Properties) -> Made:
        """Turn them on."""
        names = (
            *("ResourceType", "TrafficType", "LogDestinationType"),
            *("LogGroupName", "DeliverLogsPermissionArn", "MaxAggregationInterval"),
        )
        answer = self.client("ec2").create_flow_logs(
            ResourceIds=[properties["ResourceId"]],
            **picked(properties, *names),
            **self.tagged("vpc-flow-log", properties),
        )
        return Made(answer["FlowLogIds"][0], {"Id": answer["FlowLogIds"][0]})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set their tags again."""
        return self.retag(made, new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Turn them off."""
        self.client("ec2").delete_flow_logs(FlowLogIds=[made.physical_id])
