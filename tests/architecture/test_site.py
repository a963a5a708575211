"""The docs as a site: it builds without a warning, loads nothing from elsewhere, and its links lead on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from assembly import ROOT
from doc_blocks import FENCE, INLINE, PAGES

LINK = re.compile(r"\]\(([^)\s]+)\)")
LOADED = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)"
    r"|url\(((?:https?:)?//[^)]+)"
    r"|@import [\"']((?:https?:)?//[^\"']+)"
)
PARTS = ["Start", "Tutorial", "How-to", "Explanation", "Reference"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    told = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    return folder


def test_the_site_builds_has_every_page_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    made = {path.relative_to(site) for path in site.rglob("*.html")}
    assert {path if path.name != "README.html" else path.with_name("index.html") for path in pages} <= made
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        found = ["".join(match) for match in LOADED.findall(path.read_text(encoding="utf-8"))]
        assert found == [], path
    assert not list(site.rglob("hooks.py"))
    steps = (site / "upgrade.html").read_text(encoding="utf-8").partition('id="the-order"')[2]
    assert steps.partition("</ol>")[0].count("<li>") == 5  # with code between them, as in the repository
    for path in site.rglob("*.html"):  # what the site does not have is named, and not linked
        for link in re.findall(r'href="(\.\./[^"#?]+)', path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.relative_to(site)}: {link}"


def test_the_site_has_the_four_parts_and_no_page_stands_outside_them() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    told = yaml.safe_load(text)
    assert [next(iter(part)) for part in told["nav"]] == PARTS
    listed = set(re.findall(r": ([\w/.-]+\.md)$", text, re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    records = {page for page in pages if page.startswith("adr/0")}
    assert listed == pages - records
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert set(re.findall(r"\]\((0[\w-]+\.md)\)", index)) == {page.removeprefix("adr/") for page in records}
    assert told["theme"]["font"] is False


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(path: Path) -> None:
    text = INLINE.sub("", FENCE.sub("", path.read_text(encoding="utf-8")))
    for link in LINK.findall(text):
        if not re.match(r"[a-z]+:|#", link):
            assert (path.parent / link.partition("#")[0]).exists(), link


def test_the_lens_is_answered_question_by_question_with_files_that_exist() -> None:
    text = (ROOT / "docs" / "well-architected.md").read_text()
    asked = ["PERF1", "PERF2", "PERF3", "PERF4", "OPS1", "OPS2", "SEC1", "SEC2", "COST1", "COST2"]
    answers = re.split(r"^### (\w+): .*$", text, flags=re.MULTILINE)
    assert answers[1::2] == asked
    for question, answer in zip(asked, answers[2::2], strict=True):
        rows = [row.split("|")[1:-1] for row in answer.splitlines() if row.startswith("| ")][1:]
        assert len(rows) >= 2, question
        for practice, word, what in rows:
            assert word.strip().split(",")[0] in {"yes", "partly", "yours", "no"}, practice
            assert what.strip()
        files = re.findall(r"\[`([\w/.-]+)`\]\(\.\./([\w/.-]+)\)", answer)
        assert files, question
        assert all(shown == linked and (ROOT / linked).is_file() for shown, linked in files)


@pytest.mark.parametrize(
    "name", ["README.md", "docs/index.md", "docs/threat-model.md", "docs/well-architected.md"]
)
def test_the_words_that_nothing_has_run_on_aws_stand_until_something_has(name: str) -> None:
    assert "Nothing of this has run on AWS from this repository" in (ROOT / name).read_text()
    assert "*(none yet)*" in (ROOT / "docs" / "live.md").read_text(), (
        "it has run: say so, and take the words out"
    )
