"""The key that vouches for a member: who may sign with it, and where the others' public halves come from."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from assembly import (
    NORTH,
    SERVER,
    SIGNING_KEY,
    SOUTH,
    WEST,
    Assembly,
    Synthesise,
    Template,
    example,
    of_type,
    one,
    plain,
)
from iam_statements import rendered, statements

from cdk_app.constructs.identity.signing_key import PUBLIC_KEY
from rehearsal.aws.policy import Decision, Request, evaluate, evaluate_resource

KEY = "<JobSigningKey0BC5204F.Arn>"
JOB = "<JobExecutionRole2C045EDD.Arn>"
HOW = {"kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "DIGEST"}
CLIENTS = [(NORTH, "222222222222"), (SOUTH, "333333333333"), (WEST, "444444444444")]


def key_of(template: Template) -> dict[str, Any]:
    return one(template, "KMS::Key", KeyUsage="SIGN_VERIFY")


def decide(template: Template, principal: str, account: str, action: str = "kms:Sign") -> list[Decision]:
    """What the key's own policy says of a principal by name, and of its account."""
    policy = rendered(key_of(template)["KeyPolicy"])
    request = Request(action, KEY, {**HOW, "aws:PrincipalArn": principal})
    names = [(principal,), (account, f"arn:aws:iam::{account}:root")]
    return [evaluate_resource(policy, request, who) for who in names]


@pytest.mark.parametrize(("stack", "account"), CLIENTS)
def test_nobody_but_the_job_s_role_may_sign(templates: dict[str, Template], stack: str, account: str) -> None:
    template = templates[stack]
    others = [
        f"arn:aws:iam::{account}:user/administrator",
        f"arn:aws:iam::{account}:root",
        "arn:aws:iam::111111111111:role/FL-server-notebook-cms",
        *(f"<{role}.Arn>" for role in of_type(template, "IAM::Role") if f"<{role}.Arn>" != JOB),
    ]
    assert len(others) > 6
    for principal in others:
        for own in (account, "111111111111"):
            assert Decision.EXPLICIT_DENY in decide(template, principal, own), principal
    assert decide(template, JOB, account) == [Decision.IMPLICIT_DENY, Decision.ALLOW], (
        "its own policy decides"
    )
    assert decide(template, JOB, "111111111111") == [Decision.IMPLICIT_DENY, Decision.IMPLICIT_DENY]


@pytest.mark.parametrize(("stack", "account"), CLIENTS)
def test_the_owner_can_read_the_public_half_and_retire_the_key(
    templates: dict[str, Template], stack: str, account: str
) -> None:
    for action in ("kms:GetPublicKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"):
        owner = f"arn:aws:iam::{account}:user/administrator"
        assert Decision.ALLOW in decide(templates[stack], owner, account, action)
        assert Decision.ALLOW not in decide(templates[stack], "somebody", "111111111111", action)


@pytest.mark.parametrize("stack", [NORTH, SOUTH, WEST])
def test_the_job_s_role_signs_digests_in_one_way_and_no_other_role_is_granted_it(
    templates: dict[str, Template], stack: str
) -> None:
    roles = statements(templates[stack])
    for name, role in roles.items():
        request = Request("kms:Sign", KEY, HOW)
        expected = Decision.ALLOW if f"<{name}.Arn>" == JOB else Decision.IMPLICIT_DENY
        assert evaluate([{"Statement": role["grants"]}], request) is expected, name
    own = [{"Statement": roles["JobExecutionRole2C045EDD"]["grants"]}]
    for changed in (
        {"kms:MessageType": "RAW"},
        {"kms:SigningAlgorithm": "ECDSA_SHA_384"},
    ):
        assert evaluate(own, Request("kms:Sign", KEY, HOW | changed)) is Decision.IMPLICIT_DENY
    assert evaluate(own, Request("kms:Sign", "<KeysDataA2F7C5E6.Arn>", HOW)) is Decision.IMPLICIT_DENY
    assert evaluate(own, Request("kms:PutKeyPolicy", KEY, {})) is Decision.IMPLICIT_DENY


