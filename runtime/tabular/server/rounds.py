"""One round: every client trains, the strategy aggregates what may be used, the test set judges."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from runtime.contract import ExitCode, FedstackError, Updates
from runtime.link import flower
from runtime.messages import ARRAYS, METRICS
from runtime.server.aggregation.replies import arrays_of, metrics_of
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.server.aggregation.validation import Expected, Sorted, check_reply, decoded, sort_replies
from runtime.tabular import models, task_scores
from runtime.tabular.data.schema import Schema
from runtime.tabular.models import Arrays
from runtime.tabular.models.linear_model import class_weights, to_vector
from runtime.tabular.server import plain_round, privacy, secure_round
from runtime.tabular.server.checkpoint import State
from runtime.tabular.server.prepare import preparation_config
from runtime.tabular.server.settings import RunSettings
from runtime.tabular.server.test_set import TestSet
from runtime.tabular.strategies.catalogue import running_of
from runtime.tabular.strategies.fednewton import FedNewton
from runtime.tabular.strategies.histogram import Histogram
from runtime.tabular.strategies.plausibility import PlausibleCurvature
from runtime.updates import UpdateRefusedError, check_summand

SPARE_BYTES = 1024 * 1024
"""Of a reply, for all that it holds beside its arrays."""

PRIVATE_FORM = {"train": "train.private", "train.curvature": "train.private_curvature"}
"""What a strategy's message becomes under differential privacy."""


def fit_config(settings: RunSettings, state: State, schema: Schema) -> ConfigRecord:
    """Say how clients fit; the strategy adds the round's number. The scaler is part of the global model."""
    config = ConfigRecord(
        {
            **preparation_config(settings, schema),
            "rows": state.rows,
            "iterations": settings.iterations,
            "c": settings.strength,
            "class-weight": settings.class_weight,
            "scaler-mean": state.scaler.mean.tolist(),
            "scaler-scale": state.scaler.scale.tolist(),
        }
    )
    if state.scaler.fill is not None:
        config["scaler-fill"] = state.scaler.fill.tolist()
    if settings.class_weight == "balanced" and schema.of_classes and state.label_sums is not None:
        how = models.Fit(class_weight=settings.class_weight)
        config["label-weights"] = class_weights(state.label_sums, how).tolist()
    return config


