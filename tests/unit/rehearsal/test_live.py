"""`make live` without an AWS: what it refuses, when it asks, and that it destroys whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from typer.testing import CliRunner

from rehearsal.live import __main__ as command
from rehearsal.live import steps
from rehearsal.live.calls import BY_ADMINISTRATORS
from rehearsal.live.on_notebook import FORBIDDEN, outcome
from rehearsal.live.sandbox import Sandbox, account_of
from rehearsal.live.table import Table
from runtime.contract import ExitCode, FedstackError

SERVER, CLIENT = "111111111111", "222222222222"


@pytest.mark.parametrize("profiles", [("", ""), ("one", ""), ("", "other")])
def test_without_two_profiles_nothing_is_done(profiles: tuple[str, str]) -> None:
    with pytest.raises(FedstackError, match=r"Name two of ~/\.aws/config") as raised:
        command.sandbox_accounts(*profiles, "eu-west-1")
    assert raised.value.code is ExitCode.CONFIG


def test_a_profile_that_is_not_there_is_named() -> None:
    with pytest.raises(FedstackError, match=r"profile 'nobody' cannot be used: .*could not be found"):
        account_of("nobody", "eu-west-1")


def test_one_account_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "account_of", lambda *_: SERVER)
    with pytest.raises(FedstackError, match=f"Both profiles are of account {SERVER}"):
        command.sandbox_accounts("one", "other", "eu-west-1")


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was deployed, behind two profiles of nobody's."""
    runs: list[str] = []
    monkeypatch.setattr(command, "account_of", lambda profile, _: {"one": SERVER, "other": CLIENT}[profile])
    monkeypatch.setattr(command, "two_zones", lambda *_: ("eu-west-1a", "eu-west-1b"))
    monkeypatch.setattr(steps.Live, "run", lambda self: runs.append(self.deployment.federation.name))
    return runs


def live(tmp_path: Path, *more: str, answer: str = "") -> Any:
    options = ["--server-profile", "one", "--client-profile", "other", "--out", str(tmp_path), *more]
    return CliRunner().invoke(command.cli, options, input=f"{answer}\n")


@pytest.mark.parametrize(("more", "answer"), [((), CLIENT), (("--yes",), "")])
def test_it_deploys_after_the_typed_number_or_yes(
    tmp_path: Path, deployed: list[str], more: tuple[str, ...], answer: str
) -> None:
    done = live(tmp_path, *more, answer=answer)
    assert (done.exit_code, deployed) == (0, ["live"]), done.output
    assert (tmp_path / "table.md").exists()


@pytest.mark.parametrize("answer", ["", "yes", SERVER])
def test_any_other_word_deploys_nothing(tmp_path: Path, deployed: list[str], answer: str) -> None:
    done = live(tmp_path, answer=answer)
    assert done.exit_code != 0
    assert deployed == []


def test_it_says_what_it_costs_and_where_before_it_asks(tmp_path: Path, deployed: list[str]) -> None:
    said = live(tmp_path).output
    assert said.index("US dollar") < said.index("Type the client's account number")
    assert f"server  {SERVER} (one)" in said
    assert f"client  {CLIENT} (other)" in said


def refusal(code: str) -> Callable[[], object]:
    def call() -> object:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")

    return call


def unreachable() -> object:
    raise EndpointConnectionError(endpoint_url="https://s3")


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (refusal("AccessDenied"), "refused"),
        (refusal("AccessDeniedException"), "refused"),
        (refusal("NoSuchBucket"), "not tried: NoSuchBucket"),
        (refusal("ThrottlingException"), "not tried: ThrottlingException"),
        (unreachable, "not tried: EndpointConnectionError"),
        (dict, "ALLOWED"),
    ],
)
def test_only_a_refusal_passes(call: Callable[[], object], result: str) -> None:
    table = Table(lambda _: None)
    table.refusals({"a call": outcome(call)})
    assert table.rows[0].result.startswith(result)
    assert table.passed is (result == "refused")
    assert ("**FAILED**" in table.markdown("Region eu-west-1")) is (result != "refused")


