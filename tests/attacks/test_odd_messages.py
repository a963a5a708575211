"""Messages that nobody wrote a rule for: what is not known to be allowed is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attacker import (
    PLAIN,
    RUN,
    Accomplices,
    Refused,
    Victim,
    metrics,
    model,
    opened,
    public_scaler,
    rows_of,
    settings,
    silos,
    standardised,
)
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from runtime.client.app import app
from runtime.messages import MASKED, RELEASES, MessageType, Releases, releases_of

SCALER = public_scaler()
VISIBLE = [kind for kind, releases in RELEASES.items() if releases is not Releases.NOTHING]
UNKNOWN = ["train.default", "train.other", "evaluate.other", "query.anything", "query", "system", ""]


@pytest.mark.parametrize("kind", [*VISIBLE, *UNKNOWN])
def test_no_kind_of_message_is_answered_to_the_server_under_sums(tmp_path: Path, kind: str) -> None:
    victim = silos(tmp_path, {"north": 200, "south": 200, "west": 200})["north"]
    noise = {"privacy-noise": 5.0, "privacy-clip": 4.0, "privacy-delta": 1e-5, "privacy-releases": 1}
    with pytest.raises((Refused, ValueError)):
        victim.ask(kind, arrays=model(np.zeros(50)), config=settings(SCALER, rounds=1, **noise))


@pytest.mark.parametrize("kind", [kind for kind in VISIBLE if RELEASES[kind] is Releases.PLAIN])
def test_a_secure_record_does_not_make_a_plain_answer_a_sum(tmp_path: Path, kind: str) -> None:
    victim = silos(tmp_path, {"north": 200, "south": 200, "west": 200})["north"]
    told = ConfigRecord({"run": RUN, "sum": "one"})
    with pytest.raises(Refused, match="would be visible to the server"):
        victim.ask(kind, arrays=model(np.zeros(50)), config=settings(SCALER), secure=told)


@pytest.mark.parametrize("kind", [kind for kind in VISIBLE if RELEASES[kind] is Releases.SUMS])
def test_a_secure_record_without_membership_gets_nothing(tmp_path: Path, kind: str) -> None:
    victim = silos(tmp_path, {"north": 200, "south": 200, "west": 200})["north"]
    told = ConfigRecord({"run": RUN, "sum": "one"})
    with pytest.raises(Refused, match="has no keys for the run's sums"):
        victim.ask(kind, arrays=model(np.zeros(50)), config=settings(SCALER, rounds=1), secure=told)


def test_every_handler_of_the_app_declares_what_it_releases() -> None:
    assert set(app._registered_funcs) <= {str(kind) for kind in MessageType} | {
        f"{kind}.default" for kind in ("train", "evaluate", "query")
    }
    assert releases_of("query.anything") is Releases.PLAIN


def plain(tmp_path: Path, rows: int = 200, **policy: object) -> Victim:
    return Victim(tmp_path, rows_of(rows), {**PLAIN, **policy})


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_kind_is_the_same_under_both_its_names(tmp_path: Path, kind: str) -> None:
    victim = plain(tmp_path, **{"privacy-max-answers": 2})
    for name in (kind, f"{kind}.default"):
        victim.ask(name, arrays=model(np.zeros(50)), config=settings(SCALER))
    with pytest.raises(Refused, match=f"'{kind}' was answered 2 times in this run"):
        victim.ask(f"{kind}.default", arrays=model(np.zeros(50)), config=settings(SCALER))


def test_gains_are_told_once_in_a_run(tmp_path: Path) -> None:
    """Asked about one model after the other, areas under curves would tell which rows change places."""
    victim = plain(tmp_path)
    asked = {"arrays": model(np.zeros(50)), "config": settings(SCALER, validation=0.3, rounds=1)}
    victim.ask("query.client_gain", **asked)
    with pytest.raises(Refused, match=r"'query\.client_gain' was answered 1 times"):
        victim.ask("query.client_gain", **asked)


def test_what_remains_under_plain_scores_of_chosen_models_order_rows(tmp_path: Path) -> None:
    """Accuracy counts who is beyond a plane, whatever the loss: 40 answers are one number of one row."""
    victim = plain(tmp_path, 400)
    direction = np.append(np.random.default_rng(2).standard_normal(49), 0.0)
    low, high, scores = 0.0, 200.0, []
    for _ in range(40):
        middle = (low + high) / 2
        theta = 1e-6 * (direction + np.append(np.zeros(49), -middle))
        content = victim.ask("evaluate", arrays=model(theta), config=settings(SCALER))
        scores.append(metrics(content)["accuracy"])
        low, high = (middle, high) if scores[-1] != scores[0] else (low, middle)
    assert low == pytest.approx((standardised(victim.rows, SCALER) @ direction).max(), abs=1e-6)


def test_failures_tell_three_bits_at_most(tmp_path: Path) -> None:
    """Whether an answer fails may depend on the rows: after three the client answers nothing more."""
    victim, said = plain(tmp_path), []
    for _ in range(5):
        with pytest.raises(Refused) as caught:
            victim.ask("train", arrays=model(np.zeros(50)), config=settings(SCALER, iterations="many"))
        said.append("3 answers failed in this run" in str(caught.value))
    assert said == [False, False, False, True, True]
    with pytest.raises(Refused, match="3 answers failed"):
        victim.ask("query.prepare", config=settings())


WRONG = {
    "two rows of coefficients": {"coef": np.zeros((2, 49)), "intercept": np.zeros(1)},
    "two intercepts": {"coef": np.zeros((1, 49)), "intercept": np.zeros(2)},
    "complex": {"coef": np.zeros((1, 49), dtype=complex), "intercept": np.zeros(1)},
    "one more": {"coef": np.zeros((1, 49)), "intercept": np.zeros(1), "more": np.zeros(1)},
    "one for all": {"coef": np.zeros((1, 1)), "intercept": np.zeros(1)},
}


@pytest.mark.parametrize("kind", ["train", "train.curvature", "evaluate", "query.client_gain"])
@pytest.mark.parametrize("arrays", WRONG.values(), ids=WRONG)
def test_a_model_of_another_shape_is_refused(
    tmp_path: Path, kind: str, arrays: dict[str, np.ndarray]
) -> None:
    """Its loss would be looked at in one place, and its gradient taken at another."""
    record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    with pytest.raises(Refused, match="not made of usable numbers"):
        plain(tmp_path).ask(kind, arrays=record, config=settings(SCALER, rounds=1))


def test_means_of_the_servers_choice_are_fixed_and_round_no_row(tmp_path: Path) -> None:
    """Next to 2^52 a row's distance is a whole number: sums of such would count who is above one half."""
    victim, far = plain(tmp_path), 2.0**52
    content = victim.ask("query.feature_squares", config=settings(**{"feature-means": [far] * 49}))
    squares = content.array_records["arrays"]["squares"].numpy()
    rows = victim.rows.transformed()
    own = ((rows - rows.mean(axis=0)) ** 2).sum(axis=0) + len(rows) * (rows.mean(axis=0) - far) ** 2
    np.testing.assert_allclose(squares, own, rtol=1e-15)
    with pytest.raises(Refused, match="'feature-means' is another one"):
        victim.ask("query.feature_squares", config=settings(**{"feature-means": [0.0] * 49}))


