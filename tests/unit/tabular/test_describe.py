"""What a first schema says of tables as people have them, and what its owner is told to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from table_runs import split
from typer.testing import CliRunner

from fedstack.data import cli
from runtime.contract import FedstackError
from runtime.tabular.columns.columns import canonical
from runtime.tabular.data.check import check
from runtime.tabular.data.describe import describe
from runtime.tabular.data.remarks import remarks

ROWS = 60


def described(folder: Path, **columns: list[Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Write a table; return what is said of it, of its columns by name, and the remarks."""
    frame = pd.DataFrame({"x": [number * 1.5 for number in range(ROWS)]} | columns)
    frame.to_csv(folder / "t.csv", index=False)
    said = describe(folder / "t.csv")
    (folder / "schema.json").write_text(json.dumps(said))
    return said, {column["name"]: column for column in said["columns"]}, remarks(folder / "t.csv", said)


def cycle(*cells: Any) -> list[Any]:
    return [cells[row % len(cells)] for row in range(ROWS)]


@pytest.mark.parametrize("absent", ["", "NA", "?", "NaN"])
def test_a_missing_label_is_no_class_and_check_counts_it(tmp_path: Path, absent: str) -> None:
    said, columns, told = described(tmp_path, relapse=cycle("no", absent, "yes"))
    assert (said["task"], columns["relapse"]["levels"]) == ("binary", ["no", "yes"])
    assert "'relapse': 20 rows lack it, and cannot be learnt from: drop them" in told
    assert [fault.count for fault in check(tmp_path / "t.csv").faults] == [20]


def test_a_number_that_is_missing_somewhere_is_still_a_number_to_be_learnt(tmp_path: Path) -> None:
    said, columns, _ = described(tmp_path, result=["NA", *(row + 0.5 for row in range(1, ROWS))])
    assert (said["task"], columns["result"]["type"]) == ("linear", "real")


@pytest.mark.parametrize("cells", [[""] * ROWS, ["same"] * ROWS])
def test_a_column_that_says_nothing_is_no_label(tmp_path: Path, cells: list[str]) -> None:
    said, columns, told = described(tmp_path, z=cycle(1, 2.5, 3), y=cells)
    assert (columns["z"]["role"], columns["y"]["role"]) == ("label", "ignore")
    assert said["task"] == "linear"
    assert any(one.startswith("'y': it has one value or none") for one in told)


def test_a_table_that_never_differs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n1,2\n")
    with pytest.raises(FedstackError, match="has two different values"):
        describe(tmp_path / "t.csv")


@pytest.mark.parametrize("absent", ["", "NA"])
def test_times_that_lack_or_are_zero_are_still_survival(tmp_path: Path, absent: str) -> None:
    times = [absent, 0, *range(2, ROWS)]
    said, columns, _ = described(tmp_path, time=times, cens=cycle(0, 1, absent))
    assert (said["task"], columns["cens"]["levels"], columns["time"]["role"]) == ("cox", ["0", "1"], "time")
    assert columns["time"]["grid"][-1] == ROWS - 1
    assert {fault.column for fault in check(tmp_path / "t.csv").faults} == {"time", "cens"}


@pytest.mark.parametrize(
    ("levels", "positive"),
    [
        (("healthy", "diseased"), "diseased"),
        (("event", "no event"), "event"),
        (("lost", "not lost"), "lost"),
        (("B", "M"), "M"),
        (("N", "Y"), "Y"),
        (("F", "T"), "T"),
    ],
)
def test_of_two_levels_the_one_that_denies_is_first_and_a_person_is_told(
    tmp_path: Path, levels: tuple[str, str], positive: str
) -> None:
    for order in (levels, levels[::-1]):
        _, columns, told = described(tmp_path, outcome=cycle(*order))
        assert columns["outcome"]["levels"][1] == positive
        assert f"'outcome': '{positive}' is positive; swap the levels if it is not" in told


def test_letters_of_three_classes_are_in_their_order(tmp_path: Path) -> None:
    assert described(tmp_path, y=cycle("c", "b", "a"))[1]["y"]["levels"] == ["a", "b", "c"]


def test_whole_numbers_that_are_called_classes_are_classes(tmp_path: Path) -> None:
    assert described(tmp_path, **{"class": cycle(*range(12))})[0]["task"] == "multiclass"
    assert described(tmp_path, falls=cycle(*range(12)))[0]["task"] == "poisson"


def test_a_code_keeps_its_zeros_and_is_no_number(tmp_path: Path) -> None:
    codes = ["01067", "04109", "10115"]
    _, columns, _ = described(tmp_path, town=cycle(*codes), y=cycle(0, 1))
    assert columns["town"] == {"name": "town", "role": "feature", "type": "category", "levels": codes}
    _, columns, told = described(tmp_path, icd=cycle("1", "010", "001"), y=cycle(0, 1))
    assert columns["icd"]["levels"] == ["1", "010"]
    assert "'icd': numbers that are written in several ways, such as 1 and 01, are one level" in told


