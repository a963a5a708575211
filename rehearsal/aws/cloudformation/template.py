"""A template with its parameters: what is in it, in which order it is made, and what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import yaml

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
        self.text, self.body = text, (body := parse(text))
        defaults = {n: str(d["Default"]) for n, d in body.get("Parameters", {}).items() if "Default" in d}
        self.given = {**defaults, **given}
        self.parameters = dict(_values(body.get("Parameters", {}), given, parameter_store))
        self.scope = Scope(
            {**pseudo, **self.parameters}, body.get("Conditions", {}), body.get("Mappings", {})
        )
        self.scope.exports = exports
        self._check_rules()

    def resources(self) -> dict[str, Mapping[str, Any]]:
        """Return the resources whose condition holds, each after everything that it depends on."""
        present = {
            name: resource
            for name, resource in self.body["Resources"].items()
            if "Condition" not in resource or self.scope.holds(resource["Condition"])
        }
        graph = {name: {n for n in _needs(r) if n in present} for name, r in present.items()}
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
            said = {"OutputKey": name, "OutputValue": str(self.scope.resolve(output["Value"]))}
            if "Export" in output:
                said["ExportName"] = self.scope.resolve(output["Export"]["Name"])
            yield said

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


def _values(
    declared: Mapping[str, Mapping[str, Any]], given: Parameters, parameter_store: Callable[[str], str]
) -> Iterator[tuple[str, Any]]:
    if unknown := sorted(set(given) - set(declared)):
        raise AwsError("ValidationError", f"Parameters: {unknown} do not exist in the template")
    missing = [n for n, d in declared.items() if "Default" not in d and n not in given]
    if missing:
        raise AwsError("ValidationError", f"Parameters: {missing} must have values")
    for name, declaration in declared.items():
        value = str(given.get(name, declaration.get("Default")))
        pattern = declaration.get("AllowedPattern")
        if pattern and not re.fullmatch(pattern, value):
            raise AwsError("ValidationError", f"Parameter {name} failed to satisfy constraint: {pattern}")
        if value not in (allowed := declaration.get("AllowedValues", [value])):
            raise AwsError("ValidationError", f"Parameter {name} must be one of {allowed}")
        if declaration["Type"].startswith("AWS::SSM::Parameter::Value"):
            value = parameter_store(value)
        is_list = declaration["Type"] in ("CommaDelimitedList", "List<Number>")
        yield name, [v.strip() for v in value.split(",")] if is_list else value
