"""Seconds per round with clients that do no training: our link, flwr 1.3.0, SuperLink, and the floor.

python -m bench.round_overhead [--json FILE] [--rounds N] [--repeats N] [--clients 2,3,10,30,100]

A round is train and evaluate through FedAvg's own loop; clients return the model (49 coefficients and an
intercept) as it came. The server is a process of its own; the clients are threads of two others, or of more
where each would have above 50. Times are taken in the server; the first round of a run does not count.
SuperLink has two nodes only and fewer rounds.
`mean` is the same round as the built-in app plays it, with updates checked and added up as they come; `sums`
is a round of FedNewton's update (a Hessian of 50 columns) under `updates: sums`, in one answer. For each: the
CPU seconds of the server's process in a round, its memory at its highest, and how many clients were lost.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from rich.progress import Progress
from rich.table import Table

from bench import echo, sums, superlink
from bench.old_flower import python_of_old_flower
from bench.tables import console, machine, save, verdict
from bench.workers import Worker, Workers
from runtime.contract import LEAST_COHORT
from runtime.link import flower, wire

HOSTS: Final = 2
CLIENTS_OF_A_HOST: Final = 50
"""At most: threads of one process wait for each other, which clients in processes of their own do not."""
PATIENCE: Final = 900.0
Run = dict[str, Any]
"""What one run told: `seconds` of each round, `cpu` of one, `peak` in MB, `lost` clients."""

Runs = dict[str, dict[int, list[Run]]]


def link(workers: Workers, clients: int, rounds: int) -> Run:
    """Measure our link, with mutual TLS."""
    return _with_certificates(workers, "link_worker", clients, {"rounds": rounds})


def mean_over_link(workers: Workers, clients: int, rounds: int) -> Run:
    """Measure our link with the built-in app's way to take a mean."""
    return _with_certificates(workers, "link_worker", clients, {"rounds": rounds, "mean": True})


def floor(workers: Workers, clients: int, rounds: int) -> Run:
    """Measure the link's bytes over bare gRPC streams, with mutual TLS."""
    return _with_certificates(
        workers, "raw_worker", clients, {"rounds": rounds, "exchanges": bytes_of_round()}
    )


def flwr_1_3(workers: Workers, clients: int, rounds: int) -> Run:
    """Measure flwr 1.3.0 without TLS, its best case."""
    python = python_of_old_flower()
    server = workers.module("flwr_1_3_worker", "serve", str(clients), str(rounds), python=python)
    address = server.hear()["address"]
    for names in names_per_host(clients):
        workers.module("flwr_1_3_worker", "host", python=python).tell(address=address, clients=len(names))
    return server.hear(PATIENCE)


