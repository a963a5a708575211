"""A role whose every wildcard is explained where it is granted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from cdk_app.checks import acknowledge
from cdk_app.constructs.once import home_of
from cdk_app.regions import dns_suffix

NO_RESOURCE: Final = (
    "EC2's Describe actions and PutMetricData take no resource; the namespace pins the latter."
)


class ScopedRole(iam.Role):
    """An IAM role that is granted one named statement at a time."""

    _together: list[dict[str, object]] | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what the block allows at its end, in three calls into CDK: all that the role may do."""
        self._together, self._wild = [], dict[str, str]()
        yield
        document = iam.PolicyDocument.from_json({"Statement": self._together})
        iam.Policy(self, "DefaultPolicy", document=document, roles=[self])
        acknowledge_wildcards(self, self._wild)
        self._together = None

    def allow(
        self,
        sid: str,
        actions: Sequence[str],
        resources: Sequence[str],
        conditions: Mapping[str, Mapping[str, object]] | None = None,
        *,
        why: str | None = None,
    ) -> None:
        """Grant one statement.

        Parameters
        ----------
        why
            The reason for each resource with a `*` in it; without one, such a resource fails synth.
        """
        wild = {} if why is None else dict.fromkeys(resources, why)
        if self._together is not None:
            statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
            self._together.append(statement | ({"Condition": conditions} if conditions else {}))
            self._wild |= wild
            return
        self.add_to_policy(
            iam.PolicyStatement(
                sid=sid, actions=list(actions), resources=list(resources), conditions=conditions
            )
        )
        acknowledge_wildcards(self, wild)

    def allow_asset_key(self, key_arn: str | None, bucket_arn: str, objects: Sequence[str]) -> None:
        """Decrypt what cdk published, where the bootstrap's bucket has a key: these objects, through S3 only.

        S3's encryption context is the bucket where it has a bucket key, else the object.
        """
        if key_arn is not None:
            of_these = {"kms:EncryptionContext:aws:s3:arn": [bucket_arn, *objects]}
            conditions = {"StringEquals": {**via_s3(self)["StringEquals"], **of_these}}
            self.allow("AssetKey", ["kms:Decrypt"], [key_arn], conditions)

    def allow_image(self, uri: str) -> None:
        """Pull one repository's images, where SageMaker does not pull them itself."""
        registry, _, name = uri.partition("/")
        owner = replace(home_of(self), account=registry.split(".")[0])
        repository = owner.arn("ecr", "repository", name.partition("@")[0].partition(":")[0])
        layers = ["BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"]
        self.allow("PullImage", [f"ecr:{action}" for action in layers], [repository])
        self.allow("LogInToEcr", ["ecr:GetAuthorizationToken"], ["*"], why="The token is of no repository.")

    def allow_network(self, *, subnet_ids: Sequence[str], group_id: str) -> None:
        """Attach its containers to these subnets with this security group, and nowhere else."""
        ec2 = partial(home_of(self).arn, "ec2")
        why = "An interface has no id before it is made; the subnets pin where that can be."
        subnets, interfaces = [ec2("subnet", subnet) for subnet in subnet_ids], ec2("network-interface", "*")
        places = [*subnets, ec2("security-group", group_id), interfaces]
        self.allow("AttachToOurSubnets", ["ec2:CreateNetworkInterface"], places, why=why)
        own = [
            "CreateNetworkInterfacePermission",
            "DeleteNetworkInterface",
            "DeleteNetworkInterfacePermission",
        ]
        in_subnets = {"ArnEquals": {"ec2:Subnet": subnets}}
        self.allow("OwnInterfaces", [f"ec2:{action}" for action in own], [interfaces], in_subnets, why=why)
        what = ["DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs"]
        describe = [f"ec2:Describe{kind}" for kind in what]
        self.allow("DescribeNetwork", describe, ["*"], why=NO_RESOURCE)


def acknowledge_wildcards(role: iam.Role, reasons: Mapping[str, str]) -> None:
    """Accept cdk-nag's finding for each of these resources that has a wildcard, for its reason."""
    wild = [resource for resource in reasons if "*" in resource]
    names = {resource: resource for resource in wild}
    if unknown := [resource for resource in wild if "${Token[" in resource]:
        resolved = cdk.Stack.of(role).resolve(unknown)
        names |= dict(zip(unknown, map(_as_nag_writes, resolved), strict=True))
    if wild:
        acknowledge(role, {f"IAM5[Resource::{name}]": reasons[resource] for resource, name in names.items()})


def via_s3(role: iam.Role) -> dict[str, dict[str, object]]:
    """Return the condition that a key is used through S3 only."""
    region = home_of(role).region
    return {"StringEquals": {"kms:ViaService": f"s3.{region}.{dns_suffix(region)}"}}


def _as_nag_writes(resolved: Any) -> str:
    """Render a resolved value as cdk-nag names it: `<LogicalId.Attribute>` for what is not known yet."""
    if isinstance(resolved, str):
        return resolved
    ((function, argument),) = resolved.items()
    if function == "Ref":
        return f"<{argument}>"
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    separator, parts = argument
    return str(separator).join(_as_nag_writes(part) for part in parts)