class Stubbed(steps.Live):
    """All steps without an AWS."""

    def __init__(self, tmp_path: Path, *, fails: str = "", left: tuple[str, ...] = ()) -> None:
        chosen = steps.federation_of(
            SERVER, CLIENT, "eu-west-1", ("eu-west-1a", "eu-west-1b"), tmp_path / "federation.yaml"
        )
        self.table, self.told = Table(lambda _: None), list[str]()
        profiles = {SERVER: "one", CLIENT: "other"}
        super().__init__(
            Sandbox(profiles, tmp_path), chosen, tmp_path, self.table, ask_operator=self.told.append
        )
        self._fails, self._later = fails, left
        self.deployment.deploy = lambda: self.note("deploy")  # type: ignore[method-assign]
        self.deployment.destroy = lambda: self.note("destroy")  # type: ignore[method-assign]

    def note(self, what: str) -> None:
        self.told.append(what)
        if what == self._fails:
            raise FedstackError(ExitCode.ENGINE, f"{what} failed.", "Mend it.")

    def _preflight(self) -> None:
        self.note("preflight")

    def _bring_data(self) -> None:
        self.note("data")

    def _empty(self) -> None:
        self.note("empty")

    def _federate(self) -> dict[str, Any]:
        self.note("run")
        return {"verdict": "COMPLETE", "forbidden": dict.fromkeys(FORBIDDEN, "refused")}

    def _left(self) -> list[str]:
        return ["a bucket of before", *(self._later if "destroy" in self.told else ())]


@pytest.fixture
def without_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "synthesise", lambda *_, **__: None)
    refused = dict.fromkeys(BY_ADMINISTRATORS, "refused")
    monkeypatch.setattr(steps, "tried_by_administrators", lambda *_: refused)


@pytest.mark.usefixtures("without_aws")
def test_everything_in_its_order_and_nothing_left(tmp_path: Path) -> None:
    live = Stubbed(tmp_path)
    live.run()
    assert live.told == ["deploy", "data", "preflight", "run", "empty", "destroy"]
    assert live.table.passed
    assert sum(row.step.startswith("forbidden: ") for row in live.table.rows) == 10
    assert live.table.rows[-1].result == "nothing"


@pytest.mark.usefixtures("without_aws")
@pytest.mark.parametrize("fails", ["deploy", "preflight", "data", "run"])
def test_whatever_fails_all_is_destroyed_and_the_table_says_so(tmp_path: Path, fails: str) -> None:
    live = Stubbed(tmp_path, fails=fails)
    with pytest.raises(FedstackError, match=f"{fails} failed"):
        live.run()
    assert live.told[-2:] == ["empty", "destroy"]
    assert fails == "preflight" or not live.table.passed


@pytest.mark.usefixtures("without_aws")
def test_what_cannot_be_destroyed_is_named(tmp_path: Path) -> None:
    live = Stubbed(tmp_path, fails="destroy", left=("111111111111 stacks: live-server",))
    with pytest.raises(FedstackError, match="destroy failed"):
        live.run()
    assert [row.result for row in live.table.rows][-1] == "111111111111 stacks: live-server"
    assert not live.table.passed


@pytest.mark.usefixtures("without_aws")
def test_what_is_left_over_fails(tmp_path: Path) -> None:
    live = Stubbed(tmp_path, left=("222222222222 buckets: live-data",))
    live.run()
    assert not live.table.passed
    assert live.table.rows[-1].result == "222222222222 buckets: live-data"


@pytest.mark.usefixtures("without_aws")
def test_a_call_that_was_not_tried_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "tried_by_administrators", lambda *_: {})
    with pytest.raises(FedstackError, match="not tried: the kickoff role, by the server's administrator"):
        Stubbed(tmp_path).run()
