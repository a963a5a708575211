"""Trees grown from summed histograms are the pooled ones, and load with scikit-learn alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from rehearsal.in_process import Federation, providers
from runtime.contract import ExitCode, FedstackError
from runtime.tabular import metrics
from runtime.tabular.data.moments import Moments
from runtime.tabular.data.silos import Split
from runtime.tabular.models import standardise
from runtime.tabular.strategies.histogram import SPENT, Histogram
from runtime.tabular.trees import boosting, ensemble, pooled
from runtime.tabular.trees.boosting import Boosting
from runtime.tabular.trees.growth import Forest
from runtime.tabular.trees.histograms import UNIT, Bins, histograms, residuals
from runtime.updates import UpdateRefusedError

ROUNDS, ROWS = 2, 1000
RUN: dict[str, Any] = {"model": "trees", "strategy": "histogram", "rounds": ROUNDS, "validation": 0.0}


def cut(folder: Path, clients: int, how: Split) -> Federation:
    folder.mkdir()
    return Federation.cut(folder, clients=clients, how=how, rows=ROWS)


def grow(forest: Forest, bins: Bins, z: np.ndarray, gradient: np.ndarray, weight: np.ndarray) -> None:
    own = histograms(forest.question(), bins, z, gradient, weight)
    gradients, weights = (np.rint(each / UNIT).astype(np.int64) for each in (own.gradients, own.weights))
    forest.take(gradients, weights, bins)


def probabilities(federation: Federation, out: str = "out") -> np.ndarray:
    fitted = joblib.load(federation.folder / out / "model.joblib")
    return np.asarray(fitted.predict_proba(federation.test.x)[:, 1])


def every(features: int) -> np.ndarray:
    """One tree that has all features."""
    return np.arange(features)[None, :]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """Three silos of other labels, whose run is made once."""
    made = cut(tmp_path_factory.mktemp("trees") / "three", 3, Split.LABEL)
    report = made.run(**RUN)
    assert (report["verdict"], report["privacy"]["updates"]) == ("COMPLETE", "sums")
    return made


def test_one_silo_or_ten_grow_the_same_trees(tmp_path: Path, three: Federation) -> None:
    one, ten = cut(tmp_path / "one", 1, Split.IID), cut(tmp_path / "ten", 10, Split.FEATURE)
    one.run(**RUN, updates="plain")
    ten.run(**RUN)
    for other in (one, ten):
        np.testing.assert_allclose(probabilities(other), probabilities(three), rtol=0, atol=1e-12)


def test_they_are_the_pooled_ones_and_learn(three: Federation) -> None:
    rest = np.concatenate([silo.x for silo in three.silos.values()])
    y = np.concatenate([silo.y for silo in three.silos.values()])
    schema = three.test.schema
    scaler = Moments.of(rest, schema).scaler()
    z = (schema.transform(rest) - scaler.mean) / scaler.scale
    boosting_ = Boosting(1.0, pooled.ETA, pooled.LEAST_ROWS, pooled.BINS)
    boosting_.begin(len(z), z.shape[1], 0)
    while boosting_.steps < ROUNDS * boosting.STEPS_A_ROUND:
        margin = ensemble.margins(boosting_.arrays, z)
        boosting_.take(pooled.answer(boosting_, z, margin, y, np.ones(len(y))))
    test = ensemble.margins(boosting_.arrays, standardise(three.test, scaler))
    np.testing.assert_allclose(probabilities(three), 1 / (1 + np.exp(-test)), rtol=0, atol=1e-12)
    assert metrics.scores(three.test.y, probabilities(three))["roc_auc"] > 0.7


def test_a_tree_is_the_one_that_scikit_learn_grows_from_the_same_bins() -> None:
    """An independent grower: with one bin a number, and the same penalty and least rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = providers().take(np.arange(0, 5500, 3))
    z = standardise(rows, Moments.of(rows.x).scaler())[:, :8]
    bins = Bins(tuple(np.unique(np.quantile(column, np.linspace(0, 1, 9)[1:-1])) for column in z.T))
    theirs = HistGradientBoostingClassifier(
        max_iter=1,
        learning_rate=0.1,
        max_depth=3,
        max_leaf_nodes=None,
        min_samples_leaf=1,
        l2_regularization=1.0,
        early_stopping=False,
    ).fit(bins.of(z).astype(float), rows.y)
    base = float(theirs._baseline_prediction[0, 0])
    gradient, weight = residuals(np.full(len(z), base), rows.y)
    forest = Forest(every(8), 1.0, 1)
    while not forest.grown:
        grow(forest, bins, z, gradient, weight)
    ours = ensemble.add(ensemble.empty(base), *forest.trees(bins, 0.1))
    np.testing.assert_allclose(
        ensemble.margins(ours, z), theirs.decision_function(bins.of(z).astype(float)), atol=1e-4
    )


