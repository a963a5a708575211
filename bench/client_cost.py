"""What a client's process costs on the CMS task: peak memory, and CPU seconds per round.

python -m bench.client_cost [--json FILE] [--data CSV] [--clients 3] [--rounds 20] [--repeats 3]

A real run: runtime.server.server and runtime.client.client as processes on this machine, silos that differ by
the providers' size, FedAvg with 10 local iterations. Memory is VmHWM, read until the process ends. CPU per
round is user and system time from the first answer to a train message to the last, over the rounds between.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from rich.progress import Progress
from rich.table import Table

from bench.tables import console, machine, save
from bench.workers import Worker, WorkerError, Workers
from runtime.tabular.data.dataset import load_csv, save_csv
from runtime.tabular.data.schema import CMS
from runtime.tabular.data.silos import Split, hold_out, split
from runtime.tabular.data.standin import generate

PATIENCE: Final = 300.0
POLL_SECONDS: Final = 0.01
STEPS: Final = {
    "Python itself": "pass",
    "numpy": "import numpy",
    "gRPC": "import grpc",
    "cryptography": "import cryptography.x509, cryptography.hazmat.primitives.asymmetric.ec",
    "Flower": "import flwr.app, flwr.clientapp, flwr.serverapp",
    "scikit-learn": "import sklearn.linear_model, sklearn.pipeline, sklearn.preprocessing, sklearn.metrics",
    "the client": "import runtime.client.client",
    "the silo, prepared": "from runtime.client import silo; silo.prepared(sys.argv[1], 0.1, False, 0)",
}
"""What a client's process takes in, in this order; each step adds what the earlier ones have not."""


@dataclass
class Cost:
    """What one client's process was seen to use."""

    worker: Worker
    ledger: Path
    peak: float = 0.0
    marks: dict[int, float] = field(default_factory=dict)

    def look(self) -> None:
        """Note its peak memory, and its CPU seconds when it has answered one more train message."""
        try:
            status = Path(f"/proc/{self.worker.process.pid}/status").read_text()
            times = psutil.Process(self.worker.process.pid).cpu_times()
        except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
            return
        high = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        self.peak = max([self.peak, *(int(kb) * 1024 / 1e6 for kb in high)])
        trained = self.ledger.read_text().count('"message": "train"') if self.ledger.exists() else 0
        if trained:
            self.marks.setdefault(trained, times.user + times.system)

    @property
    def cpu_per_round(self) -> float:
        """CPU seconds of one round: training, evaluation, the link and the ledger."""
        first, last = min(self.marks), max(self.marks)
        return (self.marks[last] - self.marks[first]) / (last - first)


def run(data: Path | None, clients: int, rounds: int) -> tuple[list[Cost], int]:
    """Play one federation; return what each client cost, and the rows of the largest silo."""
    with tempfile.TemporaryDirectory() as name, Workers(Path(name)) as workers:
        folder = Path(name)
        whole = load_csv(data, CMS) if data else generate(seed=0)
        rest, test = hold_out(whole, 0.2, 0)
        silos = split(rest, clients, Split.FEATURE, 0)
        save_csv(folder / "test.csv", test)
        roster = [{"name": f"silo-{n}", "mailbox": f"file://{folder}/mail-{n}"} for n in range(clients)]
        (folder / "federation.json").write_text(json.dumps({"name": "bench", "clients": roster}))
        server = workers.start(
            *(sys.executable, "-m", "runtime.server.server", "--address", "127.0.0.1:0"),
            *("--federation", str(folder / "federation.json"), "--test-data", str(folder / "test.csv")),
            *("--out", str(folder / "out"), "--rounds", str(rounds), "--join-seconds", "60"),
            *("--strategy", "fedavg", "--updates", "plain"),
        )
        invitation = _invitation(server, folder / "out" / "invitation.json")
        costs = []
        for member, silo in zip(roster, silos, strict=True):
            own = folder / member["name"]
            own.mkdir()
            save_csv(own / "train.csv", silo)
            settings = invitation | {
                "client-name": member["name"],
                "mailbox": member["mailbox"],
                "data": str(own / "train.csv"),
                "model-dir": str(own),
                "output-dir": str(own),
                "privacy-updates": "plain",
            }
            options = [f"--{option}={value}" for option, value in settings.items()]
            client = workers.start(sys.executable, "-m", "runtime.client.client", *options)
            costs.append(Cost(client, own / "ledger.jsonl"))
        _watch(server, costs)
        return costs, max(map(len, silos))


