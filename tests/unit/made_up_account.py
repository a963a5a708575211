"""An account whose answers a test makes up, and the sides of the example federation that look at it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from assembly import example
from botocore.exceptions import ClientError

from cdk_app.config.load import parse
from cdk_app.preflight.account import Account
from cdk_app.preflight.deployed import DeployedStack
from cdk_app.preflight.side import Side
from runtime.server.preflight.caller import Caller
from runtime.server.preflight.findings import Problem

HUB, OWN = "vpc-0000000000000000a", "vpc-0000000000000000b"
SUBNETS = ["subnet-1", "subnet-2"]


def refusal(code: str, operation: str = "Anything") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


class MadeUp(Account):
    """Answers by operation; one that is an error is raised, and one that nobody made up fails the test."""

    def __init__(self, account: str, region: str, **answers: Any) -> None:
        super().__init__(SimpleNamespace(region_name=region), account, region)
        self.answers = answers

    def client(self, _: str) -> Any:
        def answer(operation: str) -> Any:
            def call(**request: Any) -> Any:
                value = self.answers[operation]
                value = value(request) if callable(value) else value
                if isinstance(value, Exception):
                    raise value
                return value

            return call

        class Service:
            def can_paginate(self, _: str) -> bool:
                return False

            def get_paginator(self, operation: str) -> Any:
                return SimpleNamespace(paginate=lambda **request: [answer(operation)(**request)])

            def __getattr__(self, operation: str) -> Any:
                return answer(operation)

        return Service()

    def stack(self, name: str) -> DeployedStack | None:
        found: DeployedStack | None = self.answers.get("stacks", {}).get(name)
        return found


def stack(name: str, **parameters: str) -> DeployedStack:
    described = {
        "StackName": name,
        "StackStatus": "CREATE_COMPLETE",
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
    }
    return DeployedStack(described, {"Resources": {}}, [], "111111111111", "eu-west-1")


def a_side(client: str | None, change: Any = None, **answers: Any) -> Side:
    """Return a side of the example federation whose network is a made-up one."""
    data = example()
    if change is not None:
        change(data)
    federation = parse(data)
    chosen = next((c for c in federation.clients if c.name == client), None)
    place = chosen or federation.server
    account = MadeUp(place.account, place.region, **answers)
    side = Side(federation, chosen, account, Caller(place.account, "arn", 0), Path("/no"), Path("/no"))
    side.__dict__["vpc_id"] = HUB if chosen is None else OWN
    side.__dict__["subnet_ids"] = SUBNETS
    return side


def problems(found: Any) -> list[Problem]:
    return [each for each in found if isinstance(each, Problem)]


def peering(
    status: str = "active", message: str = "", identity: str = "pcx-1", **changes: Any
) -> dict[str, Any]:
    """Return the peering of client north with the server."""
    requester = {"OwnerId": "222222222222", "Region": "eu-west-1", "VpcId": OWN, "CidrBlock": "10.0.1.0/24"}
    accepter = {"OwnerId": "111111111111", "Region": "eu-west-1", "VpcId": HUB, "CidrBlock": "10.0.0.0/24"}
    return {
        "VpcPeeringConnectionId": identity,
        "Status": {"Code": status, "Message": message},
        "RequesterVpcInfo": requester | changes.get("requester", {}),
        "AccepterVpcInfo": accepter | changes.get("accepter", {}),
    }
