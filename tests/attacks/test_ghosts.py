"""A server that makes members up, or takes them away, to have one client's update alone in a sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacker import (
    RUN,
    SEEN,
    Accomplices,
    Refused,
    Victim,
    model,
    opened,
    public_scaler,
    rows_of,
    settings,
    silos,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.app import ConfigRecord

from runtime.client.secure_aggregation import Membership, statement
from runtime.client.signing_key import make_file, sign
from runtime.contract import FedstackError
from runtime.messages import ARRAYS, MASKED, SECURE, MessageType
from runtime.privacy import fixed_point, masking, summed_vector

SCALER = public_scaler()
GHOSTS = [f"ghost-{number}" for number in range(4)]
Keys = dict[str, X25519PrivateKey]


def fresh(names: list[str]) -> Keys:
    return {name: X25519PrivateKey.generate() for name in names}


def public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def secure(**told: Any) -> ConfigRecord:
    return ConfigRecord({"run": RUN} | told)


def invite(
    victim: Victim, ghosts: Keys, vouch: Callable[[str, bytes], bytes], run: str = RUN
) -> Mapping[str, bytes]:
    """Make a real client a member beside ghosts whose keys the server has; return all public keys."""
    own = victim.ask(MessageType.SECURE_KEYS, secure=ConfigRecord({"run": run})).config_records[SECURE]
    keys = {victim.name: bytes(own["agreement-key"])} | {name: public(key) for name, key in ghosts.items()}  # type: ignore[arg-type]
    signatures = [
        bytes(own["signature"]) if name == victim.name else vouch(name, key)  # type: ignore[arg-type]
        for name, key in keys.items()
    ]
    told = {
        "names": list(keys),
        "agreement-keys": list(keys.values()),
        "min-cohorts": [own["min-cohort"] if name == victim.name else 3 for name in keys],
        "whole-cohorts": [True] * len(keys),
        "signatures": signatures,
    }
    victim.ask(MessageType.SECURE_MEMBERS, secure=secure(**told | {"run": run}))
    return keys


def unmasked(
    victim: Victim, keys: Mapping[str, bytes], ghosts: Keys, kind: str, like: dict[str, Any], **asked: Any
) -> Any:
    """Ask for one client's masked answer and take off every mask: the ghosts' secrets are the server's."""
    content = victim.ask(kind, secure=secure(sum="one"), **asked)
    words = content.array_records[ARRAYS][MASKED].numpy()
    seed = victim.ask(MessageType.SECURE_UNMASK, secure=secure(sum="one")).config_records[SECURE]["seed"]
    purpose = purpose_of(keys, kind, asked)
    for name, key in ghosts.items():
        secret = masking.agree(key, keys[victim.name], RUN.encode())
        words = fixed_point.add(words, masking.pair_masks(name, {victim.name: secret}, purpose, words.shape))
    own = masking.expand(bytes(seed), *words.shape)  # type: ignore[arg-type]
    total = fixed_point.decode(fixed_point.add(words, fixed_point.negative(own)))
    return summed_vector.unpack(kind, total, like)


def purpose_of(keys: Mapping[str, bytes], kind: str, asked: dict[str, Any]) -> bytes:
    from flwr.app import Message, RecordDict

    from runtime.link import flower

    member = Membership("attacker", RUN, policy=None, keys=dict(keys))  # type: ignore[arg-type]
    question = flower.question_of(Message(RecordDict(dict(asked)), 2, kind))
    return member._purpose("one", question)


def anything(_name: str, _key: bytes) -> bytes:
    return b"vouched"


def test_switched_off_four_ghosts_beside_one_client_have_its_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Membership, "_know", lambda *_: None)
    make_file(tmp_path / "key.pem")
    policy = {"privacy-signing-key": f"file://{tmp_path / 'key.pem'}", "privacy-min-cohort": 5}
    victim, ghosts = Victim(tmp_path, rows_of(300), policy), fresh(GHOSTS)
    keys = invite(victim, ghosts, anything)
    found = unmasked(
        victim, keys, ghosts, MessageType.FEATURE_SUMS, {"sums": np.zeros(49)}, config=settings()
    )
    assert found.rows == 300
    np.testing.assert_allclose(found.arrays["sums"] / 300, victim.rows.transformed().mean(axis=0), rtol=1e-12)


def member(tmp_path: Path, **policy: Any) -> Victim:
    return silos(tmp_path, {"north": 300, "south": 300, "west": 300}, **policy)["north"]


def test_members_whom_the_clients_stack_does_not_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=r"'ghost-0' is not among those whom this client's own stack names \(south, west\)"
    ):
        invite(member(tmp_path), fresh(GHOSTS), anything)


@pytest.mark.parametrize("names", [["south", "west"], ["south", "west", "ghost-0"], ["south", "ghost-0"]])
def test_real_names_with_keys_of_the_servers_are_refused(tmp_path: Path, names: list[str]) -> None:
    make_file(tmp_path / "mine.pem")

    def vouch(name: str, key: bytes) -> bytes:
        return sign(f"file://{tmp_path / 'mine.pem'}", statement(RUN, name, key, 3, True))

    with pytest.raises(Refused, match=r"the key of 'south' is not signed by the account"):
        invite(member(tmp_path), fresh(names), vouch)


def test_a_signature_of_another_run_is_refused(tmp_path: Path) -> None:
    def replayed(name: str, key: bytes) -> bytes:
        return sign(f"file://{tmp_path / 'keys' / name}.pem", statement("run-before", name, key, 3, True))

    with pytest.raises(Refused, match="is not signed by the account"):
        invite(member(tmp_path), fresh(["south", "west"]), replayed)


