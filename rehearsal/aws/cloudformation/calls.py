"""API calls written as one line each: an operation of boto3's client and its arguments, and perhaps a loop.

In `for Roles put_role_policy RoleName=item PolicyName`, what is right of `=` is a fact about the resource;
without `=` the fact's name is the argument's. Facts with a capital are properties, attributes and parts of
the API's answer; the others are ours (`id`, `name`, `item`). On the left, `A.B` makes a mapping in a mapping
and `A[]` a list of one. On the right, `Role.Arn` and `FlowLogIds.0` look into a fact, `arn:aws:s3:::{name}`
is formatted, and `'default'` is itself. Where there is no such fact, the argument is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from rehearsal.aws import models
from rehearsal.aws.errors import AwsError

Facts = Mapping[str, Any]
_ABSENT: Final = object()
_GONE: Final = re.compile("NotFound|NoSuch|DoesNotExist")


def run(client: Any, line: str, facts: Facts, *, discard: bool = False) -> Mapping[str, Any]:
    """Make the calls of a line and return the last answer; to discard what is gone already is no error."""
    answer: Mapping[str, Any] = {}
    for operation, request in requests(line, facts):
        name = client.meta.method_to_api_mapping[operation]
        models.check(client.meta.service_model.operation_model(name), request)
        try:
            answer = getattr(client, operation)(**request)
        except ClientError as error:
            if not (discard and _GONE.search(error.response["Error"]["Code"])):
                raise
    return answer


def requests(line: str, facts: Facts) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the operation and the arguments of each call of a line."""
    items, _, call = line.removeprefix("for ").partition(" ") if line.startswith("for ") else ("", "", line)
    operation, _, arguments = call.partition(" ")
    for item in facts.get(items, ()) if items else (None,):
        yield operation, assign(arguments, {**facts, "item": item})


def assign(line: str, facts: Facts) -> dict[str, Any]:
    """Return the arguments of a line with their values."""
    result: dict[str, Any] = {}
    for path, source in _assignments(line):
        if (value := _read(source, facts)) is not _ABSENT:
            *parents, last = path.split(".")
            target = result
            for parent in parents:
                name = parent.removesuffix("[]")
                target = target.setdefault(name, {}) if name == parent else target.setdefault(name, [{}])[0]
            name = last.removesuffix("[]")
            target[name.format_map(facts)] = value if name == last else [value]
    return result


def used(line: str) -> set[str]:
    """Return the names of the facts that a line uses."""
    loop = line.split()[1:2] if line.startswith("for ") else []
    sources = [source for _, source in _assignments(line) if not source.startswith("'")]
    names = (re.findall(r"\{(\w+)", source) or [source.partition(".")[0]] for source in sources)
    return set(loop).union(*names)


def refuse(keys: set[str]) -> None:
    """Raise CloudFormation's error for keys that a type does not have."""
    if keys:
        raise AwsError("ValidationError", f"extraneous key {sorted(keys)} is not permitted")


def _assignments(line: str) -> list[tuple[str, str]]:
    words = (word.partition("=") for word in line.removeprefix("for ").split())
    return [(path, source or path.rpartition(".")[2]) for path, _, source in words]


def _read(source: str, facts: Facts) -> Any:
    if source.startswith("'"):
        return source.strip("'")
    if "{" in source:
        return source.format_map(facts)
    value: Any = facts
    for step in source.split("."):
        value = value[int(step)] if isinstance(value, list) else value.get(step, _ABSENT)
        if value is _ABSENT:
            break
    return value
