"""The fields of a Step Functions task: the API's own by another spelling, and no others.

An AWS SDK integration spells fields in PascalCase, as Java's SDK does (`stateMachineArn` is StateMachineArn,
`DBName` is DbName, `VolumeSizeInGB` stays), and refuses what the API does not have (Step Functions Developer
Guide, "Learning to use AWS service SDK integrations").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import UnknownServiceError
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    OperationNotFoundError,
    Shape,
    StructureShape,
)
from moto.core.utils import get_service_model

from rehearsal.aws.errors import AwsError

_SERVICES: Final = {"sfn": "stepfunctions"}
"""Services that Java's SDK, of which the integrations are, calls otherwise than botocore."""


def operation(service: str, action: str) -> OperationModel:
    """Return the operation of an SDK integration."""
    try:
        model = get_service_model(_SERVICES.get(service, service))
        return model.operation_model(action[0].upper() + action[1:])
    except (UnknownServiceError, OperationNotFoundError) as error:
        raise AwsError("InvalidDefinition", f"There is no {service}:{action}: {error}") from error


def check_definition(definition: str) -> str:
    """Return a state machine's definition; a task with fields that its API does not have is an error."""
    try:
        states = list(_tasks(json.loads(definition)))
    except ValueError as error:
        raise AwsError("InvalidDefinition", f"The definition is no JSON: {error}") from error
    for state in states:
        kind, _, rest = state["Resource"].partition(":::")[2].partition(":")
        if kind != "aws-sdk":
            raise AwsError("InvalidDefinition", f"The rehearsal has no task {state['Resource']}.")
        called = operation(*rest.partition(".")[0].split(":"))
        request(called.input_shape, state.get("Arguments", state.get("Parameters", {})))
    return definition


def request(shape: Shape | None, fields: Any) -> Any:
    """Return a task's fields by the API's names."""
    if isinstance(shape, StructureShape) and isinstance(fields, Mapping):
        members = {_spelt(name): (name, member) for name, member in shape.members.items()}
        named = {}
        for field, value in fields.items():
            plain = field.removesuffix(".$")  # JSONPath's, whose value is a path
            if plain not in members:
                message = f"The field {plain!r} is not supported by Step Functions: {sorted(members)} are"
                raise AwsError("States.Runtime", message)
            name, member = members[plain]
            named[name] = request(member, value)
        return named
    if isinstance(shape, ListShape) and isinstance(fields, list):
        return [request(shape.member, item) for item in fields]
    if isinstance(shape, MapShape) and isinstance(fields, Mapping):
        return {key: request(shape.value, value) for key, value in fields.items()}
    return fields


def answer(shape: Shape | None, fields: Any) -> Any:
    """Return an API's answer as a task has it."""
    if isinstance(shape, StructureShape) and isinstance(fields, Mapping):
        return {_spelt(n): answer(shape.members[n], v) for n, v in fields.items() if n in shape.members}
    if isinstance(shape, ListShape) and isinstance(fields, list):
        return [answer(shape.member, item) for item in fields]
    if isinstance(shape, MapShape) and isinstance(fields, Mapping):
        return {key: answer(shape.value, value) for key, value in fields.items()}
    return fields


def _spelt(name: str) -> str:
    if name == "NULL":
        return "Nul"  # null is a word of Java's
    first = re.match(r"[A-Z]+(?![a-z])|.[^A-Z]*", name)
    word = first[0] if first else ""
    return (word.capitalize() if word.isupper() else word[:1].upper() + word[1:]) + name[len(word) :]


def _tasks(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every task, those in parallel branches and maps too."""
    if isinstance(part, Mapping):
        if part.get("Type") == "Task":
            yield part
        for key, value in part.items():
            yield from _tasks(value) if key not in ("Parameters", "Arguments", "Result", "Output") else ()
    for item in part if isinstance(part, list) else ():
        yield from _tasks(item)
