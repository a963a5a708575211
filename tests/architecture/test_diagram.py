"""The pictures in the docs are those of the example federation, and show what its templates say."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from assembly import NORTH, ROOT, Assembly, Template

from cdk_app.diagram import draw
from cdk_app.diagram.__main__ import pictures
from cdk_app.diagram.read import read


@pytest.mark.parametrize("name", ["accounts.svg", "client-account.svg"])
def test_the_committed_picture_is_what_the_templates_give(assembly: Assembly, name: str) -> None:
    told = "python -m cdk_app.diagram cdk.out, after make synth"
    assert (ROOT / "docs" / name).read_text() == pictures(assembly.folder)[name], told


def words(picture: str) -> list[str]:
    root = ET.fromstring(picture)  # noqa: S314 - of our own making
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_every_account_role_bucket_and_network_of_the_assembly_is_drawn(assembly: Assembly) -> None:
    told = " ".join(words(pictures(assembly.folder)["accounts.svg"]))
    for stack, template in assembly.templates.items():
        account = "".join(re.findall(r"\d{12}", stack))
        assert account in told
        kinds = [resource["Type"] for resource in template["Resources"].values()]
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::EC2::VPC":
                assert properties["CidrBlock"] in told
        if "-client-" in stack:
            assert kinds.count("AWS::S3::Bucket") == 5
    for client in ("north", "south", "west"):
        assert f"takes FL-kickoff-client-job-cms-{client}" in told
        assert f"its stack takes FL-accept-peering-cms-{client}" in told
    assert told.count("tcp 9092") == 3


def test_each_way_to_the_server_is_drawn_as_it_is(linked: Assembly) -> None:
    told = " ".join(words(pictures(linked.folder)["accounts.svg"]))
    assert told.count("by PrivateLink") == 2
    assert told.count("on a way that exists") == 1
    assert told.count("tcp 9092") == 3
    assert "peering" not in told


def widened(folder: Path, tmp_path: Path) -> Path:
    """The same assembly, with one right more for the kickoff role."""
    for path in folder.glob("*.template.json"):
        template: Template = json.loads(path.read_text())
        for resource in template["Resources"].values() if path.name.startswith(NORTH) else ():
            if resource["Type"] == "AWS::IAM::Policy" and "Kickoff" in str(resource["Properties"]["Roles"]):
                resource["Properties"]["PolicyDocument"]["Statement"].append(
                    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::secret/*"}
                )
        (tmp_path / path.name).write_text(json.dumps(template))
    return tmp_path


def test_a_right_more_shows_in_the_picture(assembly: Assembly, tmp_path: Path) -> None:
    folder = widened(assembly.folder, tmp_path)
    before, after = (pictures(where)["client-account.svg"] for where in (assembly.folder, folder))
    assert set(words(after)) - set(words(before)) == {"s3: GetObject on secret/*"}


def test_a_picture_is_one_file_that_loads_nothing_and_has_room_for_its_words(assembly: Assembly) -> None:
    for picture in pictures(assembly.folder).values():
        assert set(re.findall(r"https?://[^\"' <]+", picture)) == {"http://www.w3.org/2000/svg"}
        assert "prefers-color-scheme: dark" in picture
    longest = max(len(line) for line in words(pictures(assembly.folder)["client-account.svg"]))
    assert longest * 7 < 2 * draw.CARD_WIDTH
    assert len(read(assembly.folder)) == 4


def test_without_templates_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run `make synth` first"):
        pictures(tmp_path)
