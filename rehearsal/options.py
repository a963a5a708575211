"""What a person may ask of a rehearsal; the same words for the emulated AWS and for processes alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from runtime.client.privacy_policy import PrivacyPolicy
from runtime.contract import Updates
from runtime.server.privacy import against_sums
from runtime.server.settings import Engine, parse
from runtime.task import models
from runtime.task.silos import Split


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A rehearsal as it was asked for; each option has its default here and nowhere else."""

    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("out")
    data: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of the CMS schema, or of a schema.json beside it; the stand-in without one."
        ),
    ] = None
    clients: Annotated[int, typer.Option(min=1, help="How many clients; on AWS each is an account.")] = 3
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")] = 10
    model: Annotated[str, typer.Option(help="The model's name.")] = "logistic"
    strategy: Annotated[str, typer.Option(help="The strategy's name; by default the model's best.")] = ""
    split: Annotated[Split, typer.Option(help="How the silos differ.")] = Split.FEATURE
    engine: Annotated[Engine, typer.Option(help="What carries the messages.")] = Engine.LINK
    seed: Annotated[int, typer.Option(min=0, help="Seed of the cut and of the clients' splits.")] = 0
    privacy_epsilon: Annotated[
        float | None, typer.Option(help="Differential privacy: epsilon per row that the run may reach.")
    ] = None
    updates: Annotated[
        Updates | None,
        typer.Option(help="How updates leave the clients; by default in sums, where they can be summed."),
    ] = None
    keep: Annotated[bool, typer.Option(help="Leave the accounts up, to look around, until Ctrl-C.")] = False

    def plain_because(self) -> str | None:
        """Return why this rehearsal lets updates leave plain; None where they leave in sums or with noise."""
        if self.updates is Updates.PLAIN:
            return "it was asked for"
        if self.updates is not None or self.privacy_epsilon is not None:
            return None
        strategy = self.strategy or models.load(self.model).best_strategy
        reasons = against_sums(strategy, self.model, self.engine.value, self.clients, self.clients)
        return "; ".join(reasons) or None

    def sums(self) -> bool:
        """Return whether the clients' policies want sums."""
        return bool(self.policy().get("updates", Updates.SUMS) == Updates.SUMS)

    def server(self) -> tuple[str, ...]:
        """Return the server script's options."""
        said = {"model": self.model, "strategy": self.strategy, "rounds": self.rounds, "seed": self.seed}
        if self.privacy_epsilon is not None:
            said["privacy-epsilon"] = self.privacy_epsilon
        if self.plain_because() is not None:
            said["updates"] = Updates.PLAIN.value
        elif self.updates is not None:
            said["updates"] = self.updates.value
        return tuple(word for name, value in said.items() for word in (f"--{name}", str(value)))

    def policy(self) -> dict[str, Any]:
        """Return the `privacy:` block of every client's stack: what is asked of the run, and no less."""
        policy: dict[str, Any] = {"max_answers": max(self.rounds, PrivacyPolicy.max_answers)}
        if self.plain_because() is not None:
            return policy | {"updates": Updates.PLAIN.value}
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
        said = {name.replace("-", "_"): value for name, value in zip(*[iter(self._words())] * 2, strict=True)}
        clients = [{"name": f"silo-{number}", "mailbox": "file:///mailbox"} for number in range(self.clients)]
        parse({**said, "engine": self.engine, "clients": clients, "test_data": "test.csv", "silos": "silos"})

    def _words(self) -> list[str]:
        return [word.removeprefix("--") for word in self.server()]


def from_command_line(rehearse: Callable[[Asked], None]) -> Callable[..., None]:
    """Give a rehearsal a command line, with one option for each field of `Asked`."""

    def main(**given: Any) -> None:
        rehearse(Asked(**given))

    hints = get_type_hints(Asked, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(field.name, kind, default=field.default, annotation=hints[field.name])
        for field in fields(Asked)
    ]
    main.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    main.__annotations__ = hints
    main.__doc__ = rehearse.__doc__
    return main
