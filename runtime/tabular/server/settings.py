"""The settings of a run of the built-in app."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from flwr.serverapp.strategy import Strategy
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from runtime.command_line.aim import SAY, read_aim
from runtime.command_line.near import near
from runtime.contract import FedstackError, Updates
from runtime.privacy.accountant import noise_for
from runtime.privacy.mechanism import Terms, hessian_noise
from runtime.server.settings import PlatformSettings, parse_as
from runtime.tabular import models
from runtime.tabular.columns.columns import Task
from runtime.tabular.data.schema import schema_of
from runtime.tabular.operating_point import Aim
from runtime.tabular.strategies.catalogue import STRATEGIES
from runtime.tabular.strategies.private_newton import PrivateNewton
from runtime.tabular.strategies.support import OWN_UPDATES, SUPPORT, UNKNOWN, Support, against_sums

NEWTON_ROUNDS: Final = 100
"""What FedNewton may take: six to ten suffice where the labels are not told apart without an error."""

MODEL_OF: Final = {
    Task.BINARY: "logistic",
    Task.MULTICLASS: "softmax",
    Task.LINEAR: "linear",
    Task.POISSON: "poisson",
    Task.COX: "cox",
}
"""The linear model of each task."""


def _from_pairs(given: Any) -> Any:
    """Take NAME=VALUE pairs, as a command line gives them."""
    if not isinstance(given, list):
        return given
    if wrong := [pair for pair in given if "=" not in pair]:
        raise ValueError(f"{wrong[0]!r} is not NAME=VALUE")
    return dict(pair.split("=", 1) for pair in given)


class RunSettings(PlatformSettings):
    """The settings of a run of the built-in app."""

    test_data: Path = Field(description="The server's own test set, a CSV.")
    model: str = Field("logistic", description=f"One of {', '.join(models.names())}.")
    strategy: str = Field("", description=f"One of {', '.join(STRATEGIES)}; by default the model's best.")
    strategy_options: Annotated[dict[str, float], BeforeValidator(_from_pairs)] = Field(
        default={}, description="An option of the strategy, as NAME=VALUE; may be given several times."
    )
    rounds: int = Field(
        10,
        ge=1,
        le=10_000,
        description="How many rounds to play at most; fednewton, which ends by itself, has 100 by default.",
    )
    iterations: int = Field(
        10, ge=1, le=10_000, description="Iterations of a client's own solver in one round."
    )
    c: float = Field(1.0, gt=0, description="Inverse strength of the L2 penalty.", allow_inf_nan=False)
    penalty: Literal["l2", "none"] = Field("l2", description="Whether coefficients are held near 0 by c.")
    class_weight: Literal["none", "balanced"] = Field("none", description="How labels weigh in the loss.")
    smote: bool = Field(False, description="Balance each client's training rows with SMOTE.")
    validation: float = Field(
        0.1, ge=0, lt=1, description="Share of a silo's rows that its client keeps back from training."
    )
    patience: int = Field(
        0,
        ge=0,
        description="Stop after so many rounds without a better test loss, and keep the best; 0: never.",
    )
    privacy_epsilon: float | None = Field(
        None, gt=0, le=100, description="Epsilon per row and client that the whole run may reach."
    )
    privacy_delta: float = Field(1e-5, gt=0, le=0.01, description="Delta at which epsilon is counted.")
    privacy_clip: float = Field(
        6.0, gt=0, le=1000, description="Norm that no standardised row may exceed under privacy."
    )
    threshold_for: str | None = Field(
        None,
        description="What a threshold on the test set is chosen for: recall=0.8, precision=0.5 or cost=10:1 "
        "(of a missed positive, and of a false alarm); for two labels only.",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the clients' splits.")

    @model_validator(mode="before")
    @classmethod
    def _nothing_kept_back(cls, given: Any) -> Any:
        """With noise keep back no validation rows, unless told to: no score may leave a client anyway."""
        if not isinstance(given, dict) or given.get("privacy_epsilon") is None:
            return given
        return {"validation": 0.0, "updates": Updates.NOISE, **given}

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        if value not in models.names():
            raise ValueError(f"no model of that name. {near(value, models.names())}".rstrip("."))
        try:
            models.load(value)
        except ImportError as error:
            raise ValueError(f"its library is not installed here ({error.name})") from None
        return value

    @model_validator(mode="before")
    @classmethod
    def _enough_rounds(cls, given: Any) -> Any:
        """Let FedNewton go on until it has converged; with noise, rounds cost budget."""
        asked = isinstance(given, dict) and given.get("rounds") is not None
        if not isinstance(given, dict) or asked or given.get("privacy_epsilon") is not None:
            return given
        return {**given, "rounds": NEWTON_ROUNDS} if given.get("strategy") == "fednewton" else given

    @model_validator(mode="before")
    @classmethod
    def _best_strategy(cls, given: Any) -> Any:
        """Without a strategy, take the one that suits the model."""
        if isinstance(given, dict) and not given.get("strategy"):
            model = given.get("model", "logistic")
            if model in models.names():
                with suppress(ImportError):
                    kind = models.load(model)
                    plain = kind.best_plain_strategy if given.get("updates") == Updates.PLAIN else ""
                    return {**given, "strategy": plain or kind.best_strategy}
        return given

    @model_validator(mode="before")
    @classmethod
    def _model_of_the_task(cls, given: Any) -> Any:
        """Without a model, take the linear one of the task that the schema beside the test set names."""
        if not isinstance(given, dict) or given.get("model") or not given.get("test_data"):
            return given
        with suppress(FedstackError, OSError):  # whoever reads the test set says what is wrong with it
            return {**given, "model": MODEL_OF[schema_of(Path(given["test_data"])).task]}
        return given

    @field_validator("strategy")
    @classmethod
    def _known_strategy(cls, value: str) -> str:
        if value not in STRATEGIES:
            raise ValueError(f"no strategy of that name. {near(value, sorted(STRATEGIES))}".rstrip("."))
        return value

    @model_validator(mode="after")
    def _sound_strategy(self) -> Self:
        choice, model = STRATEGIES[self.strategy], models.load(self.model)
        if self.strategy not in model.strategies:
            fit = ", ".join(sorted(model.strategies))
            raise ValueError(f"{self.strategy} cannot train the model {self.model}; {fit} can")
        try:
            options = choice.options.model_validate(self.strategy_options)
        except ValidationError as error:
            lines = [f"{e['loc'][0]}: {e['msg']} (received {e['input']!r})" for e in error.errors()]
            known = ", ".join(choice.options.model_fields) or "none"
            raise ValueError(f"{self.strategy}'s options: {'; '.join(lines)}; it has {known}") from None
        if (fewest := choice.fewest(options)) > self.quorum:
            raise ValueError(f"{self.strategy} needs {fewest} clients a round, {self.quorum} are sure")
        if self.strategy in OWN_UPDATES and self.strategy != "fednewton" and self.class_weight != "none":
            raise ValueError(
                f"{self.strategy} sums the clients' losses, but class_weight=balanced weighs them by each "
                "silo's own labels; use --smote, or another strategy"
            )
        return self

    @field_validator("threshold_for")
    @classmethod
    def _an_aim(cls, value: str | None) -> str | None:
        if value is not None and read_aim(value) is None:
            raise ValueError(f"nothing that a threshold can be chosen for. {SAY}".rstrip("."))
        return value

    @model_validator(mode="after")
    def _threshold_of_two_labels(self) -> Self:
        if self.threshold_for is not None and Task.BINARY not in models.load(self.model).tasks:
            raise ValueError(
                f"threshold_for is {self.threshold_for!r}, but the model {self.model} is not of two labels, "
                "which alone are told apart by a threshold; leave it out"
            )
        return self

    @property
    def aim(self) -> Aim | None:
        """What a threshold is chosen for, if for anything."""
        return None if self.threshold_for is None else Aim.read(self.threshold_for)

    @model_validator(mode="after")
    def _possible_privacy(self) -> Self:
        if reasons := [*self._against_sums(), *self._against_noise()]:
            raise ValueError("; ".join(reasons))
        return self

    def _against_sums(self) -> list[str]:
        """Return why updates cannot be asked for in sums."""
        if self.updates is not Updates.SUMS:
            return []
        return against_sums(self.strategy, self.model, self.engine.value, len(self.clients), self.quorum)

    def _against_noise(self) -> list[str]:
        if self.privacy_epsilon is None:
            return ["updates is 'noise', but no --privacy-epsilon is given"] * (self.updates is Updates.NOISE)
        found = []
        if reason := SUPPORT.get(self.strategy, Support(UNKNOWN, UNKNOWN)).dp:
            found.append(f"{self.strategy} refuses differential privacy: it {reason}")
        if self.updates is Updates.PLAIN:
            found.append("updates is 'plain' beside --privacy-epsilon: noisy updates are not plain")
        if self.model != "logistic":
            found.append(f"differential privacy refuses the model {self.model}: it is made for logistic")
        if self.penalty == "none":
            found.append(
                "differential privacy needs a penalty: without one noise can move coefficients anywhere"
            )
        if self.smote:
            found.append("differential privacy refuses smote: a synthetic row depends on several real ones")
        if self.class_weight != "none":
            found.append(
                "differential privacy refuses class_weight: a row would change the weight of all others"
            )
        if self.validation:
            found.append("differential privacy refuses validation rows: no score of a client may leave it")
        if self.engine.value != "link":
            found.append(
                "differential privacy needs --engine link: its budget is kept by the client's process"
            )
        return found

    @property
    def strength(self) -> float:
        """Inverse strength of the penalty; infinite without one."""
        return math.inf if self.penalty == "none" else self.c

    @property
    def releases(self) -> int:
        """How many noisy releases a client makes in the whole run."""
        return self.rounds * (1 if self.strategy == "fednewton" else self.iterations)

    @property
    def terms(self) -> Terms | None:
        """The noise with which the whole run has the epsilon asked for; None without."""
        if self.privacy_epsilon is None:
            return None
        noise = noise_for(self.privacy_epsilon, self.privacy_delta, self.releases)
        return Terms(noise, self.privacy_clip, self.privacy_delta)

    def make_strategy(self) -> Strategy:
        """Make the strategy with its options."""
        choice, asked = STRATEGIES[self.strategy], self.terms
        if asked is not None and self.strategy == "fednewton":
            return PrivateNewton(self.quorum, self.c, hessian_noise(asked))
        return choice.make(self.quorum, self.strength, choice.options.model_validate(self.strategy_options))

    @property
    def checkpoint(self) -> Path:
        """Where the state after the last round is kept."""
        return self.out / "checkpoint.npz"


def parse(values: dict[str, Any]) -> RunSettings:
    """Check the settings of a run of the built-in app; every error is reported at once, with its value."""
    return parse_as(RunSettings, values)
