from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from server_fixture import given, settings

from runtime.contract import (
    INVITATION_PATTERNS,
    ExitCode,
    FedstackError,
    JobOption,
    Updates,
    check_invitation,
)
from runtime.server.settings import new_run_id
from runtime.tabular.server.settings import RunSettings, parse

HERE = Path()


def refusal(**changed: Any) -> str:
    with pytest.raises(FedstackError) as raised:
        parse(given(HERE, **changed))
    assert raised.value.code is ExitCode.CONFIG
    return raised.value.what


def test_settings_survive_their_file() -> None:
    run = settings(Path("/out"), rounds=3, min_clients=1, silos=Path("/silos"), c=0.1)
    assert parse(json.loads(run.model_dump_json())) == run


def test_the_quorum_is_the_roster_unless_it_is_lowered() -> None:
    assert settings(HERE).quorum == 2
    assert settings(HERE, min_clients=1).quorum == 1


@pytest.mark.parametrize("aim", ["recall=0.8", "precision=.5", "cost=10:1", " cost=0.5:2 "])
def test_what_a_threshold_is_chosen_for_is_kept(aim: str) -> None:
    run = settings(HERE, threshold_for=aim)
    assert run.aim is not None
    assert run.aim.text == aim.strip()
    assert settings(HERE).aim is None


@pytest.mark.parametrize(
    "aim",
    ["", "recall", "recall=0", "recall=1.01", "f1=0.5", "cost=1:0", "cost=1:-1", "cost=1", "recall=\u0663"],
)
def test_what_no_threshold_is_chosen_for_is_refused_with_what_can_be_said(aim: str) -> None:
    told = refusal(threshold_for=aim)
    assert "threshold_for: nothing that a threshold can be chosen for. Say recall=0.8, precision=0.5" in told
    assert repr(aim) in told


@pytest.mark.parametrize("model", ["linear", "poisson", "cox", "softmax"])
def test_a_threshold_of_another_task_than_two_labels_is_refused(model: str) -> None:
    told = refusal(threshold_for="recall=0.8", model=model, strategy="fednewton")
    assert f"the model {model} is not of two labels" in told


THREE = [{"name": name, "mailbox": f"file:///mail/{name}"} for name in ("clinic", "insurer", "pharmacy")]


def of_three(**changed: Any) -> RunSettings:
    values = given(HERE, clients=THREE, **changed)
    return parse(values if "updates" in changed else {k: v for k, v in values.items() if k != "updates"})


def test_updates_are_asked_for_in_sums_unless_something_else_is_said() -> None:
    assert of_three().updates is Updates.SUMS
    assert of_three(privacy_epsilon=3.0).updates is Updates.NOISE
    assert of_three(privacy_epsilon=3.0, updates="sums").updates is Updates.SUMS
    assert of_three(updates="plain").updates is Updates.PLAIN


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"clients": THREE[:2]}, "a federation of 2 that goes on with 2 needs"),
        ({"min_clients": 2}, "a federation of 3 that goes on with 2 needs"),
        ({"strategy": "fedmedian"}, "fedmedian needs"),
        ({"strategy": "qfedavg"}, "qfedavg needs"),
        ({"model": "trees", "strategy": "fedxgbbagging"}, "fedxgbbagging needs"),
        ({"engine": "superlink"}, "the engine superlink needs"),
        ({"engine": "simulation", "silos": Path("silos")}, "the engine simulation needs"),
    ],
)
def test_what_no_sum_can_give_needs_the_owners_word_and_is_never_switched_in_silence(
    changed: dict[str, Any], why: str
) -> None:
    asked = {"clients": THREE, "updates": "sums", **changed}
    assert f"{why} an owner's `updates: plain`, or noise" in refusal(**asked)
    assert parse(given(HERE, **{**asked, "updates": "plain"})).updates is Updates.PLAIN


def test_noise_needs_an_epsilon_and_is_not_plain() -> None:
    assert "updates is 'noise', but no --privacy-epsilon is given" in refusal(updates="noise", clients=THREE)
    asked = {"updates": "plain", "privacy_epsilon": 1.0, "clients": THREE}
    assert "updates is 'plain' beside --privacy-epsilon: noisy updates are not plain" in refusal(**asked)


def test_every_error_is_told_at_once_with_what_was_received() -> None:
    told = refusal(rounds=0, validation=1.0, strategy="fedprocks", round_seconds=-3, colour="red")
    assert told.startswith("The run's settings have 5 error(s):")
    for name, value in (("rounds", 0), ("validation", 1.0), ("round_seconds", -3), ("colour", "red")):
        assert re.search(rf"{name}: .*\(received {value!r}\)", told)
    assert "strategy: no strategy of that name. Did you mean 'fedprox'?" in told


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["run_seconds", "round_seconds", "join_seconds", "c", "validation"])
def test_no_number_is_endless(name: str, value: float) -> None:
    assert f"{name}: " in refusal(**{name: value})


@pytest.mark.parametrize(
    "name", ["", "Clinic", "1clinic", "clinic/..", "../clinic", "clinic\n", "a" * 32, "[/]", "cl inic"]
)
def test_a_client_has_a_name_that_fits_a_path_a_host_and_a_job(name: str) -> None:
    assert "clients.0.name: " in refusal(clients=[{"name": name, "mailbox": "file:///mail"}])


def test_two_clients_of_one_name_are_refused() -> None:
    twice = [{"name": "clinic", "mailbox": "file:///mail"}] * 2
    assert "two clients are named clinic" in refusal(clients=twice)


def test_a_roster_of_nobody_is_refused() -> None:
    assert "clients: " in refusal(clients=[])


def test_a_quorum_above_the_roster_is_refused() -> None:
    assert "min_clients is 3, but the roster has 2 clients" in refusal(min_clients=3)


def test_the_link_needs_a_mailbox_for_each_and_the_other_engines_none() -> None:
    clients = [{"name": "clinic", "mailbox": "file:///mail"}, {"name": "insurer"}]
    assert "no mailbox is given for insurer" in refusal(clients=clients)
    assert settings(HERE, clients=clients, engine="superlink").engine == "superlink"


def test_the_simulation_needs_silos() -> None:
    assert "no folder of silos is given" in refusal(engine="simulation")
    assert settings(HERE, engine="simulation", silos=Path("silos")).silos == Path("silos")


@pytest.mark.parametrize("address", ["", "host", "host:", ":9092", "host:123456", "http://host:1", "a b:1"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    assert "address: " in refusal(address=address)


def test_a_client_of_the_roster_may_carry_what_the_accounts_add() -> None:
    clients = [{"name": "clinic", "mailbox": "file:///mail", "account": "111122223333"}]
    assert settings(HERE, clients=clients).roster == ["clinic"]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings(HERE).rounds = 9


def test_a_run_id_is_one_that_clients_take() -> None:
    made = {new_run_id() for _ in range(20)}
    assert len(made) == 20
    assert all(check_invitation(JobOption.RUN_ID, one) == one for one in made)
    assert RunSettings.model_validate(given(HERE)).run_id != settings(HERE).run_id


@pytest.mark.parametrize("option", list(INVITATION_PATTERNS))
@pytest.mark.parametrize(
    "value", ["", "{}", "[1]", "1", "null", '"x"', "run-1\n", "--out=/", "$(id)", "run-A"]
)
def test_an_invitation_holds_nothing_that_script_mode_would_decode(option: JobOption, value: str) -> None:
    with pytest.raises(FedstackError, match="does not match") as raised:
        check_invitation(option, value)
    assert raised.value.code is ExitCode.CONFIG
    assert repr(value) in raised.value.what
