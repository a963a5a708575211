"""A client hears how its rows changed since its last run; nobody else does, and no run ends by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import numpy.typing as npt
import pytest
from flwr.app import Context
from moto import mock_aws
from moto_stack import REGION
from table_runs import clinic

from runtime.client import client as job
from runtime.ledger import read
from runtime.privacy.accountant import Spend
from runtime.privacy.budget import Budget
from runtime.tabular.client import drift, silo
from runtime.tabular.client.drift import FARTHEST, compared, differences
from runtime.tabular.data.dataset import Dataset, save_csv
from runtime.tabular.data.describe import describe
from runtime.tabular.data.moments import Moments
from runtime.tabular.data.schema import Schema

SCHEMA = Schema("small", "sick", ("age", "dose", "sex"), as_is=("dose",))
ROWS = 2000


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """A job reads its rows once; these tests change them under its hands."""
    silo.load.cache_clear()
    yield
    silo.load.cache_clear()


def rows(seed: int = 0, count: int = ROWS) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    x = np.column_stack([draw.lognormal(3, 0.5, count), draw.normal(0, 1, count), draw.integers(0, 2, count)])
    return x, draw.integers(0, 2, count)


class Client:
    """A client whose data are written anew before each of its runs."""

    def __init__(self, folder: Path, place: str | None = None) -> None:
        self.data, self.runs = folder / "data", 0
        self.place = place or f"file://{folder / 'privacy'}"
        self.data.mkdir()
        SCHEMA.save(self.data)

    def run(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> dict[str, object] | None:
        save_csv(self.data / "rows.csv", Dataset(x, y, SCHEMA))
        silo.load.cache_clear()
        self.runs += 1
        return compared(self.data, self.place, f"run-{self.runs}")


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def test_the_first_run_has_nothing_to_compare_with(client: Client) -> None:
    assert client.run(*rows()) is None


def test_other_rows_of_the_same_kind_do_not_drift(client: Client) -> None:
    client.run(*rows(0))
    told = client.run(*rows(1))
    assert told is not None
    assert (told["level"], told["features"], told["since"]) == ("none", {}, "run-1")
    assert (told["rows"], told["rows_before"]) == (ROWS, ROWS)


@pytest.mark.parametrize(
    ("shift", "level"), [(0.18, "small"), (-0.18, "small"), (0.5, "large"), (3.0, "large")]
)
def test_a_shift_is_named_by_its_feature_and_size(client: Client, shift: float, level: str) -> None:
    x, y = rows(0)
    client.run(x, y)
    x[:, 1] += shift
    told = client.run(x, y)
    assert told is not None
    assert told["level"] == level
    assert list(told["features"]) == ["dose"]  # type: ignore[call-overload]
    assert told["features"]["dose"]["mean_difference"] == pytest.approx(shift, rel=0.05)  # type: ignore[index]


def test_a_wider_feature_is_named_though_its_mean_stays(client: Client) -> None:
    x, y = rows(0)
    client.run(x, y)
    x[:, 1] = x[:, 1].mean() + 2 * (x[:, 1] - x[:, 1].mean())
    told = client.run(x, y)
    assert told is not None
    assert told["level"] == "large"
    assert told["features"]["dose"]["variance_ratio"] == pytest.approx(4)  # type: ignore[index]


@pytest.mark.parametrize("seed", range(20))
def test_few_rows_do_not_drift_by_chance(tmp_path: Path, seed: int) -> None:
    client = Client(tmp_path)
    client.run(*rows(seed, 60))
    told = client.run(*rows(seed + 1000, 60))
    assert told is not None
    assert told["level"] == "none"


def test_a_feature_that_begins_to_vary_is_a_finite_number_in_the_ledger(client: Client) -> None:
    x, y = rows(0)
    x[:, 1] = 1.0
    client.run(x, y)
    x[:, 1] = 2.0
    told = client.run(x, y)
    assert told is not None
    assert told["largest_mean_difference"] == FARTHEST
    json.dumps(told, allow_nan=False)
    assert client.run(*rows(0))["level"] == "large"  # type: ignore[index]


def test_it_is_the_last_run_that_is_compared_with(client: Client) -> None:
    x, y = rows(0)
    client.run(x, y)
    x[:, 1] += 1
    client.run(x, y)
    told = client.run(x, y)
    assert told is not None
    assert (told["level"], told["since"]) == ("none", "run-2")


def test_a_job_that_is_started_twice_for_a_run_is_compared_with_the_run_before(client: Client) -> None:
    x, y = rows(0)
    client.run(x, y)
    x[:, 1] += 1
    first = client.run(x, y)
    again = compared(client.data, client.place, "run-2")
    assert again == first
    assert len(list((Path(client.place[7:]) / "moments").iterdir())) == 2


def test_another_schema_is_not_compared(client: Client) -> None:
    client.run(*rows(0))
    other = Schema("other", "sick", ("age", "dose", "height"), as_is=("dose",))
    other.save(client.data)
    x, y = rows(0)
    save_csv(client.data / "rows.csv", Dataset(x, y, other))
    silo.load.cache_clear()
    told = compared(client.data, client.place, "run-2")
    assert told is not None
    assert (told["level"], told["reason"]) == ("unknown", "the schema is another")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"run": "x", "schema": 1}'])
def test_records_that_somebody_spoilt_end_no_run(client: Client, content: str) -> None:
    client.run(*rows(0))
    (record,) = (Path(client.place[7:]) / "moments").iterdir()
    record.write_text(content)
    told = client.run(*rows(1))
    assert told is not None
    assert told["level"] == "unknown"


def test_a_place_that_cannot_be_reached_ends_no_run(tmp_path: Path) -> None:
    with mock_aws():
        client = Client(tmp_path, "s3://nobody-s-bucket/privacy")
        told = client.run(*rows(0))
    assert told is not None
    assert told["level"] == "unknown"


def test_moments_lie_in_the_account_s_bucket_and_its_budget_reads_past_them(tmp_path: Path) -> None:
    with mock_aws():
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})
        client = Client(tmp_path, "s3://artifacts/privacy")
        client.run(*rows(0))
        Budget(client.place, 8.0, 1e-5).charge("run-1", Spend(2.0, 1))
        assert client.run(*rows(0))["level"] == "none"  # type: ignore[index]
        assert len(Budget(client.place, 8.0, 1e-5).entries()) == 1
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket="artifacts")["Contents"]]
    assert keys == [
        f"privacy/{name}" for name in ("00000000.json", "moments/00000000.json", "moments/00000001.json")
    ]


def test_columns_that_a_schema_encodes_are_told_by_their_names(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    told = []
    for number, site in enumerate(("lung", "skin"), 1):
        frame = clinic()
        frame["site"] = np.array(["colon", "bone", site, site])[np.arange(len(frame)) % 4]
        frame.to_csv(data / "rows.csv", index=False)
        if number == 1:
            schema = describe(data / "rows.csv")
            for column in schema["columns"]:
                column |= {"levels": ["bone", "colon", "lung", "skin"]} if column["name"] == "site" else {}
            (data / "schema.json").write_text(json.dumps(schema))
        silo.load.cache_clear()
        told.append(compared(data, f"file://{tmp_path / 'privacy'}", f"run-{number}"))
    assert told[0] is None
    assert told[1] is not None
    assert told[1]["level"] == "large"
    assert {name.partition("=")[0] for name in told[1]["features"]} == {"site"}
    assert sum(told[1]["labels"].values()) == told[1]["rows"]


def test_what_is_kept_is_moments_and_no_row(client: Client) -> None:
    client.run(*rows(0))
    (record,) = (Path(client.place[7:]) / "moments").iterdir()
    kept = json.loads(record.read_text())
    assert kept.keys() == {"run", "time", "schema", "count", "labels", "mean", "m2"}
    assert {len(kept[name]) for name in ("mean", "m2")} == {3}


def test_a_job_writes_it_into_its_own_ledger_and_hands_the_link_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    handed: list[str] = []

    class Link:
        """The way to the server, as far as a job's own ledger is concerned."""

        server_ledger = None

        def __init__(self, *given: object, **more: object) -> None:
            handed.append(f"{given} {more}")

        def run(self) -> None:
            """End at once."""

    def handled(_: object, context: Context) -> str:
        return str(context)

    monkeypatch.setattr(job, "LinkClient", Link)
    monkeypatch.setattr(job, "handle_with", handled)
    for number, more in ((1, 0.0), (2, 5.0)):
        x, y = rows(number)
        save_csv(client.data / "rows.csv", Dataset(x + np.array([0.0, more, 0.0]), y, SCHEMA))
        silo.load.cache_clear()
        options = {
            "run-id": f"run-{number}",
            "server-address": "127.0.0.1:1",
            "server-fingerprint": f"sha256:{'0' * 64}",
            "client-name": "clinic",
            "mailbox": f"file://{tmp_path}/mail",
            "data": client.data,
            "output-dir": tmp_path / f"output-{number}",
            "model-dir": tmp_path / "model",
            "privacy-updates": "plain",
            "privacy-ledger": client.place,
        }
        job.cli([f"--{name}={value}" for name, value in options.items()], standalone_mode=False)
    first, second = (
        [event for event in read(tmp_path / f"output-{n}" / "ledger.jsonl") if event["event"] == "drift"]
        for n in (1, 2)
    )
    assert first == []
    assert [(event["level"], event["since"], *event["features"]) for event in second] == [
        ("large", "run-1", "dose")
    ]
    assert len(handed) == 2
    assert not [text for text in handed if "mean_difference" in text or "'drift'" in text]


def test_the_difference_is_the_textbook_s() -> None:
    a, b = rows(0)[0], rows(5)[0] * 1.3
    smd, ratio = differences(Moments.of(a, SCHEMA), Moments.of(b, SCHEMA))
    z, w = SCHEMA.transform(a), SCHEMA.transform(b)
    expected = (w.mean(axis=0) - z.mean(axis=0)) / np.sqrt((z.var(axis=0) + w.var(axis=0)) / 2)
    assert smd == pytest.approx(expected)
    assert ratio == pytest.approx(w.var(axis=0) / z.var(axis=0))


def test_the_thresholds_are_those_of_the_docs() -> None:
    docs = (Path(__file__).parents[3] / "docs" / "schedule.md").read_text()
    assert f"{drift.SMALL:g} | {drift.LARGE:g}" in docs
    assert f"a factor of {drift.RATIO:g}" in docs
    assert f"{drift.CHANCE:g} standard errors" in docs
