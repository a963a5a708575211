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
from assembly import ROOT, Template

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
    (tmp_path / "cms-server.template.json").write_text(json.dumps(template))
    said = too_long_in(tmp_path)
    if clients == 1:
        assert said == []
    else:
        assert said[0].startswith(f"cms-server: the {what} of It has about ")
        assert f"AWS takes {most:,}" in said[0]


def test_the_example_is_within_every_limit(templates: dict[str, Template]) -> None:
    for template in templates.values():
        assert list(too_long(template)) == []


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