class Rounds:
    """Play rounds of one run.

    Parameters
    ----------
    names
        The client's name for each of Flower's node ids.
    state
        The run's state: its scaler, and what is known of all clients' rows.
    on_refused
        Called as `on_refused(kind, client=name, reason=reason)` for a reply that may not be used.
    wait_seconds
        Asked each time how long replies may be waited for.
    aggregation
        Sums the updates; None where they are asked for one by one.
    """

    def __init__(
        self,
        grid: Grid,
        settings: RunSettings,
        strategy: Strategy,
        test: TestSet,
        names: Callable[[int], str],
        on_refused: Callable[..., None],
        state: State,
        wait_seconds: Callable[[], float],
        aggregation: SecureAggregation | None = None,
    ) -> None:
        self._grid, self._settings, self._strategy = grid, settings, strategy
        self._test, self._names, self._on_refused, self._state = test, names, on_refused, state
        self._wait_seconds, self._aggregation = wait_seconds, aggregation
        self._kind = models.load(settings.model).of(test.rows.schema)
        self._scores = task_scores.SCORES[test.rows.schema.task]
        self._plausible: dict[frozenset[int], PlausibleCurvature] = {}

    def play(self, number: int, arrays: Arrays) -> tuple[Arrays, dict[str, Any]]:
        """Play one round.

        Returns
        -------
        arrays, entry
            The new global model, and what report.json says about the round.

        Raises
        ------
        FedstackError
            With ExitCode.QUORUM, when fewer clients than the round needs sent an update that may be used.
        """
        started = time.perf_counter()
        model, config = (
            to_record(arrays),
            fit_config(self._settings, self._state, self._test.rows.schema),
        )
        clients: dict[str, dict[str, Any]] = {name: _absent() for name in self._settings.roster}
        unfinished = True
        while unfinished:  # a round of some strategies is several questions
            sent = list(self._strategy.configure_train(number, model, config, self._grid))
            if self._settings.privacy_epsilon is not None:
                for message in sent:
                    message.metadata.message_type = PRIVATE_FORM[message.metadata.message_type]
            expected = self._expected(model)
            if allow := getattr(self._grid, "allow", None):
                allow(SPARE_BYTES + sum(len(array.data) for array in expected.like.values()))
            updates = self._exchange(number, sent, expected, clients)
            if len(updates.accepted) < self._settings.quorum:
                raise self._short(number, updates)
            aggregate, _ = self._strategy.aggregate_train(number, updates.summed or updates.accepted)
            loss = _mean_loss(updates.summed if self._aggregation else updates.accepted)
            if aggregate is None:
                raise self._short(number, updates)
            model, unfinished = aggregate, getattr(self._strategy, "unfinished", False)
        after = {name: np.asarray(array.numpy()) for name, array in model.items()}
        self._validate(number, model, config, clients)
        entry = {
            "round": number,
            "seconds": 0.0,
            "train_loss": loss,
            "test": self._test.scores(after, self._state.scaler),
            "clients": clients,
        }
        entry["seconds"] = round(time.perf_counter() - started, 4)
        return after, entry

    def _expected(self, model: ArrayRecord) -> Expected:
        """Clients send a model like the global one, unless the strategy asks for something else."""
        if isinstance(self._strategy, FedNewton | Histogram):
            return Expected(self._strategy.update_like(model), check_summand)
        return Expected(model, self._kind.check, self._kind.fixed_size)

    def _exchange(
        self, number: int, sent: list[Message], expected: Expected, clients: dict[str, dict[str, Any]]
    ) -> Sorted:
        """Send the model out and sort what comes back, noting for each client what it sent and cost."""
        known: flower.Bodies = {}
        down = {message.metadata.dst_node_id: flower.size_of(message, known) for message in sent}
        if self._aggregation is not None:
            if isinstance(self._strategy, Histogram):
                self._aggregation.make_group()
            updates = secure_round.exchange(self._aggregation, self._settings, number, sent, expected.like)
            self._check_sum(number, sent, updates)
        else:
            updates = plain_round.exchange(
                *(self._grid, sent, self._wait_seconds()),
                lambda reply: self._check_update(sent, reply, expected),
                running_of(self._strategy),
            )
        for node, size in down.items():
            reason = updates.refused.get(node, "no reply in time")
            before = clients[self._names(node)]
            told = {"bytes_down": before["bytes_down"] + size, "status": reason}
            kept = {name: before[name] for name in ("bytes_up", "train_seconds")}
            clients[self._names(node)] = _absent() | kept | told
        for node, size in updates.sizes.items():
            clients[self._names(node)]["bytes_up"] += size
        for reply in updates.accepted:
            measured = reply.content.metric_records["metrics"]
            clients[self._names(reply.metadata.src_node_id)] |= {
                "samples": measured.get("num-examples", 0),
                "train_seconds": _seconds(clients[self._names(reply.metadata.src_node_id)], measured),
                "train_loss": measured.get("train-loss"),
                "status": "ok",
            }
            if told := {key: measured[key] for key in sorted(privacy.PRIVACY_METRICS) if key in measured}:
                clients[self._names(reply.metadata.src_node_id)]["privacy"] = told
        for node, reason in updates.refused.items():
            self._on_refused("update_refused", client=self._names(node), reason=reason)
        return updates

    def _check_update(self, sent: list[Message], reply: Message, expected: Expected) -> None:
        """Refuse what is no update, and what no rows give or not those that were told at the preparation."""
        check_reply(reply, privacy.train_metrics(self._settings), expected)
        node = reply.metadata.src_node_id
        told, rows = self._state.samples.get(self._names(node), 0), metrics_of(reply.content)[METRICS]
        if told and rows["num-examples"] != told:
            raise UpdateRefusedError(f"it comes from {rows['num-examples']} rows, {told} were told")
        self._check_curvature(frozenset({node}), sent, reply)

    def _check_sum(self, number: int, sent: list[Message], updates: Sorted) -> None:
        """End the run at a sum that no rows can give: whose numbers those were nobody can know."""
        nodes = frozenset(reply.metadata.src_node_id for reply in updates.accepted)
        if isinstance(self._strategy, Histogram) and updates.refused:
            raise self._short(number, updates)  # a guard on all rows holds for no fewer
        try:
            self._check_curvature(nodes, sent, updates.summed[0])
        except UpdateRefusedError as error:
            raise secure_round.impossible(number, str(error)) from error

    def _check_curvature(self, nodes: frozenset[int], sent: list[Message], reply: Message) -> None:
        """Hold FedNewton's update against those before it of the same clients; noise keeps no bound."""
        if isinstance(self._strategy, Histogram):
            told = decoded(arrays_of(reply.content)[ARRAYS])
            self._strategy.check(told, int(metrics_of(reply.content)[METRICS]["num-examples"]))  # type: ignore[arg-type]
            return
        if not isinstance(self._strategy, FedNewton) or self._settings.privacy_epsilon is not None:
            return
        model = decoded(arrays_of(sent[0].content)[ARRAYS])
        arrays = decoded(arrays_of(reply.content)[ARRAYS])
        rows = int(metrics_of(reply.content)[METRICS]["num-examples"])  # type: ignore[arg-type]
        logistic = self._settings.model == "logistic" and self._settings.class_weight == "none"
        found = self._strategy.curvature_of(model, arrays)
        if found is None:
            return
        self._plausible.setdefault(nodes, PlausibleCurvature(logistic=logistic)).check(
            to_vector(model), found.loss, found.gradient, found.hessian, rows
        )

    def _validate(
        self, number: int, model: ArrayRecord, config: ConfigRecord, clients: dict[str, dict[str, Any]]
    ) -> None:
        """Let every client score the new model on rows that it keeps back from training."""
        if self._settings.updates is not Updates.PLAIN:
            return  # what one client's rows score may not leave it
        sent = list(self._strategy.configure_evaluate(number, model, config, self._grid))
        replies = self._grid.send_and_receive(sent, timeout=self._wait_seconds())
        asked = frozenset({"num-examples", *self._scores})
        sorted_replies = sort_replies(replies, asked, undefined=frozenset(self._scores))
        self._strategy.aggregate_evaluate(number, sorted_replies.accepted)
        for reply in sorted_replies.accepted:
            measured: Mapping[str, Any] = reply.content.metric_records["metrics"]
            validation = {name: _number(measured.get(name)) for name in self._scores}
            clients[self._names(reply.metadata.src_node_id)]["validation"] = validation
        for node, reason in sorted_replies.refused.items():
            self._on_refused("evaluation_refused", client=self._names(node), reason=reason)

    def _short(self, number: int, updates: Sorted) -> FedstackError:
        why = "; ".join(f"{self._names(node)}: {reason}" for node, reason in updates.refused.items())
        return FedstackError(
            ExitCode.QUORUM,
            f"Round {number} has {len(updates.accepted)} usable updates, {self._settings.quorum} are needed "
            f"({why}).",
            "Mend the clients named, then run again with --resume; or lower min_clients.",
        )


def to_record(arrays: Arrays) -> ArrayRecord:
    """Return a global model as Flower sends it."""
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def _mean_loss(replies: list[Message]) -> float | None:
    """Return the mean log loss of the model that the round began with, over all training rows."""
    told = [reply.content.metric_records["metrics"] for reply in replies]
    if any("train-loss" not in one for one in told):
        return None
    samples = np.array([one["num-examples"] for one in told], dtype=np.float64)
    return float(samples @ np.array([one["train-loss"] for one in told]) / samples.sum())


def _seconds(before: Mapping[str, Any], measured: Mapping[str, Any]) -> float:
    """Return how long a client has trained in the round so far."""
    return float(before["train_seconds"]) + float(measured["train-seconds"])


def _absent() -> dict[str, Any]:
    return {
        "samples": 0,
        "train_seconds": 0.0,
        "train_loss": None,
        "bytes_up": 0,
        "bytes_down": 0,
        "status": "absent",
        "validation": None,
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
