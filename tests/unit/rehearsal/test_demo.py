"""The demo's own part: what is deployed is destroyed whatever happens; there is a limit to accounts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from cdk_app.naming import ServerNames
from rehearsal import demo, federation
from rehearsal.data import Silos, cut
from rehearsal.deployment import Deployment
from rehearsal.journey import Journey
from rehearsal.options import RehearsalOptions
from rehearsal.processes import Processes
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.silos import Split


class Told:
    """A journey that notes what it is told, and is stopped where a test says so."""

    def __init__(self, stop_at: str = "", error: BaseException | None = None) -> None:
        self.told: list[str] = []
        self._stop_at, self._error = stop_at, error or KeyboardInterrupt()

    def _note(self, what: str) -> None:
        self.told.append(what)
        if what == self._stop_at:
            raise self._error

    def deploy(self) -> None:
        self._note("deploy")

    def bring_data(self, _silos: Silos) -> None:
        self._note("data")

    def start_server(self, *_: Any) -> Any:
        self._note("server")
        return SimpleNamespace(wait=self._wait, send_signal=lambda _: self.told.append("interrupt"))

    def _wait(self, seconds: float | None = None) -> int:
        if seconds is None:
            self._note("wait")
        return 0

    def places(self) -> list[Any]:
        self._note("places")
        return []

    def destroy(self) -> None:
        self._note("destroy")

    def residue(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}


def drive(told: Told, out: Path, *, keep: bool = False) -> tuple[int, bool]:
    unused: Any = None
    made = cast(Journey, told)
    return demo.there_and_back(made, cast(Processes, unused), unused, out, (), {}, keep=keep)


@pytest.mark.parametrize(
    ("stop_at", "told"),
    [
        ("deploy", ["deploy", "destroy"]),
        ("data", ["deploy", "data", "destroy"]),
        ("server", ["deploy", "data", "server", "destroy"]),
        ("wait", ["deploy", "data", "server", "wait", "interrupt", "destroy"]),
    ],
)
def test_after_ctrl_c_what_is_deployed_is_destroyed(tmp_path: Path, stop_at: str, told: list[str]) -> None:
    journey = Told(stop_at)
    assert drive(journey, tmp_path) == (ExitCode.INTERRUPTED, True)
    assert journey.told == told


def test_a_deployment_that_fails_is_destroyed_too_and_says_why(tmp_path: Path) -> None:
    journey = Told("deploy", FedstackError(ExitCode.ENGINE, "cdk deploy failed.", "See its log."))
    with pytest.raises(FedstackError, match="cdk deploy failed"):
        drive(journey, tmp_path)
    assert journey.told == ["deploy", "destroy"]


def test_what_is_kept_is_destroyed_after_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: float) -> None:
        journey.told.append("looking")
        raise KeyboardInterrupt

    journey = Told()
    monkeypatch.setattr("rehearsal.demo.time.sleep", stop)
    assert drive(journey, tmp_path, keep=True) == (0, True)
    assert journey.told == ["deploy", "data", "server", "wait", "places", "looking", "destroy"]
    assert "Ctrl-C destroys everything" in capsys.readouterr().out


def test_thousands_of_accounts_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(FedstackError, match=r"1,000 clients .* at most 200, or .* ENGINE=simulation") as said:
        demo.rehearse(RehearsalOptions(out=tmp_path / "out", clients=1000))
    assert said.value.code == ExitCode.CONFIG
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("clients", "rows"), [(3, 5_500), (100, 5_500), (150, 8_250)])
def test_the_stand_in_grows_with_the_clients_so_that_each_has_both_labels(
    tmp_path: Path, clients: int, rows: int
) -> None:
    silos = cut(None, tmp_path, clients=clients, how=Split.FEATURE, seed=0)
    assert sum(map(len, silos.silos.values())) + len(silos.test) == rows
    assert all(0 < part.y.sum() < len(part) for part in silos.silos.values())


class Accounts:
    """The accounts of a federation of which only some stacks exist."""

    def __init__(self, stacks: set[str]) -> None:
        self.stacks, self.destroyed, self.lifted = stacks, list[str](), list[str]()

    def administrator(self, account: str) -> dict[str, str]:
        return {"account": account}

    def client(self, _keys: dict[str, str], _region: str, _service: str) -> Any:
        return SimpleNamespace(
            describe_stacks=self._describe,
            describe_stack_resources=lambda **_: {"StackResources": []},
            delete_parameters=lambda **_: None,
            update_termination_protection=self._lift,
        )

    def _describe(self, StackName: str) -> None:  # noqa: N803 - boto3's name
        if StackName not in self.stacks:
            raise ClientError({"Error": {"Code": "ValidationError"}}, "DescribeStacks")

    def _lift(self, StackName: str, EnableTerminationProtection: bool) -> None:  # noqa: N803
        assert not EnableTerminationProtection
        self.lifted.append(StackName)

    def cdk(self, _account: str, _region: str, command: str, *arguments: str) -> None:
        assert command == "destroy"
        self.destroyed += (stacks := [word for word in arguments if word.startswith("rehearsal-")])
        assert all(stack in self.lifted for stack in stacks)


def test_only_stacks_that_are_there_are_destroyed(tmp_path: Path) -> None:
    chosen = federation.write(tmp_path / "federation.yaml", 3)
    server = ServerNames(chosen.name, chosen.server.account, chosen.server.region)
    whole = Deployment(cast(Any, Accounts(set())), chosen, tmp_path)
    some = {server.stack, whole.clients["silo-1"].stack}
    accounts = Accounts(some)
    Deployment(cast(Any, accounts), chosen, tmp_path).destroy()
    assert accounts.destroyed == [whole.clients["silo-1"].stack, server.stack]
    nothing = Accounts(set())
    Deployment(cast(Any, nothing), chosen, tmp_path).destroy()
    assert nothing.destroyed == []
