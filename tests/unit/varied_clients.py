"""Clients whose owners chose otherwise than the example's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from assembly import ROOT, Assembly, Synthesise, example


@pytest.fixture(scope="session")
def varied(synthesise: Synthesise) -> Assembly:
    """GovCloud; spot and another instance; noise, an image of one's own, a GPU and a node config."""
    data = example()
    north, south, west = data["clients"]
    for place in (data["server"], north, south, west):
        place |= {"region": "us-gov-west-1", "availability_zones": ["us-gov-west-1a", "us-gov-west-1b"]}
        place |= {"key_arn": None}
    for client in data["clients"]:
        client |= {"kickoff_endpoint": None, "peering_id": None, "vpc": None}
    data["server"]["vpc_id"] = None
    north |= {
        "spot": True,
        "instance_type": "ml.c5.2xlarge",
        "max_runtime_minutes": 420,
        "max_runs_per_day": 3,
    }
    south |= {"privacy": {"updates": "noise", "epsilon_budget": 4.0}, "alarm_email": "ops@example.org"}
    image = f"123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/own/image@sha256:{'a' * 64}"
    west |= {"image": image, "instance_type": "ml.g5.xlarge", "node_config": {"ward": "a"}}
    west |= {"privacy": {"updates": "plain"}, "notebook_type": "ml.t3.medium"}
    key = "arn:aws-us-gov:kms:us-gov-west-1:222222222222:key/12345678-1234-1234-1234-123456789012"
    north |= {"privacy": {"updates": "plain"}, "asset_key_arn": key, "bootstrap_qualifier": "own"}
    return synthesise(data)


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The template of north's hand-off package."""
    import aws_cdk as cdk

    from app import build_handoff
    from cdk_app.bundles import Bundle
    from cdk_app.config.load import parse

    path = tmp_path_factory.mktemp("bundle") / "client.tar.gz"
    path.write_bytes(b"client")
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = cdk.App(outdir=str(tmp_path_factory.mktemp("cdk.out")), context=flags)
    build_handoff(app, parse(example()), "north", {"client": Bundle(path, f"{1:064x}")})
    (template,) = Path(app.synth().directory).glob("*.template.json")
    return template.read_bytes()
