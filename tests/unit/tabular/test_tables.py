"""Tables run from file to report without any Python, and end where their pooled reference does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from report_fixture import Page
from sklearn import datasets
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from table_runs import affairs, breast_cancer, clinic, diabetes, rossi, split, wine

from runtime.contract import FedstackError
from runtime.tabular.data.silos import Split

EXACT = 1e-6
LOGISTIC = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 200}


def logged(frame: pd.DataFrame, table: Any) -> np.ndarray:
    """Features in the schema's order as its types say, from the table's own cells."""
    columns = [c for c in table.silos.test.schema.table if c.role == "feature"]
    made = [
        np.log1p(frame[c.name].astype(float))
        if c.type in ("amount", "count")
        else frame[c.name].astype(float)
        for c in columns
    ]
    return np.column_stack(made)


def test_breast_cancer_in_sums_is_scikit_learns_model(tmp_path: Path) -> None:
    table = split(tmp_path, breast_cancer())
    report = table.run(validation=0.0, c=100.0)
    assert (report["verdict"], report["stopped"], report["convergence"]["converged"]) == (
        "COMPLETE",
        "converged",
        True,
    )
    rows = table.trained_on(breast_cancer())
    z = StandardScaler().fit_transform(logged(rows, table))
    pooled = LogisticRegression(C=100.0, **LOGISTIC).fit(z, rows["target"] == "M")
    wanted = np.append(pooled.coef_, pooled.intercept_)
    np.testing.assert_allclose(table.coefficients(), wanted, atol=EXACT)
    assert report["classes"] == ["B", "M"]


def test_what_has_not_converged_is_called_so(tmp_path: Path) -> None:
    table = split(tmp_path, breast_cancer())
    report = table.run(c=100.0, rounds=3, page=True)
    assert (report["verdict"], report["code"]) == ("PARTIAL", 22)
    assert "FedNewton has not converged after 3 rounds: its decrement is" in report["reason"]
    assert "no standard errors" in report["coefficients"]["note"]
    page = Page((table.folder / "out/report.html").read_text()).text
    assert "FedNewton has not converged after 3 rounds" in page
    resumed = table.run(c=100.0, rounds=50, resume=True)
    assert (resumed["verdict"], resumed["stopped"]) == ("COMPLETE", "converged")


def test_a_model_beyond_which_a_policy_lets_nothing_out_is_kept_and_called_partial(tmp_path: Path) -> None:
    """Where a few rows of a small silo outweigh its others before the end; a stronger penalty keeps clear."""
    frame = datasets.load_iris(as_frame=True).frame
    frame["target"] = frame["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"})
    table = split(tmp_path, frame, how=Split.FEATURE)
    report = table.run(page=True)
    assert (report["verdict"], report["code"]) == ("PARTIAL", 22)
    kept = f"The model is that of round {report['final_round']}, and no more may leave the clients: "
    assert report["reason"].startswith(kept)
    assert "fewer than 4 rows in effect" in report["reason"]
    assert "a stronger penalty (--c)" in report["reason"]
    assert "--resume" not in report["reason"]
    assert report["stopped"] == "a client's policy lets no more out"
    assert report["final"]["macro_auc"] > 0.95
    assert set(table.model().predict(frame.drop(columns="target"))) == set(frame["target"])
    ledger = (table.folder / "out/ledger.jsonl").read_text()
    assert '"event": "withheld"' in ledger
    stronger = table.run(c=0.1)
    assert (stronger["verdict"], stronger["stopped"]) == ("COMPLETE", "converged")


def digits(most: int = 5, columns: int = 12) -> pd.DataFrame:
    """Pixels of a few digits: so many classes that one Hessian is more than the rows' cells."""
    frame = datasets.load_digits(as_frame=True).frame.query(f"target < {most}").iloc[:300]
    often = [name for name in frame if name != "target" and (frame[name] > 0).mean() > 0.6][:columns]
    return frame[often].assign(digit="d" + frame["target"].astype(str))


