"""Who may talk to whom, in one place: jobs dial the server, notebooks dial AWS, and nobody dials them."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

_HTTPS = ec2.Port.tcp(443)
_AWS = "S3 through the gateway endpoint; AWS APIs by endpoint"


class JobGroup(ec2.SecurityGroup):
    """A training job: out to the server's link port, to S3 and to KMS; nothing comes in."""

    def __init__(self, scope: Construct, *, vpc: ec2.IVpc, server_cidr: str, port: int) -> None:
        super().__init__(
            scope,
            "JobGroup",
            vpc=vpc,
            allow_all_outbound=False,
            description="Federated training jobs: dial out only",
        )
        self.add_egress_rule(ec2.Peer.ipv4(server_cidr), ec2.Port.tcp(port), "The link to the server")
        # S3's gateway is a route, not an address; an isolated subnet has no other way out on 443.
        self.add_egress_rule(ec2.Peer.any_ipv4(), _HTTPS, _AWS)


class NotebookGroup(ec2.SecurityGroup):
    """A notebook: out to S3 and to interface endpoints; what may come in is added per client."""

    def __init__(self, scope: Construct, *, vpc: ec2.IVpc) -> None:
        super().__init__(
            scope,
            "NotebookGroup",
            vpc=vpc,
            allow_all_outbound=False,
            description="Notebook of the federation",
        )
        self.add_egress_rule(ec2.Peer.any_ipv4(), _HTTPS, _AWS)


class ServingGroup(ec2.SecurityGroup):
    """A model that scores a batch: its container is isolated; SageMaker fetches and writes by S3 alone."""

    def __init__(self, scope: Construct, *, vpc: ec2.IVpc) -> None:
        super().__init__(
            scope,
            "ServingGroup",
            vpc=vpc,
            allow_all_outbound=False,
            description="Batch transforms of a federated model",
        )
        self.add_egress_rule(ec2.Peer.any_ipv4(), _HTTPS, _AWS)
