"""Three runs that nobody attends: each client's broker decides, and each hears how its data changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from broker_account import BUNDLE, GOOD, LOCK, REQUEST, Account, quick

from cdk_app.constructs.broker.broker_states import definition
from cdk_app.constructs.broker.lock_states import RunLock
from cdk_app.constructs.broker.window import Window
from rehearsal.in_process import Federation
from runtime.client.session import open_session
from runtime.link import flower
from runtime.tabular.client import silo
from runtime.tabular.data.dataset import Dataset, save_csv

ALWAYS = Window((0, 1, 2, 3, 4, 5, 6), 0, 1440)
WITHDRAWS, DRIFTS = "silo-1", "silo-0"


class Brokers:
    """The brokers of several clients, which one emulated account holds for cheapness."""

    def __init__(self, account: Account, names: list[str]) -> None:
        self._account = account
        self.machines = {
            name: account.deploy(
                f"broker-{name}",
                quick(
                    definition(
                        request=REQUEST,
                        bundle=BUNDLE,
                        run_lock=RunLock(
                            table=LOCK.table,
                            client=name,
                            runs_per_day=10,
                            execution_prefix=LOCK.execution_prefix.replace("broker", f"broker-{name}"),
                        ),
                        switch=self.switch(name),
                        job_prefix=f"cms-{name}--",
                        window=ALWAYS,
                    )
                ),
            )
            for name in names
        }
        for name in names:
            self.consent(name, "on")

    @staticmethod
    def switch(name: str) -> str:
        return f"/fedstack/cms/{name}/participation"

    def consent(self, name: str, value: str) -> None:
        import boto3

        ssm = boto3.client("ssm", "eu-west-1")
        ssm.put_parameter(Name=self.switch(name), Value=value, Type="String", Overwrite=True)

    def refused(self, run_id: str) -> dict[str, str]:
        """Invite every client; return who does not come, and why."""
        ends = {}
        for name, machine in self.machines.items():
            self._account.machine = machine
            ends[name] = self._account.start({**GOOD, "run_id": run_id}, run_id)
        return {name: end["error"] for name, end in ends.items() if end["status"] != "SUCCEEDED"}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """Four clients, whose owners let sums go on with three of them."""
    whole = Federation.cut(tmp_path_factory.mktemp("recurrent"), clients=4, rows=3000)
    return dataclasses.replace(whole, min_cohort=3)


def drift_of(federation: Federation, name: str, run_id: str) -> Any:
    """What a client's job says of its data before it answers anything."""
    silo.load.cache_clear()
    silo.prepared.cache_clear()
    data, number = federation.folder / f"{name}.csv", flower.number_of(name)
    session = open_session(None, name, number, data, federation.folder / "jobs" / name, [])
    return session.drift(f"file://{federation.folder / 'ledgers' / name}", run_id)


def run(federation: Federation, run_id: str, missing: dict[str, str]) -> dict[str, Any]:
    gone = {flower.number_of(name) for name in missing}
    return federation.run(
        run_id,
        run_id=run_id,
        strategy="fedavg",
        rounds=2,
        min_clients=3,
        join_seconds=0.5,
        round_seconds=5,
        drop=lambda message: message.metadata.dst_node_id in gone,
    )


def test_three_unattended_runs_skip_who_withdrew_and_tell_each_client_its_drift(
    account: Account, federation: Federation
) -> None:
    names = list(federation.silos)
    brokers, drifts, reports = Brokers(account, names), [], []
    for number in (1, 2, 3):
        brokers.consent(WITHDRAWS, "off" if number == 2 else "on")
        if number == 3:
            whole = federation.silos[DRIFTS]
            other = Dataset(np.expm1(np.log1p(whole.x) * 1.5), whole.y, whole.schema)
            save_csv(federation.folder / f"{DRIFTS}.csv", other)
        run_id = f"run-{number}"
        missing = brokers.refused(run_id)
        assert missing == ({WITHDRAWS: "ParticipationOff"} if number == 2 else {})
        drifts.append({name: drift_of(federation, name, run_id) for name in names if name not in missing})
        reports.append(run(federation, run_id, missing))

    assert [report["verdict"] for report in reports] == ["COMPLETE", "PARTIAL", "COMPLETE"]
    assert WITHDRAWS in reports[1]["reason"]
    status = {one["name"]: one["status"] for one in reports[1]["clients"]}
    assert {name for name in names if status[name] == "contributed to every round"} == {*names} - {WITHDRAWS}

    assert drifts[0] == dict.fromkeys(names)
    assert {told["level"] for told in drifts[1].values()} == {"none"}
    levels = {name: told["level"] for name, told in drifts[2].items()}
    assert levels == {name: "large" if name == DRIFTS else "none" for name in names}
    assert drifts[2][WITHDRAWS]["since"] == "run-1"  # it was not there for the second
    assert drifts[2][DRIFTS]["since"] == "run-2"

    for number in (1, 2, 3):  # and nobody else hears of it
        for file in ("report.json", "ledger.jsonl"):
            text = (federation.folder / f"run-{number}" / file).read_text()
            assert "drift" not in text
            assert "mean_difference" not in text
