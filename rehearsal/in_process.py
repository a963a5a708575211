"""A federation in one process, for what is learnt rather than what carries it: no network, no jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict

from rehearsal.data import CMS_FILE as CMS_FILE
from rehearsal.data import providers as providers
from runtime.client.signing_key import make_file
from runtime.link import flower
from runtime.link.client import handle_with
from runtime.link.grid_base import GridBase
from runtime.tabular.client.client_app import app
from runtime.tabular.data.dataset import Dataset, save_csv, together
from runtime.tabular.data.preparation import prepare
from runtime.tabular.data.silos import Split, hold_out, split
from runtime.tabular.models import Fit, fit_alone, load
from runtime.tabular.report import build
from runtime.tabular.server.server_app import Run
from runtime.tabular.server.settings import MODEL_OF, parse
from runtime.tabular.strategies.support import against_sums

Poison = Callable[[Message], Message]


class MemoryGrid(GridBase):
    """Nodes named by their silo's file.

    `poison` may change what some of them reply to training, `nodes` adds to their configs, and messages that
    `drop` says so of get no reply, as those to a client that is gone.
    """

    def __init__(
        self,
        silos: Mapping[str, Path],
        poison: Mapping[str, Poison] | None = None,
        nodes: Mapping[str, Mapping[str, Any]] | None = None,
        drop: Callable[[Message], bool] = lambda _: False,
    ) -> None:
        super().__init__(1)
        self._poison = {flower.number_of(name): change for name, change in (poison or {}).items()}
        self._handlers = {
            flower.number_of(name): handle_with(
                app,
                Context(
                    1,
                    flower.number_of(name),
                    {"name": name, "data": str(path), **(nodes or {}).get(name, {})},
                    RecordDict(),
                    {},
                ),
            )
            for name, path in silos.items()
        }
        self.messages = 0
        self._drop = drop
        self.replies: list[Message] = []

    def get_node_ids(self) -> Iterable[int]:
        """Return all nodes."""
        return list(self._handlers)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Refuse: there is nothing to wait for here."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Refuse, as above."""
        raise NotImplementedError

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,  # noqa: ARG002 - the grid's signature; nobody is waited for here
    ) -> Iterable[Message]:
        """Have every message answered, in order."""
        return [self._answer(message) for message in messages if not self._drop(message)]

    def _answer(self, message: Message) -> Message:
        self.messages += 1
        flower.stamp(message, f"message-{self.messages}")
        over_the_wire = flower.from_parts(flower.to_parts(message))
        node = message.metadata.dst_node_id
        reply = flower.from_parts(flower.to_parts(self._handlers[node](over_the_wire)))
        self.replies.append(reply)
        change = self._poison.get(node)
        trained = message.metadata.message_type.startswith("train") and not reply.has_error()
        return change(reply) if change and trained else reply


ROBUST: dict[str, dict[str, float]] = {
    "fedmedian": {},
    "fedtrimmedavg": {"beta": 0.2},
    "krum": {"num_malicious_nodes": 1},
    "multikrum": {"num_malicious_nodes": 1, "num_nodes_to_select": 4},
    "bulyan": {"num_malicious_nodes": 1},
}
"""The robust strategies' options for one liar of seven clients."""


def lie(reply: Message) -> Message:
    """Send the opposite of what was learnt, a hundred times over."""
    arrays = reply.content.array_records["arrays"]
    reply.content["arrays"] = ArrayRecord(
        {name: Array(-100 * array.numpy()) for name, array in arrays.items()}
    )
    return reply


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
        test.schema.save(folder)
        for name, silo in {**silos, "test": test}.items():
            save_csv(folder / f"{name}.csv", silo)
        return cls(folder, silos, test)

    def run(
        self,
        out: str = "out",
        poison: Mapping[str, Poison] | None = None,
        nodes: Mapping[str, Mapping[str, Any]] | None = None,
        drop: Callable[[Message], bool] = lambda _: False,
        *,
        page: bool = False,
        **settings: Any,
    ) -> dict[str, Any]:
        """Run a federation to its report; every client keeps its privacy ledger beside its silo.

        Drawing the page takes as long as a small run: it is left out, unless somebody will look at it.
        """
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
        with _drawn(page):
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

    def pooled(
        self, how: Fit | None = None, model: str | None = None, rounds: int = 1, *, validation: float = 0.1
    ) -> Any:
        """Fit a model's own library on what the clients train on, in one place."""
        fewest = 1 if self.plain else 3
        parts = [
            prepare(silo, validation=validation, smote=False, seed=0, fewest=fewest).train
            for silo in self.silos.values()
        ]
        kind = load(model or MODEL_OF[self.test.schema.task])
        return fit_alone(kind, together(parts), how or Fit(), rounds)


@contextmanager
def _drawn(page: bool) -> Iterator[None]:
    """Let runs draw their page, or leave it empty."""
    render = vars(build)["render"]
    vars(build)["render"] = render if page else lambda _: ""
    try:
        yield
    finally:
        vars(build)["render"] = render


@cache
def _signing_key(path: Path) -> str:
    return make_file(path)
