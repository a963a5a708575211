"""Everything that one run is told, checked before anything is created."""

from __future__ import annotations

import datetime as dt
import secrets
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from flwr.serverapp.strategy import Strategy
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from runtime.contract import LEAST_COHORT, LINK_PORT, ExitCode, FedstackError, Updates
from runtime.flower_app import FlowerApp
from runtime.link import flower
from runtime.privacy.mechanism import hessian_noise
from runtime.server import privacy
from runtime.server.private_newton import PrivateNewton
from runtime.server.roster import Client
from runtime.server.strategies import STRATEGIES
from runtime.task import models


class Engine(StrEnum):
    """What carries the messages between the ServerApp and the ClientApps."""

    LINK = "link"
    SUPERLINK = "superlink"
    SIMULATION = "simulation"


def _from_toml(given: Any) -> Any:
    """Take KEY=VALUE pairs, as `flwr run --run-config` does."""
    if not isinstance(given, list):
        return given
    return flower.read_pairs(given)


def _from_pairs(given: Any) -> Any:
    """Take NAME=VALUE pairs, as a command line gives them."""
    if not isinstance(given, list):
        return given
    if wrong := [pair for pair in given if "=" not in pair]:
        raise ValueError(f"{wrong[0]!r} is not NAME=VALUE")
    return dict(pair.split("=", 1) for pair in given)


class PlatformSettings(BaseModel):
    """What every run is told, whatever app it is of; each default stands here and nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field("federation", description="The federation's name.")
    clients: tuple[Client, ...] = Field(min_length=1, description="The roster.")
    out: Path = Field(Path("out"), description="Where everything is written.")
    engine: Engine = Field(Engine.LINK, description="What carries the messages.")
    min_clients: int | None = Field(
        None, ge=1, description="Usable updates that a round needs; the whole roster's by default."
    )
    updates: Updates = Field(
        Updates.SUMS,
        description="How clients' updates are asked for: in sums, with noise (which --privacy-epsilon alone "
        "means), or plain, which every client's owner must have allowed.",
    )
    join_seconds: float = Field(600.0, gt=0, description="How long to wait for clients.")
    round_seconds: float = Field(600.0, gt=0, description="How long to wait for the replies of a round.")
    run_seconds: float = Field(86_400.0, gt=0, description="How long the run may take.")
    address: str = Field(
        f"127.0.0.1:{LINK_PORT}",
        pattern=r"^[A-Za-z0-9.-]+:\d{1,5}$",
        description="host:port that clients reach this server by.",
    )
    silos: Path | None = Field(None, description="A folder of NAME.csv, for engines whose nodes are virtual.")
    resume: bool = Field(False, description="Go on from the checkpoint in the output folder.")
    run_id: str = Field(default_factory=lambda: new_run_id())

    @field_validator("clients")
    @classmethod
    def _distinct_names(cls, value: tuple[Client, ...]) -> tuple[Client, ...]:
        names = [client.name for client in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two clients are named {', '.join(twice)}; every name needs one client")
        return value

    @model_validator(mode="after")
    def _reachable_quorum(self) -> Self:
        if self.quorum > len(self.clients):
            raise ValueError(f"min_clients is {self.quorum}, but the roster has {len(self.clients)} clients")
        if self.engine is Engine.LINK and (lost := [c.name for c in self.clients if not c.mailbox]):
            raise ValueError(f"no mailbox is given for {', '.join(lost)}; the link needs one for each client")
        if self.engine is Engine.SIMULATION and self.silos is None:
            raise ValueError("no folder of silos is given; the simulation's clients need one")
        return self

    @property
    def quorum(self) -> int:
        """How many clients a round needs."""
        return len(self.clients) if self.min_clients is None else self.min_clients

    @property
    def roster(self) -> list[str]:
        """The clients' names."""
        return [client.name for client in self.clients]


