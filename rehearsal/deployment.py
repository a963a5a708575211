"""What the accounts' owners do, each with its own credentials: bootstrap, deploy, exchange keys, destroy."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from botocore.exceptions import ClientError

from cdk_app.config.models import ClientAccount, Federation, ServerAccount
from cdk_app.connections import accepted
from cdk_app.naming import ClientNames, ServerNames, server_peer_stack, signing_key_parameter
from cdk_app.node import node
from cdk_app.project import CDK, SHIPPED
from runtime.contract import ExitCode, FedstackError, Updates

T = TypeVar("T")
_AS_BEFORE: Final = {"UsePreviousValue": True}
AT_ONCE: Final = 2
"""How many accounts' owners work at the same time; each cdk command takes a core."""
QUIET: Final = ("--require-approval=never", "--method=direct", "--exclusively", "--no-version-reporting")


class Accounts(Protocol):
    """An AWS, emulated or real, as the accounts' owners use it."""

    def administrator(self, account: str) -> dict[str, str]: ...  # noqa: D102
    def client(self, keys: Mapping[str, str], region: str, service: str) -> Any: ...  # noqa: D102
    def notebook(self, account: str, region: str, name: str) -> dict[str, str]: ...  # noqa: D102
    def cdk(self, account: str, region: str, *arguments: str) -> None: ...  # noqa: D102


