"""How well each strategy learns, and what that costs: the tables of docs/quality.md.

python -m bench.quality [--json FILE] [--markdown docs/quality.md] [--seeds 5]

On the CMS file where this machine has it, else on the stand-in. The real ServerApp, ClientApp and strategies
run in this process; every message is made and read as on the link, so bytes are those of the real messages.
Each model is compared with what its library makes of all rows in one place, judged on the same test set.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from bench import quality_tasks
from bench.in_process import DATA, PRIVATE_ROUNDS, ROBUST
from bench.quality_runs import (
    ROUNDS,
    Figures,
    Plan,
    cut,
    learning,
    pooled,
    pooled_trees,
    private,
    proximal,
    robust,
)
from bench.quality_tables import markdown, privacy
from bench.quality_tables import tasks as tables_of
from bench.quality_tables import trees as trees_of
from bench.tables import console, machine, put, save
from runtime.tabular import models
from runtime.tabular.data.silos import Split

CUTS: Final = range(5)
TREES: Final = ("histogram", "fedxgbbagging")
SIZES: Final = (3, 10)
MUS: Final = (0.0, 0.01, 1.0, 100.0)
PLANS: Final = (
    *(Plan("logistic", name) for name in sorted(models.load("logistic").strategies)),
    Plan("mlp", "fedavg"),
    *(Plan("trees", name) for name in TREES),
    *(Plan("logistic", name, 10) for name in ("fedavg", "fednewton")),
    *(Plan("trees", name, 10) for name in TREES),
)


def work(whole: dict[str, Figures], seeds: int) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """Say what there is to do, each thing with its part of the figures."""
    for how in Split:
        for plan in PLANS:
            yield "learning", partial(learning, plan, how, whole)
        for strategy in ("fedavg", *ROBUST):
            yield "liars", partial(robust, strategy, how)

    yield from noise(seeds)
    yield from tasks()
    yield from trees()
    for mu in MUS:
        yield "proximal", partial(proximal, mu)


def noise(seeds: int) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """Say what there is to do with differential privacy."""
    for how, strategy in product(Split, PRIVATE_ROUNDS):
        yield "privacy", partial(private, strategy, how, seeds)


def trees() -> Iterator[tuple[str, Callable[[], Figures]]]:
    """Say what there is to do of trees: every strategy on every cut, beside the cut's rows in one place."""
    for seed in CUTS:
        yield "pooled_trees", partial(pooled_trees, seed)
    for strategy, clients, how, seed in product(TREES, SIZES, Split, CUTS):
        yield "cuts", partial(cut, strategy, clients, how, seed)


def tasks() -> Iterator[tuple[str, Callable[[], Figures]]]:
    """Say what there is to do of the tasks."""
    for name in quality_tasks.TABLES:
        for clients in quality_tasks.SILOS:
            yield "tasks", partial(quality_tasks.task, name, clients)


def measure(seeds: int) -> Figures:
    """Measure everything."""
    figures: Figures = {
        "machine": machine(),
        "data": DATA,
        "caps": ROUNDS,
        "seeds": seeds,
        "pooled": pooled(),
    }
    return figures | played(list(work(figures["pooled"], seeds)))


def played(todo: list[tuple[str, Callable[[], Figures]]]) -> Figures:
    """Do what there is to do, and show how far it is."""
    figures: Figures = {}
    with Progress(console=Console(stderr=True), redirect_stdout=False) as progress:
        for part, task in progress.track(todo, description="federations"):
            figures.setdefault(part, []).append(task())
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--markdown", type=Path, help="a document whose tables are made anew")
    parser.add_argument(
        "--seeds", type=int, default=5, help="runs that a figure under privacy is the mean of"
    )
    parser.add_argument("--tasks-only", action="store_true", help="measure the tasks alone")
    parser.add_argument("--privacy-only", action="store_true", help="measure differential privacy alone")
    parser.add_argument("--trees-only", action="store_true", help="measure trees alone")
    options = parser.parse_args()
    for asked, todo, table in (
        (options.tasks_only, tasks(), lambda found: tables_of(found["tasks"])),
        (options.privacy_only, noise(options.seeds), lambda found: privacy(found["privacy"])),
        (options.trees_only, trees(), trees_of),
    ):
        if asked:
            only = played(list(todo))
            console.print(table(only), markup=False, highlight=False, soft_wrap=True)
            save(only, options.json)
            return
    figures = measure(options.seeds)
    tables = markdown(figures)
    console.print(tables, markup=False, highlight=False, soft_wrap=True)
    save(figures, options.json)
    if options.markdown:
        put(tables, options.markdown, "bench/quality.py")


if __name__ == "__main__":
    main()
