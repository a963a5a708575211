"""Many at a time: bounded, in order, and without losing one for another."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from runtime.parallel import at_once
from runtime.server.preflight.findings import Check, Owner, Problem, Status, each, run

ME = Owner("server", "1", is_server=True)


def test_no_more_run_at_a_time_than_the_bound_and_results_come_in_the_order_of_the_items() -> None:
    here, most, lock, full = [0], [0], threading.Lock(), threading.Barrier(4)

    def call(number: int) -> int:
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        full.wait(30)  # 40 items, four at a time: it opens ten times, and for fewer never
        with lock:
            here[0] -= 1
        return number * number

    assert list(at_once(call, range(40), 4)) == [number * number for number in range(40)]
    assert most == [4]
    assert list(at_once(call, [])) == []


def test_what_has_not_begun_when_one_raises_does_not_begin() -> None:
    begun: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        list(at_once(call, range(1000), 1))
    assert len(begun) < 1000


def test_checks_at_a_time_are_told_in_their_order_and_each_waits_for_those_that_decide() -> None:
    there = threading.Barrier(3)

    def together(_: None) -> Iterator[Problem | str]:
        there.wait(30)
        yield "seen"

    def broken(_: None) -> Iterator[Problem | str]:
        there.wait(30)
        raise RuntimeError("odd answer")
        yield ""

    def bad_clock(_: None) -> Iterator[Problem | str]:
        yield Problem(ME, "wrong", "Set it.")

    others = [Check("b", together), Check("a", broken), Check("c", together)]
    told = [(found.check, found.status) for found in run(others, None, ME, 3)]
    assert told == [("b", Status.OK), ("a", Status.FAIL), ("c", Status.OK)]
    stopped = list(run([Check("clock", bad_clock, decides=True), *others], None, ME, 3))
    assert [found.status for found in stopped] == [Status.FAIL, *[Status.NOT_CHECKED] * 3]


def test_what_aws_refuses_for_one_client_hides_nothing_of_the_others() -> None:
    def look(name: str) -> Iterator[Problem | str]:
        if name == "b":
            yield "b: half"
            raise ClientError({"Error": {"Code": "Whatever", "Message": "no"}}, "GetObject")
        yield f"{name}: fine"

    first, half, refused, last = each(look, ["a", "b", "c"], Owner)
    assert (first, half, last) == ("a: fine", "b: half", "c: fine")
    assert isinstance(refused, Problem)
    assert (refused.owner.name, "GetObject was answered with Whatever" in refused.cause) == ("b", True)
