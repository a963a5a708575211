"""A model in the registry of its own account: once, with everything that identifies it, awaiting approval."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from model_run import ModelRun
from moto import mock_aws
from moto_stack import REGION

from rehearsal.aws.cloudformation.schemas import checked, schema_of
from runtime.contract import ExitCode, FedstackError
from runtime.ledger import Ledger, head, of_model
from runtime.model.card import card, metrics_report
from runtime.model.registry import Registered, register
from runtime.model.vouched import Vouched, vouch
from runtime.tabular.columns.columns import Task
from runtime.tabular.task_scores import SCORES

BUCKET = "artifacts"


class Account:
    """One account's SageMaker and S3, and every request that was made to register."""

    def __init__(self) -> None:
        self._clients = {name: boto3.client(name, region_name=REGION) for name in ("sagemaker", "s3")}
        self.requests: list[dict[str, Any]] = []
        self.sagemaker, self.s3 = self._clients["sagemaker"], self._clients["s3"]
        events = self.sagemaker.meta.events
        events.register("provide-client-params.sagemaker.CreateModelPackage", self._note)
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self.requests.append(params)

    def register(self, vouched: Vouched, federation: str = "cms") -> Registered:
        return register(vouched, federation=federation, bucket=BUCKET, clients=self._clients.__getitem__)

    def packages(self, group: str = "fedstack-cms") -> list[dict[str, Any]]:
        listed = self.sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
        names = [one["ModelPackageArn"] for one in listed]
        return [self.sagemaker.describe_model_package(ModelPackageName=name) for name in names]


@pytest.fixture
def account() -> Iterator[Account]:
    with mock_aws():
        yield Account()


