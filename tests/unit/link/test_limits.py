from __future__ import annotations

import resource
import socket

import pytest

from runtime.link import limits
from runtime.link.limits import STREAM_BURST, STREAM_PAUSE_SECONDS, STREAMS_EACH, StreamLimit


class Clock:
    """Time that passes when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_client_has_two_streams_at_a_time_and_the_others_theirs() -> None:
    limit = StreamLimit()
    assert [limit.enter("clinic") for _ in range(STREAMS_EACH)] == [""] * STREAMS_EACH
    assert limit.enter("clinic") == "it has 2 streams already"
    assert limit.enter("insurer") == ""
    limit.leave("clinic")
    assert limit.enter("clinic") == ""


def test_a_client_that_comes_back_without_end_is_slowed_down() -> None:
    clock = Clock()
    limit = StreamLimit(clock)

    def comes_and_goes() -> str:
        if not (refusal := limit.enter("clinic")):
            limit.leave("clinic")
        return refusal

    assert {comes_and_goes() for _ in range(STREAM_BURST)} == {""}
    assert comes_and_goes() == "it came back 60 times; more is once in 5 s"
    assert limit.enter("insurer") == ""
    clock.now += STREAM_PAUSE_SECONDS
    assert comes_and_goes() == ""
    assert comes_and_goes() != ""
    clock.now += 1_000_000
    assert [comes_and_goes() for _ in range(STREAM_BURST + 1)].count("") == STREAM_BURST


@pytest.mark.parametrize(
    ("files", "clients", "connections"),
    [
        (65_536, 3, limits.MOST_CONNECTIONS + 6),
        (1024, 3, 1024 - limits.SPARE_FILES - 3),
        (65_536, 10_000, limits.MOST_CONNECTIONS + 20_000),
        (64, 3, limits.LEAST_CONNECTIONS),
    ],
)
def test_connections_leave_files_for_everything_else(files: int, clients: int, connections: int) -> None:
    assert limits.connections_for(files, clients) == connections


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ((1024, 4096), 4096),
        ((1024, resource.RLIM_INFINITY), limits.MOST_OPEN_FILES),
        ((1024, 1_000_000), limits.MOST_OPEN_FILES),
        ((4096, 4096), None),
        ((100_000, resource.RLIM_INFINITY), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_the_soft_limit_of_open_files_is_raised_and_never_lowered(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], wanted: int | None
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: before)
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: told.append(both))
    now = limits.raise_file_limit()
    assert told == ([] if wanted is None else [(wanted, before[1])])
    unlimited = limits.MOST_OPEN_FILES if before[0] == resource.RLIM_INFINITY else before[0]
    assert now == (unlimited if wanted is None else wanted)


def test_a_system_that_does_not_let_it_be_raised_is_lived_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert limits.raise_file_limit() == 256


def test_connections_are_counted_among_the_open_files() -> None:
    before = limits.open_files()
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_connection(one.getsockname()):
        assert limits.open_files() >= before + 2
