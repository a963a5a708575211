"""A committed snapshot of each stack of the example; `make snapshots` writes them anew.

Not of west and its peer: they differ from north and south in names and addresses only.
"""

from __future__ import annotations

import pytest
from assembly import NORTH, PEER_NORTH, PEER_SOUTH, SERVER, SOUTH, Template, masked
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension


@pytest.mark.parametrize("stack", [SERVER, NORTH, SOUTH, PEER_NORTH, PEER_SOUTH])
def test_template(templates: dict[str, Template], stack: str, snapshot: SnapshotAssertion) -> None:
    assert masked(templates[stack]) == snapshot(extension_class=JSONSnapshotExtension)
