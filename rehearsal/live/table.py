"""What happened, step by step, as a table for docs/live.md."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Row:
    """One step: what it should end with, and what it did."""

    step: str
    result: str = ""
    seconds: float | None = None
    passed: bool = False


@dataclass
class Table:
    """All steps so far; each is also said as it goes."""

    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Row]:
        """Note how long a step takes; it passes if nothing is raised and the block does not say otherwise."""
        row, started = Row(name, "done", passed=True), time.monotonic()
        self.say(f"{name} ...")
        self.rows.append(row)
        try:
            yield row
        except BaseException as error:
            row.result, row.passed = f"{type(error).__name__}: {str(error).splitlines()[0]}", False
            raise
        finally:
            row.seconds = time.monotonic() - started
            self.say(f"  {row.result} ({row.seconds:.0f} s)")

    def refusals(self, outcomes: Mapping[str, str]) -> None:
        """Note how each forbidden call ended: only a refusal passes."""
        for name, result in outcomes.items():
            self.rows.append(Row(f"forbidden: {name}", result, passed=result == "refused"))
            self.say(f"  forbidden: {name}: {result}")

    @property
    def passed(self) -> bool:
        """Whether every step did."""
        return all(row.passed for row in self.rows)

    def markdown(self, about: str) -> str:
        """Return the table, with what it is of."""
        lines = [
            f"{about}, {dt.datetime.now(dt.UTC):%Y-%m-%d}",
            "",
            "| step | result | seconds |",
            "|---|---|---|",
        ]
        for row in self.rows:
            seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
            mark = "" if row.passed else "**FAILED** "
            lines.append(f"| {row.step} | {mark}{row.result.replace('|', '/')} | {seconds} |")
        return "\n".join(lines) + "\n"
