"""No command in the docs is one that nobody could type: a test runs it, or it is held against its program."""

from __future__ import annotations

import subprocess
from collections.abc import Container

import pytest
from assembly import ROOT
from doc_blocks import OTHER, PROGRAMS, SHELL, Block, blocks, commands, functions, inline
from doc_programs import WrongError, check

EXECUTED_BY = {
    "docs/deploy.md": "tests/end_to_end/test_aws_walk.py",
    "docs/drills.md": "tests/end_to_end/test_drills.py",
    "docs/handoff.md": "tests/end_to_end/package_owner.py",
    "docs/live.md": "tests/unit/rehearsal/test_live.py",
    "docs/preflight.md": "tests/end_to_end/test_aws_preflight.py",
    "docs/privatelink.md": "tests/unit/cdk_app/test_connections.py",
    "docs/review.md": "tests/unit/cdk_app/review/test_review.py",
    "docs/tutorial.md": "tests/end_to_end/test_local.py",
    "docs/upgrade.md": "tests/end_to_end/test_upgrade.py",
    "docs/your-own-app.md": "tests/end_to_end/test_aws_apps.py",
}
"""Pages whose commands, or the code behind them, this test runs with values of its own."""
NOT_EXECUTED = {
    "README.md": "the suite is one of its two commands, and CI runs the other",
    "CONTRIBUTING.md": "the suite is one of them",
    "docs/how-to.md": "the demo starts both parts by these lines, and the tests of the link by others",
    "docs/model.md": "needs a registry; tests/unit/model and test_serving.py do the same",
    "docs/platforms.md": "asks a package index, and no test has a network",
    "docs/release.md": "tags and pushes",
}
"""Pages whose commands are only held against their programs, and why."""


def check_all(text: str, known: Container[str] = ()) -> None:
    for words in commands(text):
        check(words, known)


SHELL_BLOCKS = [block for block in blocks() if block.language in SHELL]


def test_a_block_says_what_it_is_in_and_is_shell_where_it_has_commands() -> None:
    for block in blocks():
        assert block.language in SHELL | OTHER, f"{block}: give the fence a language, of {SHELL | OTHER}"
        if block.language == "text":
            first = {line.split(" ")[0] for line in block.text.splitlines()}
            assert not first & {*PROGRAMS, "$"}, f"{block} has commands: call it sh"


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=str)
def test_a_block_is_shell_that_bash_can_read(block: Block) -> None:
    text = block.text.replace("<this repository>", "REPOSITORY")
    parsed = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert parsed.returncode == 0, parsed.stderr
    assert list(commands(block.text))


def test_every_command_in_a_block_or_in_the_text_exists_with_its_options() -> None:
    """One test, since it loads each command line's own parser, which takes seconds."""
    wrong = []
    for block in [*SHELL_BLOCKS, *inline()]:
        try:
            check_all(block.text, functions(block.page))
        except (WrongError, SyntaxError, ValueError) as error:
            wrong.append(f"{block}: {error}")
    assert wrong == []


def test_every_page_with_commands_names_the_test_that_runs_them_or_why_none_does() -> None:
    pages = {block.page for block in SHELL_BLOCKS}
    assert pages <= EXECUTED_BY.keys() | NOT_EXECUTED.keys()
    assert not EXECUTED_BY.keys() & NOT_EXECUTED.keys()
    for test in EXECUTED_BY.values():
        assert (ROOT / test).is_file()


WRONG = (
    ("make dmeo", "make has no target dmeo"),
    ("make demo CLEINTS=3", "no target takes CLEINTS"),
    ("python -m cdk_app.reveiw x.json", "no module"),
    ("python -m cdk_app.review x.json --previus y.json", "(?i)no such option"),
    ("python -m cdk_app.handoff north --singn key", "(?i)unrecognized arguments|no such option"),
    ("python -m runtime.ledger verfiy a", "no command verfiy"),
    ("python -m bench.quality --sedes 5", "has no"),
    ("python -c 'print('", "was never closed"),
    ("cdk deploi cms-server-111111111111-eu-west-1", "no command deploi"),
    ("cdk deploy cms-server-111111111111-eu-west-9", "no stack"),
    ("cdk deploy --parameters ServerVpcid=vpc-1", "no stack has the parameter"),
    ("cdk deploy --exclusivly", "has no --exclusivly"),
    ("aws kms get-public-keys --key-id x", "aws has no kms get-public-keys"),
    ("aws kms get-public-key --keyid x", "has no --keyid"),
    ("aws kms get-public-key --output text", "needs --key-id"),
    ("aws s3 cp --recursiv a b", "has no --recursiv"),
    ("aws ssm put-parameter --name x --value $(make nothing)", "no target nothing"),
    ("cat x | gti push", "nobody knows the program gti"),
    ("git psuh", "git psuh"),
    ("flwr nwe my-app", "no command nwe"),
)


def test_a_command_that_does_not_exist_is_found() -> None:
    for line, says in WRONG:
        with pytest.raises((WrongError, SyntaxError), match=says):
            check_all(line)
