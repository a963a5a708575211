from __future__ import annotations

import gzip
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rehearsal.in_process import CMS_FILE, providers
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.dataset import Dataset, load_csv, save_csv
from runtime.tabular.data.diagnosis import LARGEST_VALUE
from runtime.tabular.data.schema import CMS, Schema

TINY = Schema("tiny", "label", ("a", "b"))
GOOD = "label,a,b\n0,1,2.5\n1,3,0\n"


def refusal(path: Path, schema: Schema = TINY) -> str:
    with pytest.raises(FedstackError) as raised:
        load_csv(path, schema)
    assert raised.value.code is ExitCode.DATA
    assert raised.value.what.endswith(".")
    assert raised.value.remedy.endswith(".")
    assert str(path) in raised.value.what
    return raised.value.what.removeprefix(str(path))


def written(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.split("\n", 1)[1],
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        "\n" + GOOD.replace("\n1,", "\n\n  \n1,") + "\n\n",
        GOOD.rstrip(),
        '"label","a","b"\n"0","1","2.5"\n"1","3","0"\n',
        "label, a, b\n 0, 1, 2.5\n1.0, 3e0, -0\n",
    ],
    ids=["plain", "no header", "CRLF", "BOM", "blank lines", "no last newline", "quotes", "spaces"],
)
def test_files_that_say_the_same_load_the_same(tmp_path: Path, text: str) -> None:
    dataset = load_csv(written(tmp_path, text), TINY)
    np.testing.assert_array_equal(dataset.x, [[1, 2.5], [3, 0]])
    np.testing.assert_array_equal(dataset.y, [0, 1])
    assert (dataset.x.dtype.name, dataset.y.dtype.name, len(dataset)) == ("float64", "int64", 2)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("label,a\n0,1\n1,2\n", ": the header lacks 'b'."),
        ("label,a,b,c\n0,1,2,3\n1,2,3,4\n", ": the header has 'c' in excess."),
        ("label,a,c\n0,1,2\n1,2,3\n", ": the header lacks 'b' and has 'c' in excess."),
        ("label,a,b,b\n0,1,2,2\n1,2,3,3\n", ": the header names 'b' more than once."),
        ("label,b,a\n0,1,2\n1,2,3\n", ": the header is out of order: column 2 is 'b' where 'a' belongs."),
        ("a,b,label\n1,2,0\n", ": the header is out of order: column 1 is 'a' where 'label' belongs."),
        ("x,y,z\n0,1,2\n", ": the header lacks 'label', 'a', 'b' and has 'x', 'y', 'z' in excess."),
        ("label;a;b\n0;1;2\n", ": the header lacks 'label', 'a', 'b' and has 'label;a;b' in excess."),
        ("0;1;2\n1;2;3\n", ": the header lacks 'label', 'a', 'b' and has '0;1;2' in excess."),
        ("0,1\n1,2\n", ", line 1: 2 values where 3 belong."),
        (GOOD + "1,2\n", ", line 4: 2 values where 3 belong."),
        (GOOD + "1,2,3,4\n", ", line 4: 4 values where 3 belong."),
        (GOOD + "1,2,3,\n", ", line 4: 4 values where 3 belong."),
        (GOOD + ",,\n", ", line 4, column 'label': the value is '', a missing value."),
        (",,\n0,1,2\n1,2,3\n", ", line 1, column 'label': the value is '', a missing value."),
        ("0,x,2\n1,2,3\n", ", line 1, column 'a': the value is 'x', which is not a number."),
        ("", " has no rows."),
        ("\n \n", " has no rows."),
        ("label,a,b\n", " has no rows."),
        ("label,a,b\n0,1,2\n0,2,3\n", ": all 2 rows have label 0."),
        ("1,1,2\n", ": all 1 rows have label 1."),
    ],
)
def test_a_file_of_the_wrong_form_is_named(tmp_path: Path, text: str, what: str) -> None:
    assert refusal(written(tmp_path, text)) == what


def test_an_unclosed_quote_is_refused(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, GOOD + '1,"2,3\n0,1,1\n')).startswith(", line")


BAD_FEATURES = [
    "x",
    "",
    " ",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "-1",
    "-0.001",
    "1e400",
    "1e16",
    "1_0",
    "1.2.3",
    "1#",
]
BAD_LABELS = ["2", "0.5", "-1", "yes", "", "nan", "inf", "1e300"]


