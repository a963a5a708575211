"""Secure aggregation, step by step: an update is noise, masks cancel, forgers are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from runtime.client.secure import Session
from runtime.contract import ExitCode, FedstackError
from runtime.privacy import fixed_point, masking
from runtime.privacy.fixed_point import Words


class Protocol:
    """All clients of one sum, and the server's routing between them."""

    def __init__(self, count: int, session: str = "run/1", cohort: int = 0) -> None:
        self.clients = {node: Session(session, node, cohort) for node in range(10, 10 + count)}
        self.keys = {node: client.advertise() for node, client in self.clients.items()}

    def all_keys(self) -> ConfigRecord:
        told: dict[str, Any] = {"nodes": list(self.keys)}
        for name in ("cipher-key", "mask-key"):
            told[f"{name}s"] = [keys[name] for keys in self.keys.values()]
        return ConfigRecord(told)

    def share(self) -> dict[int, ConfigRecord]:
        return {node: client.share(self.all_keys()) for node, client in self.clients.items()}

    @staticmethod
    def for_client(node: int, shared: dict[int, ConfigRecord]) -> ConfigRecord:
        peers = [peer for peer in shared if peer != node]
        sealed: list[Any] = [
            dict(zip(_l(shared[peer]["nodes"]), _l(shared[peer]["shares"]), strict=True))[node]
            for peer in peers
        ]
        return ConfigRecord({"nodes": peers, "shares": sealed})

    def mask(self, values: dict[int, np.ndarray]) -> dict[int, Words]:
        shared = self.share()
        return {
            node: client.mask(self.for_client(node, shared), values[node])
            for node, client in self.clients.items()
        }


def _sum(words: list[Words]) -> Words:
    return np.asarray(np.sum(words, axis=0, dtype=np.uint64), dtype=np.uint64)


def _l(value: Any) -> list[Any]:
    return list(value)


def bits_look_random(words: Words) -> bool:
    """Compare how often each byte value occurs with evenness, at the 0.1 % level."""
    counts = np.bincount(np.frombuffer(words.tobytes(), dtype=np.uint8), minlength=256)
    expected = counts.sum() / 256
    return bool(((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.999, 255))


def test_one_masked_update_tells_nothing() -> None:
    size, ones = 20_000, np.ones(20_000)
    masked = []
    for value in (0.0, 1e6):
        everyone = Protocol(3)
        masked.append(everyone.mask(dict.fromkeys(everyone.clients, value * ones))[10])
    assert all(bits_look_random(words) for words in masked)
    nothing, huge = (words.astype(np.float64) / 2.0**64 for words in masked)
    assert kstest(nothing, "uniform").pvalue > 1e-3
    assert kstest(huge, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(nothing, huge)[0, 1]) < 5 / np.sqrt(size)


def test_the_same_update_is_masked_differently_in_every_sum() -> None:
    first, second = ((p := Protocol(3)).mask(dict.fromkeys(p.clients, np.ones(8)))[10] for _ in range(2))
    assert not (first == second).any()


def test_the_pairwise_masks_cancel_in_the_sum_and_in_no_part_of_it() -> None:
    everyone = Protocol(4)
    values = {node: np.full(6, float(node)) for node in everyone.clients}
    masked = everyone.mask(values)
    own = [masking.expand(client.seed, 6) for client in everyone.clients.values()]
    total = _sum(list(masked.values())) - _sum(own)
    np.testing.assert_allclose(fixed_point.decode(total), sum(values.values()), atol=1e-8)
    part = masked[10] + masked[11] - own[0] - own[1]
    assert (np.abs(fixed_point.decode(part) - 21.0) > 1e3).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_fixed_point_sums_are_exact(values: list[float]) -> None:
    vectors = [np.array([value, -value]) for value in values]
    words = [fixed_point.encode(vector, len(vectors)) for vector in vectors]
    found = fixed_point.decode(np.sum(words, axis=0, dtype=np.uint64))
    np.testing.assert_allclose(found, np.sum(vectors, axis=0), atol=len(values) * 2.0**-30)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e10])
def test_what_cannot_be_summed_is_refused_on_the_client(value: float) -> None:
    with pytest.raises(FedstackError, match="1 of 2 numbers are NaN or beyond") as caught:
        fixed_point.encode(np.array([value, 0.0]), 3)
    assert caught.value.code == ExitCode.SECURE_AGGREGATION


def test_a_forged_share_is_refused_by_the_client_that_gets_it() -> None:
    everyone = Protocol(3)
    told = everyone.for_client(10, everyone.share())
    sealed = _l(told["shares"])
    told["shares"] = [sealed[0][:-4] + b"AAA=", *sealed[1:]]
    with pytest.raises(FedstackError, match="the share of node 11 is forged"):
        everyone.clients[10].mask(told, np.zeros(3))


def test_a_replayed_share_of_an_earlier_sum_is_refused() -> None:
    earlier, now = Protocol(3, "run/1"), Protocol(3, "run/2")
    old = earlier.for_client(10, earlier.share())
    now.share()
    with pytest.raises(FedstackError, match="forged, or of another sum"):
        now.clients[10].mask(old, np.zeros(3))


def test_a_share_meant_for_another_client_is_refused() -> None:
    everyone = Protocol(3)
    shared = everyone.share()
    told = everyone.for_client(10, shared)
    told["shares"] = _l(everyone.for_client(12, shared)["shares"])[:1] + _l(told["shares"])[1:]
    with pytest.raises(FedstackError, match=r"node 10 is no peer|forged"):
        everyone.clients[10].mask(told, np.zeros(3))