def test_of_many_classes_no_hessian_may_leave_and_gradients_make_the_same_model(tmp_path: Path) -> None:
    table = split(tmp_path, digits())
    report = table.run(validation=0.0, c=0.1)
    assert (report["verdict"], report["stopped"]) == ("COMPLETE", "converged"), report["reason"]
    assert report["privacy"]["updates"] == "sums"
    rows = table.trained_on(digits())
    z = StandardScaler().fit_transform(logged(rows, table))
    pooled = LogisticRegression(**LOGISTIC | {"C": 0.1}).fit(z, rows["digit"])
    wanted = np.append(np.ravel(pooled.coef_), pooled.intercept_)
    np.testing.assert_allclose(table.coefficients(), wanted, atol=EXACT)


def test_wine_in_sums_is_scikit_learns_model_of_three_classes(tmp_path: Path) -> None:
    """So few rows that no client would let as many Hessians out: the last steps go by gradients."""
    table = split(tmp_path, wine())
    report = table.run(validation=0.0, page=True)
    assert (report["verdict"], report["stopped"], report["privacy"]["updates"]) == (
        "COMPLETE",
        "converged",
        "sums",
    )
    rows = table.trained_on(wine())
    pooled = LogisticRegression(**LOGISTIC).fit(
        StandardScaler().fit_transform(logged(rows, table)), rows["target"]
    )
    wanted = np.append(np.ravel(pooled.coef_), pooled.intercept_)
    np.testing.assert_allclose(table.coefficients(), wanted, atol=EXACT)
    assert report["final"]["macro_auc"] > 0.95
    assert set(report["final"]) == {"macro_auc", "log_loss", "accuracy", "calibration_error"}
    page = Page((table.folder / "out/report.html").read_text()).text
    assert "Macro ROC-AUC" in page
    assert "Calibration error" in page


def test_diabetes_is_ridge_and_without_penalty_least_squares_with_its_errors(tmp_path: Path) -> None:
    table = split(tmp_path, diabetes())
    table.run(validation=0.0)
    rows = table.trained_on(diabetes())
    x = np.column_stack([logged(rows.drop(columns="sex").assign(sex=rows["sex"] == 2), table)])
    pooled = Ridge(alpha=1.0, solver="svd").fit(StandardScaler().fit_transform(x), rows["target"])
    np.testing.assert_allclose(table.coefficients(), np.append(pooled.coef_, pooled.intercept_), rtol=EXACT)
    report = table.run(out="free", validation=0.0, penalty="none", page=True)
    least = sm.OLS(rows["target"].astype(float), sm.add_constant(x, prepend=False)).fit()
    assert_inference(report, least)
    assert set(report["final"]) == {"r2", "rmse", "mean_absolute_error"}
    page = Page((table.folder / "free/report.html").read_text()).text
    assert "Coefficients" in page
    assert "RMSE" in page