@given(st.data(), st.booleans(), st.integers(0, 30), st.integers(0, 49), st.booleans())
@settings(deadline=None)
def test_the_first_bad_value_is_named_by_line_column_and_value(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    header: bool,
    row: int,
    column: int,
    gap: bool,
) -> None:
    bad = data.draw(st.sampled_from(BAD_LABELS if column == 0 else BAD_FEATURES))
    cells = [[str(at % 2), *["1"] * 49] for at in range(31)]
    cells[row][column] = bad
    cells[30][49] = bad if row < 30 else cells[30][49]  # a later fault is not the one that is named
    lines = ([",".join(CMS.columns)] if header else []) + [""] * gap + [",".join(line) for line in cells]
    path = written(tmp_path_factory.mktemp("bad"), "\n".join(lines))
    what = refusal(path, CMS)
    line = 1 + header + gap + row
    assert what.startswith(f", line {line}, column {CMS.columns[column]!r}: the value is {bad!r}, ")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("x", "which is not a number"),
        ("3 # checked", "which is not a number"),
        ("", "a missing value"),
        ("nan", "a missing value"),
        ("-3", "which is negative"),
        ("inf", "which is infinite"),
        ("2e15", "which is above 1e+15"),
        ("y" * 100, "which is not a number"),
    ],
)
def test_the_reason_fits_the_value(tmp_path: Path, value: str, reason: str) -> None:
    what = refusal(written(tmp_path, GOOD + f"1,2,{value}\n"))
    assert what.endswith(f", {reason}.")
    assert len(what) < 130


def test_a_label_other_than_0_or_1_is_named(tmp_path: Path) -> None:
    what = refusal(written(tmp_path, GOOD + "2,1,1\n"))
    assert what == ", line 4, column 'label': the value is '2', which is not a label."


def test_a_long_list_of_columns_is_cut(tmp_path: Path) -> None:
    what = refusal(written(tmp_path, "fraudulent_provider\n0\n1\n"), CMS)
    assert what == (
        ": the header lacks 'female', 'tot_suplrs_standard_deviation', 'tot_suplrs_mean' and 46 more."
    )


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    packed = tmp_path / "data.csv.gz"
    packed.write_bytes(gzip.compress(GOOD.encode()))
    assert refusal(tmp_path / "no.csv") == " cannot be read: No such file or directory."
    assert refusal(tmp_path) == " cannot be read: Is a directory."
    assert "cannot be read: Too many levels" in refusal(loop)
    assert "is not UTF-8 text: byte 0x8b" in refusal(packed)


def test_text_that_is_not_utf_8_far_into_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes((GOOD + "1,2,3\n" * 100_000).encode() + b"1,2,\xe9\n")
    assert refusal(path) == " is not UTF-8 text: byte 0xe9."


@given(
    arrays(np.float64, st.tuples(st.integers(2, 6), st.just(2)), elements=st.floats(0, LARGEST_VALUE)),
)
@settings(deadline=None)
def test_what_is_saved_loads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, x: np.typing.NDArray[np.float64]
) -> None:
    dataset = Dataset(x, np.arange(len(x)) % 2)
    path = tmp_path_factory.mktemp("saved") / "data.csv"
    save_csv(path, replace(dataset, schema=TINY))
    loaded = load_csv(path, TINY)
    np.testing.assert_array_equal(loaded.x, dataset.x)
    np.testing.assert_array_equal(loaded.y, dataset.y)


def test_whole_numbers_are_saved_without_a_point(tmp_path: Path) -> None:
    save_csv(tmp_path / "data.csv", Dataset(np.array([[1, 2.5], [3, 0]]), np.array([0, 1]), TINY))
    assert (tmp_path / "data.csv").read_text() == GOOD


def test_the_cms_figures_hold_and_the_file_loads_quickly(tmp_path: Path) -> None:
    path = CMS_FILE
    if not path.exists():
        path = tmp_path / "standin.csv"
        save_csv(path, providers())
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        dataset = load_csv(path, CMS)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.3
    assert dataset.x.shape == (5_500, 49)
    assert dataset.y.sum() == 500
    assert len(np.unique(np.column_stack([dataset.x, dataset.y]), axis=0)) == 5_500 - 38
    assert set(np.unique(dataset.x[:, 0])) == {0.0, 1.0}


def test_a_message_never_holds_a_whole_line(tmp_path: Path) -> None:
    """A wrong delimiter must not put a provider's row into a log."""
    what = refusal(written(tmp_path, "\n".join(";".join(["0"] * 50) for _ in range(3))), CMS)
    assert re.search(r"has '[^']{57}\.\.\.' in excess|has '[0;]{1,60}' in excess", what)
    assert len(what) < 250
