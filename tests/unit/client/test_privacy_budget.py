"""What privacy costs, and a ledger of it that nobody can get around."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import dp_accounting
import pytest
from dp_accounting import pld, rdp
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from runtime.contract import ExitCode, FedstackError
from runtime.privacy.accountant import Spend, epsilon, noise_for
from runtime.privacy.budget import Budget
from runtime.privacy.records import open_records

DELTA = 1e-5


@pytest.mark.parametrize("spends", [[Spend(2.0, 1)], [Spend(9.0, 6)], [Spend(37.3, 100), Spend(5.0, 3)]])
def test_costs_are_those_of_other_accountants(spends: list[Spend]) -> None:
    ours = epsilon(sum(spend.cost for spend in spends), DELTA)
    exact = pld.PLDAccountant(dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    bound = rdp.RdpAccountant(neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    for spend in spends:
        exact.compose(dp_accounting.GaussianDpEvent(spend.noise_multiplier), spend.compositions)
        bound.compose(dp_accounting.GaussianDpEvent(spend.noise_multiplier), spend.compositions)
    assert ours == pytest.approx(exact.get_epsilon(DELTA), rel=1e-3)
    assert ours <= bound.get_epsilon(DELTA)


@given(st.floats(0.05, 50), st.integers(1, 1000))
def test_the_noise_for_an_epsilon_costs_that_epsilon(limit: float, releases: int) -> None:
    spend = Spend(noise_for(limit, DELTA, releases), releases)
    assert epsilon(spend.cost, DELTA) == pytest.approx(limit, rel=1e-6)


def test_nothing_costs_nothing() -> None:
    assert epsilon(0.0, DELTA) == 0.0


def budget(folder: Path, limit: float | None = 2.0) -> Budget:
    return Budget(f"file://{folder}", limit, DELTA)


@pytest.fixture
def bucket() -> Iterator[str]:
    """An S3 bucket of this process, which several runs' budgets share."""
    with mock_aws():
        boto3.client("s3", "us-east-1").create_bucket(Bucket="artifacts")
        yield "s3://artifacts/privacy"


ONE = Spend(noise_for(1.0, DELTA, 1), 1)
"""Costs epsilon 1."""


def test_what_is_spent_stays_spent_over_runs(tmp_path: Path) -> None:
    first = budget(tmp_path).charge("run-a", ONE)
    assert first.run == first.total == pytest.approx(1.0)
    second = budget(tmp_path).charge("run-b", ONE, message="train.private")
    assert second.run == pytest.approx(1.0)
    assert second.total == pytest.approx(epsilon(2 * ONE.cost, DELTA))
    entries = budget(tmp_path).entries()
    assert [entry["run"] for entry in entries] == ["run-a", "run-b"]
    assert entries[1]["epsilon"] == pytest.approx(second.total)


def test_more_than_the_budget_is_refused_by_name_and_not_spent(tmp_path: Path) -> None:
    small = budget(tmp_path, 1.2)
    small.charge("run-a", ONE)
    with pytest.raises(FedstackError) as caught:
        small.charge("run-b", ONE)
    assert caught.value.code == ExitCode.PRIVACY_BUDGET
    assert "budget is epsilon 1.2 at delta 1e-05; 1 is spent" in caught.value.what
    assert len(small.entries()) == 1
    with pytest.raises(FedstackError, match="is spent"):
        small.check("run-b", ONE)


def test_all_of_the_budget_can_be_spent(tmp_path: Path) -> None:
    assert budget(tmp_path, 1.0).charge("run-a", ONE).total == pytest.approx(1.0)


def test_asking_costs_nothing(tmp_path: Path) -> None:
    assert budget(tmp_path).check("run-a", ONE).total == pytest.approx(1.0)
    assert budget(tmp_path).entries() == []


