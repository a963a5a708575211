"""Policies that AWS would refuse for their size are found at synth."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from assembly import ROOT, Template, example, of_type, server_template

from cdk_app.config.connectivity import MOST_PEERINGS
from cdk_app.config.load import Federation, parse
from cdk_app.size_limits import LIMITS, length, too_long, too_long_in


@pytest.mark.parametrize(
    ("document", "size"),
    [
        ({"Action": "s3:GetObject"}, len('{"Action":"s3:GetObject"}')),
        (["a", "b"], len('["a","b"]')),
        ({"Ref": "Role"}, 100),
        ({"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":x"]]}, 6 + 100 + 4),
    ],
)
def test_the_length_is_that_of_the_text_and_an_arn_s_where_it_is_not_known(document: Any, size: int) -> None:
    assert length(document) == size


@pytest.mark.parametrize("clients", [1, 500])
@pytest.mark.parametrize("kind", sorted(LIMITS))
def test_a_policy_that_grows_too_long_with_its_clients_is_told(
    tmp_path: Path, kind: str, clients: int
) -> None:
    key, what, most = LIMITS[kind]
    roles = [
        f"arn:aws:iam::{n:012}:role/FL-kickoff-client-job-federation-client-{n:03}" for n in range(clients)
    ]
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles}
    template = {"Resources": {"It": {"Type": kind, "Properties": {key: {"Statement": [statement]}}}}}
    file = tmp_path / "cms-server.template.json"
    file.write_text(json.dumps(template))
    said = too_long_in([file], clients)
    if clients == 1:
        assert said == []
    else:
        assert said[0].startswith(f"cms-server: the {what} of It has about ")
        assert f"AWS takes {most:,}" in said[0]
        fitting = int(re.search(r"at most (\d+) of these 500 fit", said[0])[1])  # type: ignore[index]
        statement["Resource"] = roles[: fitting - 1]  # the rest of the policy takes the room of one
        file.write_text(json.dumps(template))
        assert too_long_in([file], fitting - 1) == []


def test_the_example_is_within_every_limit(templates: dict[str, Template]) -> None:
    for template in templates.values():
        assert list(too_long(template, 3)) == []


@pytest.mark.parametrize(("kickoff", "region"), [("direct", "eu-central-1"), ("broker", "us-gov-west-1")])
def test_as_many_clients_as_a_vpc_can_peer_fit_with_the_longest_names(
    tmp_path: Path, kickoff: str, region: str
) -> None:
    """The server's stack alone, which is the one that grows."""
    template = fitting(server_template(tmp_path, crowded(region, kickoff)))
    assert list(too_long(template, MOST_PEERINGS)) == []
    assert len(of_type(template, "EC2::VPCEndpoint")) == 5


def test_three_hundred_clients_by_privatelink_fit_with_the_longest_names(tmp_path: Path) -> None:
    federation = crowded("us-gov-west-1", "broker", 300, connectivity="privatelink")
    template = fitting(server_template(tmp_path, federation))
    assert list(too_long(template, 300)) == []
    (policy,) = (
        endpoint["PolicyDocument"]["Statement"][0]
        for endpoint in of_type(template, "EC2::VPCEndpoint").values()
        if str(endpoint["ServiceName"]).endswith(".sts")
    )
    assert policy["Resource"].endswith(":iam::*:role/FL-kickoff-client-job-abcdefghijklmnop-*")
    conditions = policy["Condition"]["StringEquals"]
    assert len(set(conditions["aws:ResourceAccount"])) == 300
    assert conditions["aws:PrincipalAccount"] == ["111111111111"]
    taken = [
        arn
        for policy in of_type(template, "IAM::ManagedPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        for arn in statement["Resource"]
    ]
    assert len(taken) == 300, "the role's own policies name each"
    assert not [arn for arn in taken if "*" in arn]


def fitting(template: Template) -> Template:
    assert len(template["Resources"]) < 500
    assert len(json.dumps(template)) < 1_000_000
    return template


def crowded(region: str, kickoff: str, clients: int = MOST_PEERINGS, **more: Any) -> Federation:
    """A federation of so many clients, all but one in the server's Region, each of the longest names."""
    data = example()
    data |= {"name": "abcdefghijklmnop", "training": {}, **more}
    data["server"] |= place(0, region)
    data["clients"] = [
        {
            "name": f"abcdefghijklmnopqrstu{number:03}",
            "kickoff": kickoff,
            "privacy": {"updates": "plain"},
            **place(number, region),
        }
        for number in range(1, clients + 1)
    ]
    away = {"us-gov-west-1": "us-gov-east-1"}.get(region, "eu-west-1")
    data["clients"][-1] |= {**place(clients, away), "kickoff": "broker"}
    if more:  # whose call does not cross Regions
        data["clients"][-1]["kickoff_endpoint"] = f"vpce-0.states.{away}.vpce.amazonaws.com"
    return parse(data)


def place(number: int, region: str) -> dict[str, Any]:
    zones = [f"{region}a", f"{region}b"]
    return {
        "account": f"{111111111111 + number}",
        "region": region,
        "cidr": f"10.{1 + number // 250}.{number % 250}.0/24",
        "availability_zones": zones,
    }


BREAKING = """
import app
from cdk_app.size_limits import LIMITS
LIMITS["AWS::EC2::VPCEndpoint"] = ("PolicyDocument", "endpoint policy", 100)
app.main()
"""


def test_synth_ends_with_what_is_too_long(tmp_path: Path) -> None:
    """What `cdk synth` runs, in a process of its own, with a limit that the example breaks."""
    bundles = dict.fromkeys(("client", "server"), "0" * 64)
    (tmp_path / "bundles.json").write_text(json.dumps(bundles))
    for role, digest in bundles.items():
        (tmp_path / f"{role}-{digest}.tar.gz").write_bytes(b"bundle")
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    context = {**flags, "federation": str(ROOT / "federation.yaml"), "bundles": str(tmp_path)}
    told = {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(tmp_path / "cdk.out")}
    command, environment = [sys.executable, "-c", BREAKING], {**os.environ, **told}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(
        r"^cms-server-\S+: the endpoint policy of \S+ .* AWS takes 100\.", done.stderr, re.MULTILINE
    )
