"""A federation in one process, for tests of what is learnt rather than of what carries it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cms_file import providers
from flwr.app import Message
from memory_grid import MemoryGrid, Poison

from runtime.client.signing_key import make_file
from runtime.server.privacy import against_sums
from runtime.server.run import Run
from runtime.server.settings import parse
from runtime.task.data import Dataset, save_csv, together
from runtime.task.models import Fit, fit_alone, load
from runtime.task.preparation import prepare
from runtime.task.silos import Split, hold_out, split


@dataclass(frozen=True)
class Federation:
    """Silos on disk, a test set, and where runs write."""

    folder: Path
    silos: dict[str, Dataset]
    test: Dataset
    plain: bool = False
    """Whether runs ask for plain updates, and every owner allows them, unless a run says otherwise."""
    min_cohort: int | None = None
    """How few members every owner lets a sum go on with; all, if not given."""

    @classmethod
    def cut(
        cls, folder: Path, *, clients: int = 3, how: Split = Split.FEATURE, rows: int | None = None
    ) -> Federation:
        """Cut the CMS file, or the stand-in, into silos."""
        whole = providers()
        if rows is not None:
            whole = whole.take(np.sort(np.random.default_rng(0).permutation(len(whole))[:rows]))
        rest, test = hold_out(whole, 0.2, seed=0)
        parts = split(rest, clients, how, seed=0)
        return cls.of(folder, {f"silo-{number}": part for number, part in enumerate(parts)}, test)

    @classmethod
    def of(cls, folder: Path, silos: dict[str, Dataset], test: Dataset) -> Federation:
        """Write silos to files."""
        for name, silo in {**silos, "test": test}.items():
            save_csv(folder / f"{name}.csv", silo)
        return cls(folder, silos, test)

    def run(
        self,
        out: str = "out",
        poison: Mapping[str, Poison] | None = None,
        nodes: Mapping[str, Mapping[str, Any]] | None = None,
        drop: Callable[[Message], bool] = lambda _: False,
        **settings: Any,
    ) -> dict[str, Any]:
        """Run a federation to its report; every client keeps its privacy ledger beside its silo."""
        settings.setdefault("updates", self.updates(**settings))
        own = {
            name: {**self.policy(name, settings["updates"]), **(nodes or {}).get(name, {})}
            for name in self.silos
        }
        grid = MemoryGrid({name: self.folder / f"{name}.csv" for name in self.silos}, poison, own, drop)
        given = {
            "clients": [{"name": name, "mailbox": "file:///nowhere"} for name in self.silos],
            "test_data": self.folder / "test.csv",
            "out": self.folder / out,
            **settings,
        }
        (self.folder / out).mkdir(exist_ok=True)
        Run(grid, parse(given)).execute()
        report: dict[str, Any] = json.loads((self.folder / out / "report.json").read_text())
        return report

    def updates(self, **settings: Any) -> str:
        """How a run's updates are asked for: in sums wherever they can be."""
        if settings.get("privacy_epsilon") is not None:
            return "noise"
        strategy = settings.get("strategy") or load(settings.get("model", "logistic")).best_strategy
        sure = settings.get("min_clients") or len(self.silos)
        model, engine = settings.get("model", "logistic"), settings.get("engine", "link")
        return (
            "plain" if self.plain or against_sums(strategy, model, engine, len(self.silos), sure) else "sums"
        )

    def policy(self, name: str, updates: str) -> dict[str, Any]:
        """A client's own policy that allows just what a run asks for; it keeps its ledger beside its silo."""
        if updates != "sums":
            own = {"updates": "plain", "min-rows": 1, "max-answers": 10_000, "max-numbers-per-cell": 1e9}
            ledger = f"file://{self.folder / 'ledgers' / name}"
            return {"privacy-ledger": ledger, **{f"privacy-{option}": value for option, value in own.items()}}
        keys = {silo: _signing_key(self.folder / "keys" / f"{silo}.pem") for silo in self.silos}
        return {
            "privacy-cohort": " ".join(f"{silo}={key}" for silo, key in keys.items() if silo != name),
            "privacy-signing-key": f"file://{self.folder / 'keys' / f'{name}.pem'}",
            "privacy-ledger": f"file://{self.folder / 'ledgers' / name}",
            **({} if self.min_cohort is None else {"privacy-min-cohort": self.min_cohort}),
        }

    def pooled(self, how: Fit | None = None, model: str = "logistic", rounds: int = 1) -> Any:
        """Fit a model's own library on what the clients train on, in one place."""
        parts = [prepare(silo, validation=0.1, smote=False, seed=0).train for silo in self.silos.values()]
        return fit_alone(load(model), together(parts), how or Fit(), rounds)


@cache
def _signing_key(path: Path) -> str:
    return make_file(path)