class AppSettings(PlatformSettings):
    """The settings of a run of any Flower app."""

    app: Path = Field(description="A Flower app's folder, to run in place of the built-in one.")
    test_data: Path | None = Field(
        None, description="The server's own test set; the app hears of it as `test-data` of its run config."
    )
    run_config: Annotated[dict[str, bool | int | float | str], BeforeValidator(_from_toml)] = Field(
        default={}, description="A value of the app's run config, as KEY=VALUE; may be given several times."
    )

    @field_validator("app", "out", "test_data")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """The app runs in the output folder."""
        return value and value.absolute()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        try:
            FlowerApp.read(self.app).run_config(self.run_config)
        except FedstackError as error:
            raise ValueError(str(error)) from None
        if self.resume:
            raise ValueError(
                "only the built-in app keeps a checkpoint that --resume can go on from; start another run"
            )
        if self.updates is Updates.NOISE:
            raise ValueError("the noise of an app that is not the built-in one is accounted for by nobody")
        if self.updates is Updates.SUMS:
            if self.engine is not Engine.LINK:
                raise ValueError(f"the engine {self.engine.value} {privacy.OWNER}")
            if self.quorum < LEAST_COHORT:
                raise ValueError(
                    f"a federation that goes on with {self.quorum} {privacy.OWNER}: a sum has {LEAST_COHORT} "
                    "members at least"
                )
        return self


class RunSettings(PlatformSettings):
    """The settings of a run of the built-in app."""

    test_data: Path = Field(description="The server's own test set, a CSV.")
    model: str = Field("logistic", description=f"One of {', '.join(models.names())}.")
    strategy: str = Field("", description=f"One of {', '.join(STRATEGIES)}; by default the model's best.")
    strategy_options: Annotated[dict[str, float], BeforeValidator(_from_pairs)] = Field(
        default={}, description="An option of the strategy, as NAME=VALUE; may be given several times."
    )
    rounds: int = Field(10, ge=1, le=10_000, description="How many rounds to play.")
    iterations: int = Field(
        10, ge=1, le=10_000, description="Iterations of a client's own solver in one round."
    )
    c: float = Field(1.0, gt=0, description="Inverse strength of the L2 penalty.")
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
    seed: int = Field(0, ge=0, description="Seed of the clients' splits.")

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
            raise ValueError(f"no model of that name; there are {', '.join(models.names())}")
        try:
            models.load(value)
        except ImportError as error:
            raise ValueError(f"its library is not installed here ({error.name})") from None
        return value

    @model_validator(mode="before")
    @classmethod
    def _best_strategy(cls, given: Any) -> Any:
        """Without a strategy, take the one that suits the model."""
        if isinstance(given, dict) and not given.get("strategy"):
            model = given.get("model", "logistic")
            if model in models.names():
                with suppress(ImportError):
                    return {**given, "strategy": models.load(model).best_strategy}
        return given

    @field_validator("strategy")
    @classmethod
    def _known_strategy(cls, value: str) -> str:
        if value not in STRATEGIES:
            raise ValueError(f"no strategy of that name; there are {', '.join(sorted(STRATEGIES))}")
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
        if self.strategy == "fednewton" and self.class_weight != "none":
            raise ValueError(
                "fednewton sums the clients' losses, but class_weight=balanced weighs them by each "
                "silo's own labels; use --smote, or another strategy"
            )
        return self

    @model_validator(mode="after")
    def _possible_privacy(self) -> Self:
        if reasons := privacy.refusals(self):
            raise ValueError("; ".join(reasons))
        return self

    def make_strategy(self) -> Strategy:
        """Make the strategy with its options."""
        choice, asked = STRATEGIES[self.strategy], privacy.terms(self)
        if asked is not None and self.strategy == "fednewton":
            return PrivateNewton(self.quorum, self.c, hessian_noise(asked))
        return choice.make(self.quorum, self.c, choice.options.model_validate(self.strategy_options))

    @property
    def checkpoint(self) -> Path:
        """Where the state after the last round is kept."""
        return self.out / "checkpoint.npz"


Settings = TypeVar("Settings", bound=PlatformSettings)


def new_run_id() -> str:
    """Make a run id that sorts by time and is a valid SageMaker job name's part."""
    return f"run-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def problems(error: ValidationError) -> list[str]:
    """Return what is wrong with settings, each with its name and the value received."""
    return [
        f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg'].removeprefix('Value error, ')}"
        + (f" (received {e['input']!r})" if e["loc"] else "")
        for e in error.errors()
    ]


def parse(values: dict[str, Any]) -> RunSettings:
    """Check the settings of a run of the built-in app; every error is reported at once, with its value."""
    return _parse(RunSettings, values)


def parse_app(values: dict[str, Any]) -> AppSettings:
    """Check the settings of a run of any other app."""
    return _parse(AppSettings, values)


def _parse(kind: type[Settings], values: dict[str, Any]) -> Settings:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = problems(error)
        raise FedstackError(
            ExitCode.CONFIG,
            f"The run's settings have {len(lines)} error(s):\n  " + "\n  ".join(lines) + "\n ",
            "Mend each.",
        ) from None