def test_the_model_loads_and_predicts_with_scikit_learn_alone(tmp_path: Path, three: Federation) -> None:
    np.save(tmp_path / "x.npy", three.test.x)
    script = (
        "import sys, joblib, numpy as np\n"
        "model = joblib.load(sys.argv[1])\n"
        "np.save(sys.argv[3], model.predict_proba(np.load(sys.argv[2]))[:, 1])\n"
        "assert not {'runtime', 'xgboost', 'flwr'} & set(sys.modules), 'it needed more'\n"
    )
    places = (three.folder / "out" / "model.joblib", tmp_path / "x.npy", tmp_path / "p.npy")
    subprocess.run([sys.executable, "-I", "-c", script, *places], check=True, cwd=tmp_path)
    assert np.array_equal(np.load(tmp_path / "p.npy"), probabilities(three))


def test_what_the_server_scores_is_what_the_model_predicts(three: Federation) -> None:
    import json

    report = json.loads((three.folder / "out" / "report.json").read_text())
    scores = metrics.scores(three.test.y, probabilities(three))
    assert report["final"]["log_loss"] == pytest.approx(scores["log_loss"], abs=1e-12)
    assert len(report["rounds"]) == ROUNDS
    assert all(part["bytes_up"] > 10_000 for part in report["rounds"][-1]["clients"].values())


def test_a_run_that_is_resumed_ends_at_the_same_trees_bit_for_bit(three: Federation) -> None:
    three.run("parts", **{**RUN, "rounds": 1})
    three.run("parts", **RUN, resume=True)
    assert np.array_equal(probabilities(three, "parts"), probabilities(three))


def test_sums_are_the_same_in_any_order_and_over_any_silos() -> None:
    rows = providers().take(np.arange(0, 5500, 5))
    z = standardise(rows, Moments.of(rows.x).scaler())
    gradient, weight = residuals(np.linspace(-3, 1, len(z)), rows.y)
    bins = Bins(tuple(np.array([-0.5, 0.0, 0.5]) for _ in range(z.shape[1])))
    question = Forest(every(49), 1.0, 1).question()
    whole = histograms(question, bins, z, gradient, weight)
    order = np.random.default_rng(0).permutation(len(z))
    parts = [histograms(question, bins, z[p], gradient[p], weight[p]) for p in np.array_split(order, 7)]
    for name in ("gradients", "weights"):
        assert np.array_equal(sum(getattr(part, name) for part in parts), getattr(whole, name))


def test_equal_gains_are_told_apart_by_the_order_of_features_not_by_rounding() -> None:
    z = np.repeat(np.random.default_rng(0).normal(size=(400, 1)), 3, axis=1)  # the same column, three times
    y = (z[:, 0] > 0).astype(np.int64)
    bins = Bins(tuple(np.array([-0.5, 0.0, 0.5]) for _ in range(3)))
    forest = Forest(every(3), 1.0, 1)
    grow(forest, bins, z, *residuals(np.zeros(400), y))
    assert (forest.split[0, 0], forest.bin[0, 0]) == (0, 1)


