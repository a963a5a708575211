"""Many calls at a time, and never more than a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, TypeVar

AT_ONCE: Final = 16
"""Calls of AWS that one process has on their way: each waits, and hardly one computes."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(
    call: Callable[[Item], Result],
    items: Iterable[Item],
    most: int = AT_ONCE,
    *,
    executor: Callable[[int], Executor] = ThreadPoolExecutor,
) -> Iterator[Result]:
    """Yield what each call returns, in the order of the items, each as soon as those before it are there.

    A call that raises ends it all: what must not be lost with another's failure is returned, not raised.

    Parameters
    ----------
    most
        How many calls there are at a time.
    executor
        What runs them, given that number: threads, for calls that wait; processes, for those that compute.
    """
    listed = list(items)
    if not listed:
        return
    pool = executor(min(most, len(listed)))
    try:
        yield from pool.map(call, listed)
    finally:  # stopped or failed half way, what has not begun does not begin
        pool.shutdown(cancel_futures=True)
