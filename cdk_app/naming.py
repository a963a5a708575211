"""Physical names: above all those that one account creates and another one must know.

Federation names have no hyphen, so `<federation>-<client>` can be read back in one way only, and client
names are unique in a federation; hence two federations, or two Regions of one account, never collide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cdk_app.regions import partition
from runtime.contract import client_stack, job_name, server_stack

BOOTSTRAP_QUALIFIER: Final = "hnb659fds"
"""In the names of all that `cdk bootstrap` makes, unless it is told another (CDK's DEFAULT_QUALIFIER)."""


@dataclass(frozen=True)
class RoleNames:
    """How the roles of one account are named, where its owner has rules for that.

    Parameters
    ----------
    path
        Their path, which an ARN has before the name.
    prefix
        What every name begins with; none, and CloudFormation names all roles that no other account must know.
    """

    path: str = "/"
    prefix: str = ""

    def arn(self, region: str, account: str, name: str) -> str:
        """Return the ARN of a role, or a pattern of some, by the whole name."""
        return f"arn:{partition(region)}:iam::{account}:role{self.path}{name}"


@dataclass(frozen=True)
class ServerNames:
    """The names of one federation's server account."""

    federation: str
    account: str
    region: str
    roles: RoleNames = RoleNames()

    @property
    def stack(self) -> str:
        """The stack that the server's account deploys."""
        return server_stack(self.federation, self.account, self.region)

    @property
    def notebook_role(self) -> str:
        """The role of the server's notebook: the one principal that client accounts trust."""
        return f"{self.roles.prefix}FL-server-notebook-{self.federation}"

    @property
    def notebook_role_arn(self) -> str:
        """Its ARN, as client accounts write it into their trust policies."""
        return self.roles.arn(self.region, self.account, self.notebook_role)

    def accepter_role(self, client: str) -> str:
        """Return the role of this account with which a client's stack has its peering accepted."""
        return f"{self.roles.prefix}FL-accept-peering-{self.federation}-{client}"

    def accepter_role_arn(self, client: str) -> str:
        """Return its ARN, as the client's stack names it."""
        return self.roles.arn(self.region, self.account, self.accepter_role(client))

    @property
    def notebook(self) -> str:
        """The notebook instance."""
        return f"{self.federation}-server"

    @property
    def flow_log(self) -> str:
        """The log group of the network's flows."""
        return f"/fedstack/{self.federation}/server/flows"

    @property
    def any_broker_arn(self) -> str:
        """A pattern of all brokers in the server's Region, whose accounts a condition names."""
        return (
            f"arn:{partition(self.region)}:states:{self.region}:*:stateMachine:FL-broker-{self.federation}-*"
        )


@dataclass(frozen=True)
class ClientNames:
    """The names of one client's account, and of what the server's account makes for it."""

    federation: str
    client: str
    account: str
    region: str
    roles: RoleNames = RoleNames()
    own_mailbox: str | None = None
    own_bundle_bucket: str | None = None

    @property
    def stack(self) -> str:
        """The stack that the client's account deploys."""
        return client_stack(self.federation, self.client, self.account, self.region)

    @property
    def kickoff_role(self) -> str:
        """The role in the client's account that the server takes."""
        return f"{self.roles.prefix}FL-kickoff-client-job-{self._both}"

    @property
    def kickoff_role_arn(self) -> str:
        """Its ARN, as the server's roster and its role's policy write it."""
        return self.roles.arn(self.region, self.account, self.kickoff_role)

    @property
    def any_kickoff_role_arn(self) -> str:
        """A pattern of the kickoff roles that are named by its rule; a condition names their accounts."""
        name = f"{self.roles.prefix}FL-kickoff-client-job-{self.federation}-*"
        return self.roles.arn(self.region, "*", name)

    @property
    def external_id(self) -> str:
        """What the server says beside its identity, unless the client chose otherwise."""
        return f"{self.federation}/{self.client}"

    @property
    def broker(self) -> str:
        """The state machine that starts the client's job."""
        return f"FL-broker-{self._both}"

    @property
    def broker_arn(self) -> str:
        """Its ARN, as the server's roster writes it."""
        return f"arn:{partition(self.region)}:states:{self.region}:{self.account}:stateMachine:{self.broker}"

    @property
    def signing_key(self) -> str:
        """The alias of the KMS key that vouches for the client's jobs where updates are summed."""
        return f"alias/FL-signing-{self._both}"

    @property
    def mailbox(self) -> str:
        """The one bucket of the client that the server reads."""
        return self.own_mailbox or f"{self._both}-mailbox-{self.account}"

    @property
    def bundle_stack(self) -> str:
        """The stack of a hand-off package that goes before the client's own."""
        return f"{self._both}-bundle"

    @property
    def bundle_bucket(self) -> str:
        """The bucket which that stack makes, and from which a package is deployed."""
        return self.own_bundle_bucket or f"{self._both}-bundle-{self.account}"

    @property
    def mailbox_arn(self) -> str:
        """Its ARN, as the server's endpoint policy writes it."""
        return f"arn:{partition(self.region)}:s3:::{self.mailbox}"

    @property
    def any_mailbox_arn(self) -> str:
        """This mailbox where its owner named it, else a pattern of others; a condition has their owners."""
        pattern = f"arn:{partition(self.region)}:s3:::{self.federation}-*-mailbox-*"
        return pattern if self.own_mailbox is None else self.mailbox_arn

    @property
    def mailbox_uri(self) -> str:
        """Where the client's jobs leave their certificates."""
        return f"s3://{self.mailbox}/{self.federation}"

    @property
    def job_prefix(self) -> str:
        """How the names of the client's training jobs begin; the run's id (`run-...`) follows."""
        return job_name(self.federation, self.client, "")

    @property
    def job_arn(self) -> str:
        """All of the client's training jobs."""
        job = f"training-job/{self.job_prefix}run-*"
        return f"arn:{partition(self.region)}:sagemaker:{self.region}:{self.account}:{job}"

    @property
    def job_parameter(self) -> str:
        """The SSM parameter from which a server with direct kickoff reads the pinned request."""
        return f"/fedstack/{self.federation}/{self.client}/job"

    @property
    def job_parameter_arn(self) -> str:
        """Its ARN, as the server's endpoint policy writes it."""
        return f"arn:{partition(self.region)}:ssm:{self.region}:{self.account}:parameter{self.job_parameter}"

    @property
    def participation(self) -> str:
        """The SSM parameter with which the client switches its participation on and off."""
        return f"/fedstack/{self.federation}/{self.client}/participation"

    @property
    def notebook(self) -> str:
        """The notebook instance, where the client has one; also its dashboard."""
        return self._both

    @property
    def flow_log(self) -> str:
        """The log group of the network's flows."""
        return f"/fedstack/{self.federation}/{self.client}/flows"

    @property
    def _both(self) -> str:
        return f"{self.federation}-{self.client}"


def server_peer_stack(server: ServerNames, client: str) -> str:
    """Return the stack that the server's account deploys for one client."""
    return f"{server.federation}-server-peer-{client}-{server.account}-{server.region}"


def execution_role_arn(account: str, region: str, qualifier: str) -> str:
    """Return the role that `cdk bootstrap` makes and that CloudFormation deploys an account's stacks with."""
    return RoleNames().arn(region, account, f"cdk-{qualifier}-cfn-exec-role-{account}-{region}")


def signing_key_parameter(client: str) -> str:
    """Return the stack parameter by which another client's stack is told a member's public key."""
    return "SigningKey" + "".join(part.capitalize() for part in client.split("-"))
