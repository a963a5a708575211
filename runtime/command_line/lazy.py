"""Groups of commands whose modules are imported when a command is used: help is there at once."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click
import typer
from typer.core import TyperGroup

from runtime.command_line import stop
from runtime.command_line.near import near

Commands = Mapping[str, tuple[str, str]]
"""Of each command its `module:attribute`, a Typer or a function, and what it does in one line."""


class LazyCommand(click.Command):
    """A command that is known by its name and help, and imported to be run."""

    def __init__(self, name: str, target: str, told: str) -> None:
        super().__init__(name, help=told, short_help=told)
        self._target = target

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self._target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command()(found)
            found = single
        command = typer.main.get_command(found)
        command.name = self.name
        stop.begun()
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the command's own options: from here on it is the command itself."""
        return self.load().make_context(info_name, args, parent, **extra)


def group(commands: Commands) -> type[TyperGroup]:
    """Return a class of groups with these commands, in this order."""

    class Lazy(TyperGroup):
        """A group of commands, imported when they are used; its help fits a screen of 24 lines."""

        def get_help(self, ctx: click.Context) -> str:
            return super().get_help(ctx).replace("\n\nOptions:", "\nOptions:")

        def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
            formatter.write_text(" ".join((self.help or "").split()))

        def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            for parameter in self.params:
                if parameter.name == "show_completion" and isinstance(parameter, click.Option):
                    parameter.hidden = True  # --install-completion is what a person wants
            if own := self.get_help_option(ctx):
                own.hidden = True  # who reads this has found it
            super().format_options(ctx, formatter)

        def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
            return list(commands)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
            return LazyCommand(cmd_name, *commands[cmd_name]) if cmd_name in commands else None

        def resolve_command(
            self, ctx: click.Context, args: list[str]
        ) -> tuple[str | None, click.Command | None, list[str]]:
            if "" in args:  # a shell's variable that nobody set; as a path it would be this folder
                before = args[args.index("") - 1] if args.index("") else ""
                where = f"The value of {before}" if before.startswith("-") else "A word of the command"
                raise click.UsageError(f"{where} is empty: give one, or leave it out.", ctx)
            if args and not args[0].startswith("-") and args[0] not in commands:
                raise click.UsageError(f"There is no command {args[0]!r}. {near(args[0], commands)}", ctx)
            return super().resolve_command(ctx, args)

    return Lazy
