"""Reads a federation file and reports everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from cdk_app.config.connectivity import broken_connectivity
from cdk_app.config.models import ClientAccount, Federation, ServerAccount
from cdk_app.config.own_rules import broken_own
from cdk_app.config.privacy_rules import broken_privacy
from cdk_app.config.rules import Labelled, Problem, broken_rules
from cdk_app.config.windows import broken_windows
from cdk_app.config.yaml_file import read_yaml
from runtime.contract import ExitCode, FedstackError

__all__ = ["ConfigError", "Federation", "load", "parse"]

_Part = TypeVar("_Part", bound=BaseModel)
_SCHEMA: Final = "federation.schema.json lists what can stand here."
_REMEDIES: Final = {
    "missing": "Add it.",
    "extra_forbidden": f"Remove it or correct its spelling; {_SCHEMA}",
    "string_type": "Put the value in quotes.",
}


class ConfigError(FedstackError):
    """A federation file that cannot be used, with every reason."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = [f"{source} has {count}:", *(f"  - {found}" for found in problems)]
        super().__init__(ExitCode.CONFIG, "\n".join(lines), "")
        self.problems = problems


def load(path: Path) -> Federation:
    """Return the federation that a YAML file describes, or raise `ConfigError` with all its problems."""
    try:
        data = read_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            str(path), [Problem("file", " ".join(str(error).split()), "Give a readable YAML file.")]
        ) from error
    return parse(data, source=path.name)


def parse(data: object, source: str = "federation") -> Federation:
    """Return the federation that plain data describe; account by account, so that no error hides another."""
    if not isinstance(data, Mapping):
        raise ConfigError(source, [Problem("file", f"it is {data!r}", f"Write keys and values; {_SCHEMA}")])
    problems: list[Problem] = []
    raw_clients = data.get("clients")
    listed = raw_clients if isinstance(raw_clients, list) else []
    hub = _label("server", data.get("server"))
    server = _part(ServerAccount, data["server"], hub, problems) if "server" in data else None
    labelled = [(_label("client", raw, position), raw) for position, raw in enumerate(listed, start=1)]
    clients = [(where, _part(ClientAccount, raw, where, problems)) for where, raw in labelled]
    # The rest, where server and clients stand as they were read above under the account's own label.
    rest = dict(data)
    if server is not None:
        rest["server"] = server
    if clients:
        rest["clients"] = tuple(client for _, client in clients)
    federation = _part(Federation, rest, "federation", problems)
    problems.extend(broken_rules(hub, server, clients, getattr(federation, "run", None)))
    problems.extend(broken_own(getattr(federation, "name", None), hub, server, clients))
    connectivity = getattr(federation, "connectivity", None)
    problems.extend(broken_connectivity(hub, server, clients, connectivity))
    problems.extend(broken_windows(hub, server, clients))
    training = getattr(federation, "training", {})
    problems.extend(broken_privacy(clients, training))
    problems.extend(_broken_training(training, clients))
    if problems:
        raise ConfigError(source, problems)
    return federation


def _broken_training(training: object, clients: Labelled) -> list[Problem]:
    names = {client.name for _, client in clients if hasattr(client, "name")}
    if not training or not isinstance(training, Mapping) or not names:
        return []
    from cdk_app.config.training import broken_training

    return list(broken_training(training, sorted(names)))


def _label(kind: str, raw: object, position: int | None = None) -> str:
    """Name an account as its owner would look for it: what it is called, which one it is, its id."""
    said = raw if isinstance(raw, Mapping) else {}
    name = f" {said['name']!r}" if "name" in said else ""
    marks = [f"no. {position}"] if position else []
    marks += [str(said["account"])] if "account" in said else []
    return f"{kind}{name} ({', '.join(marks)})" if marks else f"{kind}{name}"


def _part(model: type[_Part], raw: object, where: str, problems: list[Problem]) -> _Part:
    """Read one part; of a bad one, keep the values that are good, so that rules can still look at them."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems.extend(_problem(where, each) for each in found)
        bad = {str(each["loc"][0]) for each in found if each["loc"]}
        given = raw if isinstance(raw, Mapping) else {}
        good = {
            key: _reader(model, key).validate_python(value)
            for key, value in given.items()
            if key in model.model_fields and key not in bad
        }
        part = model.model_construct(None, **good)
        for key in bad & part.__dict__.keys():
            del part.__dict__[key]  # its default is not what was meant
        return part


@cache
def _reader(model: type[BaseModel], field: str) -> TypeAdapter[Any]:
    """Return what reads one field of a part by itself."""
    return TypeAdapter(model.model_fields[field].rebuild_annotation())


def _problem(where: str, found: ErrorDetails) -> Problem:
    place = ".".join(str(step) for step in found["loc"]) or where
    value: Any = found["input"]
    if found["type"] == "missing":
        return Problem(where, f"{place} is missing", _REMEDIES["missing"])
    if found["type"] == "fedstack":
        context = found["ctx"]
        return Problem(where, f"{place} is {value!r}, {context['what']}", context["remedy"])
    message = found["msg"][0].lower() + found["msg"][1:]
    return Problem(
        where, f"{place} is {value!r}: {message}", _REMEDIES.get(found["type"], f"Correct it; {_SCHEMA}")
    )
