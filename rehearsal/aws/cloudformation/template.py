"""A template with its parameters: what is in it, in which order it is made, and what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import yaml

from rehearsal.aws.cloudformation import schemas
from rehearsal.aws.cloudformation.intrinsics import Scope, references
from rehearsal.aws.errors import AwsError

Parameters = Mapping[str, str]


def parse(body: str) -> dict[str, Any]:
    """Read a template, which is JSON or YAML with CloudFormation's short tags."""
    text = body.lstrip()
    if text.startswith("{"):
        read: dict[str, Any] = json.loads(text)
    else:
        read = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    return read


class _Loader(yaml.SafeLoader):
    """SafeLoader plus `!Ref`, `!Sub` and so on."""


def _short(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - YAML has no fourth kind
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _short)


class Template:
    """One template, its parameters resolved.

    `pseudo` has the pseudo parameters (`AWS::Region` and so on), `parameter_store` reads the SSM parameter
    that a parameter of an SSM type names, and `exports` finds what another stack in the place exports.
    """

    def __init__(
        self,
        text: str,
        given: Parameters,
        pseudo: Mapping[str, str],
        parameter_store: Callable[[str], str],
        exports: Callable[[str], str],
    ) -> None:
        self.text, self.body = text, (body := _checked(text))
        defaults = {n: d["Default"] for n, d in body.get("Parameters", {}).items() if "Default" in d}
        self.given = {**defaults, **given}
        self.parameters = dict(_values(body.get("Parameters", {}), given, parameter_store))
        self.scope = Scope(
            {**pseudo, **self.parameters}, body.get("Conditions", {}), body.get("Mappings", {})
        )
        self.scope.exports = exports
        self._check_names()
        self._check_rules()
        self.resources()

    def described_parameters(self) -> Iterator[dict[str, str]]:
        """Yield the parameters as DescribeStacks does."""
        for name, value in self.given.items():
            declared = self.body["Parameters"][name]
            described = {"ParameterKey": name, "ParameterValue": "****" if declared.get("NoEcho") else value}
            if declared["Type"].startswith("AWS::SSM"):
                described["ResolvedValue"] = str(self.parameters[name])
            yield described

    def resources(self) -> dict[str, Mapping[str, Any]]:
        """Return the resources whose condition holds, each after everything that it depends on."""
        present = {
            name: resource
            for name, resource in self.body["Resources"].items()
            if "Condition" not in resource or self.scope.holds(resource["Condition"])
        }
        graph = {name: _needs(resource) & {*present} for name, resource in present.items()}
        try:
            return {name: present[name] for name in TopologicalSorter(graph).static_order()}
        except CycleError as error:
            raise AwsError(
                "ValidationError", f"Circular dependency between resources: {error.args[1]}"
            ) from None

    def outputs(self) -> Iterator[dict[str, str]]:
        """Yield the outputs, once every resource is there."""
        for name, output in self.body.get("Outputs", {}).items():
            if "Condition" in output and not self.scope.holds(output["Condition"]):
                continue
            value = self.scope.resolve(output["Value"])
            if not isinstance(value, str | int | float):
                raise AwsError("ValidationError", f"Template format error: Output {name} must be a string")
            described = {"OutputKey": name, "OutputValue": str(value)}
            if "Description" in output:
                described["Description"] = output["Description"]
            if "Export" in output:
                described["ExportName"] = self.scope.resolve(output["Export"]["Name"])
            yield described

    def _check_names(self) -> None:
        """Refuse names that mean nothing, whether or not a condition leaves them out."""
        resources, outputs = self.body["Resources"], self.body.get("Outputs", {})
        known = {*resources, *self.scope.values, "AWS::NoValue"}
        needed = set().union(*map(_needs, resources.values()), *map(references, outputs.values()))
        conditions = {c for r in [*resources.values(), *outputs.values()] for c in _conditions(r)}
        for kind, lost in (
            ("resource", needed - known),
            ("condition", conditions - {*self.scope.conditions}),
        ):
            if lost:
                message = (
                    f"Template format error: Unresolved {kind} dependencies {sorted(lost)} in the template"
                )
                raise AwsError("ValidationError", message)

    def _check_rules(self) -> None:
        for rule in self.body.get("Rules", {}).values():
            if "RuleCondition" in rule and not self.scope.resolve(rule["RuleCondition"]):
                continue
            for claim in rule["Assertions"]:
                if not self.scope.resolve(claim["Assert"]):
                    raise AwsError("ValidationError", f"Template error: {claim.get('AssertDescription')}")


def _needs(resource: Mapping[str, Any]) -> set[str]:
    after = resource.get("DependsOn", [])
    return {*references(resource.get("Properties", {})), *([after] if isinstance(after, str) else after)}


def _conditions(value: Any) -> Iterator[str]:
    """Yield every condition that a resource or an output names."""
    if isinstance(value, Mapping):
        choice = value.get("Fn::If")
        named = value.get("Condition"), choice[0] if isinstance(choice, list) and choice else None
        yield from (name for name in named if isinstance(name, str))
        value = [*value.values()]
    for item in value if isinstance(value, list) else ():
        yield from _conditions(item)


def _checked(text: str) -> dict[str, Any]:
    try:
        return schemas.checked(schemas.grammar(), parse(text))
    except (yaml.YAMLError, json.JSONDecodeError, AwsError) as error:
        raise AwsError("ValidationError", f"Template format error: {error}") from error


def _values(
    declared: Mapping[str, Mapping[str, Any]], given: Parameters, parameter_store: Callable[[str], str]
) -> Iterator[tuple[str, Any]]:
    if unknown := sorted(set(given) - set(declared)):
        raise AwsError("ValidationError", f"Parameters: {unknown} do not exist in the template")
    missing = [n for n, d in declared.items() if "Default" not in d and n not in given]
    if missing:
        raise AwsError("ValidationError", f"Parameters: {missing} must have values")
    for name, declaration in declared.items():
        kind, value = declaration["Type"], given.get(name, declaration.get("Default", ""))
        is_list = "List" in kind
        for item in _items(value) if is_list else [value]:
            if fault := next(_faults(declaration, item), ""):
                why = declaration.get("ConstraintDescription", fault)
                raise AwsError("ValidationError", f"Parameter {name} failed to satisfy constraint: {why}")
        if kind.startswith("AWS::SSM::Parameter::Value"):
            value = parameter_store(value)
        yield name, _items(value) if is_list else value


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",")]


def _faults(declaration: Mapping[str, Any], value: str) -> Iterator[str]:
    """Yield what a parameter's declaration has against a value."""
    limits: dict[str, Any] = {"MinLength": 0, "MaxLength": 4096, "AllowedValues": [value], **declaration}
    if not limits["MinLength"] <= len(value) <= limits["MaxLength"]:
        yield f"its length must be {limits['MinLength']} to {limits['MaxLength']}"
    if value not in limits["AllowedValues"]:
        yield f"it must be one of {limits['AllowedValues']}"
    if not re.fullmatch(pattern := limits.get("AllowedPattern", "(?s:.*)"), value):
        yield pattern
    if "Number" in declaration["Type"]:
        try:
            number = float(value)
        except ValueError:
            yield "it must be a number"
            return
        if not limits.get("MinValue", number) <= number <= limits.get("MaxValue", number):
            yield f"it must be {limits.get('MinValue', 'anything')} to {limits.get('MaxValue', 'anything')}"