def assert_inference(report: dict[str, Any], fitted: Any) -> None:
    told = pd.DataFrame(report["coefficients"]["rows"])
    assert report["coefficients"]["note"] is None
    np.testing.assert_allclose(told["coefficient"], fitted.params, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(told["standard_error"], fitted.bse, rtol=1e-4)
    np.testing.assert_allclose(told[["low", "high"]], fitted.conf_int(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(told["p_value"], fitted.pvalues, rtol=1e-3, atol=1e-8)


def test_a_count_over_an_exposure_is_statsmodels_poisson_with_an_offset(tmp_path: Path) -> None:
    table = split(tmp_path, affairs())
    assert table.silos.test.schema.task == "poisson"
    report = table.run(validation=0.0, penalty="none")
    rows = table.trained_on(affairs())
    x = sm.add_constant(rows[["age", "religious", "children"]].astype(float), prepend=False)
    model = sm.GLM(
        rows["affairs"], x, family=sm.families.Poisson(), exposure=rows["exposure"].astype(float).to_numpy()
    )
    assert (report["verdict"], report["model"]) == ("COMPLETE", "poisson")
    assert_inference(report, model.fit(tol=1e-12))
    assert set(report["final"]) == {"d2", "deviance", "calibration"}


def times_of(rows: pd.DataFrame, grid: list[float]) -> np.ndarray:
    ends = np.asarray(grid)[np.minimum(np.searchsorted(grid, rows["week"]), len(grid) - 1)]
    return np.asarray(ends)


def breslow(rows: pd.DataFrame, grid: list[float]) -> Any:
    features = rows.drop(columns=["week", "arrest"]).astype(float)
    model = sm.PHReg(times_of(rows, grid), features, status=rows["arrest"].to_numpy(), ties="breslow")
    return model.fit(disp=0, tol=1e-14, maxiter=200)


def test_survival_in_sums_is_breslows_model_on_the_schemas_grid(tmp_path: Path) -> None:
    table = split(tmp_path, rossi(), week={"grid": [26, 52]})
    report = table.run(validation=0.0, penalty="none")
    assert (report["verdict"], report["model"], report["privacy"]["updates"]) == ("COMPLETE", "cox", "sums")
    told = pd.DataFrame(report["coefficients"]["rows"])
    wanted = breslow(table.trained_on(rossi()), [26, 52])
    np.testing.assert_allclose(told["coefficient"], wanted.params, atol=EXACT)
    assert "cell_means=1" in report["coefficients"]["note"]
    assert 0.5 < report["final"]["concordance"] < 1


def test_survival_by_single_weeks_needs_plain_updates_and_has_its_errors(tmp_path: Path) -> None:
    weeks = [float(week) for week in range(1, 53)]
    refused = split(tmp_path / "sums", rossi(), week={"grid": weeks})
    with pytest.raises(FedstackError, match="would tell apart fewer than 3 rows"):
        refused.run(validation=0.0)
    table = split(tmp_path / "plain", rossi(), plain=True, week={"grid": weeks})
    report = table.run(validation=0.0, penalty="none")
    told = pd.DataFrame(report["coefficients"]["rows"])
    wanted = breslow(table.trained_on(rossi()), weeks)
    np.testing.assert_allclose(told["coefficient"], wanted.params, atol=EXACT)
    np.testing.assert_allclose(told["standard_error"], wanted.bse, rtol=1e-5)


@pytest.mark.parametrize(
    ("frame", "changed"),
    [(clinic, {}), (diabetes, {})],  # bench/quality.py has all of them
)
def test_one_silo_three_or_ten_make_the_same_coefficients(tmp_path: Path, frame: Any, changed: Any) -> None:
    found = []
    for clients in (1, 3, 10):
        table = split(tmp_path / str(clients), frame(), clients=clients, plain=True, **changed)
        assert table.run(validation=0.0)["stopped"] == "converged"
        found.append(table.coefficients())
    np.testing.assert_allclose(found[1], found[0], rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(found[2], found[0], rtol=EXACT, atol=EXACT)


def reference(table: Any) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """scikit-learn's own pipeline of the clinic's table, on the cells as pandas reads them."""
    rows = table.trained_on(clinic())
    x = pd.DataFrame(
        {
            "age": pd.to_numeric(rows["age"], errors="coerce"),
            "cost": np.log1p(rows["cost"].astype(float)),
            "visits": rows["visits"].astype(float).where(rows["visits"].astype(float) >= 0),
            "born": (pd.Timestamp("2020-01-01") - pd.to_datetime(rows["born"], errors="coerce")).dt.days,
            "sex": rows["sex"],
            "site": rows["site"].where(rows["site"] != "NA", np.nan),
            "site absent": (rows["site"] == "NA").astype(float),
        }
    )
    names = ["bone, soft", "colon", "lung", "skin"]
    levels = OneHotEncoder(categories=[names], drop="first", sparse_output=False)
    encode = make_column_transformer(
        (SimpleImputer(add_indicator=True), ["age", "visits", "born"]),
        ("passthrough", ["cost"]),
        (OneHotEncoder(drop="first", sparse_output=False), ["sex"]),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), levels), ["site"]),
        ("passthrough", ["site absent"]),
    )
    return encode, x, rows


def test_a_table_with_all_that_is_usual_is_scikit_learns_pipeline(tmp_path: Path) -> None:
    table = split(tmp_path, clinic())
    report = table.run(validation=0.0)
    assert (report["verdict"], report["privacy"]["updates"]) == ("COMPLETE", "sums")
    encode, x, rows = reference(table)
    z = StandardScaler().fit_transform(encode.fit_transform(x))
    pooled = LogisticRegression(**LOGISTIC).fit(z, rows["outcome"])
    ours = table.model().predict_proba(rows[[c for c in rows if c != "outcome"]])
    np.testing.assert_allclose(ours, pooled.predict_proba(z), atol=EXACT)
    assert list(table.model().classes_) == ["no", "yes"]


LOADED = """
import sys, joblib, numpy as np, pandas as pd
model, whole = joblib.load(sys.argv[1]), pd.read_csv(sys.argv[2])
texts = pd.read_csv(sys.argv[2], dtype=str, keep_default_na=False)
a = model.predict_proba(whole[whole.columns[::-1]])
np.testing.assert_array_equal(a, model.predict_proba(texts))
rows = texts[[c for c in texts if c not in ("patient_id", "outcome")]].to_numpy(dtype=object)
np.testing.assert_array_equal(a, model.predict_proba(rows))
assert set(model.predict(whole)) == {"no", "yes"}
whole.loc[0, "site"] = "a site that nobody has seen"
assert model.predict_proba(whole[:1]).shape == (1, 2)
assert not [name for name in sys.modules if name.split(".")[0] in ("runtime", "rehearsal", "flwr")]
"""


def test_the_model_takes_raw_rows_and_loads_without_anything_of_ours(tmp_path: Path) -> None:
    table = split(tmp_path, clinic())
    table.run()
    command = [
        sys.executable,
        "-I",
        "-c",
        LOADED,
        str(table.folder / "out/model.joblib"),
        str(tmp_path / "table.csv"),
    ]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)


