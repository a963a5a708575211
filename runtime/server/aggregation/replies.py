"""Replies read without copies, so that a large one is let go of the moment it has been added up."""

from __future__ import annotations

import copy
import io
import math
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.lib import format as npy

PREFIX: Final = 10
"""Bytes of a .npy of version 1.0 before its header: the magic string, the version and the header's length."""

NUMPY: Final = "numpy.ndarray"


def arrays_of(content: RecordDict) -> dict[str, ArrayRecord]:
    """Return a content's array records.

    `content.array_records` is a copy that holds the content, and itself, in a cycle until the garbage
    collector comes by: so would these and the arrays in them be.
    """
    return {name: record for name, record in content.items() if isinstance(record, ArrayRecord)}


def metrics_of(content: RecordDict) -> dict[str, MetricRecord]:
    """Return a content's metric records; why so, `arrays_of` says."""
    return {name: record for name, record in content.items() if isinstance(record, MetricRecord)}


def configs_of(content: RecordDict) -> dict[str, ConfigRecord]:
    """Return a content's config records; why so, `arrays_of` says."""
    return {name: record for name, record in content.items() if isinstance(record, ConfigRecord)}


def without_arrays(reply: Message) -> Message:
    """Return a reply without its arrays' data: all that is needed of one that has been added up."""
    light, rest = copy.copy(reply), RecordDict()
    for name, record in reply.content.items():
        if not isinstance(record, ArrayRecord):
            rest[name] = record
    light.content = rest
    return light


def view(array: Array) -> npt.NDArray[Any]:
    """Return an array's numbers where they lie, to be read only; unusual files are read as Flower does.

    Raises
    ------
    Exception
        Of many kinds, for what is no array.
    """
    data = array.data
    if array.stype != NUMPY or data[:8] != npy.magic(1, 0):
        return array.numpy()
    start = PREFIX + int.from_bytes(data[8:PREFIX], "little")
    dtype, shape, fortran = _header(data[:start])
    if dtype.hasobject or any(length <= 0 for length in shape):
        return array.numpy()
    flat = np.frombuffer(data, dtype, math.prod(shape), start)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


@lru_cache(maxsize=256)
def _header(head: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Read the head of a file, which is the same for all arrays of a shape and dtype."""
    file = io.BytesIO(head)
    npy.read_magic(file)
    shape, fortran, dtype = npy.read_array_header_1_0(file)
    return dtype, shape, fortran
