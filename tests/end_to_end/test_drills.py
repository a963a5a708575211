"""Drills of faults that no other test has: what `make drill` runs, held against the same verdicts."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from rehearsal.drills.drill import perform
from rehearsal.drills.link_drills import DRILLS, LinkGround, small_disk

TESTED_HERE = ("slow", "disk full", "server killed and resumed", "2,000 idle TCP connections")


@pytest.mark.parametrize("name", TESTED_HERE)
def test_a_fault_ends_in_its_verdict_and_costs_neither_checkpoint_nor_ledger(
    tmp_path: Path, name: str
) -> None:
    (drill,) = [drill for drill in DRILLS if drill.name == name]
    with closing(LinkGround(tmp_path)) as ground:
        result = perform(drill, ground)
    assert result.got == result.expected
    assert result.checkpoint.startswith("round ")
    assert result.ledgers == "1 + 3 verify"


def test_where_no_disk_can_be_mounted_the_server_s_files_end_at_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with small_disk(tmp_path / "out") as (limits, make_room):
        make_room()
    assert limits == "ulimit -f 40"
