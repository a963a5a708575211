"""What a person may ask of a rehearsal; the same words for the emulated AWS and for processes alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from runtime.server.settings import Engine
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
    secure_aggregation: Annotated[bool, typer.Option(help="Let the server see sums of updates only.")] = False
    keep: Annotated[bool, typer.Option(help="Leave the accounts up, to look around, until Ctrl-C.")] = False

    def server(self) -> tuple[str, ...]:
        """Return the server script's options."""
        said = {"model": self.model, "strategy": self.strategy, "rounds": self.rounds, "seed": self.seed}
        if self.privacy_epsilon is not None:
            said["privacy-epsilon"] = self.privacy_epsilon
        pairs = [word for name, value in said.items() for word in (f"--{name}", str(value))]
        return (*pairs, *(["--secure-aggregation"] if self.secure_aggregation else []))

    def floor(self) -> dict[str, Any]:
        """Return the privacy floor of every client's stack: what is asked of the run, and no less."""
        budget = {} if self.privacy_epsilon is None else {"epsilon_budget": self.privacy_epsilon}
        return budget | ({"cohort": self.clients} if self.secure_aggregation else {})


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
