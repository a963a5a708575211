"""Security groups and their rules."""

from __future__ import annotations

from typing import Any, ClassVar

from rehearsal.aws.cloudformation.handler import Made, Properties, picked
from rehearsal.aws.cloudformation.types.ec2 import Ec2Handler


class SecurityGroup(Ec2Handler, type_name="AWS::EC2::SecurityGroup"):
    """A security group; a new one lets everything out, unless the template says what (EC2 User Guide)."""

    mutable: ClassVar = frozenset({"SecurityGroupIngress", "SecurityGroupEgress", "Tags"})

    def create(self, properties: Properties) -> Made:
        """Make it with its inline rules."""
        group = self.client("ec2").create_security_group(
            GroupName=properties.get("GroupName") or self.name(255),
            Description=properties["GroupDescription"],
            VpcId=properties["VpcId"],
            **self.tagged("security-group", properties),
        )["GroupId"]
        if properties.get("SecurityGroupEgress"):
            everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
            self.client("ec2").revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
        self._open(group, properties)
        return Made(group, {"GroupId": group, "Id": group, "VpcId": properties["VpcId"]})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Take the old inline rules away and set the new ones."""
        ec2 = self.client("ec2")
        for name, revoke in (
            ("SecurityGroupEgress", ec2.revoke_security_group_egress),
            ("SecurityGroupIngress", ec2.revoke_security_group_ingress),
        ):
            if rules := [_permission(rule) for rule in old.get(name, [])]:
                revoke(GroupId=made.physical_id, IpPermissions=rules)
        self._open(made.physical_id, new)
        return self.retag(made, new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("ec2").delete_security_group(GroupId=made.physical_id)

    def _open(self, group: str, properties: Properties) -> None:
        ec2 = self.client("ec2")
        if rules := [_permission(rule) for rule in properties.get("SecurityGroupEgress", [])]:
            ec2.authorize_security_group_egress(GroupId=group, IpPermissions=rules)
        if rules := [_permission(rule) for rule in properties.get("SecurityGroupIngress", [])]:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)


class SecurityGroupIngress(Ec2Handler, type_name="AWS::EC2::SecurityGroupIngress"):
    """A rule of a group that another stack or construct made."""

    def create(self, properties: Properties) -> Made:
        """Add the rule."""
        answer = self.client("ec2").authorize_security_group_ingress(
            GroupId=properties["GroupId"], IpPermissions=[_permission(properties)]
        )
        rules = answer.get("SecurityGroupRules") or [{"SecurityGroupRuleId": self.name()}]
        return Made(rules[0]["SecurityGroupRuleId"])

    def delete(self, made: Made, properties: Properties) -> None:
        """Take the rule away."""
        self.client("ec2").revoke_security_group_ingress(
            GroupId=properties["GroupId"], IpPermissions=[_permission(properties)]
        )


def _permission(rule: Properties) -> dict[str, Any]:
    permission: dict[str, Any] = picked(rule, "IpProtocol", "FromPort", "ToPort")
    about = {"Description": rule["Description"]} if "Description" in rule else {}
    if "CidrIp" in rule:
        permission["IpRanges"] = [{"CidrIp": rule["CidrIp"], **about}]
    if group := rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId"):
        permission["UserIdGroupPairs"] = [{"GroupId": group, **about}]
    return permission
