"""A rehearsal says before anything starts what its clients would refuse at any model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from table_runs import split

from rehearsal import too_few
from runtime.contract import ExitCode, FedstackError


def frame(rows: int) -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=rows).round(3)
    return pd.DataFrame({"x": x, "dose": np.arange(rows) % 3 / 2, "y": np.arange(rows) % 2})


def test_silos_that_every_client_answers_with_are_taken(tmp_path: Path) -> None:
    table = split(tmp_path, frame(90))
    too_few.refuse(table.silos, seed=0)
    table.run()  # in sums, by policies of the defaults


def test_silos_of_too_few_rows_are_refused_by_name_and_number(tmp_path: Path) -> None:
    table = split(tmp_path, frame(30))
    with pytest.raises(FedstackError, match=r"silo-0 would train on 6 rows; .*11 rows or more") as raised:
        too_few.refuse(table.silos, seed=0)
    assert raised.value.code is ExitCode.DATA
    with pytest.raises(FedstackError, match="fewer than 11 rows"):
        table.run()  # what it would have come to


def test_a_number_that_two_rows_of_a_silo_have_is_refused_by_its_column(tmp_path: Path) -> None:
    rows = frame(90).assign(dose=0.5)
    rows.loc[:2, "dose"] = [1.5, 2.5, 3.5]
    table = split(tmp_path, rows, dose={"role": "feature", "type": "real"})
    with pytest.raises(FedstackError, match="only one or two rows with some value of 'dose'"):
        too_few.refuse(table.silos, seed=0)
    with pytest.raises(FedstackError, match="would tell apart fewer than 3 rows"):
        table.run()


def test_a_cell_of_time_with_few_events_is_refused_by_the_times_column(tmp_path: Path) -> None:
    rows = frame(120).rename(columns={"y": "event"}).assign(time=np.arange(120) % 40 + 1.0)
    table = split(tmp_path, rows, time={"grid": [1.0, 20.0, 40.0]})
    with pytest.raises(FedstackError, match="some value of 'time'"):
        too_few.refuse(table.silos, seed=0)


def test_censored_rows_that_are_all_alike_need_not_be_held_out(tmp_path: Path) -> None:
    rows = pd.DataFrame({"x": [0.0] * 8 + list(np.arange(120) % 9 + 1.0), "time": np.arange(128) % 20 + 1.0})
    table = split(tmp_path, rows.assign(event=[0] * 8 + [1] * 120), time={"grid": [10.0, 20.0]})
    assert len(table.silos.test) > 0


def test_a_label_that_cannot_be_held_out_is_named(tmp_path: Path) -> None:
    rows = frame(60).drop(columns="y").assign(grade=["low"] * 29 + ["high"] * 30 + ["none yet"])
    with pytest.raises(FedstackError, match="None of the 1 rows with the label 'none yet' can be held out"):
        split(tmp_path, rows)
