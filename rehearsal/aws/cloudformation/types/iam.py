"""Roles and policies."""

from __future__ import annotations

import json
from typing import ClassVar

from rehearsal.aws.cloudformation.handler import Handler, Made, Properties, tags


class Role(Handler, type_name="AWS::IAM::Role"):
    """A role with its inline and attached policies."""

    mutable: ClassVar = frozenset(
        {
            *("AssumeRolePolicyDocument", "Policies", "ManagedPolicyArns", "Description"),
            *("MaxSessionDuration", "PermissionsBoundary", "Tags"),
        }
    )

    def create(self, properties: Properties) -> Made:
        """Make it."""
        optional = {
            name: properties[name]
            for name in ("Description", "MaxSessionDuration", "PermissionsBoundary", "Path")
            if name in properties
        }
        role = self.client("iam").create_role(
            RoleName=properties.get("RoleName") or self.name(),
            AssumeRolePolicyDocument=json.dumps(properties["AssumeRolePolicyDocument"]),
            Tags=tags(properties),
            **optional,
        )["Role"]
        made = Made(role["RoleName"], {"Arn": role["Arn"], "RoleId": role["RoleId"]})
        self._grant(made.physical_id, properties)
        return made

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set its trust and its policies again."""
        iam, name = self.client("iam"), made.physical_id
        iam.update_assume_role_policy(
            RoleName=name, PolicyDocument=json.dumps(new["AssumeRolePolicyDocument"])
        )
        self._withdraw(name, old)
        self._grant(name, new)
        if "PermissionsBoundary" in new:
            iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=new["PermissionsBoundary"])
        elif "PermissionsBoundary" in old:
            iam.delete_role_permissions_boundary(RoleName=name)
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it; like IAM, only once no policy is left on it."""
        self._withdraw(made.physical_id, properties)
        self.client("iam").delete_role(RoleName=made.physical_id)

    def _grant(self, name: str, properties: Properties) -> None:
        iam = self.client("iam")
        for policy in properties.get("Policies", []):
            document = json.dumps(policy["PolicyDocument"])
            iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=document)
        for arn in properties.get("ManagedPolicyArns", []):
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)

    def _withdraw(self, name: str, properties: Properties) -> None:
        iam = self.client("iam")
        for policy in properties.get("Policies", []):
            iam.delete_role_policy(RoleName=name, PolicyName=policy["PolicyName"])
        for arn in properties.get("ManagedPolicyArns", []):
            iam.detach_role_policy(RoleName=name, PolicyArn=arn)


class Policy(Handler, type_name="AWS::IAM::Policy"):
    """An inline policy put on roles."""

    mutable: ClassVar = frozenset({"PolicyDocument", "Roles"})

    def create(self, properties: Properties) -> Made:
        """Put it on every role."""
        for role in properties["Roles"]:
            self.client("iam").put_role_policy(
                RoleName=role,
                PolicyName=properties["PolicyName"],
                PolicyDocument=json.dumps(properties["PolicyDocument"]),
            )
        return Made(self.name())

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Put it on the roles anew and take it off those that are no longer named."""
        self.create(new)
        for role in set(old["Roles"]) - set(new["Roles"]):
            self.client("iam").delete_role_policy(RoleName=role, PolicyName=old["PolicyName"])
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Take it off every role."""
        for role in properties["Roles"]:
            self.client("iam").delete_role_policy(RoleName=role, PolicyName=properties["PolicyName"])


class ManagedPolicy(Handler, type_name="AWS::IAM::ManagedPolicy"):
    """A policy of the account's own."""

    mutable: ClassVar = frozenset({"PolicyDocument", "Roles"})

    def create(self, properties: Properties) -> Made:
        """Make it and attach it."""
        arn = self.client("iam").create_policy(
            PolicyName=properties.get("ManagedPolicyName") or self.name(128),
            Path=properties.get("Path", "/"),
            PolicyDocument=json.dumps(properties["PolicyDocument"]),
            Description=properties.get("Description", ""),
        )["Policy"]["Arn"]
        for role in properties.get("Roles", []):
            self.client("iam").attach_role_policy(RoleName=role, PolicyArn=arn)
        return Made(arn, {"PolicyArn": arn})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Make a new default version, drop the old one, and attach or detach."""
        iam, arn = self.client("iam"), made.physical_id
        iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=json.dumps(new["PolicyDocument"]), SetAsDefault=True
        )
        for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        before, after = set(old.get("Roles", [])), set(new.get("Roles", []))
        for role in after - before:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)
        for role in before - after:
            iam.detach_role_policy(RoleName=role, PolicyArn=arn)
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Detach it and delete it."""
        for role in properties.get("Roles", []):
            self.client("iam").detach_role_policy(RoleName=role, PolicyArn=made.physical_id)
        self.client("iam").delete_policy(PolicyArn=made.physical_id)
