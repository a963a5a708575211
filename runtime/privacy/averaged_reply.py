"""A reply of any Flower app as the vector that is summed, and the reply that the sum stands for.

Strategies average arrays and metrics by `num-examples`: so does a sum in which each was multiplied by it.
What the numbers are (names, shapes, dtypes) travels beside the masked vector and is the same for all members.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from runtime.privacy.fixed_point import Vector

WEIGHT: Final = "num-examples"
"""What Flower's strategies weigh replies by."""

LONGEST_LAYOUT: Final = 1_000_000
"""Characters of a layout at most."""

Layout = list[tuple[str, str, list[list[Any]]]]
"""For each record: `arrays` or `metrics`, its name, and for each value its name, dtype and shape."""


class NotAveragedError(ValueError):
    """A reply that is no average, with the reason."""


def weight_of(content: RecordDict) -> int:
    """Return how many examples a reply is from; a reply that does not say so cannot be averaged."""
    told = [record[WEIGHT] for record in content.metric_records.values() if WEIGHT in record]
    if len(told) != 1 or type(told[0]) is not int or told[0] < 0:
        raise NotAveragedError(f"it needs one metric {WEIGHT!r}, a whole number")
    return told[0]


def pack(content: RecordDict) -> tuple[Vector, Layout]:
    """Return a reply as a vector: the weight, and every number times the weight.

    Raises
    ------
    NotAveragedError
        When a record holds something that has no mean.
    """
    weight, layout, parts = weight_of(content), [], [np.zeros(1)]
    parts[0][0] = weight
    if content.config_records and any(len(record) for record in content.config_records.values()):
        raise NotAveragedError(f"its config records {sorted(content.config_records)} have no mean")
    for name, arrays in content.array_records.items():
        values = {key: array.numpy() for key, array in arrays.items()}
        layout.append(("arrays", name, [_described(key, value) for key, value in values.items()]))
        parts += [value.ravel().astype(np.float64) for value in values.values()]
    for name, metrics in content.metric_records.items():
        numbers = {key: np.asarray(value) for key, value in metrics.items() if key != WEIGHT}
        described = [_described(key, value) for key, value in numbers.items()]
        if WEIGHT in metrics:
            described.insert(list(metrics).index(WEIGHT), [WEIGHT, "", []])
        layout.append(("metrics", name, described))
        parts += [value.ravel().astype(np.float64) for value in numbers.values()]
    vector = np.concatenate(parts)
    vector[1:] *= weight
    if not np.isfinite(vector).all():
        raise NotAveragedError("some of its numbers are not finite")
    return vector, layout


def length_of(layout: Layout) -> int:
    """Return how long the vector of a reply with such a layout is."""
    return 1 + sum(math.prod(shape) for _, _, values in layout for _, dtype, shape in values if dtype)


def unpack(layout: Layout, total: Vector) -> RecordDict:
    """Return the reply that the sum of several stands for: their mean, weighted by their examples."""
    weight = round(float(total[0]))
    if weight <= 0:
        raise NotAveragedError(f"the members' {WEIGHT} add up to {weight}")
    mean, place, content = total / weight, 1, RecordDict()
    for kind, name, values in layout:
        found: dict[str, npt.NDArray[Any]] = {}
        for key, dtype, shape in values:
            if not dtype:
                found[key] = np.array(weight)
                continue
            part = mean[place : place + math.prod(shape)].reshape(shape)
            place += math.prod(shape)
            whole = kind == "arrays" and np.dtype(dtype).kind in "iu"
            value = np.asarray(np.rint(part) if whole else part)
            found[key] = value.astype(dtype if kind == "arrays" else np.float64)
        if kind == "arrays":
            content[name] = ArrayRecord({key: Array(value) for key, value in found.items()})
        else:
            content[name] = MetricRecord({key: value.tolist() for key, value in found.items()})
    return content


def write(layout: Layout) -> str:
    """Return a layout as it travels."""
    return json.dumps(layout)


def read(text: str) -> Layout:
    """Read a layout that a peer sent.

    Raises
    ------
    NotAveragedError
        When it is none.
    """
    try:
        if len(text) > LONGEST_LAYOUT:
            raise NotAveragedError("its layout is too long")
        layout: Layout = [
            (
                kind,
                str(name),
                [[str(key), _numeric(dtype), [_size(n) for n in shape]] for key, dtype, shape in values],
            )
            for kind, name, values in json.loads(text)
        ]
    except (ValueError, TypeError, RecursionError) as error:
        raise NotAveragedError(f"its layout cannot be read: {type(error).__name__}") from None
    if {kind for kind, _, _ in layout} - {"arrays", "metrics"}:
        raise NotAveragedError("its layout has other records than arrays and metrics")
    return layout


def _described(name: str, value: npt.NDArray[Any]) -> list[Any]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fi":
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise NotAveragedError(f"{name!r} is {kind}, which has no mean")
    return [name, value.dtype.str, list(value.shape)]


def _numeric(dtype: Any) -> str:
    if dtype and np.dtype(dtype).kind not in "fi":
        raise ValueError(dtype)
    return str(dtype)


def _size(length: Any) -> int:
    if type(length) is not int or length < 0:
        raise ValueError(length)
    return length
