"""What a person may ask of a rehearsal; the same words for the emulated AWS and for processes alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from runtime.client.privacy_policy import PrivacyPolicy
from runtime.contract import LEAST_COHORT, Updates
from runtime.flower_app import FlowerApp
from runtime.messages import Releases
from runtime.server.settings import OWNER, Engine, parse_app
from runtime.tabular import models
from runtime.tabular.data.silos import Split
from runtime.tabular.server.settings import parse
from runtime.tabular.strategies.support import against_sums

VIRTUAL: Final = {"min_rows": 1, "max_numbers_per_cell": 1e9}
"""What virtual clients' policies allow beside plain updates: a thousand of them have a few rows each."""


@dataclass(frozen=True, kw_only=True)
class RehearsalOptions:
    """A rehearsal as it was asked for; each option has its default here and nowhere else."""

    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("out")
    data: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of the CMS schema, or of a schema.json beside it; the stand-in without one."
        ),
    ] = None
    clients: Annotated[int, typer.Option(min=1, help="How many clients; on AWS each is an account.")] = 3
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds of training, at most; by default what suits.")
    ] = None
    model: Annotated[str, typer.Option(help="The model's name; by default the task's linear one.")] = ""
    strategy: Annotated[str, typer.Option(help="The strategy's name; by default the model's best.")] = ""
    split: Annotated[Split, typer.Option(help="How the silos differ.")] = Split.FEATURE
    engine: Annotated[Engine, typer.Option(help="What carries the messages.")] = Engine.LINK
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the cut and of the clients' splits.")
    ] = 0
    privacy_epsilon: Annotated[
        float | None, typer.Option(help="Differential privacy: epsilon per row that the run may reach.")
    ] = None
    updates: Annotated[
        Updates | None,
        typer.Option(help="How updates leave the clients; by default in sums, where they can be summed."),
    ] = None
    threshold_for: Annotated[
        str | None,
        typer.Option(help="What a threshold is chosen for: recall=0.8, precision=0.5 or cost=10:1."),
    ] = None
    app: Annotated[
        Path | None, typer.Option(help="A Flower app's folder, to rehearse in place of the built-in one.")
    ] = None
    run_config: Annotated[
        list[str] | None, typer.Option(help="A value of the app's run config, as key=value.")
    ] = None
    image: Annotated[
        str | None, typer.Option(help="The jobs' image; by default one that has what the app needs.")
    ] = None
    keep: Annotated[bool, typer.Option(help="Leave the accounts up, to look around, until Ctrl-C.")] = False

    def plain_because(self) -> str | None:
        """Return why this rehearsal lets updates leave plain; None where they leave in sums or with noise."""
        if self.updates is Updates.PLAIN:
            return "it was asked for"
        if self.updates is not None or self.privacy_epsilon is not None:
            return None
        if self.app is not None:
            return _against_sums_of(FlowerApp.read(self.app), self.engine, self.clients)
        model = self.model or "logistic"  # the linear models of all tasks have the same strategies
        strategy = self.strategy or models.load(model).best_strategy
        reasons = against_sums(strategy, model, self.engine.value, self.clients, self.clients)
        return "; ".join(reasons) or None

    def virtual(self) -> bool:
        """Return whether clients share processes with the server: nothing between them can be protected."""
        return self.engine is Engine.SIMULATION

    def sums(self) -> bool:
        """Return whether the clients' policies want sums."""
        return bool(self.policy().get("updates", Updates.SUMS) == Updates.SUMS)

    def server(self) -> tuple[str, ...]:
        """Return the server script's options."""
        said: list[tuple[str, Any]] = []
        if self.app is None:
            said += [("model", self.model)] if self.model else []
            said += [("strategy", self.strategy)]
            said += [("rounds", self.rounds)] if self.rounds else []
            said += [("seed", self.seed)]
        else:
            said += [("app", self.app), *(("run-config", pair) for pair in self.run_config or [])]
        if self.threshold_for is not None:
            said.append(("threshold-for", self.threshold_for))
        if self.privacy_epsilon is not None:
            said.append(("privacy-epsilon", self.privacy_epsilon))
        if self.plain_because() is not None:
            said.append(("updates", Updates.PLAIN.value))
        elif self.updates is not None:
            said.append(("updates", self.updates.value))
        return tuple(word for name, value in said for word in (f"--{name}", str(value)))

    def policy(self) -> dict[str, Any]:
        """Return the `privacy:` block of every client's stack: what is asked of the run, and no less."""
        policy: dict[str, Any] = {"max_answers": max(self.rounds or 0, PrivacyPolicy.max_answers)}
        if self.plain_because() is not None:
            return policy | {"updates": Updates.PLAIN.value} | (VIRTUAL if self.virtual() else {})
        if self.privacy_epsilon is None:
            return policy
        updates = Updates.NOISE if self.updates is None else self.updates
        return policy | {"updates": updates.value, "epsilon_budget": self.privacy_epsilon}

    def check(self) -> None:
        """Find what the server would refuse, before anything is made.

        Raises
        ------
        FedstackError
            With ExitCode.CONFIG.
        """
        names = [f"silo-{number}" for number in range(self.clients)]
        shared = {
            "engine": self.engine,
            "clients": [{"name": name, "mailbox": "file:///mailbox"} for name in names],
            "test_data": "test.csv",
            "silos": "silos",
        }
        words = list(self.server())
        said: dict[str, Any] = {}
        for flag, value in zip(words[::2], words[1::2], strict=True):
            name = flag.removeprefix("--").replace("-", "_")
            said[name] = [*said.get(name, []), value] if name == "run_config" else value
        if self.app is None:
            parse({**said, **shared})
        else:
            parse_app({**said, **shared})


def _against_sums_of(app: FlowerApp, engine: Engine, clients: int) -> str | None:
    """Return why an app's updates cannot be asked for in sums; None, if they can."""
    if Releases.SUMS not in app.releases.values():
        return f"the app {app.name} declares no message whose answers can be summed"
    if engine is not Engine.LINK:
        return f"the engine {engine.value} {OWNER}"
    return f"a federation of {clients} {OWNER}" if clients < LEAST_COHORT else None


def from_command_line(rehearse: Callable[[RehearsalOptions], None]) -> Callable[..., None]:
    """Give a rehearsal a command line, with one option for each field of `RehearsalOptions`."""

    def main(**given: Any) -> None:
        rehearse(RehearsalOptions(**given))

    hints = get_type_hints(RehearsalOptions, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(field.name, kind, default=field.default, annotation=hints[field.name])
        for field in fields(RehearsalOptions)
    ]
    main.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    main.__annotations__ = hints
    main.__doc__ = rehearse.__doc__
    return main
