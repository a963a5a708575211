"""Holds every policy of a template against the committed boundary (boundary/policies.yaml)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from cdk_app.review.parts import Parts, bucket_key, data
from cdk_app.review.problem import Counterexample, Problem
from cdk_app.review.statements import Condition, Entry, Statement, excess, many, refuses, statements
from cdk_app.review.template import Resource
from cdk_app.review.wildcards import matches

_HOLE: Final = re.compile(r"\$\{(\w+)\}")
_PUBLIC: Final = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
_TLS: Final = {
    "insecure transport": Condition("Bool", "aws:SecureTransport", ("false",)),
    "old TLS": Condition("NumericLessThan", "s3:TlsVersion", ("1.2",)),
}


class Policies:
    """What may be allowed, with the values of one template filled in."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._template = parts.template
        self._told = data("policies.yaml")
        self.statements: dict[str, list[Statement]] = {}
        """Every statement that was read, by the part that it is of."""

    def check(self) -> None:
        """Hold every policy against the boundary; what is beyond it becomes a problem of the template."""
        self._check_parameters()
        for role in self._template.of_kind("IAM::Role"):
            self._check_role(role)
        self._check_policies()
        for kind, resource in self._buckets():
            self._check_bucket(kind, resource)
        for kind, resource in self._keys():
            self._check_key(kind, resource)
        self._check_topics()
        for endpoint in self._template.of_kind("EC2::VPCEndpoint"):
            self._check_endpoint(endpoint)

    def _check_parameters(self) -> None:
        for name, parameter in self._template.parameters.items():
            pattern = next((p for p in self._told["parameters"] if matches(p, name)), None)
            wanted = self._told["parameters"].get(pattern)
            if pattern is None or parameter.get("AllowedPattern") != wanted:
                self._template.object(
                    name,
                    f"The deployment is asked for {name} ({parameter.get('AllowedPattern') or 'any text'}), which "
                    "is not among what a client's stack may be asked for.",
                )

    def _check_role(self, role: Resource) -> None:
        uses = sorted(self._parts.uses.get(role.name, ()))
        if len(uses) != 1:
            used = (
                f"is used as {' and as '.join(uses)}" if uses else "is used by nothing that this review knows"
            )
            self._template.object(role.name, f"The role {used}.")
            return
        allowed = self._told["roles"][uses[0]]
        who = self._template.arn(role.name)
        self._check_session(role, allowed)
        trust = statements(
            self._template, role.properties.get("AssumeRolePolicyDocument"), f"{role.name}, who may take it"
        )
        self._hold(f"{uses[0]} trust", trust, allowed["taken_by"], on=who)
        grants = [
            grant for place, document in self._documents(role) for grant in self._grants(place, document, who)
        ]
        self._hold(f"{uses[0]} role", grants, [{**entry, "who": who} for entry in allowed["may"]])

    def _check_session(self, role: Resource, allowed: Mapping[str, Any]) -> None:
        name, longest = role.properties.get("RoleName"), allowed.get("longest_session")
        if "name" in allowed and name != (wanted := next(iter(self._filled(allowed["name"])), None)):
            self._template.object(
                role.name, f"The role that the server takes is called {name}, not {wanted}."
            )
        if longest and int(role.properties.get("MaxSessionDuration", 3600)) > longest:
            self._template.object(
                role.name, f"A session of this role may last longer than {longest} seconds."
            )

    def _documents(self, role: Resource) -> Iterator[tuple[str, Any]]:
        """Yield every policy of a role, with where it stands."""
        ours = {self._template.reference(p.name): p for p in self._template.of_kind("IAM::ManagedPolicy")}
        for policy in role.properties.get("Policies", []):
            yield f"{role.name}, {policy.get('PolicyName')}", policy.get("PolicyDocument")
        for policy in self._template.of_kind("IAM::Policy", "IAM::ManagedPolicy"):
            if self._template.reference(role.name) in policy.properties.get("Roles", []):
                yield policy.name, policy.properties.get("PolicyDocument")
        for arn in role.properties.get("ManagedPolicyArns", []):
            if arn in ours:
                yield ours[arn].name, ours[arn].properties.get("PolicyDocument")
            else:
                self._template.object(
                    role.name, f"It has the managed policy {arn}, which is not in this template."
                )

    def _grants(self, place: str, document: Any, who: str) -> list[Statement]:
        return statements(self._template, document, place, principal=who)

    def _check_policies(self) -> None:
        known = {self._template.reference(role.name) for role in self._template.of_kind("IAM::Role")}
        for policy in self._template.of_kind("IAM::Policy", "IAM::ManagedPolicy"):
            for role in policy.properties.get("Roles", []):
                if role not in known:
                    self._template.object(
                        policy.name, f"It gives rights to the role {role}, which is not in this template."
                    )

    def _buckets(self) -> Iterator[tuple[str, Resource]]:
        names = {
            self._parts.values.get(f"{kind}_bucket"): kind
            for kind in ("data", "artifacts", "code", "mailbox")
        }
        if len(names) < 4 and not self._parts.direct:
            self._template.object("buckets", "Data, models, code and mailbox are not four different buckets.")
        buckets = self._template.of_kind("S3::Bucket")
        logged = {
            bucket.properties.get("LoggingConfiguration", {}).get("DestinationBucketName")
            for bucket in buckets
        }
        for bucket in buckets:
            name = self._template.reference(bucket.name)
            kind = names.get(name) or ("access logs" if name in logged else None)
            if kind is None and self._parts.direct:
                kind, self._parts.values["code"] = "code", self._template.arn(bucket.name)  # not used
            if kind is None:
                self._template.object(bucket.name, "The bucket is used by nothing that this review knows.")
                continue
            if kind == "access logs":
                self._template.call(name, "access logs bucket")
                self._parts.values["access_logs"] = self._template.arn(bucket.name)
            yield kind, bucket

    def _check_bucket(self, kind: str, bucket: Resource) -> None:
        allowed, name = self._told["buckets"][kind], self._template.reference(bucket.name)
        policies = [
            p for p in self._template.of_kind("S3::BucketPolicy") if p.properties.get("Bucket") == name
        ]
        found = [
            statement
            for policy in policies
            for statement in statements(self._template, policy.properties.get("PolicyDocument"), policy.name)
        ]
        self._hold(f"{kind} bucket", found, allowed["may"])
        arn = self._template.arn(bucket.name)
        for name in allowed["refuses"]:
            if not all(
                any(refuses(s, "s3:*", what, when=_TLS[name]) for s in found) for what in (arn, f"{arn}/*")
            ):
                self._template.object(bucket.name, f"The {kind} bucket does not refuse {name}.")
        writer = next(iter(self._filled(allowed.get("only_writer", ""))), None)
        if (
            writer
            and not self._parts.direct
            and not any(refuses(s, "s3:PutObject", f"{arn}/*", but=writer) for s in found)
        ):
            self._template.object(
                bucket.name, f"The {kind} bucket does not refuse objects of others than {writer}."
            )
        self._check_bucket_settings(kind, bucket)

    def _check_bucket_settings(self, kind: str, bucket: Resource) -> None:
        properties = bucket.properties
        if any(properties.get("PublicAccessBlockConfiguration", {}).get(way) is not True for way in _PUBLIC):
            self._template.object(bucket.name, f"The {kind} bucket does not block all public access.")
        owner = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        if properties.get("OwnershipControls") != owner:
            self._template.object(bucket.name, f"Access lists can open objects of the {kind} bucket.")
        if properties.get("VersioningConfiguration") != {"Status": "Enabled"}:
            self._template.object(bucket.name, f"The {kind} bucket does not keep versions.")
        wanted = {"mailbox": "operations_key", "access logs": None}.get(kind, "data_key")
        if wanted and (key := bucket_key(bucket)) != self._parts.values.get(wanted):
            self._template.object(
                bucket.name, f"The {kind} bucket is encrypted with {key}, not with the {wanted}."
            )
        elsewhere = properties.get("LoggingConfiguration", {}).get("DestinationBucketName")
        if kind != "access logs" and (elsewhere is None or self._parts.bucket(elsewhere) is None):
            self._template.object(
                bucket.name, f"Accesses to the {kind} bucket are not logged in this account."
            )

    def _keys(self) -> Iterator[tuple[str, Resource]]:
        values = self._parts.values
        if values.get("data_key") == values.get("operations_key"):
            self._template.object(
                "keys", "The data key is also the mailbox's, which the server may decrypt with."
            )
        own = f"arn:{self._template.partition}:kms:{self._template.region}:{self._template.account}:key/"
        if not str(values.get("data_key", "")).startswith(own):
            self._template.object(
                "keys", f"The data key {values.get('data_key')} is not of this account and Region."
            )
        kinds = {values.get(f"{kind}_key"): kind for kind in ("data", "operations", "signing")}
        for key in self._template.of_kind("KMS::Key"):
            kind = kinds.get(self._template.arn(key.name))
            if kind is None:
                self._template.object(key.name, "The key is used by nothing that this review knows.")
                continue
            yield kind, key

    def _check_key(self, kind: str, key: Resource) -> None:
        allowed = self._told["keys"][kind]
        found = statements(
            self._template, key.properties.get("KeyPolicy"), key.name, own=self._template.arn(key.name)
        )
        self._hold(f"{kind} key", found, allowed["may"])
        signer = next(iter(self._filled(allowed.get("only_signer", ""))), None)
        if signer and not any(
            refuses(s, "kms:Sign", self._template.arn(key.name), but=signer) for s in found
        ):
            self._template.object(
                key.name, f"The signing key does not refuse signatures to others than {signer}."
            )

    def _check_topics(self) -> None:
        for policy in self._template.of_kind("SNS::TopicPolicy"):
            found = statements(self._template, policy.properties.get("PolicyDocument"), policy.name)
            self._hold("alerts topic", found, self._told["topics"]["alerts"]["may"])

    def _check_endpoint(self, endpoint: Resource) -> None:
        name = str(endpoint.properties.get("ServiceName", ""))
        service = name.removeprefix(f"com.amazonaws.{self._template.region}.")
        if service not in self._told["endpoints"]:
            self._template.object(
                endpoint.name, f"It is an endpoint of {name}, which this review does not know."
            )
            return
        if "PolicyDocument" not in endpoint.properties:
            self._template.object(
                endpoint.name, f"The endpoint of {service} has no policy: it lets everything through."
            )
            return
        found = statements(self._template, endpoint.properties["PolicyDocument"], endpoint.name)
        self._hold(f"{service} endpoint", found, self._told["endpoints"][service]["may"])

    def _hold(self, part: str, found: Sequence[Statement], entries: Any, on: str | None = None) -> None:
        """Object to each statement that allows what no entry does; `on` is what a trust policy is about."""
        self.statements.setdefault(part, []).extend(found)
        allowed = [entry for told in entries for entry in self._entries(told)]
        for statement in found:
            if not statement.allows:
                continue
            for principal, action, resource in excess(statement, allowed, self._familiar()):
                show = self._template.show
                example = Counterexample(show(principal), show(action), show(on or resource))
                what = f"It allows what the boundary of the {part} does not."
                self._template.problems.append(Problem(show(statement.where), what, example))

    def _familiar(self) -> list[tuple[str, str]]:
        """Return calls that make a telling example: what they reach has a name here."""
        told = self._told["examples"]
        return [(action, resource) for action, text in told for resource in self._filled(text)]

    def _entries(self, told: Mapping[str, Any]) -> Iterator[Entry]:
        """Yield a boundary's entry with the template's values in it, unless the template lacks one."""
        conditions = {key: self._all(many(values)) for key, values in told.get("if", {}).items()}
        who, resources = self._all(many(told["who"])), self._all(told.get("to", ["*"]))
        if who and resources and all(conditions.values()):
            yield Entry(who, tuple(told["do"]), resources, conditions)

    def _all(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(filled for text in texts for filled in self._filled(text))

    def _filled(self, text: str) -> Iterator[str]:
        """Yield a text once for each combination of the values that its names have."""
        names = list(dict.fromkeys(_HOLE.findall(text)))
        choices = [many(self._parts.values.get(name, [])) for name in names]
        for values in product(*choices):
            known = dict(zip(names, map(str, values), strict=True))
            yield _HOLE.sub(lambda found, known=known: known[found[1]], text)
