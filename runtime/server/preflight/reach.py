"""What only the server's notebook can try: each client's role, mailbox and broker, with real calls.

Nothing is started: the role is taken, a certificate that cannot be there is asked for, and an execution that
cannot be there is described. AWS answers `not found` to who may ask, and `access denied` to who may not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from runtime.contract import FedstackError
from runtime.mailbox import Mailbox
from runtime.server.jobs.assumed_role import KickoffRole, OwnAccount
from runtime.server.jobs.throttling import patiently
from runtime.server.preflight.findings import Check, NotCheckedError, Owner, Problem, code_of, each, may_not
from runtime.server.roster import Client

RUN: Final = "run-preflight"
"""A run that there never is; what the clients' CloudTrail shows of a preflight has its name."""
_NOT_THERE: Final = "ExecutionDoesNotExist"
MEND: Final = (
    "Put back what its stack says: `--side client` with that account's credentials names what differs."
)


@dataclass
class Reach:
    """The clients of a roster, as the server's notebook reaches them.

    Parameters
    ----------
    server
        Whose credentials these are.
    owners
        Whose each client is, by name.
    """

    clients: list[Client]
    server: Owner
    owners: dict[str, Owner]
    session: boto3.Session = field(default_factory=boto3.Session)
    own: OwnAccount = field(init=False)
    _roles: dict[str, KickoffRole] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own = OwnAccount(self.session)

    def owner(self, client: Client) -> Owner:
        """Return whose a client is."""
        return self.owners.get(client.name) or Owner(client.name, account_of(client))

    def role(self, client: Client) -> KickoffRole:
        """Return the role that a client lets this server take, where it could be taken."""
        if client.name not in self._roles:
            raise NotCheckedError(f"the role of {client.name} could not be taken")
        return self._roles[client.name]

    def started(self) -> list[Client]:
        """Return the clients whose jobs this server starts."""
        return [client for client in self.clients if client.kickoff != "none"]

    def reached(self) -> list[Client]:
        """Return those whose role could be taken."""
        if not self._roles:
            raise NotCheckedError("no client's role could be taken")
        return [client for client in self.started() if client.name in self._roles]

    def take(self, client: Client, **said: str) -> None:
        """Take a client's role for a moment, saying an external id or none."""
        patiently(partial(self.own.take, client, RUN, **said))

    def admit(self, client: Client) -> None:
        """Keep the role for the checks that come."""
        self._roles[client.name] = KickoffRole(client, RUN, self.own)


def account_of(client: Client) -> str:
    """Return the account that a client's role is of."""
    return client.kickoff_role_arn.split(":")[4] if client.kickoff_role_arn else ""


def kickoff_role(reach: Reach) -> Iterator[Problem | str]:
    """Take each client's role with the external id; without it, and with another, that must be refused."""
    refused: list[Problem] = []

    def look(client: Client) -> Iterator[Problem | str]:
        try:
            reach.take(client, ExternalId=client.external_id)
        except ClientError as error:
            if not may_not(error):
                raise
            refused.append(_refused(reach, client))
            return
        reach.admit(client)
        yield f"{client.name}: taken"
        yield from _without_external_id(reach, client)

    yield from each(look, reach.started(), reach.owner)
    if len(refused) > 1 and len(refused) == len(reach.started()):
        yield Problem(
            reach.server,
            "No client lets this server take its role, so it is the server's own role that may not ask.",
            "`fedstack preflight --side server` compares the policies of that role.",
        )
        return
    yield from sorted(refused, key=lambda problem: problem.owner.name)


def _refused(reach: Reach, client: Client) -> Problem:
    return Problem(
        reach.owner(client),
        f"{client.kickoff_role_arn} cannot be taken with the external id {client.external_id!r}: it is not "
        "there, does not trust this server's notebook role, or asks for another external id.",
        f"{MEND} Where that finds nothing, `--side server` looks at what the notebook's role may take.",
    )


def _without_external_id(reach: Reach, client: Client) -> Iterator[Problem]:
    for how, said in (
        ("without an external id", {}),
        ("with a wrong one", {"ExternalId": "fedstack-preflight"}),
    ):
        try:
            reach.take(client, **said)
        except ClientError as error:
            if not may_not(error):
                raise
        else:
            yield Problem(reach.owner(client), f"{client.kickoff_role_arn} lets this server in {how}.", MEND)


def mailbox(reach: Reach) -> Iterator[Problem | str]:
    """Ask each mailbox for a certificate that is not there."""

    def look(client: Client) -> Iterator[Problem | str]:
        s3 = partial(reach.role(client).client, "s3")
        try:
            Mailbox(client.mailbox, s3).read_certificate(RUN, client.name)
        except FedstackError as error:
            yield Problem(reach.owner(client), error.what, MEND)
        else:
            yield f"{client.name}: readable"

    yield from each(look, reach.reached(), reach.owner)


def broker(reach: Reach) -> Iterator[Problem | str]:
    """Ask each client's broker for an execution that is not there; of a direct client, read its request."""

    def look(client: Client) -> Iterator[Problem | str]:
        ask = partial(_ask_broker if client.state_machine_arn else _ask_request, reach, client)
        try:
            patiently(ask)
        except ClientError as error:
            if code_of(error) != _NOT_THERE:
                yield Problem(reach.owner(client), f"Its job could not be started: {error}", MEND)
                return
        except BotoCoreError as error:
            yield Problem(*_unreachable(reach, client, error))
            return
        yield f"{client.name}: {client.kickoff}"

    yield from each(look, reach.reached(), reach.owner)


def _ask_broker(reach: Reach, client: Client) -> None:
    execution = f"{client.state_machine_arn.replace(':stateMachine:', ':execution:')}:{RUN}"
    reach.role(client).client("stepfunctions").describe_execution(executionArn=execution)


def _ask_request(reach: Reach, client: Client) -> None:
    reach.role(client).client("ssm").get_parameter(Name=client.job_parameter)


def _unreachable(reach: Reach, client: Client, error: BotoCoreError) -> tuple[Owner, str, str]:
    if client.endpoint_url:
        return (
            reach.owner(client),
            f"Its Step Functions cannot be reached at {client.endpoint_url}: {error}",
            "Tell the server the output KickoffEndpoint of the client's stack as it is now.",
        )
    return (
        reach.server,
        f"Step Functions of {client.name} cannot be reached: {error}",
        "A client in another Region needs its kickoff_endpoint in federation.yaml (docs/deploy.md, step 9); "
        "else look at the endpoints of the server's network.",
    )


ON_NOTEBOOK: Final[Sequence[Check[Reach]]] = (
    Check("kickoff-role", kickoff_role),
    Check("mailbox", mailbox),
    Check("kickoff", broker),
)
"""What is tried with the role of the server's notebook; in this order, as one needs the other."""