def test_a_share_sent_twice_is_refused() -> None:
    everyone = Protocol(4)
    told = everyone.for_client(10, everyone.share())
    told["nodes"], told["shares"] = [11, 11], _l(told["shares"])[:1] * 2
    with pytest.raises(FedstackError, match="sends a second share"):
        everyone.clients[10].mask(told, np.zeros(3))


def confirmed(everyone: Protocol, survivors: dict[int, list[int]]) -> dict[int, ConfigRecord]:
    """Tell each client who survived, and let the server route what they say to each other."""
    said = {n: everyone.clients[n].confirm(ConfigRecord({"survivors": s})) for n, s in survivors.items()}
    tags = {n: dict(zip(_l(one["nodes"]), _l(one["tags"]), strict=True)) for n, one in said.items()}
    told = {n: {peer: tags[peer][n] for peer in tags if peer != n and n in tags[peer]} for n in said}
    return {n: ConfigRecord({"nodes": list(t), "tags": list(t.values())}) for n, t in told.items()}


def masked(count: int) -> Protocol:
    everyone = Protocol(count)
    everyone.mask(dict.fromkeys(everyone.clients, np.zeros(3)))
    return everyone


def test_a_client_gives_one_secret_of_each_other_and_never_both() -> None:
    everyone = masked(4)
    told = confirmed(everyone, {node: [10, 11, 12] for node in (10, 11, 12)})
    shares = everyone.clients[10].unmask(told[10])
    assert (shares["survivors"], shares["dropped"]) == ([10, 11, 12], [13])
    assert len(_l(shares["seed-shares"])) == 3
    assert len(_l(shares["key-shares"])) == 1
    with pytest.raises(FedstackError, match="told twice"):
        everyone.clients[10].confirm(ConfigRecord({"survivors": [10, 11, 13]}))


def test_a_server_that_shows_clients_different_sums_gets_no_share() -> None:
    everyone = masked(5)
    views = {10: [10, 11, 12], 11: [10, 11, 13], 12: [10, 12, 13], 13: [10, 13, 14], 14: [10, 13, 14]}
    told = confirmed(everyone, views)
    for node, tags in told.items():
        with pytest.raises(FedstackError, match=r"another sum|who is not in the sum|are needed"):
            everyone.clients[node].unmask(tags)


def test_a_server_cannot_confirm_for_a_client() -> None:
    everyone = masked(3)
    told = confirmed(everyone, {node: [10, 11, 12] for node in (10, 11, 12)})
    told[10]["tags"] = [bytes(32), *_l(told[10]["tags"])[1:]]
    assert everyone.clients[10].unmask(told[10])["dropped"] == []  # 10 and 12 are a majority without 11
    told[12]["tags"] = [bytes(32), bytes(32)]
    with pytest.raises(FedstackError, match="1 clients confirmed the same sum, 2 are needed"):
        everyone.clients[12].unmask(told[12])
    with pytest.raises(FedstackError, match="1 clients confirmed the same sum, 2 are needed"):
        everyone.clients[11].unmask(ConfigRecord({"nodes": [], "tags": []}))


def test_a_tag_cannot_be_sent_back_to_who_made_it() -> None:
    everyone = masked(3)
    own = everyone.clients[10].confirm(ConfigRecord({"survivors": [10, 11]}))
    reflected = ConfigRecord({"nodes": [11], "tags": _l(own["tags"])})
    with pytest.raises(FedstackError, match="1 clients confirmed the same sum"):
        everyone.clients[10].unmask(reflected)


@pytest.mark.parametrize("survivors", [[10, 11], [11, 12, 13], [10, 11, 12, 99]])
def test_survivors_that_cannot_be_are_refused(survivors: list[int]) -> None:
    with pytest.raises(FedstackError, match="Secure aggregation is refused"):
        masked(4).clients[10].confirm(ConfigRecord({"survivors": survivors}))


def test_nothing_is_masked_twice_with_the_same_keys() -> None:
    everyone = Protocol(3)
    told = everyone.for_client(10, everyone.share())
    everyone.clients[10].mask(told, np.zeros(3))
    with pytest.raises(FedstackError, match="asked for twice"):
        everyone.clients[10].mask(told, np.ones(3))


@pytest.mark.parametrize("change", ["own", "twice", "few", "cohort"])
def test_keys_that_cannot_be_are_refused(change: str) -> None:
    everyone = Protocol(4, cohort=5 if change == "cohort" else 0)
    told = everyone.all_keys()
    if change == "own":
        told["mask-keys"] = [masking.public_bytes(masking.new_key()), *_l(told["mask-keys"])[1:]]
    elif change == "twice":
        told["mask-keys"] = [*_l(told["mask-keys"])[:3], _l(told["mask-keys"])[0]]
    elif change == "few":
        told = ConfigRecord({name: _l(values)[:1] for name, values in told.items()})
    with pytest.raises(FedstackError, match="Secure aggregation is refused"):
        everyone.clients[10].share(told)


def test_masks_depend_on_all_of_the_seed() -> None:
    """Flower's generator folds the seed into 32 bits by XOR: these two give the same numbers there."""
    seed = bytes(range(32))
    swapped = seed[4:8] + seed[:4] + seed[8:]
    assert not (masking.expand(seed, 8) == masking.expand(swapped, 8)).any()
