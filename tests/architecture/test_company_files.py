"""What a company asks first: a licence that nothing contradicts, how to report, versions that agree."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from assembly import ROOT
from packaging.version import Version

from runtime.contract import RELEASE
from runtime.link.versions import versions

APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the text at apache.org/licenses/LICENSE-2.0.txt."""
LOCKS = {"package-lock.json", "requirements.txt", "requirements-dev.txt", "toolkit.txt"}
SECTION = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)


def committed(pattern: str = "*") -> list[Path]:
    told = subprocess.run(["git", "ls-files", "-z", "--", pattern], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in told.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_licence_is_apache_2_to_the_byte() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE


def test_no_file_names_another_licence_of_ours() -> None:
    """Manifests say Apache-2.0; no prose says that rights are kept, or that there is no licence."""
    told = {ROOT / "pyproject.toml": pyproject()["project"]["license"]}
    told |= {
        path: tomllib.loads(path.read_text())["project"]["license"] for path in committed("*/pyproject.toml")
    }
    told |= {path: json.loads(path.read_text())["license"] for path in committed("package.json")}
    lock = json.loads((ROOT / "package-lock.json").read_text())
    told[ROOT / "package-lock.json"] = lock["packages"][""]["license"]
    assert set(told.values()) == {"Apache-2.0"}, told
    kept = re.compile(
        r"\bUNLICENSED\b|all rights reserved|proprietary licen[cs]e"
        r"|\blicen[cs]e\"? *[:=] *[\"'](?!Apache-2.0[\"'])"
    )
    read = {".py", ".md", ".json", ".toml", ".yaml", ".yml", ""}
    for path in committed():
        if (
            path.suffix in read
            and path.name not in LOCKS
            and "__snapshots__" not in path.parts
            and path != Path(__file__)
        ):
            found = kept.search(path.read_text(encoding="utf-8"))
            assert not found, f"{path}: {found}"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("SECURITY.md", ("private vulnerability reporting", "## Supported versions", "## What counts")),
        ("CONTRIBUTING.md", ("make check", "make test", "Apache-2.0", "SECURITY.md")),
        ("README.md", ("LICENSE", "SECURITY.md", "CONTRIBUTING.md", "Linux", "macOS")),
    ],
)
def test_who_looks_for_a_company_s_questions_finds_the_answers(name: str, says: tuple[str, ...]) -> None:
    text = (ROOT / name).read_text()
    for words in says:
        assert words in text
    assert not re.search(r"[\w.]+@[\w-]+\.\w+", text), "an address that nobody reads"


def test_issue_forms_are_forms_and_ask_for_no_data() -> None:
    forms = [path for path in committed(".github/ISSUE_TEMPLATE/*.yml") if path.name != "config.yml"]
    assert len(forms) == 2
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= form.keys()
        asked = [part for part in form["body"] if part["type"] != "markdown"]
        assert len({part["id"] for part in asked}) == len(asked)
        assert all(part["attributes"]["label"] for part in asked)


def test_ci_runs_the_readme_s_two_commands_and_the_check_with_no_more_rights_than_reading() -> None:
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    assert {"make demo", "make test", "make check", "make docs"} <= {step.get("run") for step in steps}
    assert flow["permissions"] == {"contents": "read"}
    assert not [job for job in flow["jobs"].values() if "permissions" in job or "timeout-minutes" not in job]
    assert all(
        re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", step["uses"]) for step in steps if "uses" in step
    )
    assert "secrets" not in str(flow)


def test_owners_named_in_codeowners_own_something_that_exists() -> None:
    lines = (ROOT / ".github" / "CODEOWNERS").read_text().splitlines()
    for path, *owners in (line.split() for line in lines if line and not line.startswith("#")):
        assert owners == ["@fedstack/maintainers"]
        assert path == "*" or (ROOT / path.strip("/")).is_dir()


def test_the_release_is_the_same_wherever_it_stands() -> None:
    assert pyproject()["project"]["version"] == RELEASE == versions()["fedstack"]


def test_the_changelog_has_the_release_or_is_writing_it() -> None:
    """Sections fall in version and date; the newest is this release, or this one's changes stand above."""
    text = (ROOT / "CHANGELOG.md").read_text()
    sections = SECTION.findall(text)
    assert sections[0] == ("Unreleased", "")
    made = [(Version(version), day) for version, day in sections[1:]]
    assert made == sorted(made, reverse=True)
    assert all(day for _, day in made)
    if not made or made[0][0] != Version(RELEASE):
        assert not made or made[0][0] < Version(RELEASE)
        unreleased = text.partition("## [Unreleased]")[2].partition("\n## ")[0]
        assert "\n- " in unreleased
    links = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", text, re.MULTILINE))
    assert links.keys() == {version for version, _ in sections}
