"""Policies that AWS would refuse for their size are found at synth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from assembly import Template

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
