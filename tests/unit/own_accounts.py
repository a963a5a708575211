"""The example's federation where owners bring all that they can, and in a partition of China."""

from __future__ import annotations

from typing import Any

import pytest
from assembly import Assembly, Synthesise, example

OWN_SERVER: dict[str, Any] = {
    "vpc": {
        "vpc_id": "vpc-00000000000000aa0",
        "subnet_ids": ["subnet-00000000000000aa0", "subnet-00000000000000aa1"],
        "route_table_ids": ["rtb-00000000000000aa0", "rtb-00000000000000aa1"],
    },
    "key_arn": "arn:aws:kms:eu-west-1:111111111111:key/11111111-1234-1234-1234-123456789012",
    "permissions_boundary": "arn:aws:iam::111111111111:policy/org/developers",
    "bootstrap_qualifier": "org",
    "names": {
        "role_path": "/org/fl/",
        "role_prefix": "org-",
        "buckets": {"test_data": "org-fl-test", "results": "org-fl-results", "access_logs": "org-fl-logs"},
    },
}
OWN_NORTH: dict[str, Any] = {
    "vpc": {
        "vpc_id": "vpc-00000000000000bb0",
        "subnet_ids": ["subnet-00000000000000bb0", "subnet-00000000000000bb1"],
        "route_table_ids": ["rtb-00000000000000bb0", "rtb-00000000000000bb0"],
    },
    "key_arn": "arn:aws:kms:eu-west-1:222222222222:key/22222222-1234-1234-1234-123456789012",
    "permissions_boundary": "arn:aws:iam::222222222222:policy/developers",
    "bootstrap_qualifier": "clinic",
    "names": {
        "role_path": "/clinic/",
        "role_prefix": "clinic-",
        "buckets": {
            "data": "clinic-fl-data",
            "artifacts": "clinic-fl-models",
            "code": "clinic-fl-code",
            "mailbox": "clinic-fl-mailbox",
            "access_logs": "clinic-fl-logs",
            "bundle": "clinic-fl-package",
        },
    },
}


def own_data() -> dict[str, Any]:
    """The example; the server and north bring all that an owner can."""
    data = example()
    data["server"] |= OWN_SERVER
    data["clients"][0] |= OWN_NORTH
    return data


def moved(data: dict[str, Any], home: str, away: str) -> dict[str, Any]:
    """A federation's data in two other Regions; south is in the second."""
    for place in (data["server"], *data["clients"]):
        region = away if place.get("name") == "south" else home
        place |= {"region": region, "availability_zones": [f"{region}a", f"{region}b"], "key_arn": None}
    for client in data["clients"]:
        client |= {"kickoff_endpoint": None, "peering_id": None, "vpc": None}
    data["server"]["vpc_id"] = None
    return data


@pytest.fixture(scope="session")
def own(synthesise: Synthesise) -> Assembly:
    """Where owners bring all that they can."""
    return synthesise(own_data())


@pytest.fixture(scope="session")
def gov(synthesise: Synthesise) -> Assembly:
    """The example in both Regions of GovCloud."""
    return synthesise(moved(example(), "us-gov-west-1", "us-gov-east-1"))


@pytest.fixture(scope="session")
def china(synthesise: Synthesise) -> Assembly:
    """The example in both Regions of China."""
    return synthesise(moved(example(), "cn-north-1", "cn-northwest-1"))
