"""Every strategy by its name, with its own options, checked before anything is created."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import Strategy
from pydantic import BaseModel, ConfigDict, Field, create_model

from runtime.server.aggregation.running import Running, RunningMean, RunningSum
from runtime.tabular.strategies import mean
from runtime.tabular.strategies.fednewton import FedNewton
from runtime.tabular.strategies.histogram import Histogram
from runtime.tabular.strategies.private_newton import PrivateNewton


class Options(BaseModel):
    """A strategy's options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Choice:
    """A strategy that a run may choose.

    Parameters
    ----------
    options
        The model that its options are checked against.
    make
        Makes it for a quorum, the run's C and the options.
    fewest
        The fewest clients that it works with, given its options.
    """

    options: type[Options]
    make: Callable[[int, float, Options], Strategy]
    fewest: Callable[[Any], int] = lambda _: 1


def _of_flower(kind: Callable[..., Strategy], **fields: tuple[type, Any]) -> dict[str, Any]:
    """Describe one of Flower's strategies: its options are arguments of its own."""
    options = create_model("Options", __base__=Options, **fields)  # type: ignore[call-overload]

    def make(quorum: int, _: float, chosen: Options) -> Strategy:
        nodes = {"min_train_nodes": quorum, "min_evaluate_nodes": quorum, "min_available_nodes": quorum}
        return kind(**nodes, **chosen.model_dump())

    return {"options": options, "make": make}


class NewtonOptions(Options):
    """FedNewton's."""

    tolerance: float = Field(1e-4, gt=0)
    cell_means: bool = False


class HistogramOptions(Options):
    """Histogram's."""

    eta: float = Field(0.4, gt=0, le=1)
    min_rows: int = Field(11, ge=1)
    bins: int = Field(16, ge=2, le=255)


_RATE: Final = {"eta": (float, Field(0.1, gt=0)), "tau": (float, Field(1e-3, gt=0))}
_BETAS: Final = {"beta_1": (float, Field(0.9, ge=0, lt=1)), "beta_2": (float, Field(0.99, ge=0, lt=1))}
_MALICIOUS: Final = {"num_malicious_nodes": (int, Field(0, ge=0))}

STRATEGIES: Final[Mapping[str, Choice]] = {
    "fednewton": Choice(
        NewtonOptions,
        lambda quorum, c, options: FedNewton(
            quorum,
            c,
            options.tolerance,  # type: ignore[attr-defined]
            cell_means=options.cell_means,  # type: ignore[attr-defined]
        ),
    ),
    "histogram": Choice(HistogramOptions, lambda quorum, c, options: Histogram(quorum, c, **dict(options))),
    "fedavg": Choice(**_of_flower(mean.Mean)),
    "fedavgm": Choice(
        **_of_flower(
            mean.FedAvgM,
            server_learning_rate=(float, Field(1.0, gt=0)),
            server_momentum=(float, Field(0.5, ge=0, lt=1)),
        ),
    ),
    "fedprox": Choice(**_of_flower(mean.FedProx, proximal_mu=(float, Field(0.01, gt=0)))),
    "fedadagrad": Choice(**_of_flower(mean.FedAdagrad, **_RATE)),
    "fedadam": Choice(**_of_flower(mean.FedAdam, **_RATE, **_BETAS)),
    "fedyogi": Choice(**_of_flower(mean.FedYogi, **_RATE, **_BETAS)),
    "qfedavg": Choice(
        **_of_flower(
            partial(flower.QFedAvg, train_loss_key="train-loss"),
            client_learning_rate=(float, Field(1.0, gt=0)),
            q=(float, Field(0.1, ge=0)),
        )
    ),
    "fedxgbbagging": Choice(**_of_flower(flower.FedXgbBagging)),
    "fedmedian": Choice(**_of_flower(flower.FedMedian)),
    "fedtrimmedavg": Choice(
        **_of_flower(flower.FedTrimmedAvg, beta=(float, Field(0.2, ge=0, lt=0.5))),
    ),
    "krum": Choice(**_of_flower(flower.Krum, **_MALICIOUS), fewest=lambda o: 2 * o.num_malicious_nodes + 3),
    "multikrum": Choice(
        **_of_flower(flower.MultiKrum, **_MALICIOUS, num_nodes_to_select=(int, Field(2, ge=1))),
        fewest=lambda o: max(2 * o.num_malicious_nodes + 3, o.num_nodes_to_select),
    ),
    "bulyan": Choice(
        **_of_flower(flower.Bulyan, **_MALICIOUS), fewest=lambda o: 4 * o.num_malicious_nodes + 3
    ),
}


def running_of(strategy: Strategy) -> Running | None:
    """Return what adds up a strategy's updates as they come; None where it has to see each of them.

    PrivateNewton counts them: so many clients' noise is in the sum.
    """
    if isinstance(strategy, PrivateNewton):
        return None
    if isinstance(strategy, FedNewton | Histogram):
        return RunningSum()
    return RunningMean() if isinstance(strategy, mean.Mean) else None
