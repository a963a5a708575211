"""Schemas of typed columns: what they say, what is wrong with them, and what files may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_runs import affairs, breast_cancer, clinic, diabetes, rossi, wine

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.client import silo
from runtime.tabular.columns.rare import smallest_group
from runtime.tabular.data.dataset import Dataset, load_csv, save_csv
from runtime.tabular.data.describe import describe
from runtime.tabular.data.preparation import prepare
from runtime.tabular.data.schema import Schema, schema_of

SAID: dict[str, Any] = {
    "name": "t",
    "columns": [
        {"name": "id", "role": "id"},
        {"name": "a", "type": "real", "missing": ["", "-9"]},
        {"name": "c", "type": "category", "levels": ["x", "y", "z"], "missing": ["?"]},
        {"name": "n", "type": "count"},
        {"name": "y", "role": "label", "type": "binary", "levels": ["no", "yes"]},
    ],
}


def written(folder: Path, text: str, said: Any = SAID) -> Path:
    (folder / "schema.json").write_text(json.dumps(said))
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder / "t.csv"


def loaded(path: Path) -> Dataset:
    return load_csv(path, schema_of(path))


def test_columns_are_found_by_name_and_read_by_type(tmp_path: Path) -> None:
    path = written(tmp_path, 'y,c,a,n\nyes,x,1.5,2\nno,"other, thing",-9,0\nyes,?,,1\nno, z ,-9.0,3\n')
    rows = loaded(path)
    np.testing.assert_array_equal(rows.y, [1, 0, 1, 0])
    np.testing.assert_array_equal(rows.x[:, 1], [0, 3, np.nan, 2])
    np.testing.assert_array_equal(np.isnan(rows.x[:, 0]), [False, True, True, True])
    assert rows.schema.encoding.names == ("a", "a missing", "c=y", "c=z", "c=(other)", "c missing", "n")
    save_csv(tmp_path / "again.csv", rows)
    np.testing.assert_array_equal(load_csv(tmp_path / "again.csv", rows.schema).x, rows.x)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("id,a,c,n\n1,1,x,1\n", ": the header lacks 'y'."),
        ("y,a,c,n,q\nyes,1,x,1,1\n", ": the header has 'q' in excess."),
        ("y,a,c,n\nyes,1,x\n", ", line 2: 3 values where 4 belong."),
        ("y,a,c,n\nyes,1,x,1\nmaybe,1,x,1\n", ", line 3, column 'y': the value is 'maybe', which is none of"),
        ("y,a,c,n\nyes,one,x,1\n", ", line 2, column 'a': the value is 'one', which is not a number."),
        ("y,a,c,n\nyes,1,,1\n", ", line 2, column 'c': the value is '', a missing value."),
        ("y,a,c,n\nyes,1,x,1.5\n", ", line 2, column 'n': the value is '1.5', which is not a whole number."),
        ("y,a,c,n\nyes,1,x,-1\n", ", line 2, column 'n': the value is '-1', which is negative."),
        ("y,a,c,n\nyes,1,x,\n", ", line 2, column 'n': the value is '', a missing value."),
        ("y,a,c,n\n,1,x,1\n", ", line 2, column 'y': the value is '', a missing value."),
        ("y,a,c,n\n", " has no rows."),
    ],
)
def test_a_bad_cell_is_named_by_line_column_and_value(tmp_path: Path, text: str, what: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(FedstackError) as raised:
        loaded(path)
    assert raised.value.code is ExitCode.DATA
    assert raised.value.what.removeprefix(str(path)).startswith(what)


def columns(**changed: Any) -> list[dict[str, Any]]:
    return [{**column, **changed.get(column["name"], {})} for column in SAID["columns"]]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"columns": 3}, "'columns' is no list"),
        ({"columns": [{"role": "id"}]}, "column 1 has no name"),
        ({"task": "guess"}, "'task' is 'guess'; there are binary, multiclass, linear, poisson, cox"),
        ({"colour": 1}, "'colour' is no field of a schema"),
        ({"columns": columns(a={"type": "float"})}, "column 'a': type is 'float'; there are count, amount"),
        ({"columns": columns(c={"levels": ["x"]})}, "column 'c': its levels are fewer than two"),
        ({"columns": columns(c={"levels": ["1", "1.0"]})}, "column 'c': a level is listed twice"),
        ({"columns": columns(c={"missing": ["x"]})}, "are levels and missing values at once"),
        ({"columns": columns(a={"size": 3})}, "'size' is no property of a column"),
        ({"columns": columns(y={"missing": [""]})}, "a column of role label cannot be missing"),
        ({"columns": columns(y={"levels": ["a", "b", "c"], "type": "category"})}, "list two"),
        ({"columns": columns(id={"name": "a"})}, "'a' is named more than once"),
        ({"columns": columns(a={"type": "date"})}, "no day such as 2024-03-01"),
        ({"columns": columns()[:-1]}, "binary needs one column of role label, and there are 0"),
        ({"task": "cox"}, "cox needs one column of role time, and there are 0"),
    ],
)
def test_a_wrong_schema_says_what_is_wrong(tmp_path: Path, said: dict[str, Any], why: str) -> None:
    (tmp_path / "schema.json").write_text(json.dumps({**SAID, **said}))
    with pytest.raises(FedstackError, match=r"declares no schema") as raised:
        schema_of(tmp_path / "t.csv")
    assert why in raised.value.what


def test_a_schema_survives_its_file(tmp_path: Path) -> None:
    schema = schema_of(written(tmp_path, ""))
    (tmp_path / "again").mkdir()
    schema.save(tmp_path / "again")
    assert schema_of(tmp_path / "again") == schema
    assert schema.digest() == schema_of(tmp_path / "again").digest()


DESCRIBED = {
    "breast": (breast_cancer, "binary", "target", 30),
    "wine": (wine, "multiclass", "target", 13),
    "diabetes": (diabetes, "linear", "target", 10),
    "affairs": (affairs, "poisson", "affairs", 3),
    "rossi": (rossi, "cox", "week", 7),
    "clinic": (clinic, "binary", "outcome", 6),
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_first_schema_is_one_that_loads_the_table(tmp_path: Path, name: str) -> None:
    frame, task, label, features = DESCRIBED[name]
    table = frame()
    table.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "schema.json").write_text(json.dumps(describe(tmp_path / "t.csv")))
    rows = loaded(tmp_path / "t.csv")
    schema: Schema = rows.schema
    assert (schema.task, schema.label, len(schema.features), len(rows)) == (task, label, features, len(table))


def test_ids_missing_codes_levels_and_days_are_seen(tmp_path: Path) -> None:
    clinic().to_csv(tmp_path / "t.csv", index=False)
    said = {column["name"]: column for column in describe(tmp_path / "t.csv")["columns"]}
    assert said["patient_id"] == {"name": "patient_id", "role": "id"}
    assert said["visits"]["missing"] == ["-9"]
    assert said["site"]["levels"] == ["bone, soft", "colon", "lung", "skin"]
    assert (said["born"]["type"], said["age"]["missing"], said["cost"]["type"]) == ("date", [""], "amount")
    assert said["outcome"] == {"name": "outcome", "role": "label", "levels": ["no", "yes"], "type": "binary"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no rows"),
        ("a;b\n1;2\n", "has one column"),
        ("1,2\n3,4\n", "has no header"),
        ("a,a\n1,2\n", "has 'a' twice"),
    ],
)
def test_what_is_no_table_cannot_be_described(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(FedstackError, match=why):
        describe(tmp_path / "t.csv")


ROWS = "y,a,c,n\n" + "".join(f"{'yes' if n % 2 else 'no'},{n},{'xyz'[n % 3]},{n % 4}\n" for n in range(30))


def test_tables_in_folders_and_in_capitals_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "U.CSV").write_text(ROWS)
    silo.load.cache_clear()
    assert len(silo.load(str(tmp_path))) == 2 * len(loaded(path)) == 60


@pytest.mark.parametrize("name", ["t.parquet", "more/t.pq", "notes.txt", "t.csv.gz", "more/t.tsv"])
def test_what_nobody_would_read_is_refused_by_name(tmp_path: Path, name: str) -> None:
    written(tmp_path, ROWS)
    (tmp_path / "more").mkdir()
    (tmp_path / name).write_bytes(b"PAR1")
    silo.load.cache_clear()
    with pytest.raises(FedstackError) as raised:
        silo.load(str(tmp_path))
    assert raised.value.code is ExitCode.DATA
    assert name in raised.value.what
    assert name not in str(raised.value.public)


def rows_with(few: int, value: float, column: int) -> Dataset:
    schema = Schema("t", "y", ("a", "c", "n"), table=_schema().table, classes=("no", "yes"))
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=40), np.arange(40) % 2, np.arange(40) % 4]).astype(float)
    x[:few, column] = value
    return Dataset(x, np.arange(40) % 2, schema)


def _schema() -> Schema:
    from runtime.tabular.data.schema import of_columns

    schema, faults = of_columns(SAID)
    assert schema is not None, faults
    return schema


@pytest.mark.parametrize("few", [1, 2])
@pytest.mark.parametrize(("value", "column"), [(2.0, 1), (3.0, 1), (np.nan, 1), (np.nan, 0)])
def test_what_one_or_two_rows_have_is_joined_with_the_usual_and_in_no_sum(
    few: int, value: float, column: int
) -> None:
    """A sum over the column of a level, or of an indicator, would be a sum over those rows."""
    rows = rows_with(few, value, column)
    assert smallest_group(rows) == few
    joined = prepare(rows, validation=0.0, smote=False, seed=0, fewest=3)
    assert (joined.smallest_group or 99) >= 3
    encoded = joined.transformed_rows()
    counts = encoded[:, rows.schema.encoding.zero_one].sum(axis=0)
    assert not ((counts > 0) & (counts < 3)).any()
    np.testing.assert_array_equal(joined.train.x[few:], rows.x[few:])


@pytest.mark.parametrize(("value", "column"), [(2.0, 1), (3.0, 1), (np.nan, 1), (np.nan, 0)])
def test_what_three_rows_have_stays_theirs(value: float, column: int) -> None:
    rows = rows_with(3, value, column)
    joined = prepare(rows, validation=0.0, smote=False, seed=0, fewest=3)
    np.testing.assert_array_equal(joined.train.x, rows.x)
    assert joined.smallest_group == 3


def test_rare_levels_that_are_enough_together_share_the_other_bucket() -> None:
    rows = rows_with(0, 0.0, 0)
    rows.x[:2, 1], rows.x[2:4, 1] = 2.0, 3.0
    joined = prepare(rows, validation=0.0, smote=False, seed=0, fewest=3)
    np.testing.assert_array_equal(joined.train.x[:4, 1], 3.0)
