"""VPC peering across accounts: requested by the template's account, accepted with the peer's role.

Source: CloudFormation template reference, AWS::EC2::VPCPeeringConnection (PeerRoleArn), and "Walkthrough:
Peer with a VPC in another AWS account": the role must trust the requester's account and allow
ec2:AcceptVpcPeeringConnection on the VPC and on the peering.
"""

from __future__ import annotations

from typing import Any, ClassVar

from rehearsal.aws.cloudformation.handler import Handler, Made, Properties, tags


class VpcPeeringConnection(Handler, type_name="AWS::EC2::VPCPeeringConnection"):
    """A peering, active once its stack has it."""

    mutable: ClassVar = frozenset({"Tags"})

    def create(self, properties: Properties) -> Made:
        """Request it, then accept it as the peer's role may."""
        ec2 = self.client("ec2")
        owner = properties.get("PeerOwnerId") or self._account()
        region = properties.get("PeerRegion") or self.clients.region
        wanted = {name: properties[name] for name in ("VpcId", "PeerVpcId")}
        if tags(properties):
            labels = {"ResourceType": "vpc-peering-connection", "Tags": tags(properties)}
            wanted["TagSpecifications"] = [labels]
        made = ec2.create_vpc_peering_connection(
            **wanted,
            PeerOwnerId=owner,
            PeerRegion=region,
        )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        try:
            self._accept(made, properties, owner, region)
        except Exception:
            ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=made)
            raise
        return Made(made, {"Id": made})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set its tags again."""
        self.client("ec2").create_tags(Resources=[made.physical_id], Tags=tags(new))
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it, for both sides."""
        self.client("ec2").delete_vpc_peering_connection(VpcPeeringConnectionId=made.physical_id)

    def _accept(self, peering: str, properties: Properties, owner: str, region: str) -> None:
        accepter: Any = self.client("ec2")
        if owner != self._account():
            accepter = self.clients.taking(properties["PeerRoleArn"], region).get("ec2")
        accepter.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)

    def _account(self) -> str:
        return str(self.client("sts").get_caller_identity()["Account"])