@pytest.mark.parametrize("damage", ["change", "remove", "forge"])
def test_a_ledger_that_was_changed_is_refused(tmp_path: Path, damage: str) -> None:
    for run in ("run-a", "run-b", "run-c"):
        budget(tmp_path, None).charge(run, ONE)
    victim = tmp_path / "00000001.json"
    if damage == "change":
        victim.write_text(json.dumps(json.loads(victim.read_text()) | {"noise": 1e9}))
    elif damage == "remove":
        victim.unlink()
    else:
        (tmp_path / "00000003.json").write_text('{"seq": 3, "previous": "0", "noise": 1e9, "releases": 1}')
    with pytest.raises(FedstackError, match="was changed: entry") as caught:
        budget(tmp_path, None).charge("run-d", ONE)
    assert caught.value.code == ExitCode.PRIVACY_BUDGET


def test_jobs_that_spend_at_once_cannot_overspend_together(tmp_path: Path) -> None:
    tenth = Spend(math.sqrt(10) * ONE.noise_multiplier, 1)  # ten of them cost what ONE does
    outcomes: list[bool] = []

    def spend() -> None:
        for _ in range(5):
            try:
                budget(tmp_path, 1.0).charge("run-a", tenth)
                outcomes.append(True)
            except FedstackError:
                outcomes.append(False)

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcomes) == 10
    assert len(budget(tmp_path, 1.0).entries()) == 10


def test_half_an_entry_of_a_crash_is_no_entry(tmp_path: Path) -> None:
    budget(tmp_path).charge("run-a", ONE)
    (tmp_path / ".0123456789abcdef").write_text('{"seq": 1, "no')
    assert len(budget(tmp_path).entries()) == 1


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(FedstackError, match="Give it as s3://bucket/prefix or file:///absolute/folder"):
        Budget("relative/folder", 1.0, DELTA)


def test_a_bucket_keeps_what_was_spent_over_runs_and_jobs(bucket: str) -> None:
    one_job, another = Budget(bucket, 1.2, DELTA), Budget(bucket, 1.2, DELTA)
    assert one_job.check("run-a", ONE).total == pytest.approx(1.0)
    assert another.charge("run-b", ONE).total == pytest.approx(1.0)
    with pytest.raises(FedstackError, match="1 is spent"):  # although it had read an empty ledger before
        one_job.charge("run-a", ONE)
    assert [entry["run"] for entry in Budget(bucket, None, DELTA).entries()] == ["run-b"]
    keys = [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket="artifacts")["Contents"]]
    assert keys == ["privacy/00000000.json"]


def test_in_a_bucket_a_number_is_given_once(bucket: str) -> None:
    records, late = open_records(bucket), open_records(bucket)
    assert records.create(0, b"first")
    assert not late.create(0, b"second")
    assert records.read(0) == [b"first"]


def test_a_bucket_s_ledger_that_was_changed_is_refused(bucket: str) -> None:
    for run in ("run-a", "run-b"):
        Budget(bucket, None, DELTA).charge(run, ONE)
    boto3.client("s3").delete_object(Bucket="artifacts", Key="privacy/00000000.json")
    with pytest.raises(FedstackError, match="was changed: entry 0"):
        Budget(bucket, None, DELTA).charge("run-c", ONE)


def test_without_its_bucket_nothing_can_be_spent(bucket: str) -> None:
    lost = Budget("s3://no-such-bucket/privacy", 4.0, DELTA)
    with pytest.raises(FedstackError, match="cannot be read") as caught:
        lost.charge("run-a", ONE)
    assert caught.value.code == ExitCode.PRIVACY_BUDGET
    with pytest.raises(FedstackError, match="cannot be written"):
        open_records("s3://no-such-bucket/privacy").create(0, b"x")


@pytest.mark.parametrize("uri", ["s3://bucket", "s3:///prefix", "https://host/x", "file://relative"])
def test_records_have_a_place(uri: str) -> None:
    with pytest.raises(FedstackError, match="Give it as"):
        open_records(uri)
