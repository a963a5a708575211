"""What a message of the server's asks of this silo, read from its records."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, Context, Message
from sklearn.pipeline import Pipeline

from runtime.client import disclosure, secure_aggregation
from runtime.client.disclosure import Basis
from runtime.client.privacy_policy import LEAST_EFFECTIVE, PrivacyPolicy, refusal
from runtime.contract import ExitCode, FedstackError
from runtime.messages import ARRAYS, CONFIG
from runtime.privacy.mechanism import Terms
from runtime.tabular import models
from runtime.tabular.client import silo
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.moments import Scaler
from runtime.tabular.data.preparation import Prepared
from runtime.tabular.data.schema import Schema
from runtime.tabular.models.linear_model import Ask, LinearModel, Question

FARTHEST: Final = 1e6
"""Standard deviations: no row of n is further than sqrt(n) from their mean, and there are not 10^12 rows."""

LARGEST_COEFFICIENT: Final = 1e100
"""What a model's numbers may be, so that no product of theirs overflows."""

MOST_ROUNDS: Final = 10_000
"""Seeds of one run and the next do not meet."""


class Request:
    """A message together with the node that it came to."""

    def __init__(self, message: Message, context: Context) -> None:
        self._message, self._context = message, context

    @property
    def name(self) -> str:
        """This node's name in the roster."""
        config = self._context.node_config
        return str(config.get("name") or f"silo-{config.get('partition-id')}")

    @property
    def config(self) -> ConfigRecord:
        """The settings that came with the message."""
        return self._message.content.config_records[CONFIG]

    @property
    def least_rows(self) -> int:
        """How many rows of each label a score of this client needs."""
        return PrivacyPolicy.of(self._context).min_rows

    def number(self, name: str) -> float:
        """Return one of the settings, which must be a number."""
        return number(self.config, name)

    @property
    def arrays(self) -> models.Arrays:
        """The global model's parameters."""
        found = self._message.content.array_records[ARRAYS]
        return {name: array.numpy() for name, array in found.items()}

    @property
    def scaler(self) -> Scaler:
        """The global model's scaler."""
        fill = np.asarray(self.config["scaler-fill"]) if "scaler-fill" in self.config else None
        return Scaler(np.asarray(self.config["scaler-mean"]), np.asarray(self.config["scaler-scale"]), fill)

    @property
    def model(self) -> models.Model:
        """The kind of model."""
        schema, kind = self._schema(), models.load(str(self.config.get("model", "logistic")))
        if schema.task not in kind.tasks:
            raise FedstackError(
                ExitCode.CONFIG,
                f"The server's model cannot learn the task {schema.task}.",
                "Leave out --model.",
            )
        return kind.of(schema)

    def standardised(self, rows: Dataset) -> npt.NDArray[np.float64]:
        """Return rows as the model takes them, shape (n, d); refuse a model or scaler that cannot be."""
        self._check_model()
        with np.errstate(over="ignore", invalid="ignore"):
            z = models.standardise(rows, self.scaler)
        if not (np.abs(z) <= FARTHEST).all():  # NaN compares false
            raise refusal("its scaler is not that of all clients' rows: it blows some of them up")
        return z

    def _check_model(self) -> None:
        """Refuse numbers that are none: an answer to them could be anything."""
        scaler, arrays, encoding = self.scaler, self.arrays, self._schema().encoding
        scale, mean, width = scaler.scale, scaler.mean, self._schema().width
        fill = mean if scaler.fill is None else scaler.fill
        numbers = [array for array in arrays.values() if array.dtype.kind == "f"]
        usable = [
            bool((np.abs(array) <= LARGEST_COEFFICIENT).all()) for array in (*numbers, mean, scale, fill)
        ]
        usable.append(encoding.has_missing == (scaler.fill is not None))
        shapes = mean.shape == scale.shape == fill.shape == (width,) and (
            not self.model.fixed_size or _shapes(arrays) == _shapes(self.model.initial(width, 0))
        )
        if not (shapes and all(usable) and bool((scale > 0).all())):
            raise refusal("the model or the scaler that was sent is not made of usable numbers")

    def fitted(self) -> Pipeline:
        """Return the global model as a Pipeline that takes raw rows."""
        self._check_model()
        return models.as_pipeline(self.model, self.arrays, self.scaler, self._schema())

    def prepared(self) -> Prepared:
        """Return the silo's rows, split and balanced as asked; the same rows in every round."""
        own = self._schema()
        if own.digest() != self.config["schema"]:
            raise FedstackError(
                ExitCode.DATA,
                f"The server's schema is not this client's {own.name!r}.",
                "Put the same schema.json beside the data on both sides.",
                public="The server's schema is not this client's.",
            )
        validation, seed = self.number("validation"), int(self.number("seed"))
        return silo.prepared(self._place(), validation, bool(self.config["smote"]), seed, self.fewest)

    @property
    def fewest(self) -> int:
        """How few rows may be alone with a level: what the policy lets no sum tell apart."""
        return min(math.ceil(LEAST_EFFECTIVE), self.least_rows)

    @property
    def question(self) -> Question:
        """What FedNewton asks for in this round; by default all that a step needs."""
        kind = str(self.config.get("ask", Ask.CURVATURE))
        if kind not in set(Ask):
            raise refusal(f"nothing is known of {kind[:20]!r}")
        hazards = self.config.get("hazards", [])
        return Question(Ask(kind), tuple(np.asarray(hazards, dtype=np.float64).tolist()))

    def label_sums(self, prepared: Prepared) -> npt.NDArray[np.float64]:
        """Return what is summed of the labels of the silo's own training rows."""
        own = prepared.train.take(np.arange(prepared.original_rows))
        return self.model.label_sums(own.y, own.exposure)

    def votes(self, prepared: Prepared) -> npt.NDArray[np.float64]:
        """Say what FedNewton may ask this silo for, as the owner's policy counts it: a vote, to be summed."""
        kind, width = self.model, self._schema().width
        if not isinstance(kind, LinearModel):
            return np.zeros(0)
        crowd = secure_aggregation.crowd_of(self._message, self._context)
        cells = prepared.original_rows * (width + 1) * crowd
        return kind.fitting(width, PrivacyPolicy.of(self._context).max_numbers_per_cell * cells)

    def private_rows(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return all of the silo's rows, standardised, and their labels.

        All of them, and none made from others: which rows are kept back, and SMOTE's, depend on every row.
        """
        train = self.all_rows()
        return models.standardise(train, self.scaler), train.y

    def all_rows(self) -> Dataset:
        """Return all of the silo's rows, as noise needs them; refuse what would make rows of rows."""
        if (
            self.number("validation")
            or self.config["smote"]
            or self.config.get("class-weight", "none") != "none"
        ):
            raise FedstackError(
                ExitCode.CONFIG,
                "Differential privacy was asked for together with validation rows, SMOTE or class weights.",
                "Deploy the same release on both sides.",
            )
        rows = self.prepared().train
        disclosure.declare(Basis(rows=len(rows)))
        return rows

    def fit(self, rows: int) -> models.Fit:
        """Return how a silo of so many rows fits in this round."""
        seed = MOST_ROUNDS * int(self.number("seed")) + int(self.number("server-round"))
        return models.Fit(
            iterations=int(self.number("iterations")),
            c=self.number("c"),
            class_weight=self._class_weight(),
            mu=self.number("proximal-mu") if "proximal-mu" in self.config else 0.0,
            label_weights=self._label_weights(),
            seed=seed,
            share=min(1.0, rows / max(1.0, self.number("rows"))),
        )

    def fit_alone(self) -> models.Fit:
        """Return how this silo would fit a model without the others."""
        return models.Fit(
            iterations=int(self.number("iterations")),
            c=self.number("c"),
            class_weight=self._class_weight(),
            seed=int(self.number("seed")),
        )

    def declare(self, prepared: Prepared, **more: Any) -> None:
        """Say that the answer is computed from a silo's training rows."""
        disclosure.declare(Basis(prepared.original_rows, smallest_group=prepared.smallest_group, **more))

    def _label_weights(self) -> tuple[float, ...] | None:
        """Return what a row of each label weighs, where the server knows the labels' shares in all silos."""
        if "label-weights" not in self.config:
            return None
        weights = np.asarray(self.config["label-weights"], dtype=np.float64)
        most = len(weights) == len(self._schema().classes) and (weights > 0).all() and (weights < 1e6).all()
        if not most:
            raise refusal("the labels' weights are not made of usable numbers")
        return tuple(weights.tolist())

    def _class_weight(self) -> Literal["none", "balanced"]:
        return "balanced" if self.config["class-weight"] == "balanced" else "none"

    def _schema(self) -> Schema:
        return silo.load(self._place()).schema

    def _place(self) -> str:
        """Say where the data lies: named by the node, or numbered within the run's folder of silos."""
        if place := self._context.node_config.get("data"):
            return str(place)
        if (folder := self._context.run_config.get("silos")) and "partition-id" in self._context.node_config:
            return str(Path(str(folder)) / f"{self.name}.csv")
        raise FedstackError(
            ExitCode.CONFIG,
            "This node names no data.",
            "Set data=PATH in its node config, or silos=FOLDER in the run's.",
        )


def _shapes(arrays: models.Arrays) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (array.shape, array.dtype.kind) for name, array in arrays.items()}


def terms_of(message: Message) -> Terms:
    """Read how private the server wants an answer to be."""
    config = message.content.config_records[CONFIG]
    return Terms(*(number(config, f"privacy-{name}") for name in ("noise", "clip", "delta")))


def number(config: ConfigRecord, name: str) -> float:
    """Read a number that the server sent."""
    value = config.get(name)
    if type(value) not in (int, float):
        raise FedstackError(ExitCode.CONFIG, f"The server's {name} is {value!r}.", "Deploy the same release.")
    return float(value)  # type: ignore[arg-type]