def test_long_codes_that_are_one_number_in_float64_stay_apart(tmp_path: Path) -> None:
    codes = ["123456789012345671", "123456789012345672"]
    assert [canonical(code) for code in codes] == codes
    assert described(tmp_path, code=cycle(*codes), y=cycle(0, 0, 1))[1]["code"]["levels"] == codes


@pytest.mark.parametrize("levels", [("None", "Chemo"), ("-", "+"), ("unknown", "seen")])
def test_a_word_for_missing_beside_one_level_is_a_level(tmp_path: Path, levels: tuple[str, str]) -> None:
    said = described(tmp_path, therapy=cycle(*levels), y=cycle(0, 0, 1))[1]["therapy"]
    assert (said["type"], set(said["levels"]), "missing" in said) == ("binary", set(levels), False)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["1,234", "56,789"], "seem to be numbers: write 1234.5"),
        (["0,5", "2,25"], "seem to be numbers"),
        (["12%", "7%"], "seem to be numbers"),
        (["<0.5", "0.7", "1.5"], "20 of 60 cells, such as '<0.5'"),
        (["$12.50", "$3"], "such as '$12.50', seem to be numbers"),
        (["12 kg", "9 kg"], "seem to be numbers"),
        (["31/12/2020", "2020-01-02", "1/2/2021"], "seem to be days: write them as 2024-03-01"),
        (["2020-01-02 10:00:00", "2020-01-03 11:00:00"], "seem to be days"),
        (["20200102", "20200103", "20201231"], "give the type date"),
    ],
)
def test_numbers_and_days_that_are_written_in_other_ways_are_told(
    tmp_path: Path, cells: list[str], why: str
) -> None:
    _, _, told = described(tmp_path, odd=cycle(*cells), y=cycle(0, 1))
    assert [one for one in told if one.startswith("'odd': ") and why in one], told


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    _, _, told = described(
        tmp_path,
        country=[f"land {row % 25}" for row in range(ROWS)],
        note=[f"text {row % 40}" for row in range(ROWS)],
        y=cycle(0, 1),
    )
    assert "'country': its 20 most frequent texts of 25 are levels; the rest are '(other)'" in told
    assert "'note': it has 40 different texts, and is not used" in told


def test_remarks_are_said_beside_the_schema_not_in_it(tmp_path: Path) -> None:
    described(tmp_path, y=cycle("no", "yes"))
    said = CliRunner().invoke(cli, ["describe", str(tmp_path / "t.csv")])
    assert json.loads(said.stdout)["task"] == "binary"
    assert "'yes' is positive" in said.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (",a,y\n0,1,1\n1,2,0\n", "no name for column 1 of 3"),
        ("a,y,\n1,1,\n2,0,\n", "no name for column 3 of 3"),
        ("a,a,y\n1,2,3\n", "has 'a' twice"),
        ("name,2019,y\nb,1,2\n", "such as '2019'"),
        ('a,y\n1,2\n3,"4\n5,6\n', "is no CSV: unexpected end of data"),
    ],
)
def test_a_header_is_refused_with_what_is_wrong_with_it(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(FedstackError, match=why):
        describe(tmp_path / "t.csv")


def test_a_level_called_none_is_no_missing_value_of_the_model_either(tmp_path: Path) -> None:
    rows = 240
    frame = pd.DataFrame(
        {
            "x": [row * 7 % 31 / 3 for row in range(rows)],
            "therapy": [("None", "Chemo", "")[row * 5 % 3] for row in range(rows)],
            "y": [int(row % 3 == 0 or row % 7 == 1) for row in range(rows)],
        }
    )
    said = {"type": "category", "levels": ["Chemo", "None"], "missing": [""]}
    table = split(tmp_path, frame, plain=True, therapy=said)
    table.run(validation=0.0)
    model = joblib.load(table.folder / "out" / "model.joblib")
    test = pd.read_csv(table.silos.test_file, dtype=str, keep_default_na=False)
    encoded = model[:-1].transform(test[["x", "therapy"]])
    theirs = table.silos.test.transformed()
    # standardised: each column of the two is the same but for place and scale
    assert (pd.DataFrame(encoded).nunique() == pd.DataFrame(theirs).nunique()).all()
    assert pd.Series(encoded[:, 1]).groupby(test["therapy"]).nunique().eq(1).all()
    none, absent = (encoded[(test["therapy"] == cell).to_numpy()][0] for cell in ("None", ""))
    assert not (none[1:] == absent[1:]).all()
