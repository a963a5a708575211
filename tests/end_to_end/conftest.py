"""Fixtures of whole federations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rehearsal.link.place import Place
from rehearsal.link.processes import Federation

ROUNDS = 4


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Three clients whose silos differ by the size of the providers."""
    return Place(tmp_path)


@pytest.fixture
def federation(place: Place) -> Iterator[Federation]:
    """Processes that are gone when the test is."""
    with closing(Federation(place)) as federation:
        yield federation


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that nothing disturbed: what the others are compared with."""
    with closing(Federation(Place(tmp_path_factory.mktemp("whole")))) as federation:
        server = federation.server(f"--rounds={ROUNDS}")
        clients = federation.clients()
        assert server.end() == 0, server.text
        assert [client.end() for client in clients.values()] == [0, 0, 0]
        (federation.place.root / "ended").write_text("server and clients exited with 0\n")
    return federation.place
