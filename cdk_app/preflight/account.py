"""One account in one Region as a preflight reads it: each answer of AWS is asked for once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import boto3
from botocore.exceptions import ClientError

from cdk_app.preflight.deployed import DeployedStack
from runtime.server.preflight.caller import CONFIG
from runtime.server.preflight.findings import code_of

_ABSENT: Final = ("NotFound", "NoSuch", "DoesNotExist", "404")

Described = Mapping[str, Any]


def is_absent(error: ClientError) -> bool:
    """Whether AWS says that what was asked for is not there."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    return any(word in code_of(error) for word in _ABSENT) or "RecordNotFound" in message  # SageMaker's word


class Account:
    """An account and Region, read with a session's credentials."""

    def __init__(self, session: boto3.Session, account: str, region: str) -> None:
        self.session, self.account, self.region = session, account, region
        self._guard, self._session_guard = threading.Lock(), threading.Lock()
        self._guards: dict[str, threading.Lock] = {}
        self._kept: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return a client of a service in the account's Region."""
        return self._once(f"client {service}", lambda: self._make_client(service))

    def _make_client(self, service: str) -> Any:
        with self._session_guard:  # sessions are not to be shared by threads
            return self.session.client(service, region_name=self.region, config=CONFIG)

    def _once(self, what: str, read: Callable[[], Any]) -> Any:
        """Return what was read before; checks that are made at a time wait for the one that reads it."""
        with self._guard:
            guard = self._guards.setdefault(what, threading.Lock())
        with guard:
            if what not in self._kept:
                self._kept[what] = read()
            return self._kept[what]

    def all(self, service: str, operation: str, key: str, **request: Any) -> list[Described]:
        """Return what an operation lists, all pages of it."""
        client = self.client(service)
        if not client.can_paginate(operation):
            return list(getattr(client, operation)(**request)[key])
        pages = client.get_paginator(operation).paginate(**request)
        return [each for page in pages for each in page.get(key, [])]

    def get(self, service: str, operation: str, **request: Any) -> Described | None:
        """Return an operation's answer, or None where AWS says that there is no such thing."""
        try:
            answer: Described = getattr(self.client(service), operation)(**request)
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        return answer

    def stack(self, name: str) -> DeployedStack | None:
        """Return a stack as it is deployed; None where there is none."""
        found: DeployedStack | None = self._once(f"stack {name}", lambda: self._read_stack(name))
        return found

    def _read_stack(self, name: str) -> DeployedStack | None:
        cloudformation = self.client("cloudformation")
        try:
            described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if code_of(error) == "ValidationError":  # "Stack with id ... does not exist"
                return None
            raise
        template = cloudformation.get_template(StackName=name)["TemplateBody"]
        listed = self.all("cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=name)
        stack = DeployedStack(described, template, listed, self.account, self.region)
        stack.dns_entries = self._dns_entries
        return stack

    def _dns_entries(self, endpoint: str) -> list[str]:
        """Return an endpoint's names as CloudFormation has them, `<hosted zone>:<name>`."""
        there = self._described("describe_vpc_endpoints", "VpcEndpoints")
        entries = [
            entry for e in there if e["VpcEndpointId"] == endpoint for entry in e.get("DnsEntries", [])
        ]
        return [f"{e.get('HostedZoneId', '')}:{e['DnsName']}" for e in entries] or [":"]

    @property
    def peerings(self) -> list[Described]:
        """All peerings of the account's VPCs in this Region, those of others with them too."""
        return self._described("describe_vpc_peering_connections", "VpcPeeringConnections")

    def of_vpc(self, operation: str, key: str, vpc_id: str) -> list[Described]:
        """Return route tables, subnets, groups ... of one VPC."""
        found = self._described(operation, key)
        return [each for each in found if each.get("VpcId") == vpc_id]

    def _described(self, operation: str, key: str) -> list[Described]:
        found: list[Described] = self._once(operation, lambda: self.all("ec2", operation, key))
        return found
