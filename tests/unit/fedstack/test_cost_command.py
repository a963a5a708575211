"""What a federation costs, reckoned from its templates."""

from __future__ import annotations

import json

import pytest
from assembly import NORTH, ROOT, SERVER, Assembly
from fedstack_line import as_before, call  # noqa: F401 - a fixture

from cdk_app.config.load import load
from cdk_app.handoff import cost as reckoning
from fedstack import cost


@pytest.fixture(autouse=True)
def synthesised(assembly: Assembly, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates that are there already."""
    written = {name: json.dumps(template).encode() for name, template in assembly.templates.items()}
    monkeypatch.setattr(cost, "templates", lambda *_: written)


def test_each_account_is_told_idle_and_a_client_for_its_jobs(assembly: Assembly) -> None:
    told = json.loads(call("cost", ROOT / "federation.yaml", "--json").out)
    assert "ESTIMATE" in told["note"]
    server, north, *_ = told["accounts"]
    assert [account["name"] for account in told["accounts"]] == ["server", "north", "south", "west"]
    idle = sum(item.dollars or 0 for item in reckoning.idle_month(assembly.templates[NORTH], "eu-west-1"))
    assert north["idle_month"] == pytest.approx(idle, abs=0.005)
    assert server["idle_month"] >= round(
        sum(item.dollars or 0 for item in reckoning.idle_month(assembly.templates[SERVER], "eu-west-1")), 2
    )
    assert server["run"] is None
    job = load(ROOT / "federation.yaml").run
    assert north["run"] > 0
    assert any(job.instance_type in item["what"] for item in north["items"])


def test_a_person_reads_a_table() -> None:
    said = call("cost", ROOT / "federation.yaml")
    lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert lines[0].startswith("AN ESTIMATE")
    assert [line.split()[0] for line in lines[2:7]] == ["account", "server", "north", "south", "west"]
