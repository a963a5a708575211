"""What clients answer to the steps of secure aggregation, looked at before it is used or passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flwr.app import ConfigRecord

from runtime.privacy import masking

PAIRS: Final[Mapping[str, list[tuple[str, str]]]] = {
    "share": [("nodes", "shares")],
    "confirm": [("nodes", "tags")],
    "unmask": [("survivors", "seed-shares"), ("dropped", "key-shares")],
}
FIELDS: Final = {"advertise": {"cipher-key", "mask-key"}} | {
    step: {name for pair in pairs for name in pair} | ({"commitment"} if step == "share" else set())
    for step, pairs in PAIRS.items()
}
"""What the answer to each step holds."""


def sound(step: str, said: ConfigRecord) -> bool:
    """Tell whether an answer has the fields of its step, so that no client can break a sum by its form."""
    if said.keys() != FIELDS[step]:
        return False
    if step == "advertise":
        return all(isinstance(key, bytes) and masking.is_public(key) for key in said.values())
    return isinstance(said.get("commitment", b""), bytes) and all(
        _listed(said[numbers], int)
        and _listed(said[blobs], bytes)
        and len(ids(said[numbers])) == len(items(said[blobs]))
        for numbers, blobs in PAIRS[step]
    )


def _listed(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(type(one) is kind for one in value)


def for_one(node: int, said: Mapping[int, ConfigRecord], what: str) -> dict[str, Any]:
    """Return what the other clients said for one client to hear."""
    mine = {
        peer: dict(zip(ids(one["nodes"]), items(one[what]), strict=True)).get(node, b"")
        for peer, one in said.items()
        if peer != node
    }
    return {"nodes": list(mine), what: list(mine.values())}


def ids(value: Any) -> list[int]:
    """Return a list of numbers of an answer that is sound."""
    return list(value)


def items(value: Any) -> list[bytes]:
    """Return a list of bytes of an answer that is sound."""
    return list(value)
