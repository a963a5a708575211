"""Who may talk to whom, in one place: jobs dial the server, notebooks dial AWS, and nobody dials them."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

_HTTPS = ec2.Port.tcp(443)
_AWS = "S3 through the gateway endpoint; AWS APIs by endpoint"


class JobGroup(ec2.SecurityGroup):
    """A training job: out to the server's link port, to S3 and to KMS; nothing comes in.

    Parameters
    ----------
    link_cidr
        Where the link's port is: the server's network, or, by PrivateLink, an endpoint in the job's own.
    """

    def __init__(self, scope: Construct, *, vpc: ec2.IVpc, link_cidr: str, port: int) -> None:
        super().__init__(
            scope,
            "JobGroup",
            vpc=vpc,
            allow_all_outbound=False,
            description="Federated training jobs: dial out only",
        )
        self.add_egress_rule(ec2.Peer.ipv4(link_cidr), ec2.Port.tcp(port), "The link to the server")
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

    def admit_balancer(self, cidr: str, port: int) -> None:
        """Let the load balancer of the server's own network dial the link, for clients by PrivateLink."""
        self.add_ingress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(port), "The link, from the load balancer")


class LinkGroup(ec2.SecurityGroup):
    """The endpoint by which jobs reach a server behind PrivateLink: its port in, nothing out."""

    def __init__(self, scope: Construct, *, vpc: ec2.IVpc, callers: str, port: int) -> None:
        super().__init__(
            scope,
            "LinkGroup",
            vpc=vpc,
            allow_all_outbound=False,
            description="Endpoint of the federation server: the link in, nothing out",
        )
        self.add_ingress_rule(ec2.Peer.ipv4(callers), ec2.Port.tcp(port), "The link, dialled by our jobs")


class BalancerGroup(ec2.SecurityGroup):
    """The load balancer before the server: the link's port in, and on to the server's network.

    Parameters
    ----------
    callers
        All that a client's job may have for an address: clients may share theirs, so none tells who dials.
    """

    def __init__(
        self, scope: Construct, *, vpc: ec2.IVpc, callers: Sequence[str], to: str, port: int
    ) -> None:
        super().__init__(
            scope,
            "BalancerGroup",
            vpc=vpc,
            allow_all_outbound=False,
            description="Load balancer of the link: one port, one way",
        )
        for block in callers:
            self.add_ingress_rule(ec2.Peer.ipv4(block), ec2.Port.tcp(port), "The link, by PrivateLink")
        self.add_egress_rule(ec2.Peer.ipv4(to), ec2.Port.tcp(port), "The link, on to the server")


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