def test_the_key_is_on_p256_found_by_its_name_and_goes_with_the_stack(templates: dict[str, Template]) -> None:
    assert key_of(templates[NORTH])["KeySpec"] == "ECC_NIST_P256"
    alias = one(templates[NORTH], "KMS::Alias")
    assert (alias["AliasName"], plain(alias["TargetKeyId"])) == ("alias/FL-signing-cms-north", KEY)
    resource = templates[NORTH]["Resources"]["JobSigningKey0BC5204F"]
    assert (resource["DeletionPolicy"], resource["Properties"]["PendingWindowInDays"]) == ("Delete", 7)


def pinned(template: Template) -> dict[str, str]:
    """The privacy options that the broker pins."""
    machine = one(template, "StepFunctions::StateMachine", StateMachineName=broker(template))
    states = json.loads(plain(machine["DefinitionString"]))["States"]
    options = states["StartJob"]["Arguments"]["HyperParameters"]
    return {name: value for name, value in options.items() if name.startswith("privacy-")}


def broker(template: Template) -> str:
    names = [m["StateMachineName"] for m in of_type(template, "StepFunctions::StateMachine").values()]
    return next(str(name) for name in names if not name.endswith("-stop"))


def test_the_job_is_told_its_key_and_each_member_by_name_and_key(templates: dict[str, Template]) -> None:
    assert pinned(templates[NORTH]) == {
        "privacy-updates": "sums",
        "privacy-min-rows": "11",
        "privacy-max-answers": "100",
        "privacy-max-numbers-per-cell": "1.0",
        "privacy-delta": "1e-05",
        "privacy-min-noise-multiplier": "0.0",
        "privacy-signing-key": KEY,
        "privacy-cohort-1": "south=<SigningKeySouth>",
        "privacy-cohort-2": "west=<SigningKeyWest>",
        "privacy-ledger": "s3://<StorageArtifacts08431D1F>/privacy",
    }


def test_a_key_that_is_not_known_is_a_parameter_that_may_stay_empty_until_it_is(
    templates: dict[str, Template], other: Assembly
) -> None:
    for name in ("SigningKeySouth", "SigningKeyWest"):
        parameter = templates[NORTH]["Parameters"][name]
        assert (parameter["Type"], parameter["Default"], parameter["AllowedPattern"]) == (
            "String",
            "",
            PUBLIC_KEY,
        )
    assert pinned(other.templates[SOUTH])["privacy-cohort-1"] == f"west={SIGNING_KEY}"
    assert "SigningKeyWest" not in other.templates[SOUTH]["Parameters"]
    assert "SigningKeyEast" in other.templates[SOUTH]["Parameters"]


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("", True),
        (SIGNING_KEY, True),
        (SIGNING_KEY[:-2], False),
        (SIGNING_KEY[:-3] + "===", False),
        (f"{SIGNING_KEY} ", False),
        (SIGNING_KEY.replace("QcDQgAE", "QcDQgAC"), False),
        ("x" * len(SIGNING_KEY), False),
    ],
)
def test_a_parameter_holds_a_p256_key_or_nothing(value: str, fits: bool) -> None:
    assert bool(re.fullmatch(PUBLIC_KEY, value)) is fits


def test_an_option_fits_into_what_sagemaker_passes() -> None:
    assert len(f"{'n' * 24}={SIGNING_KEY}") <= 256


@pytest.mark.parametrize(
    "privacy", [{"updates": "plain"}, {"updates": "noise", "epsilon_budget": 4, "min_noise_multiplier": 1}]
)
def test_a_client_that_is_not_summed_has_no_key_no_endpoint_and_no_parameter(
    synthesise: Synthesise, privacy: dict[str, Any]
) -> None:
    data = example()
    data["training"] = {}
    data["clients"] = [{**client, "privacy": privacy} for client in data["clients"][:2]]
    made = synthesise(data)
    for stack in (NORTH, SOUTH):
        template = made.templates[stack]
        assert len(of_type(template, "KMS::Key")) == 2
        assert "kms:Sign" not in made.text(stack)
        assert not [name for name in template["Parameters"] if name.startswith("SigningKey")]
        options = pinned(template)
        assert options["privacy-updates"] == privacy["updates"]
        assert not [name for name in options if "cohort-" in name or "signing" in name]
        assert ("privacy-epsilon-budget" in options) is ("epsilon_budget" in privacy)
    assert SERVER in made.templates
