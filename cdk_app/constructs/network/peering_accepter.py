"""The server's side of accepting: who may have a client's peering accepted, and how many of them."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.constructs.identity.role import acknowledge_wildcards
from cdk_app.constructs.once import Home, home_of
from cdk_app.naming import ClientNames, ServerNames

_ACCEPT: Final = "ec2:AcceptVpcPeeringConnection"


class PeeringAccepter(Construct):
    """The server's half: a role with which one client's CloudFormation accepts its own peering, no other.

    CloudFormation takes it with the rights that it deploys the client's stack with: those of a service role
    where it is given one, as cdk gives it, else those of whoever called it ("Peer with a VPC in another AWS
    account", CloudFormation User Guide). So nobody but that deployer needs it, and nobody else may.

    Parameters
    ----------
    deployer_arn
        The one role or user of the client's account that may take it.
    """

    def __init__(
        self, scope: Construct, *, server: ServerNames, client: ClientNames, deployer_arn: str, vpc_id: str
    ) -> None:
        super().__init__(scope, f"Accepter-{client.client}")
        home = home_of(self)
        vpc = home.arn("ec2", "vpc", vpc_id)
        peerings = home.arn("ec2", "vpc-peering-connection", "*")
        role = iam.Role(
            self,
            "Role",
            role_name=server.accepter_role(client.client),
            assumed_by=iam.AccountPrincipal(client.account).with_conditions(
                {"ArnEquals": {"aws:PrincipalArn": deployer_arn}}
            ),
            description="Accepts the peering that one client's stack requests",
            inline_policies={
                "AcceptPeering": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(sid="IntoThisVpc", actions=[_ACCEPT], resources=[vpc]),
                        iam.PolicyStatement(
                            sid="FromThisClient",
                            actions=[_ACCEPT],
                            resources=[peerings],
                            conditions={
                                "ArnEquals": {"ec2:AccepterVpc": vpc},
                                "ArnLike": {
                                    "ec2:RequesterVpc": Home(client.account, client.region).arn(
                                        "ec2", "vpc", "*"
                                    )
                                },
                            },
                        ),
                    ]
                )
            },
        )
        acknowledge_wildcards(
            role, {peerings: "A peering has no id before it is requested; the conditions pin both ends."}
        )


class OnePeering(Construct):
    """Closes one client's accepter role for as long as the client has its way back: one peering is enough.

    IAM cannot count, and a client's VPC has no id before it is made. A client whose network is made anew
    needs a new way back, too, so its operator destroys that stack first.
    """

    def __init__(self, scope: Construct, *, role_name: str) -> None:
        super().__init__(scope, "OnePeering")
        deny = iam.PolicyStatement(sid="HasOne", effect=iam.Effect.DENY, actions=[_ACCEPT], resources=["*"])
        iam.CfnPolicy(
            self,
            "Policy",
            policy_name="OnePeering",
            policy_document=iam.PolicyDocument(statements=[deny]),
            roles=[role_name],
        )
