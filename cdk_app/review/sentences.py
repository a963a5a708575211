"""What a template lets happen, as sentences under headings: the part of a review that a person reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cdk_app.handoff.cost import Item
from cdk_app.images import named_by
from cdk_app.review.checks.boundary import Boundary
from cdk_app.review.checks.job import Job
from cdk_app.review.checks.network import Network
from cdk_app.review.checks.state_machines import StateMachines
from cdk_app.review.reading.parts import Parts
from cdk_app.review.words import Words, capital, verbs
from runtime.contract import LINK_PORT, Updates

_LEAVE: Final[dict[str, str]] = {
    Updates.SUMS: "Model updates leave masked, only in sums over members whose accounts signed for them.",
    Updates.NOISE: "Model updates leave with noise that the job adds, paid for from this account's budget.",
    Updates.PLAIN: "Model updates leave as they are: the server sees each of them.",
}
_WAYS_OUT: Final = {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::EIP"}


class Sentences:
    """The sentences of one template."""

    def __init__(
        self, parts: Parts, boundary: Boundary, machines: StateMachines, network: Network, job: Job
    ) -> None:
        self._parts, self._machines, self._job, self._network = parts, machines, job, network
        self._statements = boundary.statements
        self._words = Words(self._value("account"), self._value("server"))

    def sections(self) -> dict[str, list[str]]:
        """Return them by their headings, in the order in which a sceptic asks."""
        told = {
            "Whose stack this is": self._whose(),
            "Who from outside may enter": self._enter(),
            "What the server may do here": self._server(),
            "What the server chooses in a job": self._chosen(),
            "What is pinned in a job": self._pinned(),
            "What it can cost": self._cost(),
            "What flows back": self._back(),
            "Doors of the network": self._doors(),
            "What this account's own roles may do": self._own_roles(),
            "What the policies of buckets, keys and topics allow": self._resources(),
            "What this review does not see": self._outside(),
        }
        return {heading: list(dict.fromkeys(map(self._short, lines))) for heading, lines in told.items()}

    def _short(self, sentence: str) -> str:
        """Return a sentence without what every ARN of this account and Region begins with."""
        names = ("partition", "region", "account")
        partition, region, account = (re.escape(self._value(name)) for name in names)
        own = rf"arn:{partition}:(?:s3::|[a-z0-9-]+:(?:{region})?:{account}):"
        return self._parts.template.show(re.sub(own, "", sentence))

    def _value(self, name: str) -> str:
        return str(self._parts.values.get(name, "?"))

    def _whose(self) -> Iterator[str]:
        yield (
            f"Client {self._value('client')} of federation {self._value('federation')}: deploy it in account "
            f"{self._value('account')}, {self._value('region')}, and nowhere else."
        )
        yield f"The server is account {self._value('server')}, {self._value('server_region')}."
        for name in sorted(self._parts.template.parameters):
            yield f"The deployment is asked for {name}."

    def _enter(self) -> Iterator[str]:
        for part, found in self._statements.items():
            for statement in found if not part.endswith(" endpoint") else []:
                for principal in statement.principals if statement.allows else []:
                    if self._words.is_outside(principal, statement):
                        by = f"{verbs(statement)}, by the policy of the {part}"
                        if part.endswith(" trust"):
                            by = f"take the {part.removesuffix(' trust')} role"
                        yield capital(f"{self._words.who(principal)} may {by}{self._words.when(statement)}.")
        for role, uses in sorted(self._parts.uses.items()):
            if "kickoff" in uses:
                longest = self._parts.template.resources[role].properties.get("MaxSessionDuration", 3600)
                yield f"Whoever takes the kickoff role keeps it for {longest} seconds, and may take it anew."
        yield "No other policy of this template names anybody outside the account."

    def _server(self) -> Iterator[str]:
        for statement in self._statements.get("kickoff role", []):
            yield from self._words.grants("the server, in the kickoff role,", statement)
        if self._parts.direct:
            yield (
                "kickoff: direct. The server itself asks for jobs. IAM has no condition for a job's image, "
                "code, hyperparameters or S3 locations: it can run any code over all that the job role "
                "reads, leave the privacy policy out, and participation cannot be switched off."
            )

    def _chosen(self) -> Iterator[str]:
        if self._parts.direct:
            yield "Everything but what IAM's conditions above hold it to."
            return
        for sentence in self._machines.chosen():
            yield f"{sentence}."
        yield "The job is named after this client and the run; nothing else of it comes from the server."

    def _pinned(self) -> Iterator[str]:
        value, image = self._value, self._value("image")
        kind = named_by(image)
        if self._parts.direct:
            yield "The server is asked for the following; it may ask for something else."
        held = f"published by AWS as {kind}" if "@" not in image and kind else "held to by its digest"
        yield f"The image {image}, {held}."
        yield f"The code, by the SHA-256 of its bundle: {value('bundle_sha256')}."
        if not self._parts.direct:
            yield f"It is copied from {value('published')}, and refused if S3 computes another digest of it."
        if window := self._machines.window():
            yield f"Runs start within {window} only; one that has started goes on as long as its job may."
        yield f"The data: {value('data')}/train/. The model goes to {value('artifacts')}/models/."
        yield f"The instance: one {value('instance_type')} with {value('volume_gb')} GB."
        yield f"The key of data, model and volume: {value('data_key')}."
        yield f"The role: {value('job_role')}."
        yield from self._policy()

    def _policy(self) -> Iterator[str]:
        options = self._parts.request.get("HyperParameters", {})
        for key, value in options.items():
            if key.startswith("privacy-") and "cohort-" not in key:
                yield f"The privacy policy's {key.removeprefix('privacy-')}: {value}."
        for name, key in self._job.members.items():
            yield f"It may be summed with {name}, whose public key is {key or 'not told yet'}."

    def _cost(self) -> Iterator[str]:
        run, day = self._job.costs()
        yield f"A run: at most {run.what}{_dollars(run)}."
        if self._value("runs_a_day").isdigit():
            yield f"A day (UTC): at most {day.what}{_dollars(day)}."
        else:
            yield "A day: nothing in this template limits how many runs there are."
        yield "That is an estimate from list prices (cdk_app/handoff/prices.yaml); nothing was looked up."

    def _back(self) -> Iterator[str]:
        updates, value = self._parts.values.get("updates"), self._value
        yield _LEAVE.get(str(updates), f"How updates leave is not known to this review: {updates!r}.")
        yield f"{self._dials()}; what it says there is the bundle's code."
        yield f"The server reads {value('mailbox')}/{value('federation')}/*: the job's certificates."
        if not self._parts.direct:
            yield "The server sees how an execution ended, and SageMaker's reason where a job failed."
        for subscription in self._parts.template.of_kind("SNS::Subscription"):
            told = subscription.properties
            yield f"Alerts go to {told.get('Endpoint')} by {told.get('Protocol')}."

    def _dials(self) -> str:
        if self._network.by_link:
            return f"The job dials this account's own endpoint, port {LINK_PORT}, which leads to the server"
        if self._parts.template.of_kind("EC2::VPCPeeringConnection"):
            return (
                f"The job dials the server ({self._network.server_cidr}, port {LINK_PORT}) over the peering"
            )
        where = f"{self._network.link_cidr}, port {LINK_PORT}"
        return f"The job dials the server ({where}) on a way that the owner of this network made"

    def _doors(self) -> Iterator[str]:
        if not _WAYS_OUT & {resource.kind for resource in self._parts.template.resources.values()}:
            yield "There is no internet gateway, NAT gateway or public address."
        for peering in self._parts.template.of_kind("EC2::VPCPeeringConnection"):
            to, of = peering.properties.get("PeerVpcId"), peering.properties.get("PeerOwnerId")
            yield f"A peering with {to} of account {of}, for {self._network.server_cidr}."
        for endpoint in self._parts.links:
            service = endpoint.properties.get("ServiceName")
            yield f"An endpoint to {service}: what this network dials there goes out, and nothing comes in."
        for door in self._network.doors:
            first, last = door.ports
            ports = f"{first}" if first == last else f"{first}-{last}"
            if door.way == "Ingress":
                yield f"{door.cidr} may dial {door.protocol} {ports} of {door.group}."
            elif not door.cidr.startswith("255."):
                yield f"{door.group} may dial {door.protocol} {ports} of {door.cidr}."
        for part, found in self._statements.items():
            if part.endswith(" endpoint"):
                for statement in found:
                    who = self._words.whoever(statement)
                    yield from self._words.grants(f"through the {part}, {who}", statement)

    def _own_roles(self) -> Iterator[str]:
        for part, found in self._statements.items():
            if part.endswith(" trust") and part != "kickoff trust":
                for statement in found:
                    who, when = self._words.whoever(statement), self._words.when(statement)
                    yield capital(f"{who} may take the {part.removesuffix(' trust')} role{when}.")
        for part, found in self._statements.items():
            if part.endswith(" role") and part != "kickoff role":
                for statement in found:
                    yield from self._words.grants(f"the {part}", statement)

    def _resources(self) -> Iterator[str]:
        for part, found in self._statements.items():
            if part.endswith((" bucket", " key", " topic")):
                for statement in found:
                    if statement.allows:
                        who = f"{self._words.whoever(statement)}, by the policy of the {part},"
                        yield from self._words.grants(who, statement)

    def _outside(self) -> Iterator[str]:
        if self._parts.key(self._value("data_key")) is None:
            yield f"The policy of the data key {self._value('data_key')}, which says who may use it."
        if self._network.vpc is None:
            yield "The network: its routes, endpoints and flow logs are its owner's business."
        bucket = self._parts.bucket(self._value("data_bucket"))
        if bucket is not None and bucket.attributes.get("DeletionPolicy") != "Retain":
            yield "The data are deleted with the stack once their bucket is empty; nothing here keeps them."
        yield "What another stack or an administrator of the account allows beside this."
        yield "What the bundle's code and the image do: both are named above by what they are."


def _dollars(item: Item) -> str:
    return ", at a price not known here" if item.dollars is None else f", about {item.dollars:.2f} US dollars"
