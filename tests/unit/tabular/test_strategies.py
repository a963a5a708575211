"""Every strategy, by its name, learns; the robust ones survive a client that lies."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pytest

from rehearsal.in_process import ROBUST, Federation, lie
from runtime.contract import FedstackError
from runtime.tabular import metrics
from runtime.tabular.data.silos import Split
from runtime.tabular.models import load

ROUNDS = {"fedadagrad": 40, "fedadam": 40, "fedyogi": 40}
FLOOR = {"krum": 0.93, "multikrum": 0.95, "fedmedian": 0.95}
"""Krum takes one client's update of seven and MultiKrum two: what a seventh of the data can teach. A median
of coefficients is none of the models; on the stand-in it ends at 0.96 of pooling."""


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    return Federation.cut(tmp_path_factory.mktemp("silos"), clients=7, how=Split.IID)


@pytest.fixture(scope="module")
def pooled(federation: Federation) -> float:
    probability = federation.pooled().predict_proba(federation.test.x)[:, 1]
    return metrics.scores(federation.test.y, probability)["roc_auc"]


@pytest.mark.parametrize("strategy", sorted(load("logistic").strategies))
def test_it_comes_close_to_pooling(federation: Federation, pooled: float, strategy: str) -> None:
    report = federation.run(f"learn-{strategy}", strategy=strategy, rounds=ROUNDS.get(strategy, 10))
    assert report["verdict"] == "COMPLETE"
    assert report["final"]["roc_auc"] > FLOOR.get(strategy, 0.98) * pooled


def test_a_liar_breaks_fedavg_whose_model_the_others_then_refuse(federation: Federation) -> None:
    with pytest.raises(FedstackError, match="far worse on this client's rows than one that knows nothing"):
        federation.run("lied-to", poison={"silo-0": lie}, strategy="fedavg", rounds=3, updates="plain")
    report = json.loads((federation.folder / "lied-to" / "report.json").read_text())
    assert report["final"]["roc_auc"] < 0.6


@pytest.mark.parametrize("strategy", ROBUST)
def test_a_liar_does_not_break_a_robust_strategy(
    federation: Federation, pooled: float, strategy: str
) -> None:
    report = federation.run(
        f"robust-{strategy}",
        poison={"silo-0": lie},
        strategy=strategy,
        strategy_options=ROBUST[strategy],
        rounds=10,
    )
    assert report["final"]["roc_auc"] > 0.93 * pooled


def test_fedprox_keeps_clients_near_the_global_model(federation: Federation) -> None:
    coefficients = {}
    for mu in (0.001, 100.0):
        federation.run(f"prox-{mu}", strategy="fedprox", strategy_options={"proximal_mu": mu}, rounds=1)
        coefficients[mu] = np.abs(
            joblib.load(federation.folder / f"prox-{mu}" / "model.joblib")[-1].coef_
        ).max()
    assert coefficients[100.0] < 0.05 * coefficients[0.001]


def test_fedprox_is_refused_where_a_model_has_no_proximal_term(federation: Federation) -> None:
    with pytest.raises(FedstackError, match="fedprox cannot train the model mlp"):
        federation.run("wrong", strategy="fedprox", model="mlp")


@pytest.mark.parametrize("strategy", ["fedavgm", "fedadam", "fedyogi", "fedadagrad"])
def test_what_a_strategy_remembers_survives_a_resume(federation: Federation, strategy: str) -> None:
    whole, parts = f"whole-{strategy}", f"parts-{strategy}"
    federation.run(whole, strategy=strategy, rounds=4)
    federation.run(parts, strategy=strategy, rounds=2)
    federation.run(parts, strategy=strategy, rounds=4, resume=True)
    models = [joblib.load(federation.folder / out / "model.joblib")[-1] for out in (whole, parts)]
    assert np.array_equal(models[0].coef_, models[1].coef_)


@pytest.mark.parametrize(
    ("strategy", "options", "message"),
    [
        ("fedmagic", {}, "no strategy of that name. Did you mean 'fedavg'"),
        ("fedavgm", {"server_momentum": 2}, "server_momentum: Input should be less than 1"),
        ("fedavg", {"eta": 0.1}, "fedavg's options: eta: Extra inputs are not permitted .* it has none"),
        ("bulyan", {"num_malicious_nodes": 2}, "bulyan needs 11 clients a round, 7 are sure"),
        ("fedprox", ["proximal_mu"], "'proximal_mu' is not NAME=VALUE"),
    ],
)
def test_options_are_checked_before_anything_is_created(
    federation: Federation, strategy: str, options: object, message: str
) -> None:
    with pytest.raises(FedstackError, match=message):
        federation.run("wrong", strategy=strategy, strategy_options=options)
