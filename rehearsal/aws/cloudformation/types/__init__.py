"""The resource types of our templates and of `cdk bootstrap`: a table per service group, read here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce
from pathlib import Path
from typing import Any, Final

import yaml

from rehearsal.aws.cloudformation.provider import Change, Items, Put, ResourceProvider, Step
from rehearsal.aws.cloudformation.types import hooks
from rehearsal.aws.errors import AwsError


def provider_for(resource_type: str) -> ResourceProvider:
    """Return the provider of a type; a type without one is an error."""
    if resource_type not in PROVIDERS:
        why = f"The rehearsal has no {resource_type}: add it to rehearsal/aws/cloudformation/types."
        raise AwsError("ValidationError", why)
    return PROVIDERS[resource_type]


def _provider(type_name: str, entry: dict[str, Any]) -> ResourceProvider:
    name, _, length = entry.pop("name", "").partition(" ")
    return ResourceProvider(
        type_name,
        delete=[_step(step) for step in _list(entry.pop("delete"))],
        name=name,
        name_length=int(length or 64),
        updatable={
            name: _change(change)
            for names, change in entry.pop("updatable", {}).items()
            for name in names.split(", ")
        },
        convert={name: _conversion(text) for name, text in entry.pop("convert", {}).items()},
        after_create=getattr(hooks, entry.pop("after_create", ""), None),
        **entry,
    )


def _change(entry: Any) -> Change:
    """Read how a property changes in place: a call that sets it, or what the entry's keys say."""
    if isinstance(entry, str):
        return Put([entry])
    if "add" in entry:
        return Items(**entry)
    if "again" in entry:
        return Put(_list(entry["again"]), _list(entry["again"]))
    if "put" in entry:
        return Put([entry["put"]], [entry["remove"]])
    hook: Change = getattr(hooks, entry["by"])
    return hook


def _conversion(text: str) -> Callable[[Any], Any]:
    """Read a conversion: functions of `hooks`, one after the other, each perhaps with an argument."""
    words = [step.partition(" ") for step in text.split(", ")]
    steps = [partial(getattr(hooks, name), *([rest] if rest else [])) for name, _, rest in words]
    return lambda value: reduce(lambda result, step: step(result), steps, value)


def _step(text: str) -> str | Step:
    step: str | Step = text if " " in text else getattr(hooks, text)
    return step


def _list(entry: str | list[str]) -> list[str]:
    return [entry] if isinstance(entry, str) else entry


def _tables() -> Mapping[str, dict[str, Any]]:
    tables = [yaml.safe_load(path.read_text()) for path in sorted(Path(__file__).parent.glob("*.yaml"))]
    return {type_name: entry for table in tables for type_name, entry in table.items()}


PROVIDERS: Final = {type_name: _provider(type_name, entry) for type_name, entry in _tables().items()}