@pytest.mark.parametrize(("side", "who"), [("out", "server"), ("client", "client silo-0")])
def test_a_package_has_all_that_identifies_the_model(
    model_run: ModelRun, account: Account, side: str, who: str
) -> None:
    vouched = vouch(getattr(model_run, side), None)
    found = account.register(vouched)
    (package,) = account.packages()
    assert (package["ModelPackageArn"], package["ModelApprovalStatus"]) == (
        found.arn,
        "PendingManualApproval",
    )
    told = package["CustomerMetadataProperties"]
    assert told["model_sha256"] == of_model(vouched.path)["model_file_sha256"]
    assert told["ledger_head"] == head(getattr(model_run, side) / "ledger.jsonl")
    assert (told["run_id"], told["registered_by"]) == ("run-1", who)
    if side == "out":
        report = json.loads((model_run.out / "report.json").read_text())
        assert float(told["roc_auc"]) == pytest.approx(report["final"]["roc_auc"], rel=1e-5)
        assert (told["verdict"], told["bundle"][:8]) == ("COMPLETE", "runtime:")
    else:
        assert told["federated_roc_auc"] == "0.8"
        assert told["bundle"] == f"sha256:{'b' * 64}"
    (container,) = package["InferenceSpecification"]["Containers"]
    place = f"s3://{BUCKET}/serving/{vouched.sha256}"
    assert container["ModelDataUrl"] == found.place == f"{place}/model.tar.gz"
    assert container["Image"].endswith(f"{REGION}.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3")
    assert package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == f"{place}/metrics.json"
    keys = [one["Key"] for one in account.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == [f"serving/{vouched.sha256}/{name}" for name in ("metrics.json", "model.tar.gz")]


def pascal(value: Any) -> Any:
    """The card with CloudFormation's spelling of its keys, by whose schema of ModelCard it can be checked."""
    if isinstance(value, dict):
        keep = "custom_details"
        return {
            "".join(word.capitalize() for word in key.split("_")): part if key == keep else pascal(part)
            for key, part in value.items()
        }
    return [pascal(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("side", ["out", "client"])
def test_the_card_is_one_by_sagemaker_s_schema(model_run: ModelRun, account: Account, side: str) -> None:
    account.register(vouch(getattr(model_run, side), None))
    (request,) = account.requests
    told = json.loads(request["ModelCard"]["ModelCardContent"])
    assert set(told["model_overview"]) == {
        "model_creator",
        "model_artifact",
    }  # all that a package's card takes
    renamed = pascal(told)
    details = renamed["TrainingDetails"]["TrainingJobDetails"]
    assert checked(schema_of("AWS::SageMaker::ModelCard"), card_of(renamed))
    named = {one["Name"]: one["Value"] for one in details["UserProvidedHyperParameters"]}
    assert (named.get("model"), named.get("rounds")) == (("logistic", "3") if side == "out" else (None, None))
    scores = told["evaluation_details"][0]["metric_groups"][0]["metric_data"]
    assert {"roc_auc"} <= {one["name"].removeprefix("federated_") for one in scores}
    sure = {one["name"] for one in scores if one.get("notes", "").startswith("95 % bootstrap interval: 0.")}
    assert ("roc_auc" in sure) == (side == "out")
    assert told["additional_information"]["custom_details"]["ledger_head"]
    with pytest.raises(Exception, match="validation failed"):
        checked(schema_of("AWS::SageMaker::ModelCard"), card_of({**renamed, "Unknown": "x"}))


@pytest.mark.parametrize(
    ("task", "says", "section"),
    [
        (Task.BINARY, "the probability of the second label", "binary_classification_metrics"),
        (Task.MULTICLASS, "the probability of each label", "multiclass_classification_metrics"),
        (Task.LINEAR, "the number", "regression_metrics"),
        (Task.POISSON, "the rate", "regression_metrics"),
        (Task.COX, "the hazard", "regression_metrics"),
    ],
)
@pytest.mark.parametrize("whose", ["", "federated_"])
def test_card_and_metrics_say_what_a_model_of_the_task_predicts(
    model_run: ModelRun, task: Task, says: str, section: str, whose: str
) -> None:
    scores = {f"{whose}{name}": 0.5 for name in SCORES[task]}
    vouched = replace(vouch(model_run.out, None), metrics=scores)
    told = json.loads(card(vouched, "s3://bucket/model.tar.gz", "sha256:b"))
    assert says in told["intended_uses"]["purpose_of_model"]
    assert list(json.loads(metrics_report(vouched))) == [section]


def card_of(content: dict[str, Any]) -> dict[str, Any]:
    return {"ModelCardName": "card", "ModelCardStatus": "Draft", "Content": content}


def test_the_same_model_is_registered_once(model_run: ModelRun, account: Account, tmp_path: Path) -> None:
    first = account.register(vouch(model_run.client, None))
    copy = vouch(model_run.copy("client", tmp_path) / "model.joblib", None)
    again = account.register(copy)
    assert (again.arn, again.again, first.again) == (first.arn, True, False)
    assert len(account.packages()) == len(account.requests) == 1
    assert account.requests[0]["ClientToken"] == first.sha256[:36]


def test_another_model_is_another_version_and_another_federation_another_group(
    model_run: ModelRun, account: Account, tmp_path: Path
) -> None:
    import joblib

    first = account.register(vouch(model_run.client, None))
    folder = model_run.copy("client", tmp_path)
    model = joblib.load(folder / "model.joblib")
    model.named_steps["classify"].intercept_ += 1e-9
    joblib.dump(model, folder / "model.joblib")
    Ledger(folder / "ledger.jsonl").write(
        "started", run_id="run-2", client="silo-0", bundle="", certificate="sha256:d"
    )
    Ledger(folder / "ledger.jsonl").write("ended", **of_model(folder / "model.joblib"), server_ledger=None)
    second = account.register(vouch(folder, None))
    assert (first.arn[-2:], second.arn[-2:]) == ("/1", "/2")
    other = account.register(vouch(model_run.client, None), federation="oncology")
    assert "/fedstack-oncology/1" in other.arn


def test_a_refusal_of_aws_is_one_line(model_run: ModelRun, account: Account) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "CreateModelPackage")

    account.sagemaker.meta.events.register("before-call.sagemaker.CreateModelPackage", refuse)
    with pytest.raises(FedstackError, match=r"cannot be registered in fedstack-cms: .*AccessDenied") as error:
        account.register(vouch(model_run.client, None))
    assert error.value.code == ExitCode.IDENTITY
    assert account.packages() == []


@pytest.mark.parametrize("name", ["my federation", "", "a_b", "x" * 64, "-a"])
def test_a_name_that_no_group_can_have_is_refused_before_any_call(
    model_run: ModelRun, account: Account, name: str
) -> None:
    with pytest.raises(FedstackError, match="cannot name a group"):
        account.register(vouch(model_run.client, None), federation=name)


def test_the_model_of_a_failed_run_is_not_registered(
    model_run: ModelRun, account: Account, tmp_path: Path
) -> None:
    folder = model_run.copy("out", tmp_path)
    ledger = Ledger(folder / "ledger.jsonl")
    ledger.write("run", settings={"run_id": "run-1", "name": "cms", "clients": [{"name": "silo-0"}]})
    ledger.write("verdict", verdict="FAILED", reason="x", **of_model(folder / "model.joblib"))
    with pytest.raises(FedstackError, match="FAILED"):
        account.register(vouch(folder, None))
    assert account.requests == []