def synthesise(
    federation_file: Path, assembly: Path, bundles: Path | None = None, context: Sequence[str] = ()
) -> None:
    """Write every account's template, once for all; `context` is more of it, as NAME=VALUE."""
    command = [
        *(str(CDK), "synth", "--quiet"),
        *("--app", shlex.join([sys.executable, "app.py"])),  # whichever environment this is
        *("--context", f"federation={federation_file}"),
        *(() if bundles is None else ("--context", f"bundles={bundles}")),
        *(word for pair in context for word in ("--context", pair)),
        *("--output", str(assembly)),
    ]
    environment = {**os.environ, "PATH": f"{node()}:{os.environ['PATH']}", "CI": "1"}
    done = subprocess.run(
        command, cwd=SHIPPED, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise FedstackError(ExitCode.CONFIG, f"cdk synth failed:\n{done.stderr}\n", "Mend it.")


class Deployment:
    """One federation's stacks in its accounts."""

    def __init__(self, aws: Accounts, federation: Federation, assembly: Path) -> None:
        self.aws, self.federation, self.assembly = aws, federation, assembly
        self.server = federation.server_names
        self.clients = {client.name: federation.names_of(client) for client in federation.clients}

    def deploy(self) -> None:
        """Make the accounts ready; deploy the server, the clients, and what one has to tell the other.

        The server's stack needs no client's account, nor the way back to a client its members' keys: what
        need not wait for another owner's work is done beside it.
        """
        clients = self.federation.clients
        self.bootstrap_account(self.server.account, self.server.region)
        side_by_side(
            self.deploy_server,
            *(partial(self.bootstrap_account, n.account, n.region) for n in self.clients.values()),
        )
        side_by_side(*(partial(self.deploy_client, client) for client in clients))
        keys = self.public_keys(clients)
        by_link = [client for client in clients if self.federation.reached_by(client) == "privatelink"]
        side_by_side(
            partial(self.deploy_peers, [client for client in clients if client not in by_link]),
            *(partial(self.accept, client) for client in by_link),
            *(partial(self.tell_keys, client, keys) for client in clients if client.privacy.cohort),
        )

    def deploy_server(self) -> None:
        """Deploy the server's stack."""
        at_once(lambda stack: self._cdk(self.server, "deploy", *QUIET, stack), [self.server.stack])

    def deploy_client(self, client: ClientAccount, *more: str) -> None:
        """Deploy a client's stack; all that it needs to be told is the server's VPC, or endpoint service."""
        names = self.clients[client.name]
        told = [word for each in self._told(client) for word in ("--parameters", f"{names.stack}:{each}")]
        self._cdk(names, "deploy", *QUIET, *told, names.stack, *more)
        if client.kickoff == "broker":  # which asks; a server with direct kickoff is asked nothing
            self.take_part(names)

    def _told(self, client: ClientAccount) -> list[str]:
        """Return the one value that travels to a client, if its way to the server needs one."""
        value = {
            "peering": ("ServerVpcId", "VpcId"),
            "privatelink": ("EndpointService", "EndpointService"),
        }.get(self.federation.reached_by(client))
        return [f"{value[0]}={self.output(self.server, value[1])}"] if value else []

    def accept(self, client: ClientAccount) -> None:
        """Accept a client's connection, as the server's operator does."""
        keys = self.aws.administrator(self.server.account)
        ec2, service = (self.aws.client(keys, self.server.region, name) for name in ("ec2", "cloudformation"))
        accepted(ec2, service, self.federation, client.name)

    def take_part(self, names: ClientNames) -> None:
        """Say once, as an owner does, that the account takes part; what an owner said before stands."""
        ssm = self.owner(names, "ssm")
        with suppress(ssm.exceptions.ParameterAlreadyExists):
            ssm.put_parameter(Name=names.participation, Value="on", Type="String")

    def public_keys(self, clients: Iterable[ClientAccount]) -> dict[str, str]:
        """Return what the owners tell each other: the public half of each signing key."""
        return {
            client.name: self.public_key(client.name)
            for client in clients
            if client.privacy.updates is Updates.SUMS
        }

    def public_key(self, client: str) -> str:
        """Return a client's public signing key, which its owner reads, in the form in which it is told."""
        names = self.clients[client]
        answer = self.owner(names, "kms").get_public_key(KeyId=names.signing_key)
        return base64.b64encode(answer["PublicKey"]).decode()

    def tell_keys(self, client: ClientAccount, keys: Mapping[str, str]) -> None:
        """Update a client's stack with the keys of those that it agrees to be summed with, and nothing else.

        By CloudFormation itself: what was reviewed stays deployed, and no assembly is needed.
        """
        names = self.clients[client.name]
        cloudformation = self.owner(names, "cloudformation")
        told = {signing_key_parameter(member): keys[member] for member in client.privacy.cohort}
        cloudformation.update_stack(
            StackName=names.stack,
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[
                {"ParameterKey": name, **({"ParameterValue": told[name]} if name in told else _AS_BEFORE)}
                for name in self._parameters(names)
            ],
        )
        cloudformation.get_waiter("stack_update_complete").wait(StackName=names.stack)

    def _parameters(self, names: ClientNames) -> list[str]:
        stack = self.owner(names, "cloudformation").describe_stacks(StackName=names.stack)["Stacks"][0]
        return [str(parameter["ParameterKey"]) for parameter in stack["Parameters"]]

    def deploy_peers(self, clients: Sequence[ClientAccount]) -> None:
        """Deploy the server's way back to clients, whose peerings its own account shows."""
        found = {c.name: server_peer_stack(self.server, c.name) for c in clients}
        if not found:
            return
        peered = {c.name for c in clients if self.federation.reached_by(c) == "peering"}
        told = [f"{s}:PeeringId={self.peering(name)}" for name, s in found.items() if name in peered]
        options = [word for parameter in told for word in ("--parameters", parameter)]
        self._cdk(self.server, "deploy", *QUIET, *options, *found.values())

    def destroy(self) -> None:
        """Destroy everything that is there, in the reverse order."""
        self.destroy_peers(self.federation.clients)
        at_once(self.destroy_client, [n for n in self.clients.values() if self.exists(n, n.stack)])
        if self.exists(self.server, self.server.stack):
            self.lift_protection(self.server)
            self._cdk(self.server, "destroy", "--force", "--exclusively", self.server.stack)

    def lift_protection(self, names: ServerNames | ClientNames) -> None:
        """Say that an account's stack may be deleted, as its owner does before `cdk destroy`."""
        self.owner(names, "cloudformation").update_termination_protection(
            StackName=names.stack, EnableTerminationProtection=False
        )

    def exists(self, names: ServerNames | ClientNames, stack: str) -> bool:
        """Return whether an account has a stack: a deployment may have been stopped before it."""
        try:
            self.owner(names, "cloudformation").describe_stacks(StackName=stack)
        except ClientError:
            return False
        return True

    def destroy_peers(self, clients: Iterable[ClientAccount]) -> None:
        """Destroy the server's way back to clients."""
        peers = [server_peer_stack(self.server, client.name) for client in clients]
        if there := [stack for stack in peers if self.exists(self.server, stack)]:
            self._cdk(self.server, "destroy", "--force", "--exclusively", *there)

    def destroy_client(self, names: ClientNames) -> None:
        """Empty the two buckets that go with a client's stack, then destroy it."""
        for prefix in ("StorageCode", "StorageMailbox"):
            for bucket in self.resources(names, prefix, "AWS::S3::Bucket"):
                self._empty(names, bucket)
        self.lift_protection(names)
        self.owner(names, "ssm").delete_parameters(Names=[names.participation])  # none is no error
        self._cdk(names, "destroy", "--force", "--exclusively", names.stack)

    def _empty(self, names: ClientNames, bucket: str) -> None:
        """Delete every version in a bucket."""
        s3 = self.owner(names, "s3")
        found = s3.list_object_versions(Bucket=bucket)
        for one in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])

    def peering(self, client: str) -> str:
        """Return the id of a client's peering, as the server's account sees it."""
        ec2 = self.owner(self.server, "ec2")
        account = self.clients[client].account
        for found in ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]:
            mine = found["RequesterVpcInfo"]["OwnerId"] == account
            if mine and found["Status"]["Code"] == "active":
                return str(found["VpcPeeringConnectionId"])
        raise FedstackError(ExitCode.CONFIG, f"{client} has no active peering.", "Deploy its stack first.")

    def output(self, names: ServerNames | ClientNames, key: str) -> str:
        """Return an output of a stack."""
        stack = self.owner(names, "cloudformation").describe_stacks(StackName=names.stack)["Stacks"][0]
        return next(str(one["OutputValue"]) for one in stack["Outputs"] if one["OutputKey"] == key)

    def resource(self, names: ServerNames | ClientNames, prefix: str, kind: str) -> str:
        """Return the physical id of a stack's resource, by its type and how its logical id begins."""
        return self.resources(names, prefix, kind)[0]

    def resources(self, names: ServerNames | ClientNames, prefix: str, kind: str) -> list[str]:
        """Return those of all such resources."""
        cloudformation = self.owner(names, "cloudformation")
        found = cloudformation.describe_stack_resources(StackName=names.stack)["StackResources"]
        return [
            str(one["PhysicalResourceId"])
            for one in found
            if one["ResourceType"] == kind and one["LogicalResourceId"].startswith(prefix)
        ]

    def owner(self, names: ServerNames | ClientNames, service: str) -> Any:
        """Return a client of a service with an account owner's credentials."""
        return self.aws.client(self.aws.administrator(names.account), names.region, service)

    def notebook(self, names: ServerNames | ClientNames) -> dict[str, str]:
        """Return the credentials that an account's notebook has."""
        return self.aws.notebook(names.account, names.region, names.notebook)

    def place(self, account: str, region: str) -> ServerAccount | ClientAccount:
        """Return what the file says of an account and Region."""
        places: list[ServerAccount | ClientAccount] = [self.federation.server, *self.federation.clients]
        return next(place for place in places if (place.account, place.region) == (account, region))

    def bootstrap_account(self, account: str, region: str) -> None:
        """Make one account and Region ready for cdk, as its owner says in the file."""
        place = self.place(account, region)
        variant: list[str] = []
        if place.bootstrap_qualifier:
            variant += ["--qualifier", place.bootstrap_qualifier]
        if place.asset_key_arn:
            variant += ["--bootstrap-kms-key-id", place.asset_key_arn.rpartition("/")[2]]
        self.aws.cdk(account, region, "bootstrap", "--app", "", *variant, f"aws://{account}/{region}")

    def _cdk(self, names: ServerNames | ClientNames, command: str, *arguments: str) -> None:
        self.aws.cdk(names.account, names.region, command, "--app", str(self.assembly), *arguments)


def side_by_side(*work: Callable[[], object]) -> None:
    """Do what several accounts' owners have to do, a few at a time; the first failure is raised."""
    at_once(lambda each: each(), work)


def at_once(work: Callable[[T], object], items: Sequence[T]) -> None:
    """Do something for several accounts, a few at a time; the first failure is raised."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, items))
