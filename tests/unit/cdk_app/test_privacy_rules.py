"""What a client's privacy policy may be in the federation file, alone and among those it is summed with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from assembly import SIGNING_KEY, example
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cdk_app.config import privacy_rules
from cdk_app.config.load import ConfigError, parse
from cdk_app.config.models import PrivacyPolicy
from runtime.client.privacy_policy import PrivacyPolicy as JobPolicy
from runtime.server.settings import OWNER
from runtime.tabular.server.settings import RunSettings

NEEDS_OWNER = "needs an owner's `updates: plain`, or noise"


def problems(change: Callable[[Any], object]) -> list[str]:
    data = example()
    change(data)
    with pytest.raises(ConfigError) as raised:
        parse(data)
    return [str(problem) for problem in raised.value.problems]


def north(**privacy: Any) -> Callable[[Any], object]:
    """Say something of north's policy beside its cohort."""
    return lambda data: data["clients"][0]["privacy"].update(privacy)


def both(*changes: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda data: [change(data) for change in changes]


def training(**said: Any) -> Callable[[Any], object]:
    return lambda data: data["training"].update(said)


def direct(data: Any) -> None:
    data["clients"][0]["kickoff"] = "direct"


def alone(data: Any, **privacy: Any) -> None:
    """Leave nobody's cohort but north's, whose policy is this; the others let their updates leave plain."""
    for client in data["clients"]:
        client["privacy"] = {"updates": "plain"}
    data["clients"][0]["privacy"] = privacy
    data["training"] = {}


WRONG = [
    (
        north(cohort=[]),
        f"privacy.updates is 'sums', and a client that names no cohort {NEEDS_OWNER}",
        "Name at",
    ),
    (
        north(cohort=["south"]),
        "privacy.cohort is ['south'], and a sum has at least 3 members",
        "at least 2 oth",
    ),
    (north(min_cohort=4), "a sum has at least 4 members, this one included", "lower min_cohort"),
    (north(min_cohort=2), "privacy.min_cohort is 2", "federation.schema.json"),
    (north(cohort=["south", "west", "north"]), "privacy.cohort names 'north', this client itself", "others"),
    (north(cohort=["south", "west", "west"]), "privacy.cohort names 'west' twice", "once"),
    (
        north(cohort=["south", "west", "ghost"]),
        "privacy.cohort names 'ghost', which is no client of the federation",
        "There is south, west.",
    ),
    (north(cohort=["South!"]), "privacy.cohort.0 is 'South!', no client name", "lower-case"),
    (
        north(cohort=[f"ghost{number}" for number in range(65)]),
        "privacy.cohort has 65 members, and a job can be told 64",
        "Name fewer",
    ),
    (north(min_rows=0), "privacy.min_rows is 0", "federation.schema.json"),
    (north(max_numbers_per_cell=0), "privacy.max_numbers_per_cell is 0", "federation.schema.json"),
    (
        north(max_numbers_per_cell=float("inf")),
        "privacy.max_numbers_per_cell is inf",
        "federation.schema.json",
    ),
    (north(delta=2), "privacy.delta is 2", "federation.schema.json"),
    (north(updates="sum"), "privacy.updates is 'sum'", "federation.schema.json"),
    (north(max_answers=9), "privacy.max_answers is 9, and a run has 10 rounds", "Allow 10"),
    (training(rounds=101), "privacy.max_answers is 100, and a run has 101 rounds", "Allow 101"),
    (
        lambda data: alone(data, updates="noise"),
        "privacy.updates is 'noise' without privacy.epsilon_budget or privacy.min_noise_multiplier",
        "Say how much noise",
    ),
    (
        lambda data: alone(data, updates="plain", epsilon_budget=3),
        "privacy.updates is 'plain' beside privacy.epsilon_budget",
        "updates: noise",
    ),
    (
        lambda data: alone(data, updates="plain", min_noise_multiplier=1),
        "privacy.updates is 'plain' beside privacy.epsilon_budget or privacy.min_noise_multiplier",
        "updates: noise",
    ),
    (
        lambda data: alone(data, updates="plain", cohort=["south", "west"]),
        "privacy.updates is 'plain' beside privacy.cohort ['south', 'west'], and only sums have members",
        "updates: sums",
    ),
    (
        lambda data: alone(data, cohort=["south", "west"]),
        "privacy.cohort names 'south', whose own privacy.updates is 'plain': it signs no sum",
        "let its owner write updates: sums",
    ),
    (direct, "kickoff is 'direct' beside privacy.updates is 'sums'", "kickoff: broker"),
    (
        both(lambda data: alone(data, updates="noise", epsilon_budget=3), direct),
        "kickoff is 'direct' beside privacy.updates is 'noise'",
        "kickoff: broker",
    ),
]


@pytest.mark.parametrize(("change", "what", "remedy"), WRONG)
def test_a_problem_names_the_client_the_value_and_the_remedy(
    change: Callable[[Any], object], what: str, remedy: str
) -> None:
    said = [problem for problem in problems(change) if what in problem]
    assert said
    assert all(problem.startswith("client '") and remedy in problem for problem in said)


def test_a_federation_of_two_is_told_what_it_needs() -> None:
    def two(data: Any) -> None:
        data["clients"], data["training"] = data["clients"][:2], {}
        for client in data["clients"]:
            client["privacy"] = {}

    said = problems(two)
    assert len(said) == 2
    assert all(
        f"updates is 'sums', and a federation of 2 {NEEDS_OWNER}: a sum has at least 3 members" in problem
        for problem in said
    )


def test_a_federation_of_two_may_be_plain_by_its_owners_word() -> None:
    data = example()
    data["clients"] = data["clients"][:2]
    data["training"] = {"strategy": "fednewton", "updates": "plain"}
    for client in data["clients"]:
        client["privacy"] = {"updates": "plain"}
    data["clients"][0]["kickoff"] = "direct"
    assert [str(client.privacy.updates) for client in parse(data).clients] == ["plain", "plain"]


def test_all_problems_of_a_policy_are_found_at_once_also_in_an_account_with_others() -> None:
    def change(data: Any) -> None:
        data["clients"][0]["cidr"] = "ten"
        data["clients"][0]["privacy"] = {"cohort": ["ghost", "north"], "max_answers": 1}
        data["clients"][1]["privacy"] = {"updates": "noise", "cohort": ["north", "west"]}

    said = "\n".join(problems(change))
    for part in (
        "cidr is 'ten'",
        "names 'ghost'",
        "names 'north', this client itself",
        "max_answers is 1",
        "is 'noise' without",
        "is 'noise' beside privacy.cohort",
        "client 'west' (no. 3, 444444444444): privacy.cohort names 'south', whose own",
    ):
        assert part in said


def test_a_policy_that_cannot_be_read_is_no_reason_to_complain_of_the_default() -> None:
    [said] = problems(north(delta=2))
    assert "privacy.delta is 2" in said


@pytest.mark.parametrize(
    ("asked", "own", "what"),
    [
        ({"updates": "plain"}, {}, f"training.updates is 'plain', which {NEEDS_OWNER}"),
        (
            {"updates": "plain"},
            {"updates": "noise", "epsilon_budget": 3, "cohort": []},
            f"training.updates is 'plain', which {NEEDS_OWNER}: this one's privacy.updates is 'noise'",
        ),
        ({"privacy_epsilon": 3}, {}, "training asks for updates with 'noise', and this client's"),
        ({"updates": "sums"}, {"updates": "plain", "cohort": []}, "privacy.updates is 'plain'"),
    ],
)
def test_defaults_of_the_runs_that_a_client_would_refuse_are_found_at_synth(
    asked: dict[str, Any], own: dict[str, Any], what: str
) -> None:
    said = problems(both(north(**own), training(**asked)))
    assert any(problem.startswith("client 'north'") and what in problem for problem in said)


def test_sums_with_noise_are_a_client_s_and_a_run_s_choice() -> None:
    data = example()
    data["training"].update(updates="sums", privacy_epsilon=3)
    data["clients"][0]["privacy"]["epsilon_budget"] = 6
    assert parse(data).clients[0].privacy.epsilon_budget == 6


def public(curve: ec.EllipticCurve, how: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    import base64

    key = ec.generate_private_key(curve).public_key()
    encoding = Encoding.DER if how is PublicFormat.SubjectPublicKeyInfo else Encoding.X962
    return base64.b64encode(key.public_bytes(encoding, how)).decode()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "MFkw",
        "not base64!",
        f"{SIGNING_KEY}\n",
        SIGNING_KEY[:-4],
        f"{SIGNING_KEY}AAAA",
        SIGNING_KEY[:60] + "A" * 60 + SIGNING_KEY[120:],
        public(ec.SECP384R1()),
        public(ec.SECP256R1(), PublicFormat.UncompressedPoint),
    ],
    ids=range(9),
)
def test_a_signing_key_that_is_no_p256_public_key_is_refused(value: str) -> None:
    [said] = problems(lambda data: data["clients"][0].update(signing_key=value))
    assert "no public key on P-256" in said
    assert "aws kms get-public-key" in said


def test_a_signing_key_is_one_account_s() -> None:
    def twice(data: Any) -> None:
        for client in data["clients"][:2]:
            client["signing_key"] = SIGNING_KEY

    [said] = problems(twice)
    assert "client 'south'" in said
    assert "signing_key is that of client 'north'" in said


def test_two_members_whose_parameters_would_have_one_name_are_refused() -> None:
    def change(data: Any) -> None:
        for client, name in zip(data["clients"][1:], ("silo-1", "silo1"), strict=True):
            client["name"] = name
        data["clients"][0]["privacy"]["cohort"] = ["silo-1", "silo1"]

    said = [problem for problem in problems(change) if "SigningKeySilo1" in problem]
    assert len(said) == 1
    assert "Rename one" in said[0]


def test_the_words_and_defaults_are_those_of_the_server_and_of_the_job() -> None:
    assert privacy_rules.OWNER == OWNER == NEEDS_OWNER
    assert RunSettings.model_fields["rounds"].default == privacy_rules.DEFAULT_ROUNDS
    own, job = PrivacyPolicy(), JobPolicy()
    for name in set(PrivacyPolicy.model_fields) - {"cohort"}:
        assert getattr(own, name) == getattr(job, name), name
