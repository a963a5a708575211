"""The state machines against their reviewed form, and what that leaves to the client's choice."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cdk_app.review.checks.resources import stops_what_is_left, sweeps
from cdk_app.review.reading.form import Form
from cdk_app.review.reading.parts import Parts, data

GRACE_SECONDS: Final = 1800
"""What an execution may take beyond its job."""

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_INVITED: Final = re.compile(
    r"\$contains\(\$states\.context\.Execution\.Input\.(\w+), /(.*?)\(\?!\[\\s\\S\]\)/\)"
)


class StateMachines:
    """The state machines of a client's stack."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._template = parts.template
        self._values = parts.values

    def bind(self) -> None:
        """Compare each with its form, and learn what the form leaves open; the boundary needs it."""
        if self._parts.direct:
            return
        form = Form(self._values, self._template.show)
        for name, kind in self._parts.kinds.items():
            reviewed = self._reviewed(kind, self._parts.machines[name])
            for sentence in form.differences(reviewed, self._parts.machines[name], f"the {kind}"):
                self._template.object(name, sentence)
        values = self._values
        if "published_bucket" in values:
            values["published_in"] = f"arn:{self._template.partition}:s3:::{values['published_bucket']}"
            values["published"] = f"{values['published_in']}/{values.get('published_key')}"
        table = self._table()
        if table is not None:
            values["lock"] = self._template.arn(table)
            self._template.call(self._template.reference(table), "lock table")

    def check(self) -> None:
        """Object to choices that unmake what the form is for, and to a machine that nothing starts."""
        if self._parts.direct:
            return
        for kind in ("broker", "stopper", "sweeper"):
            number = list(self._parts.kinds.values()).count(kind)
            if number != 1:
                self._template.object(
                    "state machines", f"There are {number} that are a {kind}; a client's stack has one."
                )
        for sentence in (*self._limits(), *self._bundle(), *self._rules()):
            self._template.object("state machines", sentence)

    def chosen(self) -> Iterator[str]:
        """Yield what the server says in an invitation, and what that must look like by the broker's rule."""
        for definition in self._parts.machines.values():
            for state in definition.get("States", {}).values():
                for rule in state.get("Choices", []) if isinstance(state, Mapping) else []:
                    for field, pattern in _INVITED.findall(str(rule.get("Condition"))):
                        yield f"{field}, which must match {pattern}$"

    def window(self) -> str | None:
        """Return when runs may start, in words; None where they may at any time."""
        if not self._is_window():
            return None
        days = str(self._values["window_days"])
        opens, minutes = (int(self._values[f"window_{name}"]) for name in ("opens", "minutes"))
        closes = (opens + minutes) % (24 * 60)
        named = ", ".join(_DAYS[int(day)] for day in days)
        return f"{named} {opens // 60:02}:{opens % 60:02} to {closes // 60:02}:{closes % 60:02} UTC"

    @staticmethod
    def _reviewed(kind: str, definition: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a machine's form; a broker may have a window for runs besides."""
        reviewed: Mapping[str, Any] = data("state_machines.yaml")[kind]
        if kind == "broker" and "InsideWindow" in definition.get("States", {}):
            return {
                **reviewed,
                "States": {**reviewed["States"], **data("state_machines.yaml")["broker_window"]},
            }
        return reviewed

    def _table(self) -> str | None:
        tables = self._template.of_kind("DynamoDB::Table")
        wanted = self._values.get("lock_table")
        return next((t.name for t in tables if self._template.reference(t.name) == wanted), None)

    def _limits(self) -> Iterator[str]:
        values = self._values
        runs, most = values.get("runs_a_day"), data("job.yaml")["most_runs_a_day"]
        if not (isinstance(runs, str) and runs.isascii() and runs.isdigit() and 1 <= int(runs) <= most):
            yield f"The broker starts {runs or 'any number of'} runs a day; 1 to {most} are reviewed."
        longest = int(values.get("wait_seconds") or values.get("run_seconds") or 0) + GRACE_SECONDS
        seconds = values.get("broker_seconds")
        if not isinstance(seconds, int) or seconds > longest:
            told = seconds or "any number of"
            yield f"An execution of the broker may take {told} seconds; {longest} are enough."
        if "window_days" in values and not self._is_window():
            yield "The window in which runs start is no window: some days, and minutes of a day."
        prefix = f"{values.get('federation')}-{values.get('client')}--"
        if values.get("prefix_length") != str(len(prefix)):
            yield "The sweeper looks at another part of a job's name than this client's prefix."
        if self._table() is None:
            yield "The lock that lets one run start at a time is in no table of this template."

    def _is_window(self) -> bool:
        days, opens, minutes = (str(self._values.get(f"window_{n}")) for n in ("days", "opens", "minutes"))
        numbers = all(text.isascii() and text.isdigit() for text in (opens, minutes))
        known = re.fullmatch("[0-6]{1,7}", days) is not None and len(set(days)) == len(days)
        return known and numbers and int(opens) < 24 * 60 and 1 <= int(minutes) <= 24 * 60

    def _bundle(self) -> Iterator[str]:
        try:
            digest = base64.b64decode(str(self._values.get("bundle_base64")), validate=True).hex()
        except binascii.Error:
            digest = ""
        if digest != self._values.get("bundle_sha256"):
            yield "The broker admits code of another digest than the job is told."
        if self._parts.bucket(self._values.get("published_bucket", "")) is not None:
            yield "The code is published in a bucket of this stack, which more than a deployment writes to."

    def _rules(self) -> Iterator[str]:
        rules = self._template.of_kind("Events::Rule")
        values = self._values
        if not any(stops_what_is_left(rule, values.get("broker"), values.get("stopper")) for rule in rules):
            yield "No rule starts the stopper when an execution of the broker is aborted, fails or times out."
        if not any(sweeps(rule, values.get("sweeper")) for rule in rules):
            yield "No rule starts the sweeper at least once an hour: a job that the stopper missed goes on."