def test_a_level_that_a_silo_lacks_breaks_and_misaligns_nothing(tmp_path: Path) -> None:
    """Silos by site: each has levels that the others lack, and the columns are the schema's."""
    frame = clinic().sort_values("site").reset_index(drop=True)
    table = split(tmp_path, frame, plain=True, how=Split.LABEL)
    for name, level in zip(table.silos.silos, ("lung", "skin", "colon"), strict=True):
        path = table.folder / f"{name}.csv"
        rows = pd.read_csv(path, keep_default_na=False, dtype=str)
        rows.loc[rows["site"] != level, "site"] = "NA"
        rows.to_csv(path, index=False)
    report = table.run(validation=0.0)
    told = {row["term"]: row["coefficient"] for row in report["coefficients"]["rows"]}
    assert {"site=colon", "site=lung", "site=skin", "site=(other)", "site missing"} <= told.keys()
    encode, x, rows = reference(table)
    pooled = make_pipeline(encode, StandardScaler(), LogisticRegression(**LOGISTIC))
    ours = table.model().predict_proba(rows[[c for c in rows if c != "outcome"]])
    np.testing.assert_allclose(ours, pooled.fit(x, rows["outcome"]).predict_proba(x), atol=EXACT)


def test_class_weights_are_those_of_all_silos_labels(tmp_path: Path) -> None:
    table = split(tmp_path, breast_cancer(), how=Split.LABEL, plain=True)
    table.run(validation=0.0, class_weight="balanced")
    rows = table.trained_on(breast_cancer())
    z = StandardScaler().fit_transform(logged(rows, table))
    pooled = LogisticRegression(class_weight="balanced", **LOGISTIC).fit(z, rows["target"] == "M")
    np.testing.assert_allclose(table.coefficients(), np.append(pooled.coef_, pooled.intercept_), atol=EXACT)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"model": "trees"}, "cannot learn the task linear"),
        ({"model": "logistic"}, "cannot learn the task linear"),
        ({"smote": True}, "makes rows between rows"),
    ],
)
def test_what_cannot_learn_the_task_says_so(tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    table = split(tmp_path, diabetes(), plain=True)
    with pytest.raises(FedstackError, match=why):
        table.run(**settings)