def test_a_signature_for_another_member_is_refused(tmp_path: Path) -> None:
    def others(name: str, key: bytes) -> bytes:
        other = {"south": "west", "west": "south"}[name]
        return sign(f"file://{tmp_path / 'keys' / other}.pem", statement(RUN, name, key, 3, True))

    with pytest.raises(Refused, match="is not signed by the account"):
        invite(member(tmp_path), fresh(["south", "west"]), others)


def test_fewer_members_than_the_policy_wants_are_refused(tmp_path: Path) -> None:
    def vouch(name: str, key: bytes) -> bytes:
        return sign(f"file://{tmp_path / 'keys' / name}.pem", statement(RUN, name, key, 3, True))

    with pytest.raises(Refused, match="a sum of 2 members, 3 are needed"):
        invite(member(tmp_path), fresh(["south"]), vouch)
    with pytest.raises(Refused, match="a sum of 3 members, 4 are needed"):
        invite(
            member(tmp_path / "more", **{"privacy-min-cohort": 4}),
            fresh(["south", "west"]),
            lambda n, k: sign(f"file://{tmp_path / 'more' / 'keys' / n}.pem", statement(RUN, n, k, 3, True)),
        )


def test_a_cohort_below_three_cannot_be_set(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="a sum has 3 members at least"):
        invite(member(tmp_path, **{"privacy-min-cohort": 1}), fresh(["south"]), anything)


def test_keys_are_given_once_so_no_counter_starts_anew(tmp_path: Path) -> None:
    victim = member(tmp_path)
    victim.ask(MessageType.SECURE_KEYS, secure=secure())
    with pytest.raises(Refused, match="keys are asked for twice"):
        victim.ask(MessageType.SECURE_KEYS, secure=secure())


def four(tmp_path: Path) -> Accomplices:
    return Accomplices(silos(tmp_path, dict.fromkeys(("north", "south", "west", "east"), 300)).values())


def ask_sum(aggregation: Any, seed: int = 0) -> Any:
    from flwr.app import Array, ArrayRecord, Message, RecordDict

    content = RecordDict({"config": settings(SCALER, seed=0), ARRAYS: model(np.full(50, seed * 1e-6))})
    shapes = {"loss": np.zeros(1), "gradient": np.zeros(50), "hessian": np.zeros((50, 50))}
    like = ArrayRecord({name: Array(array) for name, array in shapes.items()})
    asked = [Message(content, node, "train.curvature") for node in aggregation.members]
    return aggregation.sum(asked, like, frozenset({"train-seconds"}))


def test_the_same_question_is_not_answered_twice_to_the_same_members(tmp_path: Path) -> None:
    aggregation = opened(four(tmp_path))
    ask_sum(aggregation)
    with pytest.raises(FedstackError, match="asked for twice"):
        ask_sum(aggregation)


def test_different_models_for_different_clients_do_not_add_up(tmp_path: Path) -> None:
    """Pasquini et al., CCS 2022: a model at which the others' updates vanish would leave one client's."""
    from flwr.app import Message, RecordDict

    grid = four(tmp_path)
    aggregation = opened(grid)
    answers = {}
    for number, node in enumerate(aggregation.members):
        content: dict[str, Any] = {
            ARRAYS: model(np.full(50, number * 1e-3)),
            "config": settings(SCALER),
            SECURE: secure(sum="s"),
        }
        reply = grid.victims[node].send(Message(RecordDict(content), node, "train.curvature"))
        answers[node] = reply.content.array_records[ARRAYS][MASKED].numpy()
    total = None
    for node, words in answers.items():
        seed = (
            grid.victims[node]
            .ask(MessageType.SECURE_UNMASK, secure=secure(sum="s"))
            .config_records[SECURE]["seed"]
        )
        bare = fixed_point.add(words, fixed_point.negative(masking.expand(bytes(seed), *words.shape)))  # type: ignore[arg-type]
        total = bare if total is None else fixed_point.add(total, bare)
    assert total is not None
    rows = fixed_point.decode(total)[0]
    assert abs(rows - 1200) > 1e6  # the pairwise masks are still on it


@pytest.mark.parametrize(
    ("kind", "told", "message"),
    [
        (MessageType.SECURE_UNMASK, {"sum": "never"}, "not open"),
        (MessageType.SECURE_UNMASK, {}, "not open"),
        (MessageType.SECURE_MEMBERS, {"names": "north"}, "is no list"),
    ],
)
def test_steps_out_of_order_are_refused(
    tmp_path: Path, kind: MessageType, told: dict[str, Any], message: str
) -> None:
    victim = member(tmp_path)
    victim.ask(MessageType.SECURE_KEYS, secure=secure())
    with pytest.raises(Refused, match=message):
        victim.ask(kind, secure=secure(**told))


def test_a_sum_before_its_members_is_refused(tmp_path: Path) -> None:
    victim = member(tmp_path)
    victim.ask(MessageType.SECURE_KEYS, secure=secure())
    with pytest.raises(Refused, match="before its members were named"):
        victim.ask(MessageType.FEATURE_SUMS, config=settings(), secure=secure(sum="one"))


def test_an_owner_who_allows_plain_updates_is_the_switch(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(300), SEEN)
    assert victim.curvature(np.zeros(50), SCALER)["hessian"].shape == (50, 50)
