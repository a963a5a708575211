"""What a strategy keeps from round to round, as arrays for the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import Strategy

from runtime.tabular.strategies.fednewton import FedNewton
from runtime.tabular.strategies.histogram import Histogram

State = Mapping[str, npt.NDArray[Any]]
KEPT: Final = ("momentum_vector", "m_t", "v_t", "current_arrays")
"""Where Flower's strategies keep something: FedAvgM, FedAdagrad, FedAdam and FedYogi do."""


def state_of(strategy: Strategy) -> State:
    """Return a strategy's state, each array named by attribute and key."""
    if isinstance(strategy, FedNewton | Histogram):
        return strategy.state()
    state: dict[str, npt.NDArray[Any]] = {}
    for name in KEPT:
        kept = getattr(strategy, name, None)
        if isinstance(kept, ArrayRecord):
            state |= {f"{name}.record.{key}": array.numpy() for key, array in kept.items()}
        elif isinstance(kept, dict):
            state |= {f"{name}.dict.{key}": np.asarray(array) for key, array in kept.items()}
        elif isinstance(kept, list):
            state |= {f"{name}.list.{key}": np.asarray(array) for key, array in enumerate(kept)}
    return state


def restore(strategy: Strategy, state: State) -> None:
    """Give a new strategy the state of an earlier one of its kind."""
    if isinstance(strategy, FedNewton | Histogram):
        strategy.restore(state)
        return
    found: dict[tuple[str, str], dict[str, npt.NDArray[Any]]] = {}
    for name, array in state.items():
        attribute, kind, key = name.split(".", 2)
        found.setdefault((attribute, kind), {})[key] = array
    for (attribute, kind), arrays in found.items():
        value: Any = arrays
        if kind == "record":
            value = ArrayRecord({key: Array(array) for key, array in arrays.items()})
        elif kind == "list":
            value = [arrays[str(position)] for position in range(len(arrays))]
        setattr(strategy, attribute, value)