def test_no_leaf_has_fewer_rows_than_asked_of_all_clients_together(three: Federation) -> None:
    fitted = joblib.load(three.folder / "out" / "model.joblib")
    z = fitted[:-1].transform(np.concatenate([silo.x for silo in three.silos.values()]))
    leaves = 0
    for (tree,) in fitted[-1]._predictors:
        alone = [np.array([tree.nodes]), z]
        at = np.array([_leaf(alone[0][0], row) for row in z])
        counts = np.bincount(at, minlength=len(tree.nodes))[tree.nodes["is_leaf"].astype(bool)]
        assert counts.min() >= 11
        leaves += len(counts)
    assert leaves > 50


def _leaf(nodes: np.ndarray, row: np.ndarray) -> int:
    at = 0
    while not nodes[at]["is_leaf"]:
        left = row[nodes[at]["feature_idx"]] <= nodes[at]["num_threshold"]
        at = int(nodes[at]["left"] if left else nodes[at]["right"])
    return at


def test_few_rows_let_few_numbers_leave() -> None:
    rows = providers().take(np.arange(0, 5500, 30))
    z, whole = standardise(rows, Moments.of(rows.x).scaler()), np.ones(len(rows))
    boosting_, asked, known = Boosting(1.0, 0.4, 11, 16), 0, ensemble.Margins(z)
    boosting_.begin(len(z), z.shape[1], 0)
    while not (boosting_.between_steps and boosting_.spent):
        asked += 1 + sum(boosting_.sizes().values())
        boosting_.take(pooled.answer(boosting_, z, known.of(boosting_.arrays), rows.y, whole))
    assert 3 <= boosting_.steps < 100
    assert asked <= z.size + len(z)


def test_a_run_that_may_ask_no_more_says_so(three: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Boosting, "spent", property(lambda self: self.steps >= 2))
    report = three.run("spent", **RUN)
    assert (report["verdict"], report["stopped"], len(report["rounds"])) == ("COMPLETE", SPENT, 1)


def test_the_default_number_of_rounds_is_answered_by_default(tmp_path: Path) -> None:
    rounds, questions = 10, 3 * boosting.STEPS_A_ROUND
    assert rounds * questions <= 100


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"gradients": np.array([201.0]), "weights": np.array([1.0])}, "gradients of 200 rows"),
        ({"gradients": np.array([1.0]), "weights": np.array([51.0])}, "weights of 200 rows"),
        ({"gradients": np.array([1.0]), "weights": np.array([-1.0])}, "weights of 200 rows"),
        ({"gradients": np.array([np.nan]), "weights": np.array([1.0])}, "gradients of 200 rows"),
        ({"gradients": np.array([0.1]), "weights": np.array([1.0])}, "whole multiples"),
        ({"counts": np.array([201.0]), "positives": np.array([1.0])}, "counts are not those of 200 rows"),
        ({"counts": np.array([1.5]), "positives": np.array([1.0])}, "counts are not those of 200 rows"),
    ],
)
def test_sums_that_no_rows_can_give_are_refused(arrays: dict[str, np.ndarray], why: str) -> None:
    with pytest.raises(UpdateRefusedError, match=why):
        Histogram(1, 1.0, 0.4, 11, 16).check(arrays, 200)


def test_a_client_whose_sums_no_rows_can_give_is_refused_by_name_in_a_plain_run(tmp_path: Path) -> None:
    from rehearsal.in_process import lie

    federation = cut(tmp_path / "liar", 3, Split.IID)
    with pytest.raises(FedstackError, match="silo-1: its counts are not those of") as caught:
        federation.run(**RUN, updates="plain", poison={"silo-1": lie})
    assert caught.value.code == ExitCode.QUORUM


def test_class_weights_of_each_silo_are_refused(three: Federation) -> None:
    with pytest.raises(FedstackError, match="histogram sums the clients' losses"):
        three.run("weighed", **RUN, class_weight="balanced")