@pytest.mark.parametrize("asked", ["plain", "noise", "PLAIN"])
def test_a_server_that_names_a_policy_does_not_set_it(tmp_path: Path, asked: str) -> None:
    victim = silos(tmp_path, {"north": 200, "south": 200, "west": 200})["north"]
    wanted = {"updates": asked, "privacy-updates": asked, "privacy-min-rows": 1, "privacy-min-cohort": 3}
    with pytest.raises(Refused, match="would be visible to the server"):
        victim.ask("train", arrays=model(np.zeros(50)), config=settings(SCALER, **wanted))


@pytest.mark.parametrize("kind", ["train", "train.curvature"])
def test_a_masked_answer_says_nothing_in_the_clear_but_how_long_it_took(tmp_path: Path, kind: str) -> None:
    grid = Accomplices(silos(tmp_path, dict.fromkeys(("north", "south", "west"), 200)).values())
    aggregation = opened(grid)
    like = model(np.zeros(50))
    if kind == "train.curvature":
        shapes = {"loss": np.zeros(1), "gradient": np.zeros(50), "hessian": np.zeros((50, 50))}
        like = ArrayRecord({name: Array(array) for name, array in shapes.items()})
    content = RecordDict({"arrays": model(np.zeros(50)), "config": settings(SCALER)})
    asked = [Message(content, node, kind) for node in aggregation.members]
    aggregation.sum(asked, like, frozenset({"train-seconds"}))
    masked = [m.content for m in grid.seen if MASKED in m.content.array_records.get("arrays", {})]
    assert len(masked) == 3
    for reply in masked:
        assert set(reply) == {"arrays", "metrics", "secure"}
        assert set(metrics(reply)) == {"train-seconds"}
        assert set(reply.config_records["secure"]) == {"commitment"}
