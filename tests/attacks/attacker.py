"""A hostile server: it drives unmodified clients with messages of its own making.

Everything that it learns comes from the replies; the tests then hold that against the clients' rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from runtime.client.signing_key import make_file
from runtime.link import flower
from runtime.link.client import handle_with
from runtime.messages import ARRAYS, CONFIG, METRICS, SECURE
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.tabular.client.client_app import app
from runtime.tabular.data.dataset import Dataset, save_csv
from runtime.tabular.data.moments import Moments, Scaler
from runtime.tabular.data.schema import CMS
from runtime.tabular.data.standin import generate

RUN: Final = "run-attack"
SEEN: Final = {
    "privacy-updates": "plain",
    "privacy-min-rows": 1,
    "privacy-max-answers": 10**6,
    "privacy-max-numbers-per-cell": 1e9,
}
"""The policy of an owner who switched every rule off that can be switched off."""

PLAIN: Final = {"privacy-updates": "plain"}
"""The policy of an owner who decided for plain updates, and for nothing else."""


def rows_of(count: int, seed: int = 0, *, positives: float = 0.3) -> Dataset:
    """Rows as the stand-in has them, no two alike, with enough of both labels."""
    whole = generate(5500, seed)
    rng = np.random.default_rng(seed)
    fraud, fair = np.flatnonzero(whole.y == 1), np.flatnonzero(whole.y == 0)
    some = round(positives * count)
    picked = np.concatenate([rng.permutation(fraud)[:some], rng.permutation(fair)[: count - some]])
    return whole.take(rng.permutation(picked))


class Refused(Exception):  # noqa: N818 - it is what the client says, not a failure of this program
    """The client answered with an error; the text is all that the server hears."""


class Victim:
    """One unmodified client with its data and its owner's policy."""

    def __init__(self, folder: Path, rows: Dataset, policy: Mapping[str, Any], name: str = "north") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.rows, self.name, self.node = rows, name, flower.number_of(name)
        self.policy = dict(policy)
        save_csv(folder / f"{name}.csv", rows)
        flower.adopt_identity(1)
        config = {
            "name": name,
            "data": str(folder / f"{name}.csv"),
            "privacy-ledger": f"file://{folder}/{name}",
        }
        self._handle = handle_with(app, Context(1, self.node, {**config, **policy}, RecordDict(), {}))
        self._count = 0

    def send(self, message: Message) -> Message:
        """Deliver a message as the wire would."""
        self._count += 1
        flower.stamp(message, f"message-{self._count}")
        over = flower.from_parts(flower.to_parts(message))
        return flower.from_parts(flower.to_parts(self._handle(over)))

    def ask(self, kind: str, **records: Any) -> RecordDict:
        """Ask something; raise what the client refuses with."""
        names = {"secure": SECURE}
        content = RecordDict({names.get(n, n): record for n, record in records.items() if record is not None})
        reply = self.send(Message(content, self.node, kind))
        if reply.has_error():
            raise Refused(str(reply.error.reason))
        return reply.content

    def curvature(self, theta: np.ndarray, scaler: Scaler, **config: Any) -> dict[str, np.ndarray]:
        """Ask for loss, gradient and Hessian at a model, logistic, of shape (d + 1,)."""
        content = self.ask("train.curvature", arrays=model(theta), config=settings(scaler, **config))
        return {name: array.numpy() for name, array in content.array_records[ARRAYS].items()}


def opened(grid: Accomplices) -> SecureAggregation:
    """Let victims exchange their keys, as an honest server does."""
    aggregation = SecureAggregation(grid, RUN, grid.name, lambda: 1.0)
    aggregation.open(grid.get_node_ids())
    return aggregation


def summed_curvature(
    aggregation: SecureAggregation, theta: np.ndarray, scaler: Scaler, **config: Any
) -> dict[str, np.ndarray]:
    """Ask for the sum of all members' loss, gradient and Hessian at a model."""
    size = len(theta)
    shapes = {"loss": np.zeros(1), "gradient": np.zeros(size), "hessian": np.zeros((size, size))}
    like = ArrayRecord({name: Array(array) for name, array in shapes.items()})
    content = RecordDict({ARRAYS: model(theta), CONFIG: settings(scaler, **config)})
    messages = [Message(content, node, "train.curvature") for node in aggregation.members]
    return aggregation.sum(messages, like, frozenset({"train-seconds"})).vector.arrays


class Accomplices(Grid):
    """Flower's Grid over victims in this process, for a server that plays with sums."""

    def __init__(self, victims: Iterable[Victim]) -> None:
        self.victims = {victim.node: victim for victim in victims}
        self.seen: list[Message] = []

    def name(self, node: int) -> str:
        return self.victims[node].name

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,  # noqa: ARG002 - nobody is waited for here
    ) -> Iterable[Message]:
        replies = [self.victims[one.metadata.dst_node_id].send(one) for one in messages]
        self.seen += replies
        return replies

    def set_run(self, run: Run) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(self, *_: Any, **__: Any) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self.victims)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError


def silos(folder: Path, sizes: Mapping[str, int], *, seed: int = 0, **policy: Any) -> dict[str, Victim]:
    """Make clients that agree to be summed with each other, each with keys of its own account."""
    keys = {name: make_file(folder / "keys" / f"{name}.pem") for name in sizes}
    made = {}
    for number, (name, count) in enumerate(sizes.items(), seed):
        cohort = " ".join(f"{other}={key}" for other, key in keys.items() if other != name)
        own = {"privacy-cohort": cohort, "privacy-signing-key": f"file://{folder / 'keys' / name}.pem"}
        made[name] = Victim(folder / name, rows_of(count, number), {**own, **policy}, name)
    return made


def settings(scaler: Scaler | None = None, **config: Any) -> ConfigRecord:
    """The settings that an honest server sends, but for what the attacker wants otherwise."""
    base: dict[str, Any] = {"schema": CMS.digest(), "validation": 0.0, "smote": False, "seed": 0}
    if scaler is not None:
        base |= {"scaler-mean": scaler.mean.tolist(), "scaler-scale": scaler.scale.tolist()}
        base |= {
            "model": "logistic",
            "c": 1.0,
            "iterations": 10,
            "class-weight": "none",
            "rows": 1000,
            "server-round": 1,
        }
    return ConfigRecord({**base, **config})


def model(theta: np.ndarray) -> ArrayRecord:
    """A logistic model as Flower sends it."""
    return ArrayRecord({"coef": Array(theta[None, :-1].copy()), "intercept": Array(theta[-1:].copy())})


def public_scaler() -> Scaler:
    """A scaler that the server makes of data of its own."""
    return Moments.of(generate(5500, 99).x).scaler()


def standardised(rows: Dataset, scaler: Scaler) -> np.ndarray:
    """The rows as the model sees them, with the intercept's one: what an attacker wants."""
    return np.column_stack([(rows.transformed() - scaler.mean) / scaler.scale, np.ones(len(rows))])


def rebuilt(found: np.ndarray, truth: np.ndarray, within: float = 1e-3) -> int:
    """Count the true rows that an attacker has, each cell but for a small error."""
    if not len(found):
        return 0
    distance = np.abs(truth[:, None, :] - found[None, :, :]).max(axis=2)
    return int((distance.min(axis=1) < within).sum())


def metrics(content: RecordDict) -> dict[str, Any]:
    """What a reply says beside its arrays."""
    return dict(content.metric_records[METRICS])
