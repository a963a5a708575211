"""docs/deploy.md, block by block: from accounts with nothing in them to a model in the results bucket."""

from __future__ import annotations

import pytest

from end_to_end.walk import BOTH, CLIENT, EVERYBODY, NOTEBOOK, PER_CLIENT, SERVER, FirstRun, Walk, blocks
from runtime.sides import load
from runtime.verify import verdict

pytestmark = pytest.mark.timeout(900)

NOT_TRIED = [
    "it has these on its path already",
    "there is no Jupyter behind the URL; the start script that was deployed is run",
    "it does what step 8 did; make demo does it by the same API",
    "a budget is spent by runs with noise, and jq need not be there; test_aws_runs.py reads these files",
    "step 2 has written all of them",
]
"""Why a block of the document is not run."""
FOLLOWED = [
    "1. The server's stack",
    "2. Tell each client the server's network",
    "3. Each client's stack",
    "4. Each client's data and word",
    "5 and 6. The way back to each client",
    "7. Keys, from owner to owner",
    "8. Tell each such client's stack the keys of the others",
    "9. A client in another Region",
    "The test set",
    "Before a run",
    "Your first run",
    "A client's switch",
    "Clean up",
]


def test_every_block_of_the_document_is_run_or_says_why_not() -> None:
    found = blocks()
    assert [block.why_not for block in found if block.why_not] == NOT_TRIED
    said = [block for block in found if not block.why_not and block.heading != "Names"]
    assert list(dict.fromkeys(block.heading for block in said)) == FOLLOWED
    assert {block.who for block in said} == {CLIENT, SERVER, PER_CLIENT, NOTEBOOK}
    names = [block for block in found if block.heading == "Names"]
    assert [block.who for block in names] == [EVERYBODY, BOTH, EVERYBODY]


def test_a_person_types_fedstack_run_on_the_notebook_and_the_model_is_in_the_results_bucket(
    walk: Walk, first_run: FirstRun
) -> None:
    [typed] = [block.commands for block in walk.followed if block.who == NOTEBOOK]
    assert typed == "fedstack run\n"
    assert (first_run.report["verdict"], first_run.report["privacy"]["updates"]) == ("COMPLETE", "sums")
    assert [client["samples"] for client in first_run.report["clients"]] == [0, 0, 0]
    assert first_run.report["privacy"]["visible"] == []
    server = walk.journey.deployment.server
    bucket, s3 = (
        walk.journey.deployment.output(server, "ResultsBucket"),
        walk.journey.deployment.owner(server, "s3"),
    )
    folder = f"runs/{first_run.report['run_id']}/"
    keys = [f["Key"] for f in s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]]
    assert keys == [folder + name for name in ("ledger.jsonl", "model.joblib", "report.html", "report.json")]
    kept = [line.removeprefix("kept  ") for line in first_run.printed.splitlines() if "kept  " in line]
    assert sorted(kept) == [f"s3://{bucket}/{key}" for key in keys]
    model = s3.get_object(Bucket=bucket, Key=f"{folder}model.joblib")["Body"].read()
    assert model == (first_run.out / "model.joblib").read_bytes()
    assert [line for line in first_run.printed.splitlines() if "warning" in line] == []


def test_the_model_of_that_run_is_registered_in_the_server_s_account_and_awaits_approval(
    walk: Walk, first_run: FirstRun
) -> None:
    server = walk.journey.deployment.server
    sagemaker = walk.journey.deployment.owner(server, "sagemaker")
    group = f"fedstack-{walk.journey.federation.name}"
    [summary] = sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    arn = summary["ModelPackageArn"]
    assert f"registered  {arn}, which awaits approval" in first_run.printed
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"]["run_id"] == first_run.report["run_id"]


def test_the_operator_scores_rows_with_the_model_of_that_run(walk: Walk, first_run: FirstRun) -> None:
    heading, *scores = (walk.folder / "scores.csv").read_text().splitlines()
    assert (heading, len(scores)) == ("probability", first_run.report["test_samples"])
    assert all(0 <= float(score) <= 1 for score in scores)


def test_each_account_s_ledger_of_that_run_agrees_with_the_server_s(walk: Walk, first_run: FirstRun) -> None:
    for name, client in walk.journey.deployment.clients.items():
        job = f"{client.job_prefix}{first_run.report['run_id']}"
        assert walk.journey.await_end(client, job)["TrainingJobStatus"] == "Completed"
        own = first_run.out / f"{name}.jsonl"
        own.write_bytes(walk.journey.artifact(client, job, "output", "ledger.jsonl"))
        assert f"answers of {name} match one to one" in verdict(
            [load(first_run.out / "ledger.jsonl"), load(own)]
        )
