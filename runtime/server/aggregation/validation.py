"""What stands between a client's reply and the global model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, Message

from runtime.errors import gist, printable
from runtime.server.aggregation.replies import arrays_of, metrics_of, view
from runtime.updates import UpdateRefusedError, check_samples, check_update

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Sorted:
    """Replies that may be used, and why each of the others may not, by node."""

    accepted: list[Message]
    refused: Mapping[int, str]
    summed: list[Message] = field(default_factory=list)
    """The one reply that stands for all that were accepted, where these were added up as they came."""
    sizes: Mapping[int, int] = field(default_factory=dict)
    """How many bytes the reply of each node was, accepted or not."""


@dataclass(frozen=True)
class Expected:
    """What an update must look like.

    Parameters
    ----------
    like
        The names of its arrays and, where the size is fixed, one of the right shapes and dtypes.
    check
        Called as `check(update, like)`; raises UpdateRefusedError.
    fixed_size
        Whether it takes exactly the bytes that `like` does.
    """

    like: ArrayRecord
    check: Callable[[Arrays, Arrays], None] = check_update
    fixed_size: bool = True


def sort_replies(
    replies: Iterable[Message],
    metrics: frozenset[str],
    expected: Expected | None = None,
    *,
    undefined: frozenset[str] = frozenset(),
) -> Sorted:
    """Sort replies by node, so that sums do not depend on who was faster, and set bad ones aside.

    Parameters
    ----------
    metrics
        The metrics that a reply must have, no less and no more: what a client says is a way out, too.
    expected
        What an update must look like; None for replies that carry none.
    undefined
        Metrics that may be NaN.
    """
    accepted, refused = [], {}
    for reply in sorted(replies, key=lambda reply: reply.metadata.src_node_id):
        try:
            check_reply(reply, metrics, expected, undefined=undefined)
        except UpdateRefusedError as error:
            refused[reply.metadata.src_node_id] = printable(error)
        else:
            accepted.append(reply)
    return Sorted(accepted, refused)


def reason_of(reply: Message) -> str:
    """Return why an error reply is one, as far as a client's words can be shown."""
    return printable(gist(str(reply.error.reason)))


def decoded(record: Mapping[str, Array]) -> dict[str, npt.NDArray[Any]]:
    """Decode arrays that a client sent, to be read only, or refuse them."""
    arrays = {}
    for name, array in record.items():
        try:
            arrays[name] = view(array)
        except Exception as error:  # numpy raises many kinds for a malformed header, MemoryError among them
            raise UpdateRefusedError(f"{name!r} cannot be decoded: {error}") from error
        if not isinstance(arrays[name], np.ndarray):
            raise UpdateRefusedError(f"{name!r} cannot be decoded: it is an archive")
    return arrays


def check_reply(
    reply: Message,
    names: frozenset[str],
    expected: Expected | None = None,
    *,
    undefined: frozenset[str] = frozenset(),
) -> None:
    """Refuse (UpdateRefusedError) an error, and a reply that is not what it should be."""
    if reply.has_error():
        raise UpdateRefusedError(reason_of(reply))
    records = metrics_of(reply.content)
    if list(records) != ["metrics"]:
        raise UpdateRefusedError(f"the metrics are {list(records)}, expected ['metrics']")
    metrics = records["metrics"]
    if metrics.keys() != names:
        raise UpdateRefusedError(f"the metrics are {sorted(metrics)}, expected {sorted(names)}")
    if "num-examples" in names:
        check_samples(metrics.get("num-examples"))
    for name, value in metrics.items():
        nan = name in undefined and isinstance(value, float) and math.isnan(value)
        if not (isinstance(value, (int, float)) and math.isfinite(value)) and not nan:
            raise UpdateRefusedError(f"the metric {name!r} is {value!r}, expected a finite number")
    if expected is not None:
        _check_arrays(arrays_of(reply.content), expected)


def _check_arrays(records: Mapping[str, ArrayRecord], expected: Expected) -> None:
    if list(records) != ["arrays"]:
        raise UpdateRefusedError(f"the array records are {list(records)}, expected ['arrays']")
    update, like = records["arrays"], expected.like
    for name, array in update.items():
        # The same shape and dtype take the same bytes: what is longer is not even decoded.
        if expected.fixed_size and name in like and len(array.data) != len(like[name].data):
            raise UpdateRefusedError(
                f"{name!r} is {array.dtype} of shape {array.shape} in {len(array.data):,} bytes, expected "
                f"{like[name].dtype} of shape {like[name].shape} in {len(like[name].data):,}"
            )
    if list(update) != list(like):  # some strategies go by the order
        raise UpdateRefusedError(f"the arrays are {list(update)}, expected {list(like)}")
    expected.check(decoded(update), {name: view(array) for name, array in like.items()})
