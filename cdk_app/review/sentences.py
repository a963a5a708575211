"""What a template lets happen, as sentences under headings: the part of a review that a person reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cdk_app.images import named_by
from cdk_app.review.job import Job
from cdk_app.review.network import Network
from cdk_app.review.parts import Parts
from cdk_app.review.policies import Policies
from cdk_app.review.state_machines import StateMachines
from cdk_app.review.statements import ANYBODY, Condition, Statement
from runtime.contract import LINK_PORT, Updates

_WORDS: Final = {
    "StringEquals": "is",
    "ArnEquals": "is like",
    "ArnLike": "is like",
    "StringLike": "is like",
    "Bool": "is",
    "NumericEquals": "is",
    "NumericLessThanEquals": "is at most",
}
_PHRASES: Final = {
    "iam:PassRole": "pass on",
    "kms:Decrypt": "decrypt with",
    "kms:Sign": "sign with",
    "s3:DeleteObject": "delete",
    "s3:GetObject": "read",
    "s3:ListBucket": "list",
    "s3:PutObject": "write",
    "sagemaker:CreateTrainingJob": "start",
    "sagemaker:DescribeTrainingJob": "watch",
    "sagemaker:StopTrainingJob": "stop",
    "ssm:GetParameter": "read",
    "states:DescribeExecution": "watch",
    "states:StartExecution": "start",
    "states:StopExecution": "stop",
}
_LEAVE: Final = {
    Updates.SUMS: "Model updates leave masked, only in sums over members whose accounts signed for them.",
    Updates.NOISE: "Model updates leave with noise that the job adds, paid for from this account's budget.",
    Updates.PLAIN: "Model updates leave as they are: the server sees each of them.",
}


class Sentences:
    """The sentences of one template."""

    def __init__(
        self, parts: Parts, machines: StateMachines, policies: Policies, network: Network, job: Job
    ) -> None:
        self._parts, self._machines, self._policies = parts, machines, policies
        self._network, self._job = network, job
        self._show = parts.template.show
        self._values = parts.values

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
            "What AWS's services and this account may do by the policies of resources": self._resources(),
            "What is not in this template": self._outside(),
        }
        return {
            heading: list(dict.fromkeys(map(self._short, sentences))) for heading, sentences in told.items()
        }

    def _short(self, sentence: str) -> str:
        """Return a sentence without what every ARN of this account and Region begins with."""
        partition, region, account = (
            re.escape(self._value(name)) for name in ("partition", "region", "account")
        )
        own = rf"arn:{partition}:(?:s3::|[a-z0-9-]+:(?:{region})?:{account}):"
        return self._show(re.sub(own, "", sentence))

    def _value(self, name: str) -> str:
        return str(self._values.get(name, "?"))

    def _whose(self) -> Iterator[str]:
        yield (
            f"Client {self._value('client')} of federation {self._value('federation')}: deploy it in account "
            f"{self._value('account')}, {self._value('region')}, and nowhere else."
        )
        yield f"The server is account {self._value('server')}, {self._value('server_region')}."
        for name in sorted(self._parts.template.parameters):
            yield f"The deployment is asked for {name}."

    def _enter(self) -> Iterator[str]:
        for part, found in self._policies.statements.items():
            for statement in found if not part.endswith(" endpoint") else []:
                for principal in statement.principals if statement.allows else []:
                    if self._is_outside(principal, statement):
                        what = (
                            f"take the {part.removesuffix(' trust')} role" if part.endswith(" trust") else ""
                        )
                        what = what or f"{_verbs(statement)}, by the policy of the {part}"
                        yield f"{_capital(self._who(principal))} may {what}{self._when(statement)}."
        for role, uses in sorted(self._parts.uses.items()):
            if "kickoff" in uses:
                longest = self._parts.template.resources[role].properties.get("MaxSessionDuration", 3600)
                yield f"Whoever takes the kickoff role keeps it for at most {longest} seconds, and may then take it anew."
        yield "No policy of this template names anybody else outside the account."

    def _is_outside(self, principal: str, statement: Statement) -> bool:
        """Whether a principal is neither this account, a role of it, nor a service of AWS that it has called."""
        own = self._value("account")
        if principal.startswith("service ") or principal == f"account {own}":
            return False
        held = {c.key.lower(): c.values for c in statement.conditions if c.operator == "StringEquals"}
        if principal == ANYBODY and held.get("aws:principalaccount") == (own,):
            return False
        return not principal.startswith(f"arn:{self._value('partition')}:iam::{own}:")

    def _server(self) -> Iterator[str]:
        for statement in self._policies.statements.get("kickoff role", []):
            yield from self._grants("The server, in the kickoff role,", statement)
        if self._parts.direct:
            yield (
                "kickoff: direct. The server itself asks for jobs. IAM has no condition for a job's image, code, "
                "hyperparameters or S3 locations: it can run any code over all data of this account's job role, "
                "leave the privacy policy out, and participation cannot be switched off."
            )

    def _chosen(self) -> Iterator[str]:
        if self._parts.direct:
            yield "Everything but what IAM's conditions above hold it to."
            return
        for sentence in self._machines.chosen():
            yield f"{sentence}."
        yield "The job is named after this client and the run; nothing else of it comes from the server."

    def _pinned(self) -> Iterator[str]:
        value = self._value
        image = value("image")
        kind = named_by(image)
        held = f"published by AWS as {kind}" if "@" not in image and kind else "pinned by its digest"
        if self._parts.direct:
            yield "The server is asked for the following; it may ask for something else."
        yield f"The image {image}, {held}."
        yield f"The code, by the SHA-256 of its bundle: {value('bundle_sha256')}."
        if not self._parts.direct:
            yield f"It is copied from {value('published')} and refused if S3 computes another digest of it."
        yield f"The data: {value('data')}/train/. The model goes to {value('artifacts')}/models/."
        yield f"The instance: one {value('instance_type')} with {value('volume_gb')} GB, encrypted with {value('data_key')}."
        yield f"The role of the job: {value('job_role')}."
        yield from self._policy()

    def _policy(self) -> Iterator[str]:
        options = self._parts.request.get("HyperParameters", {})
        told = {key: value for key, value in options.items() if key.startswith("privacy-")}
        yield (
            "The privacy policy: "
            + ", ".join(
                f"{key.removeprefix('privacy-')} {value}"
                for key, value in told.items()
                if "cohort-" not in key
            )
            + "."
        )
        for name, key in self._job.members.items():
            yield f"It may be summed with {name}, whose public key is {key or 'not told yet'}."

    def _cost(self) -> Iterator[str]:
        seconds, price = self._job.run_seconds, self._job.dollars_an_hour()
        spot = ", on spot capacity" if self._values.get("spot") is True else ""
        yield (
            f"A run: one {self._value('instance_type')} for at most {seconds / 60:g} minutes{spot}"
            f"{_dollars(price, seconds / 3600)}."
        )
        runs = int(limit) if (limit := self._value("runs_a_day")).isdigit() else None
        if runs is not None:
            hours = min(runs * seconds / 3600, 24.0)
            yield f"A day: at most {runs} runs, one at a time, together {hours:g} hours{_dollars(price, hours)}."
        else:
            yield "A day: nothing in this template limits how many runs there are."
        if price is None:
            yield f"What an hour of {self._value('instance_type')} costs is not known here: see AWS's price list."
        else:
            yield "Prices are list prices of us-east-1; other Regions cost up to half as much again. Idle costs: docs/deploy.md."

    def _back(self) -> Iterator[str]:
        updates = self._values.get("updates")
        yield _LEAVE.get(updates, f"How updates leave is {updates!r}, which this review does not know.")
        yield (
            f"The job dials the server ({self._network.server_cidr}, port {LINK_PORT}) over the peering; what it says "
            "there is the bundle's code."
        )
        yield f"The server reads {self._value('mailbox')}/{self._value('federation')}/*: the job's certificates."
        if not self._parts.direct:
            yield "The server sees how an execution ended, and SageMaker's reason where a job failed."
        for subscription in self._parts.template.of_kind("SNS::Subscription"):
            told = subscription.properties
            yield f"Alerts go to {told.get('Endpoint')} by {told.get('Protocol')}."

    def _doors(self) -> Iterator[str]:
        kinds = {resource.kind for resource in self._parts.template.resources.values()}
        ways = {"EC2::InternetGateway", "EC2::NatGateway", "EC2::EIP", "EC2::TransitGatewayAttachment"}
        if not {f"AWS::{way}" for way in ways} & kinds:
            yield "There is no internet gateway, NAT gateway or public address."
        for peering in self._parts.template.of_kind("EC2::VPCPeeringConnection"):
            vpc = peering.properties.get("PeerVpcId")
            yield f"A peering with {vpc} of account {peering.properties.get('PeerOwnerId')}, for {self._network.server_cidr}."
        for door in self._network.doors:
            first, last = door.ports
            ports = f"{first}" if first == last else f"{first}-{last}"
            if door.way == "Ingress":
                yield f"{door.cidr} may dial {door.protocol} {ports} of {door.group}."
            elif not door.cidr.startswith("255."):
                yield f"{door.group} may dial {door.protocol} {ports} of {door.cidr}."
        for part, found in self._policies.statements.items():
            if part.endswith(" endpoint"):
                for statement in found:
                    yield from self._grants(f"Through the {part}, {self._whoever(statement)}", statement)

    def _whoever(self, statement: Statement) -> str:
        accounts = [c.values for c in statement.conditions if c.key.lower() == "aws:principalaccount"]
        if accounts and statement.principals == (ANYBODY,):
            return " and ".join(f"whoever is of account {account}" for account in accounts[0])
        return " and ".join(self._who(principal) for principal in statement.principals)

    def _own_roles(self) -> Iterator[str]:
        for part, found in self._policies.statements.items():
            if part.endswith(" trust") and part != "kickoff trust":
                role = part.removesuffix(" trust")
                for statement in found:
                    if statement.allows:
                        yield _capital(
                            f"{self._whoever(statement)} may take the {role} role{self._when(statement)}."
                        )
        for part, found in self._policies.statements.items():
            if part.endswith(" role") and part != "kickoff role":
                for statement in found:
                    yield from self._grants(f"The {part}", statement)

    def _resources(self) -> Iterator[str]:
        for part, found in self._policies.statements.items():
            if part.endswith((" bucket", " key", " topic")):
                for statement in found:
                    if statement.allows:
                        yield from self._grants(
                            f"{self._whoever(statement)}, by the policy of the {part},", statement
                        )

    def _outside(self) -> Iterator[str]:
        template = self._parts.template
        if self._parts.key(self._values.get("data_key")) is None:
            yield f"The data key {self._value('data_key')}: its own policy says who may use it."
        if self._network.vpc is None:
            yield "The network: its routes, endpoints and flow logs are its owner's business, and are not reviewed."
        for name in ("DeletionPolicy",):
            kept = [r.name for r in template.of_kind("S3::Bucket") if r.attributes.get(name) == "Retain"]
            if self._parts.bucket(self._value("data_bucket")) and not any(
                template.reference(bucket) == self._value("data_bucket") for bucket in kept
            ):
                yield "The data do not outlive the stack: they are deleted with it once their bucket is empty."
        yield "What an administrator of the account, or another stack in it, allows beside this."

    def _grants(self, who: str, statement: Statement) -> Iterator[str]:
        verb = "may" if statement.allows else "may never"
        for resource in statement.resources:
            yield _capital(
                f"{who} {verb} {_verbs(statement)}: {self._named(resource)}{self._when(statement)}."
            )

    def _named(self, resource: str) -> str:
        return "everything" if resource == "*" else resource

    def _who(self, principal: str) -> str:
        if principal == ANYBODY:
            return "anybody"
        if principal == f"account {self._value('account')}":
            return "this account"
        if principal == f"account {self._value('server')}":
            return "the server's account"
        return re.sub(r"^service ", "AWS's service ", principal)

    def _when(self, statement: Statement) -> str:
        held = [c for c in statement.conditions if c.key.lower() != "aws:principalaccount"]
        return f", if {' and '.join(map(_said, held))}" if held else ""


def _verbs(statement: Statement) -> str:
    return ", ".join(f"{_PHRASES[a]} ({a})" if a in _PHRASES else a for a in sorted(statement.actions))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _said(condition: Condition) -> str:
    if condition.operator == "Null":
        return f"{condition.key} is {'given' if condition.values == ('false',) else 'not given'}"
    return f"{condition.key} {_WORDS.get(condition.operator, condition.operator)} {' or '.join(condition.values)}"


def _dollars(price: float | None, hours: float) -> str:
    return "" if price is None else f", about {price * hours:.2f} US dollars"
