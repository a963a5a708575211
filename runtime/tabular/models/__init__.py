"""The models, each a file of this folder: adding one is adding a file (see docs/how-to.md)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from runtime.tabular.models.base import (
    Arrays,
    Fit,
    Model,
    as_pipeline,
    fit_alone,
    predict,
    predict_raw,
    standardise,
)

HELPERS = frozenset({"base", "raw_rows", "linear_model"})

__all__ = [
    "Arrays",
    "Fit",
    "Model",
    "as_pipeline",
    "fit_alone",
    "load",
    "names",
    "predict",
    "predict_raw",
    "standardise",
]


@cache
def names() -> tuple[str, ...]:
    """Return the names of all models."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name not in HELPERS))


@cache
def load(name: str) -> Model:
    """Return a model by its name; what it is built with is imported only now."""
    model: Model = importlib.import_module(f"{__name__}.{name}").MODEL
    return model
