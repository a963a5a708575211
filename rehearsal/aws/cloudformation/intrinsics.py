"""Resolves a template's functions (CloudFormation User Guide, "Intrinsic function reference")."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from typing import Any, Final

from rehearsal.aws.errors import AwsError

NO_VALUE: Final = object()
_VARIABLE: Final = re.compile(r"\$\{([^!}][^}]*)\}")


@dataclass
class Scope:
    """What names in a template mean: parameters and pseudo parameters, resources, conditions."""

    values: dict[str, Any]
    conditions: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    resources: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    exports: Callable[[str], str] = str
    imported: set[str] = field(default_factory=set)

    def resolve(self, value: Any) -> Any:
        """Return a value with every function in it applied."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not NO_VALUE]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            is_condition = name == "Condition" and isinstance(argument, str)  # not a policy's
            if name == "Ref" or name.startswith("Fn::") or is_condition:
                return self._applied(name, argument)
        if any(key.startswith("Fn::") for key in value):
            raise AwsError("ValidationError", f"Template error: {sorted(value)} in one place")
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template is true."""
        if condition not in self.conditions:
            raise AwsError("ValidationError", f"Template error: unresolved condition dependency {condition}")
        return bool(self.resolve(self.conditions[condition]))

    def _applied(self, name: str, argument: Any) -> Any:
        try:
            return self._apply(name, argument)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            message = f"Template error: {name} cannot be applied to {argument!r}: {error!r}"
            raise AwsError("ValidationError", message) from error

    def _apply(self, name: str, argument: Any) -> Any:
        if name == "Ref":
            return self._ref(argument)
        if name == "Condition":
            return self.holds(argument)
        if name == "Fn::If":
            condition, yes, no = argument
            return self.resolve(yes if self.holds(condition) else no)
        if name == "Fn::Sub":
            return self._sub(argument)
        if name == "Fn::GetAtt":
            return self._attribute(*(argument.split(".", 1) if isinstance(argument, str) else argument))
        if name == "Fn::FindInMap":
            return reduce(getitem, self.resolve(argument), self.mappings)
        if name == "Fn::ImportValue":
            self.imported.add(wanted := self.resolve(argument))
            return self.exports(wanted)
        if name not in _FUNCTIONS:
            raise AwsError("ValidationError", f"The rehearsal does not know the function {name}.")
        resolved = self.resolve(argument)
        return _FUNCTIONS[name](*resolved) if isinstance(resolved, list) else _FUNCTIONS[name](resolved)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.values:
            return self.values[name]
        if name in self.resources:
            return self.resources[name][0]
        raise AwsError("ValidationError", f"Unresolved resource dependencies [{name}] in the template")

    def _attribute(self, resource: str, attribute: str) -> Any:
        try:
            return self.resources[resource][1][attribute]
        except KeyError:
            raise AwsError(
                "ValidationError", f"Requested attribute {attribute} does not exist in schema for {resource}"
            ) from None

    def _sub(self, argument: Any) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else argument
        given = self.resolve(local)

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name in given:
                return str(given[name])
            if name in self.values or name in self.resources:
                return str(self._ref(name))
            return str(self._attribute(*name.split(".", 1)))

        return _VARIABLE.sub(value, text).replace("${!", "${")


_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "Fn::Join": lambda delimiter, parts: delimiter.join(map(str, parts)),
    "Fn::Select": lambda index, items: items[int(index)],
    "Fn::Split": lambda delimiter, text: text.split(delimiter),
    "Fn::Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Fn::Equals": lambda one, other: one == other,
    "Fn::Not": lambda condition: not condition,
    "Fn::And": lambda *conditions: all(conditions),
    "Fn::Or": lambda *conditions: any(conditions),
    "Fn::Contains": lambda items, item: item in items,
}


def references(value: Any) -> Iterator[str]:
    """Yield every name that a value refers to."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "Ref":
                yield item
            elif key == "Fn::GetAtt":
                yield item.split(".")[0] if isinstance(item, str) else item[0]
            elif key == "Fn::Sub":
                text, local = (item, {}) if isinstance(item, str) else item
                yield from {found.split(".")[0] for found in _VARIABLE.findall(text)} - {*local}
                yield from references(local)
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
