"""Everything that one run is told, checked before anything is created."""

from __future__ import annotations

import datetime as dt
import secrets
import string
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeVar

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
from runtime.server.roster import Client

OWNER: Final = "needs an owner's `updates: plain`, or noise"
"""What every refusal of sums says: the server cannot decide it."""


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
        pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$",
        description="host:port that clients reach this server by.",
    )
    target_group: str = Field(
        "",
        pattern=r"^(arn:[a-z-]+:elasticloadbalancing:[a-z0-9-]+:\d{12}:targetgroup/[A-Za-z0-9/-]+)?$",
        description="Where clients come by PrivateLink: the target group to be in while the run goes on.",
    )
    silos: Path | None = Field(None, description="A folder of NAME.csv, for engines whose nodes are virtual.")
    resume: bool = Field(False, description="Go on from the checkpoint in the output folder.")
    run_id: str = Field(default_factory=lambda: new_run_id())

    @field_validator("address")
    @classmethod
    def _port_there_is(cls, value: str) -> str:
        if int(value.rpartition(":")[2]) >= 2**16:  # 0 is whatever is free
            raise ValueError("its port is none from 0 to 65535")
        return value

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
                raise ValueError(f"the engine {self.engine.value} {OWNER}")
            if self.quorum < LEAST_COHORT:
                raise ValueError(
                    f"a federation that goes on with {self.quorum} {OWNER}: a sum has {LEAST_COHORT} "
                    "members at least"
                )
        return self


Settings = TypeVar("Settings", bound=PlatformSettings)


def new_run_id() -> str:
    """Make a run id that sorts by time; with the client's name before it, it names a SageMaker job."""
    ending = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(4))
    return f"run-{dt.datetime.now(dt.UTC):%y%m%d%H%M}{ending}"


def problems(error: ValidationError) -> list[str]:
    """Return what is wrong with settings, each with its name and the value received."""
    return [
        f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg'].removeprefix('Value error, ')}"
        + (f" (received {e['input']!r})" if e["loc"] else "")
        for e in error.errors()
    ]


def parse_app(values: dict[str, Any]) -> AppSettings:
    """Check the settings of a run of any other app."""
    return parse_as(AppSettings, values)


def parse_as(kind: type[Settings], values: dict[str, Any]) -> Settings:
    """Check settings of one kind; every error is reported at once, with its value."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = problems(error)
        raise FedstackError(
            ExitCode.CONFIG,
            f"The run's settings have {len(lines)} error(s): {'; '.join(lines)}.",
            "Mend each.",
        ) from None
