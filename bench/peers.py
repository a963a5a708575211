"""The same federation by its peers, side by side in one run: quality, rounds, seconds, CPU, memory.

python -m bench.peers [--json FILE] [--markdown FILE] [--data CSV] [--clients 3] [--rounds 10] [--repeats 3]

FedAvg of a logistic model with 10 local iterations, on the same silos: by the link (TLS, every client a
process, `fedstack demo --local`), by Flower's SuperLink and its simulation, by flwr 1.3.0 and by NVFlare's
simulator, which have environments of their own, made on first use. FedNewton in sums, as we ship it, and
NVFlare's Newton stand beside them. Whole
jobs are measured, from the command to its end with all processes that it started; they take turns, and each
repeat begins with another one.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bench.old_flower import python_of_old_flower
from bench.tables import console, machine, put, save, table
from bench.workers import PROJECT
from rehearsal.data import Silos, cut
from runtime.tabular.data.dataset import together
from runtime.tabular.data.moments import Moments
from runtime.tabular.data.silos import Split

ITERATIONS: Final = 10
LOOK_SECONDS: Final = 1.0
NVFLARE: Final = PROJECT / ".venvs" / "nvflare-2.9"
PINS: Final = ("nvflare==2.9.0", "scikit-learn", "pandas")
SUBREAPER: Final = (
    "import ctypes, os, resource, subprocess, sys\n"
    "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: whoever outlives its parent is ours\n"
    "code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    "while True:\n"
    "    try:\n"
    "        os.wait()\n"
    "    except ChildProcessError:\n"
    "        break\n"
    "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    "print(used.ru_utime + used.ru_stime)\n"
    "sys.exit(code)\n"
)


@dataclass(frozen=True)
class Task:
    """What all learn from."""

    silos: Silos
    folder: Path
    clients: int
    rounds: int
    data: Path | None

    @property
    def standardised(self) -> tuple[list[tuple[Any, Any]], tuple[Any, Any]]:
        """Every silo's rows and the test set's, by the moments of all silos."""
        parts = list(self.silos.silos.values())
        scaler = Moments.of(together(parts).x).scaler()
        made = [
            ((part.transformed() - scaler.mean) / scaler.scale, part.y) for part in (*parts, self.silos.test)
        ]
        return made[:-1], made[-1]


def ours(task: Task, out: Path, *options: str) -> list[str]:
    """Return the command of a rehearsal on these silos."""
    said = ["--local", "--out", str(out), "--clients", str(task.clients), "--split", Split.FEATURE.value]
    given = [] if task.data is None else ["--data", str(task.data)]
    return [sys.executable, "-m", "fedstack", "demo", *said, *given, *options]


def fedavg(task: Task, out: Path, engine: str) -> list[str]:
    asked = ["--strategy", "fedavg", "--rounds", str(task.rounds), "--updates", "plain", "--engine", engine]
    return ours(task, out, *asked)


def other(python: str, worker: str, task: Task, out: Path, *options: str) -> list[str]:
    """Write the silos as another framework's clients read them, and return the job's command."""
    for number, (x, y) in enumerate(task.standardised[0], 1):
        np.savez(out / f"site-{number}.npz", x=x, y=y)
    size = ["--clients", str(task.clients), "--rounds", str(task.rounds), "--iterations", str(ITERATIONS)]
    return [python, "-m", f"bench.{worker}", "--folder", str(out), *size, *options]


def nvflare(task: Task, out: Path, *options: str) -> list[str]:
    return other(_nvflare_python(), "nvflare_worker", task, out, *options)


JOBS: Final[dict[str, Callable[[Task, Path], list[str]]]] = {
    "Fedstack, FedAvg": lambda task, out: fedavg(task, out, "link"),
    "Fedstack, FedNewton in sums": lambda task, out: ours(task, out),
    "Flower's SuperLink, FedAvg": lambda task, out: fedavg(task, out, "superlink"),
    "Flower's simulation, FedAvg": lambda task, out: fedavg(task, out, "simulation"),
    "flwr 1.3.0, FedAvg, no TLS": lambda task, out: other(python_of_old_flower(), "flwr_1_3_job", task, out),
    "NVFlare's simulator, FedAvg": nvflare,
    "NVFlare's simulator, Newton": lambda task, out: nvflare(task, out, "--newton"),
}


@cache
def _nvflare_python() -> str:
    python = NVFLARE / "bin" / "python"
    if not (NVFLARE / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(NVFLARE)], check=True)
        install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PINS]
        subprocess.run(install, check=True)
        (NVFLARE / "ready").touch()
    return str(python)


def measured(command: list[str], log: Path) -> dict[str, float]:
    """Run a job; return its seconds, the CPU seconds of all its processes, and their peak of MB."""
    started = time.perf_counter()
    with log.open("wb") as errors:
        job = subprocess.Popen(
            [sys.executable, "-c", SUBREAPER, *command], cwd=PROJECT, stdout=subprocess.PIPE, stderr=errors
        )
    peak = [0.0]
    watch = threading.Thread(target=_watch, args=(job, peak), daemon=True)
    watch.start()
    told, _ = job.communicate()
    watch.join()
    if job.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {job.returncode}; see {log}")
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 1), "cpu": round(float(told), 1), "memory": round(peak[0])}


def _watch(job: subprocess.Popen[bytes], peak: list[float]) -> None:
    while job.poll() is None:
        total = 0
        for process in psutil.Process(job.pid).children(recursive=True):
            try:
                total += process.memory_full_info().uss
            except psutil.Error:
                continue  # it has ended
        peak[0] = max(peak[0], total / 1e6)
        time.sleep(LOOK_SECONDS)


def quality(task: Task, out: Path) -> dict[str, float]:
    """Return what a job's model scores, how many rounds it took, and what crossed, where it tells."""
    if (report := out / "report.json").exists():
        told = json.loads(report.read_text(encoding="utf-8"))
        sent = [one for entry in told["rounds"] for one in entry["clients"].values()]
        return {
            "roc_auc": told["final"]["roc_auc"],
            "rounds": len(told["rounds"]),
            "round_seconds": statistics.median(entry["seconds"] for entry in told["rounds"]),
            "kilobytes": sum(one["bytes_up"] + one["bytes_down"] for one in sent) / 1e3 / task.clients,
        }
    model = json.loads((out / "model.json").read_text(encoding="utf-8"))
    x, y = task.standardised[1]
    return {"roc_auc": float(roc_auc_score(y, x @ np.array(model["coef"]))), "rounds": task.rounds}