def names_per_host(clients: int) -> list[list[str]]:
    """Deal the clients to the processes that host them."""
    names = [f"client-{number}" for number in range(clients)]
    hosts = max(HOSTS, -(-clients // CLIENTS_OF_A_HOST))
    return [names[at::hosts] for at in range(hosts)]


def sums_over_link(workers: Workers, clients: int, rounds: int) -> Run:
    """Measure sums over our link: the answer and its unmasking are two exchanges a round."""
    if clients < LEAST_COHORT:
        return {"seconds": []}
    with tempfile.TemporaryDirectory() as folder:
        policies = sums.policies(Path(folder), [name for host in names_per_host(clients) for name in host])
        server = introduce(workers, "link_worker", clients, policies=policies)
        server.tell(sums=rounds)
        return server.hear(PATIENCE)


def introduce(workers: Workers, module: str, clients: int, **more: Any) -> Worker:
    """Start a server and its hosts, each knowing the other's certificates; return the server."""
    server = workers.module(module, "serve")
    dealt = names_per_host(clients)
    hosts = [workers.module(module, "host") for _ in dealt]
    certificates: dict[str, str] = {}
    for host, names in zip(hosts, dealt, strict=True):
        host.tell(names=names, **more)
        certificates |= host.hear()["certificates"]
    server.tell(certificates=certificates)
    place = server.hear()
    for host in hosts:
        host.tell(**place)
    return server


def _with_certificates(workers: Workers, module: str, clients: int, work: dict[str, Any]) -> Run:
    server = introduce(workers, module, clients)
    server.tell(**work)
    return server.hear(PATIENCE)


def bytes_of_round() -> list[list[int]]:
    """Return the bytes down and up, per client, of the two exchanges that a round of the link has."""
    model = ArrayRecord({name: Array(array) for name, array in echo.MODEL.items()})
    flower.adopt_identity(1)
    node = flower.number_of("client-0")
    request = RecordDict({"arrays": model, "config": ConfigRecord({"server-round": 1})})
    trained = RecordDict({"arrays": model, "metrics": MetricRecord({"num-examples": 1})})
    scored = RecordDict({"metrics": MetricRecord({"num-examples": 1, "loss": 0.0})})
    exchanges = []
    for kind, content in (("train", trained), ("evaluate", scored)):
        message = Message(request, node, kind)
        flower.stamp(message, "message-1")
        both = (message, Message(content, reply_to=message))
        frames = [wire.message_frames("message-1", flower.to_parts(one)) for one in both]
        exchanges.append([sum(map(len, one)) for one in frames])
    return exchanges


SYSTEMS: Final[dict[str, Callable[[Workers, int, int], Run]]] = {
    "link": link,
    "mean": mean_over_link,
    "sums": sums_over_link,
    "flwr_1_3": flwr_1_3,
    "floor": floor,
}


def measure(clients: list[int], rounds: int, repeats: int, systems: list[str], superlink_rounds: int) -> Runs:
    """Run every system in turn, each first in its turn, so that what else the machine does hits all alike."""
    measured: Runs = {name: {n: [] for n in clients} for name in systems}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(clients) * repeats * len(systems) + bool(superlink_rounds))
        for n in clients:
            for turn in range(repeats):
                first = turn % len(systems)
                for name in systems[first:] + systems[:first]:
                    progress.update(task, description=f"{name}, {n} clients", advance=1)
                    with tempfile.TemporaryDirectory() as folder, Workers(Path(folder)) as workers:
                        measured[name][n].append(SYSTEMS[name](workers, n, rounds + 1))
        if superlink_rounds:
            progress.update(task, description="SuperLink, 2 nodes, tens of seconds per round", advance=1)
            with tempfile.TemporaryDirectory() as folder:
                seconds = superlink.seconds_per_round(Path(folder), superlink_rounds + 1)
                measured["superlink"] = {2: [{"seconds": seconds}]}
    return measured


def figures_of(measured: Runs) -> dict[str, Any]:
    """Reduce to medians, their ratios, the fastest round of each, and what it cost the server at most."""
    seconds = {
        name: {n: [one for run in runs for one in run["seconds"]] for n, runs in per_n.items()}
        for name, per_n in measured.items()
    }
    medians = {
        name: {str(n): round(statistics.median(s), 6) for n, s in per_n.items() if s}
        for name, per_n in seconds.items()
    }
    server = {
        key: {
            name: {str(n): round(max(told), 4) for n, runs in per_n.items() if (told := _told(runs, key))}
            for name, per_n in measured.items()
        }
        for key in ("cpu", "peak", "lost")
    }
    pairs = (("link", "flwr_1_3"), ("superlink", "link"), ("link", "floor"))
    ratios = {
        f"{a}/{b}": {n: round(s / medians[b][n], 3) for n, s in medians[a].items() if n in medians[b]}
        for a, b in pairs
        if a in medians and b in medians
    }
    fastest = {name: {str(n): round(min(s), 6) for n, s in per.items() if s} for name, per in seconds.items()}
    more = {"ratios": ratios, "fastest": fastest, "server": server, "bytes_per_client": bytes_of_round()}
    return {**medians, **more}


def _told(runs: list[Run], key: str) -> list[float]:
    return [run[key] for run in runs if key in run]


def show(figures: dict[str, Any], rounds: int) -> None:
    """Print the medians with what was asked for beside them."""
    table = Table(title=f"seconds per round, median of {rounds} rounds (fastest)", caption=machine())
    names = ("link", "mean", "sums", "flwr_1_3", "superlink", "floor")
    systems = [name for name in names if name in figures]
    for column in ("clients", *systems, "link / flwr_1_3 <= 1", "superlink / link >= 50"):
        table.add_column(column, justify="right")
    old, new = figures["ratios"].get("link/flwr_1_3", {}), figures["ratios"].get("superlink/link", {})
    for n in figures["link"]:
        cells = [
            f"{figures[name][n]:.4f} ({figures['fastest'][name][n]:.4f})" if n in figures[name] else ""
            for name in systems
        ]
        first = f"{old[n]:.2f} {verdict(old[n] <= 1)}" if n in old else ""
        second = f"{new[n]:.0f} {verdict(new[n] >= 50)}" if n in new else ""
        table.add_row(n, *cells, first, second)
    console.print(table)
    costs = Table(title="the server's CPU seconds in a round; its peak, MB; clients lost")
    for column in ("clients", *systems):
        costs.add_column(column, justify="right")
    for n in figures["link"]:
        told = [
            [figures["server"][key].get(name, {}).get(n) for key in ("cpu", "peak", "lost")]
            for name in systems
        ]
        costs.add_row(n, *("; ".join(f"{one:g}" for one in row if one is not None) for row in told))
    console.print(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--rounds", type=int, default=20, help="rounds per run that count")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each")
    parser.add_argument("--clients", default="2,3,10,30,100", help="how many clients, in turn")
    parser.add_argument(
        "--superlink-rounds", type=int, default=3, help="rounds of SuperLink that count; 0: none"
    )
    parser.add_argument(
        "--without", choices=["mean", "sums", "flwr_1_3", "floor"], action="append", default=[]
    )
    options = parser.parse_args()
    systems = [name for name in SYSTEMS if name not in options.without]
    clients = [int(n) for n in options.clients.split(",")]
    measured = measure(clients, options.rounds, options.repeats, systems, options.superlink_rounds)
    figures = figures_of(measured)
    show(figures, options.rounds * options.repeats)
    save(figures, options.json)


if __name__ == "__main__":
    main()