def _invitation(server: Worker, path: Path) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while not path.exists():
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise WorkerError(f"the server invites nobody:\n{server.log_tail()}")
        time.sleep(0.05)
    invitation: dict[str, str] = json.loads(path.read_text())
    return invitation


def _watch(server: Worker, costs: list[Cost]) -> None:
    """Look at every client until all have ended, and well."""
    deadline = time.monotonic() + PATIENCE
    while any(cost.worker.process.poll() is None for cost in costs):
        if time.monotonic() > deadline:
            raise WorkerError(f"the run does not end:\n{server.log_tail()}")
        for cost in costs:
            cost.look()
        time.sleep(POLL_SECONDS)
    for worker in (server, *(cost.worker for cost in costs)):
        if code := worker.process.wait(60):
            raise WorkerError(f"{worker.process.args!r} ended with {code}:\n{worker.log_tail()}")


def memory_by_step(rows: int) -> dict[str, float]:
    """Return how much each step adds to the memory of a process that takes them in turn."""
    program = "import sys\nfrom bench.child import memory_mb\nsteps = []\n" + "".join(
        f"{step}\nsteps.append(memory_mb('VmRSS'))\n" for step in STEPS.values()
    )
    with tempfile.TemporaryDirectory() as name, Workers(Path(name)) as workers:
        path = Path(name) / "train.csv"
        save_csv(path, generate(rows=rows))
        worker = workers.start(
            sys.executable, "-c", program + "import json; print(json.dumps({'peaks': steps}))", str(path)
        )
        peaks: list[float] = worker.hear()["peaks"]
    added = [after - before for before, after in zip([0.0, *peaks], peaks, strict=False)]
    return {name: round(mb, 1) for name, mb in zip(STEPS, added, strict=True)}


def figures_of(data: Path | None, clients: int, rounds: int, repeats: int) -> dict[str, Any]:
    """Measure, and reduce to the largest peak and the median CPU time."""
    costs: list[Cost] = []
    rows = 0
    with Progress(console=console, transient=True) as progress:
        for _ in progress.track(range(repeats), description="runs with real clients"):
            seen, rows = run(data, clients, rounds)
            costs += seen
    peak = max(cost.peak for cost in costs)
    parts = memory_by_step(rows)
    return {
        "client": {
            "peak_MB": round(peak, 1),
            "cpu_seconds_per_round": round(statistics.median(cost.cpu_per_round for cost in costs), 4),
            "rows": rows,
        },
        "memory_MB": parts | {"the run itself, at its peak": round(peak - sum(parts.values()), 1)},
    }


def show(figures: dict[str, Any], clients: int, rounds: int) -> None:
    client = figures["client"]
    title = f"one of {clients} clients, up to {client['rows']:,} rows, {rounds} rounds"
    table = Table(title=title, caption=machine(), show_header=False, min_width=70)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("peak memory", f"{client['peak_MB']:.0f} MB")
    table.add_row("CPU per round", f"{client['cpu_seconds_per_round']:.3f} s", end_section=True)
    for name, mb in figures["memory_MB"].items():
        table.add_row(f"of the memory: {name}", f"{mb:.0f} MB")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--data", type=Path, help="a CSV of the CMS schema; the stand-in without it")
    parser.add_argument("--clients", type=int, default=3, help="how many clients share the data")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of a run")
    parser.add_argument("--repeats", type=int, default=3, help="how many runs")
    options = parser.parse_args()
    data = options.data.absolute() if options.data else None
    figures = figures_of(data, options.clients, options.rounds, options.repeats)
    show(figures, options.clients, options.rounds)
    save(figures, options.json)


if __name__ == "__main__":
    main()