def pooled(task: Task) -> dict[str, float]:
    """Return what scikit-learn makes of all rows in one place, and its CPU seconds."""
    parts, (x, y) = task.standardised
    before = resource.getrusage(resource.RUSAGE_SELF)
    model = LogisticRegression(max_iter=1000)
    model.fit(np.vstack([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"roc_auc": float(roc_auc_score(y, model.decision_function(x))), "cpu": round(used, 2)}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without", action="append", default=[], choices=list(JOBS))
    asked = parser.parse_args()
    jobs = {name: job for name, job in JOBS.items() if name not in asked.without}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        silos = cut(asked.data, folder, clients=asked.clients, how=Split.FEATURE, seed=0)
        task = Task(silos, folder, asked.clients, asked.rounds, asked.data)
        best = pooled(task)
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
        order = [
            (repeat, (start + repeat) % len(jobs))
            for repeat in range(asked.repeats)
            for start in range(len(jobs))
        ]
        for repeat, number in track(order, console=console, description="whole jobs"):
            name = list(jobs)[number]
            out = folder / f"{repeat}-{number}"
            out.mkdir()
            cost = measured(jobs[name](task, out), folder / "log")
            runs[name].append(cost | quality(task, out))
    figures = {name: _median(found) for name, found in runs.items()}
    tables = _table(figures, best)
    console.print(tables, soft_wrap=True)
    if asked.markdown:
        put(f"{machine()}; medians of {asked.repeats} runs.\n\n{tables}", asked.markdown, "bench/peers.py")
    save({"pooled": best, "jobs": figures, "machine": machine()}, asked.json)


def _median(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


def _table(figures: dict[str, dict[str, float]], best: dict[str, float]) -> str:
    head = ["", "ROC-AUC", "of pooled", "rounds", "s a round", "kB a client", "job, s", "CPU s", "memory, MB"]
    rows = []
    for name, one in figures.items():
        told = (one["roc_auc"], one["roc_auc"] / best["roc_auc"], one["rounds"], one.get("round_seconds"))
        more = (one.get("kilobytes"), one["seconds"], one["cpu"], one["memory"])
        rows.append([name, *("-" if value is None else f"{value:.4g}" for value in (*told, *more))])
    alone = [
        "scikit-learn, pooled, the fit alone",
        f"{best['roc_auc']:.4g}",
        "1",
        *["-"] * 4,
        f"{best['cpu']:.2f}",
        "-",
    ]
    return table(head, [*rows, alone])


if __name__ == "__main__":
    main()
