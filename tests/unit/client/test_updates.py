from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.updates import MAX_SAMPLES, UpdateRefusedError, check_samples, check_update

MODEL = {"coef": np.zeros((1, 3)), "intercept": np.zeros(1)}


def update(**changed: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    return {"coef": np.ones((1, 3)), "intercept": np.ones(1)} | changed


def test_an_update_of_the_models_form_passes() -> None:
    check_update(update(), MODEL)
    check_update(update(coef=np.asfortranarray([[1.0, -1e300, 5e-324]])), MODEL)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@given(at=st.integers(0, 2))
def test_one_value_that_is_not_finite_is_enough(value: float, at: int) -> None:
    coef = np.ones((1, 3))
    coef[0, at] = value
    with pytest.raises(UpdateRefusedError, match="'coef' has 1 NaN or infinite values of 3"):
        check_update(update(coef=coef), MODEL)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (1, 2), (1, 4), (0,), (), (1, 3, 1)])
def test_another_shape_is_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(UpdateRefusedError, match="'coef' has shape") as raised:
        check_update(update(coef=np.ones(shape)), MODEL)
    assert str(raised.value).endswith(f"has shape {shape}, expected (1, 3)")


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", ">f8", "int64", "bool", "complex128", "U1", "object"]
)
def test_another_dtype_is_refused_by_name(dtype: str) -> None:
    with pytest.raises(UpdateRefusedError, match="'intercept' has dtype"):
        check_update(update(intercept=np.ones(1).astype(dtype)), MODEL)


@pytest.mark.parametrize(
    "names", [(), ("coef",), ("coef", "intercept", "more"), ("Coef", "intercept"), ("coef", "intercept ")]
)
def test_other_names_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(UpdateRefusedError, match="expected \\['coef', 'intercept'\\]"):
        check_update({name: np.ones((1, 3)) for name in names}, MODEL)


@pytest.mark.parametrize("samples", [1, 5_500, MAX_SAMPLES])
def test_a_number_of_rows(samples: int) -> None:
    assert check_samples(samples) == samples


@pytest.mark.parametrize(
    "samples", [0, -1, MAX_SAMPLES + 1, 1.0, float("nan"), True, None, "5", [5], np.int64(5)]
)
def test_what_is_no_number_of_rows_is_refused(samples: object) -> None:
    with pytest.raises(UpdateRefusedError, match="num-examples is"):
        check_samples(samples)
