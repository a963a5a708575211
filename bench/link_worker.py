"""The processes of a measurement of our link: a server, and hosts of clients in threads."""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp.strategy import FedAvg

from bench import echo, sums
from bench.child import Marks, Usage, forget_peak, memory_mb, say, told
from runtime.link import exchange, flower, identity, server
from runtime.link.client import LinkClient, handle_with
from runtime.link.grid import LinkGrid
from runtime.link.wire import Kind
from runtime.server import memory
from runtime.server.aggregation.running import RunningMean
from runtime.server.aggregation.validation import Expected, check_reply, sort_replies
from runtime.tabular.server import plain_round
from runtime.tabular.strategies.mean import Mean

RUN_SECONDS: Final = 1200.0
JOIN_SECONDS: Final = 60.0
LARGEST_REPLY: Final = 8 * 10**9
LOSSES: Final = frozenset({"lost", "left", "missed", "refused", "set_aside"})
"""What the link tells of a client that was not there, if only for a moment, or whose reply was not used."""


def serve() -> None:
    """Listen for the clients whose certificates come as the first order, and do the second."""
    memory.give_back()
    order = told()
    certificates = {name: pem.encode() for name, pem in order["certificates"].items()}
    own = identity.make_identity(identity.SERVER_NAME, RUN_SECONDS)
    members = exchange.Exchange(list(certificates), largest_reply=LARGEST_REPLY)
    listener = server.LinkServer(members, own, list(certificates), RUN_SECONDS)
    listener.start("127.0.0.1:0")
    listener.trust(certificates)
    say(address=listener._address, fingerprint=own.fingerprint)
    deadline = time.monotonic() + JOIN_SECONDS
    while len(members.node_ids()) < len(certificates):
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {members.presences()} came")
        time.sleep(0.05)
    grid = LinkGrid(members, min_clients=len(certificates), patience_seconds=300)
    work, lost = told(), set[str]()
    members.watch(lambda kind, client="", **_: lost.add(client) if kind in LOSSES else None)
    if "rounds" in work:
        usage = Usage()
        play = rounds_of_ours if work.get("mean") else echo.play
        say(**usage.figures(play(grid, len(certificates), work["rounds"])), lost=len(lost))
    elif "sums" in work:
        say(**sums.play(grid, list(certificates), work["sums"]), lost=len(lost))
    else:
        say(**carry(grid, members.node_ids(), work["mb"], work["repeats"]))
    members.end(Kind.END)
    listener.stop()


def host() -> None:
    """Run clients, each in a thread of its own, until the server ends the run."""
    order = told()
    own = {name: identity.make_identity(name, RUN_SECONDS) for name in order["names"]}
    say(certificates={name: one.certificate.decode() for name, one in own.items()})
    place = told()
    threads = []
    for name, one in own.items():
        policy = order.get("policies", {}).get(name)
        context = Context(1, flower.number_of(name), policy or {}, RecordDict(), {})
        client = LinkClient(
            place["address"],
            place["fingerprint"],
            one,
            handle_with(sums.client if policy else echo.client, context),
            run_seconds=RUN_SECONDS,
        )
        threads.append(threading.Thread(target=client.run))
        threads[-1].start()
    for thread in threads:
        thread.join()
    say(cpu=time.process_time())


def rounds_of_ours(grid: LinkGrid, clients: int, rounds: int) -> Marks:
    """Play rounds as the built-in app does with FedAvg: updates are checked and added up as they come."""
    logging.getLogger("flwr").setLevel(logging.WARNING)
    strategy, marks = Mean(1.0, 1.0, clients, clients, clients), Marks()
    arrays = ArrayRecord({name: Array(array) for name, array in echo.MODEL.items()})
    for number in range(rounds):
        expected, told = Expected(arrays), frozenset({"num-examples"})
        check = functools.partial(check_reply, names=told, expected=expected)
        sent = list(strategy.configure_train(number, arrays, ConfigRecord({}), grid))
        updates = plain_round.exchange(grid, sent, 300.0, check, RunningMean())
        mean, _ = strategy.aggregate_train(number, updates.summed)
        sent = list(strategy.configure_evaluate(number, arrays, ConfigRecord({}), grid))
        scores = sort_replies(grid.send_and_receive(sent), told | {"loss"})
        strategy.aggregate_evaluate(number, scores.accepted)
        marks.round_ended()
        if mean is None or updates.refused or scores.refused:
            raise RuntimeError(f"{updates.refused} {scores.refused}")
        arrays = mean
    return marks


def carry(grid: LinkGrid, nodes: list[int], mb: int, repeats: int) -> dict[str, Any]:
    """Send an array down and back up; return seconds and the memory that this process needed.

    To time the way up alone the request is tiny, so a reply may be as large as an app can declare.
    """
    small = ArrayRecord({"payload": Array(np.zeros(1))})
    for arrays in (small, small):
        _ask(grid, nodes, "keep", arrays)
        _ask(grid, nodes, "give", None)
    baseline = memory_mb("VmRSS")
    payload = ArrayRecord({"payload": Array(np.ones(mb * 125_000))})
    forget_peak()
    down = [_ask(grid, nodes, "keep", payload)[0] for _ in range(repeats)]
    up = [_ask(grid, nodes, "give", None)[0] for _ in range(repeats)]
    peak = memory_mb("VmHWM")
    forget_peak()
    folded = [_fold(grid, nodes) for _ in range(repeats)]
    folded_peak = memory_mb("VmHWM")
    replies = _ask(grid, nodes, "give", None)[1]
    FedAvg().aggregate_train(1, replies)
    return {
        "down": down,
        "up": up,
        "folded": folded,
        "baseline": baseline,
        "peak": peak,
        "folded_peak": folded_peak,
        "flower_peak": memory_mb("VmHWM"),
    }


def _fold(grid: LinkGrid, nodes: list[int]) -> float:
    """Have the arrays back and their mean, as the built-in app's rounds do; return the seconds."""
    started = time.perf_counter()
    sent = [Message(RecordDict(), node, "query.give") for node in nodes]
    updates = plain_round.exchange(grid, sent, 300.0, lambda _: None, RunningMean())
    record, _ = Mean().aggregate_train(1, updates.summed)
    if len(updates.accepted) != len(nodes) or record is None:
        raise RuntimeError(str(updates.refused))
    return time.perf_counter() - started


def _ask(
    grid: LinkGrid, nodes: list[int], query: str, arrays: ArrayRecord | None
) -> tuple[float, list[Message]]:
    content = RecordDict({"arrays": arrays} if arrays else {})
    started = time.perf_counter()
    replies = list(grid.send_and_receive([Message(content, node, f"query.{query}") for node in nodes]))
    seconds = time.perf_counter() - started
    for reply in replies:
        if reply.has_error():
            raise RuntimeError(reply.error.reason)
    return seconds, replies


if __name__ == "__main__":
    {"serve": serve, "host": host}[sys.argv[1]]()
