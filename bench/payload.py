"""Arrays down and up with two clients: our link beside bare gRPC with the same TLS, chunks and processes.

python -m bench.payload [--json FILE] [--sizes-mb 1,10,100,1000] [--repeats N]

MB is 10^6 bytes and the payload is the array's bytes. A rate is of both clients together: two payloads over
the time until both have it (down) or the server has both (up). Fresh processes for every size. The server's
peak is above what it held before the payload existed, and has the payload itself in it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress
from rich.table import Table

from bench.round_overhead import introduce
from bench.tables import console, machine, save, verdict
from bench.workers import Workers

CLIENTS: Final = 2
PATIENCE: Final = 600.0
SYSTEMS: Final = {"link": "link_worker", "grpc": "raw_worker"}
Measured = dict[str, dict[int, list[dict[str, Any]]]]


def transfers(mb: int) -> int:
    """Return how often to carry a payload in one run: large ones take long, small ones are noisy."""
    return max(3, min(20, 300 // mb))


def measure(sizes: list[int], repeats: int) -> Measured:
    """Measure each size on both systems in turn, so that what else the machine does hits both alike."""
    measured: Measured = {name: {mb: [] for mb in sizes} for name in SYSTEMS}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(sizes) * repeats * len(SYSTEMS))
        for mb in sizes:
            for _ in range(repeats):
                for name, module in SYSTEMS.items():
                    progress.update(task, description=f"{name}, {mb} MB", advance=1)
                    with tempfile.TemporaryDirectory() as folder, Workers(Path(folder)) as workers:
                        server = introduce(workers, module, CLIENTS)
                        server.tell(mb=mb, repeats=transfers(mb))
                        measured[name][mb].append(server.hear(PATIENCE))
    return measured


def figures_of(measured: Measured) -> dict[str, Any]:
    """Reduce to median rates, and the highest of the peaks."""
    return {
        name: {str(mb): _figures(mb, runs) for mb, runs in per_size.items()}
        for name, per_size in measured.items()
    }


def _figures(mb: int, runs: list[dict[str, Any]]) -> dict[str, float]:
    seconds = {
        way: [one for run in runs for one in run[way]] for way in ("down", "up", "folded") if way in runs[0]
    }
    rates = {f"{way}_MBps": CLIENTS * mb / statistics.median(all_) for way, all_ in seconds.items()}
    peaks = {
        "server_peak_MB": max(run["peak"] - run["baseline"] for run in runs),
        "server_peak_absolute_MB": max(run["peak"] for run in runs),
        "server_baseline_MB": max(run["baseline"] for run in runs),
    }
    for how in ("folded", "flower"):
        if f"{how}_peak" in runs[0]:
            peaks[f"server_peak_{how}_MB"] = max(run[f"{how}_peak"] - run["baseline"] for run in runs)
    return {key: round(value, 1) for key, value in (rates | peaks).items()}


def show(figures: dict[str, Any]) -> None:
    """Print both systems with what was asked for beside them."""
    table = Table(title="payloads with 2 clients: MB/s of link | gRPC", caption=machine())
    for column in (
        "MB",
        "down",
        "down / gRPC >= 0.5",
        "up",
        "up / gRPC >= 0.5",
        "server peak, net (absolute) MB",
        "net peak < 4 payloads",
        "with the mean, MB/s",
        "with the mean, net",
        "with Flower's FedAvg, net",
    ):
        table.add_column(column, justify="right")
    for mb, ours in figures["link"].items():
        floor = figures["grpc"][mb]
        ratio = {way: ours[f"{way}_MBps"] / floor[f"{way}_MBps"] for way in ("down", "up")}
        payloads = ours["server_peak_MB"] / int(mb)
        table.add_row(
            mb,
            f"{ours['down_MBps']:.0f} | {floor['down_MBps']:.0f}",
            f"{ratio['down']:.2f} {verdict(ratio['down'] >= 0.5)}",
            f"{ours['up_MBps']:.0f} | {floor['up_MBps']:.0f}",
            f"{ratio['up']:.2f} {verdict(ratio['up'] >= 0.5)}",
            f"{ours['server_peak_MB']:.0f} ({ours['server_peak_absolute_MB']:.0f})",
            f"{payloads:.2f} {verdict(payloads < 4)}",
            f"{ours['folded_MBps']:.0f}",
            f"{ours['server_peak_folded_MB'] / int(mb):.2f} payloads",
            f"{ours['server_peak_flower_MB'] / int(mb):.2f} payloads",
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--sizes-mb", default="1,10,100,1000", help="the payloads, in turn")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each")
    options = parser.parse_args()
    figures = figures_of(measure([int(mb) for mb in options.sizes_mb.split(",")], options.repeats))
    show(figures)
    save(figures, options.json)


if __name__ == "__main__":
    main()
