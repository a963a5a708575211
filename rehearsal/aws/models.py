"""Checks a request by botocore's model of its API, and what botocore itself leaves to the service."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import regex  # as `re`, with the classes of characters that AWS's patterns use
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator, ValidationErrors

from rehearsal.aws.errors import AwsError


def check(model: OperationModel, request: Mapping[str, Any]) -> None:
    """Raise ValidationException for a request that the API's model does not allow."""
    if faults := _faults(model.input_shape, request):
        raise AwsError("ValidationException", f"{model.name}: {'; '.join(faults)}")


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
