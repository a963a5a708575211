"""One account alone: what the synth and the bundles of the whole federation have for it, and no more."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from assembly import (
    PEER_NORTH,
    PEER_SOUTH,
    PEER_WEST,
    ROOT,
    SERVER,
    SOUTH,
    WEST,
    Assembly,
    Synthesise,
    example,
)
from typer.testing import CliRunner

from cdk_app import synthesis
from cdk_app.bundles import MANIFEST, Bundle
from cdk_app.config.load import parse
from cdk_app.config.selection import select
from fedstack import bundle, synth
from fedstack.command import cli
from runtime.contract import FedstackError


@pytest.mark.parametrize(
    ("account", "stacks"),
    [
        ("south", {SOUTH}),
        ("444444444444", {WEST}),
        ("server", {SERVER, PEER_NORTH, PEER_SOUTH, PEER_WEST}),
        ("111111111111", {SERVER, PEER_NORTH, PEER_SOUTH, PEER_WEST}),
    ],
)
def test_an_account_s_templates_are_those_of_the_whole_synth_to_the_byte(
    assembly: Assembly, synthesise: Synthesise, account: str, stacks: set[str]
) -> None:
    alone = synthesise(example(), account=account)
    assert alone.templates.keys() == stacks
    for stack in stacks:
        assert alone.text(stack) == assembly.text(stack)


def test_an_id_that_is_a_number_in_cdk_json_is_an_id(synthesise: Synthesise) -> None:
    assert synthesise(example(), account=444444444444).templates.keys() == {WEST}


@pytest.mark.parametrize("qualifier", ["*", "house*", "Under_score", "a" * 11, 7.5])
def test_a_qualifier_that_is_none_is_refused_before_it_reaches_a_name(
    synthesise: Synthesise, qualifier: object
) -> None:
    with pytest.raises(FedstackError) as said:
        synthesise(example(), **{"@aws-cdk/core:bootstrapQualifier": qualifier})
    assert f"is '{qualifier}': no bootstrap qualifier. Use 1 to 10 lower-case letters" in str(said.value)


def test_an_account_of_a_mixed_federation_is_the_same_alone(linked: Assembly, synthesise: Synthesise) -> None:
    data = example()
    north, south, west = data["clients"]
    north["connectivity"] = south["connectivity"] = "privatelink"
    south.update(cidr=north["cidr"], kickoff_endpoint="vpce-0123.states.eu-central-1.vpce.amazonaws.com")
    west["connectivity"] = "existing"
    for account, stacks in {"south": {SOUTH}, "server": {SERVER, PEER_WEST}}.items():
        alone = synthesise(data, account=account)
        assert alone.templates.keys() == stacks
        assert all(alone.text(stack) == linked.text(stack) for stack in stacks)


def test_an_id_is_of_every_client_that_has_it_and_a_client_called_server_is_a_client() -> None:
    data = example()
    data["clients"][1].update(name="server", account="222222222222")
    data["clients"][0]["privacy"]["cohort"] = ["server", "west"]
    data["clients"][2]["privacy"]["cohort"] = ["north", "server"]
    found = parse(data)
    assert [client.name for client in select(found, "222222222222").clients] == ["north", "server"]
    assert select(found, "server") == (False, (found.clients[1],))
    assert select(found, "111111111111") == (True, ())
    assert select(found, None) == (True, found.clients)


@pytest.mark.parametrize("command", ["synth", "bundle"])
def test_an_account_that_there_is_not_is_named_and_nothing_is_written(command: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--federation"] if command == "bundle" else []
    said = CliRunner().invoke(
        cli, [command, *words, str(ROOT / "federation.yaml"), "--account", "nort", "--out", str(out)]
    )
    assert isinstance(said.exception, FedstackError)
    assert str(said.exception) == (
        "'nort' is no account of cms. Name the server, a client, or an account's id. Did you mean 'north'?"
    )
    assert not out.exists()


def test_the_command_synthesises_one_account_and_says_the_digest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def write(file: Path, bundles: Path, what: str, out: Path, context: Any) -> dict[str, bytes]:
        asked.append((file, what, out, context))
        return {WEST: b"{}"}

    monkeypatch.setattr(synth, "synthesise", write)
    words = ["synth", str(ROOT / "federation.yaml"), "--account", "west", "--out", str(tmp_path), "--json"]
    said = CliRunner().invoke(cli, words)
    assert asked == [(ROOT / "federation.yaml", "west", tmp_path, {"account": "west"})]
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert json.loads(said.output) == {"assembly": str(tmp_path), "templates": {WEST: digest}}


@pytest.mark.parametrize(
    ("account", "images", "server"),
    [("north", ["pytorch"], False), ("west", ["sklearn"], False), ("server", [], True)],
)
def test_one_account_s_bundle_is_built_alone_for_the_image_that_its_jobs_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, account: str, images: list[str], server: bool
) -> None:
    file = tmp_path / "federation.yaml"
    text = (ROOT / "federation.yaml").read_text()
    file.write_text(text.replace("  - name: north\n", "  - name: north\n    image: pytorch\n"))
    asked: list[Any] = []

    def build(app: Any, out: Path, images: list[str], *, server: bool) -> dict[str, Bundle]:
        asked.append((app, images, server))
        return {}

    monkeypatch.setattr(bundle, "build_all", build)
    words = ["bundle", "--account", account, "--federation", str(file), "--out", str(tmp_path)]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert asked == [(None, images, server)]
    said = CliRunner().invoke(cli, [*words, "--image", "pytorch"])
    assert "--account takes app and images from the federation file" in str(said.exception)


def test_a_folder_with_older_templates_yields_those_that_were_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("old", "new"):
        (tmp_path / f"{name}.template.json").write_bytes(name.encode())
    stack = {"type": "aws:cloudformation:stack"}
    (tmp_path / "manifest.json").write_text(
        json.dumps({"artifacts": {"new": stack, "Tree": {"type": "cdk:tree"}}})
    )
    done = type("Done", (), {"returncode": 0})
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    written = synthesis.synthesise(ROOT / "federation.yaml", tmp_path, "all", tmp_path)
    assert written == {"new": b"new"}


def test_one_account_s_bundle_is_enough_for_it_and_its_package_and_for_no_other(tmp_path: Path) -> None:
    """In a folder that has an older template, which is none of this synth's."""
    file, bundles, out = tmp_path / "federation.yaml", tmp_path / "bundles", tmp_path / "out"
    text = (ROOT / "federation.yaml").read_text()
    file.write_text(text.replace("  - name: north\n", "  - name: north\n    image: pytorch\n"))
    bundles.mkdir()
    (bundles / f"client-{1:064x}.tar.gz").write_bytes(b"client")
    (bundles / MANIFEST).write_text(json.dumps({"client": f"{1:064x}"}))
    with pytest.raises(FedstackError, match="No bundle was built for the server, pytorch: give"):
        synthesis.synthesise(file, bundles, "all", out)
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": "x" * 3000}}
    out.mkdir(exist_ok=True)
    (out / "old.template.json").write_text(json.dumps({"Resources": {"Role": role}}))
    for asked in ({"account": "west"}, {"handoff": "west"}):
        assert synthesis.synthesise(file, bundles, "west", out, asked).keys() == {WEST}
