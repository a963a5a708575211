"""CloudFormation's own schemas of resource types, as cfn-lint ships them: what a template's values may be.

Their dialect is draft 7 of JSON Schema and a few words of cfn-lint's. Where a schema has a number or a truth
value, a template may write it as a string, and the other way round (a parameter's `Ref` is a string).
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft7Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from rehearsal.aws.errors import AwsError

Schema = Mapping[str, Any]
_JAVA: Final = {r"\\p{L}": r"\\w", r"\\p{N}": r"\\d", r"\\p{Z}": r"\\s"}
"""Classes of characters that Python's patterns have by other names; \\w has letters of every script."""


@cache
def schema_of(type_name: str) -> Schema:
    """Return the schema of a type."""
    package = importlib.util.find_spec("cfnlint")  # found, not imported: that takes a second
    folder = Path(str(package and package.origin)).parent / "data" / "schemas"
    name = json.loads((folder / "providers" / "us-east-1.json").read_text())[type_name]
    text = (folder / "resources" / f"{name}.json").read_text()
    for java, python in _JAVA.items():
        text = text.replace(java, python)
    schema: Schema = json.loads(text)
    return schema


@cache
def grammar() -> Schema:
    """Return the schema of a template."""
    schema: Schema = yaml.safe_load(Path(__file__).with_name("grammar.yaml").read_text())
    return schema


def checked(schema: Schema, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value with the types that a schema has; what the schema does not allow is an error."""
    result: dict[str, Any] = _typed(schema, schema, value)
    faults = [
        f"#/{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in _Validator(schema, format_checker=_formats).iter_errors(result)
    ]
    read_only = (path for path in paths(schema, "readOnlyProperties") if at(result, path))
    faults += [f"#/{'/'.join(path)}: is read-only" for path in read_only]
    if faults:
        raise AwsError("ValidationError", f"validation failed: {'; '.join(faults)}")
    return result


def replacing(schema: Schema, old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return the properties whose change makes another resource."""
    listed = paths(schema, "createOnlyProperties")
    return {path[0] for path in listed if at(old, path) != at(new, path)}


def paths(schema: Schema, key: str) -> list[tuple[str, ...]]:
    """Return a schema's list of properties, each as its path."""
    return [tuple(pointer.split("/")[2:]) for pointer in schema.get(key, ())]


def at(value: Any, path: Sequence[str]) -> list[Any]:
    """Return what lies at a path, in which `*` is every item of a list."""
    if not path:
        return [value]
    if path[0] == "*" and isinstance(value, list):
        return [found for item in value for found in at(item, path[1:])]
    return at(value[path[0]], path[1:]) if isinstance(value, Mapping) and path[0] in value else []


def _typed(root: Schema, schema: Schema, value: Any) -> Any:
    """Bring numbers, truth values and strings to the schema's type, if they can be."""
    if "$ref" in schema:
        (schema,) = at(root, schema["$ref"].split("/")[1:])
    if isinstance(value, list):
        return [_typed(root, schema.get("items", {}), item) for item in value]
    if isinstance(value, Mapping):
        known = schema.get("properties", {})
        rest = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
        other = next((part for part in rest if isinstance(part, Mapping)), {})
        return {key: _typed(root, known.get(key, other), item) for key, item in value.items()}
    kind = schema.get("type")
    try:
        return _CONVERSIONS[kind](value) if isinstance(kind, str) and kind in _CONVERSIONS else value
    except (KeyError, ValueError):
        return value


_CONVERSIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "string": lambda value: value if isinstance(value, str) or value is None else json.dumps(value),
    "integer": lambda value: int(value) if isinstance(value, str) else value,
    "number": lambda value: json.loads(value) if isinstance(value, str) else value,
    "boolean": lambda value: {"true": True, "false": False}[value] if isinstance(value, str) else value,
}

Faults = Iterator[ValidationError]


def _count(names: Sequence[str], value: Any) -> int:
    return len({*names} & {*value}) if isinstance(value, Mapping) else 1


def _required_xor(_: Any, names: list[str], value: Any, __: Schema) -> Faults:
    if _count(names, value) != 1:
        yield ValidationError(f"exactly one of {names} is required")


def _required_or(_: Any, names: list[str], value: Any, __: Schema) -> Faults:
    if not _count(names, value):
        yield ValidationError(f"one of {names} is required")


def _dependent_required(_: Any, needs: Mapping[str, list[str]], value: Any, __: Schema) -> Faults:
    for name, others in needs.items():
        if isinstance(value, Mapping) and name in value and not {*others} <= {*value}:
            yield ValidationError(f"{name} needs {others}")


def _dependent_excluded(_: Any, excludes: Mapping[str, list[str]], value: Any, __: Schema) -> Faults:
    for name, others in excludes.items():
        if isinstance(value, Mapping) and name in value and _count(others, value):
            yield ValidationError(f"{name} excludes {others}")


def _max_unique_items(_: Any, most: int, value: Any, __: Schema) -> Faults:
    if isinstance(value, list) and len({json.dumps(item, sort_keys=True) for item in value}) > most:
        yield ValidationError(f"has more than {most} different items")


def _unique_keys(_: Any, names: list[str], value: Any, __: Schema) -> Faults:
    items = [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
    keys = [[item.get(name) for name in names] for item in items]
    if any(key in keys[:index] for index, key in enumerate(keys)):
        yield ValidationError(f"has two items of the same {names}")


def _prefix_items(validator: Any, schemas: list[Schema], value: Any, _: Schema) -> Faults:
    items = value if isinstance(value, list) else []
    for index, (item, schema) in enumerate(zip(items, schemas, strict=False)):
        yield from validator.descend(item, schema, path=index)


def _read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


_Validator = extend(
    Draft7Validator,
    {
        "requiredXor": _required_xor,
        "requiredOr": _required_or,
        "dependentRequired": _dependent_required,
        "dependentExcluded": _dependent_excluded,
        "maxUniqueItems": _max_unique_items,
        "uniqueKeys": _unique_keys,
        "prefixItems": _prefix_items,
    },
)
_formats = FormatChecker([])
_formats.checks("ipv4-network", ValueError)(lambda text: bool(ipaddress.IPv4Network(text, strict=False)))
_formats.checks("ipv6-network", ValueError)(lambda text: bool(ipaddress.IPv6Network(text, strict=False)))
_formats.checks("regex", re.error)(lambda text: bool(re.compile(text)))
_formats.checks("json", ValueError)(lambda value: isinstance(_read(value), Mapping))
