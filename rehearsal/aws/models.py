"""Checks a request by botocore's model of its API, and what botocore itself leaves to the service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import regex  # as `re`, with the classes of characters that AWS's patterns use
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator, ValidationErrors

from rehearsal.aws.errors import AwsError


def check(model: OperationModel, request: Mapping[str, Any], *, partly: bool = False) -> None:
    """Raise ValidationException for a request, or a part of one, that the API's model does not allow."""
    faults = _faults(model.input_shape, request)
    if faults := [fault for fault in faults if not (partly and fault.startswith("Missing required"))]:
        raise AwsError("ValidationException", f"{model.name}: {'; '.join(faults)}")


def unknown(model: OperationModel, parsed: Mapping[str, Any], body: bytes) -> list[str]:
    """Return what a request's body has beside what was read from it by the API's model."""
    if model.input_shape is None:
        return []
    if body[:1] == b"{":
        return sorted(_unknown(model.input_shape, json.loads(body)))
    sent = {name for name, value in parse_qsl(body.decode(errors="replace")) if value}
    if "Action" not in sent:
        return []
    protocol = "ec2" if model.service_model.service_name == "ec2" else "query"
    read = create_serializer(protocol).serialize_to_request(dict(parsed), model)["body"]
    return sorted(sent - {*read})


def _unknown(shape: Shape, sent: Any) -> Iterator[str]:
    if isinstance(shape, StructureShape) and isinstance(sent, Mapping):
        members = {m.serialization.get("name", name): m for name, m in shape.members.items()}
        yield from {*sent} - {*members}
        for name in {*sent} & {*members}:
            yield from _unknown(members[name], sent[name])
    elif isinstance(shape, ListShape | MapShape):
        inner = shape.member if isinstance(shape, ListShape) else shape.value
        for item in sent.values() if isinstance(sent, Mapping) else sent or ():
            yield from _unknown(inner, item)


def _faults(shape: Shape | None, request: Mapping[str, Any]) -> list[str]:
    if shape is None:
        return [f"Unknown parameter in input: {name!r}" for name in request]
    validator = _Validator()
    report = validator.validate(dict(request), shape).generate_report()
    return [*report.splitlines(), *validator.faults]


class _Validator(ParamValidator):  # type: ignore[misc,unused-ignore]
    """Looks also at greatest lengths and values, enumerations and patterns."""

    VALIDATED_METADATA_ATTRS = ParamValidator.VALIDATED_METADATA_ATTRS | {"max", "enum", "pattern"}

    def __init__(self) -> None:
        self.faults: list[str] = []

    def _validate(self, params: Any, shape: Shape, errors: ValidationErrors, name: str) -> None:
        super()._validate(params, shape, errors, name)
        greatest, values, pattern = (shape.metadata.get(key) for key in ("max", "enum", "pattern"))
        size = len(params) if isinstance(params, str | bytes | list | dict) else params
        where = f"parameter {name.lstrip('.')}, value: {params!r}"
        if greatest is not None and isinstance(size, int | float) and size > greatest:
            self.faults.append(f"Invalid range for {where}: valid max is {greatest}")
        if isinstance(params, str):
            if values and params not in values:
                self.faults.append(f"Invalid {where}, must be one of: {', '.join(values)}")
            if pattern and not _compiled(pattern).fullmatch(params):
                self.faults.append(f"Invalid {where}, must satisfy: {pattern}")


@cache
def _compiled(pattern: str) -> Any:
    """Compile a pattern of Java's, which writes the characters beyond 16 bits as pairs."""
    return regex.compile(pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"))
