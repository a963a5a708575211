"""Who may take which role, what each may then do, and what passes the endpoints, against the boundary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cdk_app.regions import service_of
from cdk_app.review.checks.boundary import Boundary
from cdk_app.review.reading.parts import Parts
from cdk_app.review.reading.statements import Statement, statements
from cdk_app.review.reading.template import Resource
from cdk_app.review.reading.wildcards import matches


class Policies:
    """The roles and endpoints of a client's stack, and what its deployment is asked for."""

    def __init__(self, parts: Parts, boundary: Boundary) -> None:
        self._parts, self._boundary = parts, boundary
        self._template, self._told = parts.template, boundary.told

    def check(self) -> None:
        """Hold every policy against the boundary; what is beyond it becomes a problem of the template."""
        self._check_parameters()
        for role in self._template.of_kind("IAM::Role"):
            self._check_role(role)
        self._check_policies()
        self._check_topics()
        for endpoint in self._template.of_kind("EC2::VPCEndpoint"):
            if endpoint not in self._parts.links:  # what is not AWS's own takes no policy: checks/network.py
                self._check_endpoint(endpoint)

    def _check_parameters(self) -> None:
        for name, parameter in self._template.parameters.items():
            pattern = next((p for p in self._told["parameters"] if matches(p, name)), None)
            wanted = self._told["parameters"].get(pattern)
            if pattern is None or parameter.get("AllowedPattern") != wanted:
                self._template.object(
                    name,
                    f"The deployment is asked for {name} ({parameter.get('AllowedPattern') or 'any text'}), "
                    "which is not among what a client's stack may be asked for.",
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
        self._boundary.hold(f"{uses[0]} trust", trust, allowed["taken_by"], on=who)
        grants = [
            grant for place, document in self._documents(role) for grant in self._grants(place, document, who)
        ]
        self._boundary.hold(f"{uses[0]} role", grants, [{**entry, "who": who} for entry in allowed["may"]])

    def _check_session(self, role: Resource, allowed: Mapping[str, Any]) -> None:
        name, longest = role.properties.get("RoleName"), allowed.get("longest_session")
        if "name" in allowed and name != (wanted := next(iter(self._boundary.filled(allowed["name"])), None)):
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

    def _check_topics(self) -> None:
        for policy in self._template.of_kind("SNS::TopicPolicy"):
            found = statements(self._template, policy.properties.get("PolicyDocument"), policy.name)
            self._boundary.hold("alerts topic", found, self._told["topics"]["alerts"]["may"])

    def _check_endpoint(self, endpoint: Resource) -> None:
        name = str(endpoint.properties.get("ServiceName", ""))
        service = service_of(name, self._template.region)
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
        self._boundary.hold(f"{service} endpoint", found, self._told["endpoints"][service]["may"])
