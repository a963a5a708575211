"""A CloudFormation template, with every function in it resolved to text that can be compared.

What only a deployment knows (a bucket's generated name, a parameter) becomes one character of a private plane
of Unicode, the same for the same value: texts stay texts, and JSON inside them stays JSON. Whatever is not
known here is a problem by its name, never passed over.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cdk_app.regions import dns_suffix, partition
from cdk_app.review.reading.problem import Problem
from cdk_app.review.reading.wildcards import is_symbol
from runtime.contract import ExitCode, FedstackError
from runtime.errors import escaped

SECTIONS: Final = {
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Rules",
}
ATTRIBUTES: Final = {"Type", "Properties", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Metadata"}

SERVED: Final = {"ModelIsServed": {"Fn::Not": [{"Fn::Equals": [{"Ref": "ModelVersion"}, ""]}]}}
"""The one condition that a template of ours can have."""

_CONDITIONAL: Final = {
    "AWS::SageMaker::Endpoint",
    "AWS::SageMaker::EndpointConfig",
    "AWS::SageMaker::Model",
}
"""What may be there or not; a condition on anything else could take a reviewed protection away."""

_NAMED_BY: Final = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SSM::Parameter": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}
"""The property that names a resource, where one can."""

_ARNS: Final = {
    "AWS::DynamoDB::Table": "arn:{partition}:dynamodb:{region}:{account}:table/{id}",
    "AWS::IAM::Role": "arn:{partition}:iam::{account}:role{path}{id}",
    "AWS::KMS::Key": "arn:{partition}:kms:{region}:{account}:key/{id}",
    "AWS::Logs::LogGroup": "arn:{partition}:logs:{region}:{account}:log-group:{id}:*",
    "AWS::S3::Bucket": "arn:{partition}:s3:::{id}",
    "AWS::SNS::Topic": "arn:{partition}:sns:{region}:{account}:{id}",
    "AWS::SSM::Parameter": "arn:{partition}:ssm:{region}:{account}:parameter{id}",
    "AWS::StepFunctions::StateMachine": "arn:{partition}:states:{region}:{account}:stateMachine:{id}",
}
_REF_IS_ARN: Final = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}
_SAME_AS_REF: Final = {
    ("AWS::EC2::SecurityGroup", "GroupId"),
    ("AWS::SageMaker::EndpointConfig", "EndpointConfigName"),
    ("AWS::SageMaker::Model", "ModelName"),
    ("AWS::SageMaker::NotebookInstanceLifecycleConfig", "NotebookInstanceLifecycleConfigName"),
    ("AWS::StepFunctions::StateMachine", "Name"),
}
_VARIABLE: Final = re.compile(r"\$\{([^!}][^}]*)\}")


def _first_name_of(argument: Any) -> str:
    """Return the endpoint whose Regional name is selected: each of its entries is `<hosted zone>:<name>`."""
    match argument:
        case [1, {"Fn::Split": [":", {"Fn::Select": [0, {"Fn::GetAtt": [str(name), "DnsEntries"]}]}]}]:
            return name
    return ""


@dataclass(frozen=True)
class Resource:
    """One resource, its properties resolved."""

    name: str
    kind: str
    properties: Mapping[str, Any]
    attributes: Mapping[str, Any]


class Template:
    """A stack's template.

    Parameters
    ----------
    content
        Its file's bytes.

    Raises
    ------
    FedstackError
        Where it is no template in JSON.
    """

    def __init__(self, content: bytes) -> None:
        self.raw = _parsed(content)
        self.problems: list[Problem] = []
        self._names: list[str] = []
        self._symbols: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self.account = _commonest(_source_accounts(self.raw)) or self.symbol("AWS::AccountId")
        own = re.compile(rf"arn:aws[a-z-]*:(?:sagemaker|states|logs|ssm):([a-z0-9-]+):{self.account}:")
        regions = (found for text in texts(self.raw) for found in own.findall(text))
        self.region = _commonest(regions) or self.symbol("AWS::Region")
        self.partition = partition(self.region)
        self._check_sections()
        self.resources = {
            name: self._resource(name, resource) for name, resource in self.raw["Resources"].items()
        }
        self.parameters: Mapping[str, Any] = self.raw.get("Parameters", {})

    def of_kind(self, *kinds: str) -> list[Resource]:
        """Return the resources of some types (`S3::Bucket`)."""
        return [r for r in self.resources.values() if r.kind.removeprefix("AWS::") in kinds]

    def reference(self, name: str) -> str:
        """Return what Ref says of a resource."""
        return self._ref(name, name)

    def arn(self, name: str) -> str:
        """Return a resource's ARN."""
        return self._attribute([name, "Arn"], name)

    def dns_name(self, name: str) -> str:
        """Return what stands for an interface endpoint's Regional name."""
        return self.symbol(f"DNS name of {name}")

    def symbol(self, name: str) -> str:
        """Return the character that stands for a value that only a deployment knows."""
        if name not in self._symbols:
            self._symbols[name] = chr(0xF0000 + len(self._names))
            self._names.append(name)
        return self._symbols[name]

    def call(self, text: str, name: str) -> None:
        """Show the symbol that is a text as a name that says what it is for, from now on."""
        if len(text) == 1 and is_symbol(text):
            self._names[ord(text) - 0xF0000] = name

    def show(self, text: str) -> str:
        """Return a text with every symbol written out: `<data bucket>`."""
        shown = "".join(f"<{self._names[ord(c) - 0xF0000]}>" if is_symbol(c) else c for c in text)
        return escaped(shown.translate({0xFFFF0: "*", 0xFFFF1: "?"}))

    def encoded(self, value: Any) -> str | None:
        """Return the text inside a Fn::Base64."""
        return self._texts.get(value) if isinstance(value, str) else None

    def object(self, where: str, what: str) -> None:
        """Add a problem."""
        problem = Problem(self.show(where), self.show(what))
        if problem not in self.problems:
            self.problems.append(problem)

    def _check_sections(self) -> None:
        known = SECTIONS | ({"Conditions"} if self.raw.get("Conditions") == SERVED else set())
        for name in sorted(self.raw.keys() - known):
            self.object(name, f"The template has a section {name}, which this review does not know.")
        for name, rule in self.raw.get("Rules", {}).items():
            if set(rule) != {"Assertions"}:
                self.object(name, f"The rule {name} has more than assertions.")
        for text in texts(self.raw.get("Resources", {})):
            if "{{resolve:" in text:
                self.object(
                    "dynamic reference", f"{text!r} is looked up by AWS at deployment; nobody can review it."
                )

    def _resource(self, name: str, resource: Any) -> Resource:
        if not isinstance(resource, Mapping) or not isinstance(resource.get("Type"), str):
            self.object(name, "It has no type.")
            return Resource(name, "", {}, {})
        known = ATTRIBUTES | ({"Condition"} if resource["Type"] in _CONDITIONAL else set())
        for attribute in sorted(resource.keys() - known):
            self.object(name, f"It has an attribute {attribute}, which this review does not know.")
        properties = self.resolve(resource.get("Properties", {}), name)
        rest = {key: value for key, value in resource.items() if key not in ("Properties", "Type")}
        return Resource(name, resource["Type"], properties, rest)

    def resolve(self, value: Any, where: str) -> Any:
        """Return a value with every function in it applied."""
        if isinstance(value, list):
            return [self.resolve(part, where) for part in value if part != {"Ref": "AWS::NoValue"}]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._apply(function, argument, where)
            if function == "Condition" and isinstance(argument, str):
                return self._unknown(f"the condition {argument}", where)
        return {
            key: self.resolve(part, where) for key, part in value.items() if part != {"Ref": "AWS::NoValue"}
        }

    def _apply(self, function: str, argument: Any, where: str) -> str:
        if function == "Ref" and isinstance(argument, str):
            return self._ref(argument, where)
        if function == "Fn::GetAtt":
            parts = argument.split(".", 1) if isinstance(argument, str) else argument
            return self._attribute(parts, where)
        if function == "Fn::Sub":
            return self._sub(argument, where)
        if function == "Fn::ImportValue":
            return self.symbol(f"import {self.show(str(self.resolve(argument, where)))}")
        if function == "Fn::Base64":
            text = str(self.resolve(argument, where))
            symbol = self.symbol(f"Base64 text of {where}")
            self._texts[symbol] = text
            return symbol
        if function == "Fn::Select" and (name := _first_name_of(argument)) and self._kind(name):
            return self.dns_name(name)
        if function == "Fn::Join":
            separator, parts = self.resolve(argument, where)
            if isinstance(parts, list) and all(isinstance(part, str | int) for part in parts):
                return str(separator).join(map(str, parts))
        return self._unknown(f"the function {function}", where)

    def _unknown(self, what: str, where: str) -> str:
        self.object(where, f"It uses {what}, which this review does not know.")
        return self.symbol(what)

    def _ref(self, name: str, where: str) -> str:
        pseudo = {
            "AWS::AccountId": self.account,
            "AWS::Region": self.region,
            "AWS::Partition": self.partition,
            "AWS::URLSuffix": dns_suffix(self.region),
            "AWS::StackName": self.symbol("AWS::StackName"),
            "AWS::StackId": self.symbol("AWS::StackId"),
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.raw.get("Parameters", {}):
            return self.symbol(f"parameter {name}")
        kind = self._kind(name)
        if kind is None:
            return self._unknown(f"a reference to {name}", where)
        return self._arn(kind, name) if kind in _REF_IS_ARN else self._id(kind, name)

    def _attribute(self, parts: list[Any], where: str) -> str:
        name, attribute = str(parts[0]), str(parts[1])
        kind = self._kind(name)
        if kind is None:
            return self._unknown(f"a reference to {name}", where)
        if (attribute == "Arn" or (kind, attribute) == ("AWS::SNS::Topic", "TopicArn")) and kind in _ARNS:
            return self._arn(kind, name)
        if (kind, attribute) in _SAME_AS_REF:
            return self._id(kind, name)
        return self.symbol(f"{name}.{attribute}")

    def _arn(self, kind: str, name: str) -> str:
        return _ARNS[kind].format(
            partition=self.partition,
            region=self.region,
            account=self.account,
            id=self._id(kind, name),
            path=self._path(name),
        )

    def _path(self, name: str) -> str:
        """Return the path of a role, which its ARN has before the name."""
        path = self.raw["Resources"][name].get("Properties", {}).get("Path", "/")
        if not isinstance(path, str) or not re.fullmatch(r"/(?:[\w+=,.@-]+/)*", path, re.ASCII):
            return self._unknown(f"the path {path!r} of a role", name)
        return path

    def _id(self, kind: str, name: str) -> str:
        """Return a resource's physical name, or the symbol for it; a name may hold pseudo parameters."""
        given = self.raw["Resources"][name].get("Properties", {}).get(_NAMED_BY.get(kind, ""))
        if given is None:
            return self.symbol(name)
        resolved = self.resolve(given, name)
        return resolved if isinstance(resolved, str) else self.symbol(name)

    def _kind(self, name: str) -> str | None:
        resource = self.raw["Resources"].get(name)
        return resource.get("Type") if isinstance(resource, Mapping) else None

    def _sub(self, argument: Any, where: str) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else argument
        given = {name: str(self.resolve(value, where)) for name, value in local.items()}

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name in given:
                return given[name]
            if "." in name and not name.startswith("AWS::"):
                return self._attribute(name.split(".", 1), where)
            return self._ref(name, where)

        return _VARIABLE.sub(value, text).replace("${!", "${")


def texts(value: Any) -> Iterator[str]:
    """Yield every text of a value, keys of mappings included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield str(key)
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


def parsed(text: str) -> Any:
    """Return what JSON says, where it says each thing once: readers differ in which of two counts.

    Raises
    ------
    ValueError
        Where it is no such JSON.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, number in Counter(key for key, _ in pairs).items() if number > 1]
        if twice:
            raise ValueError(f"the key {twice[0]!r} stands twice")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=once)


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        raw = parsed(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _not_a_template(f"it is no JSON ({error})") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("Resources"), dict):
        raise _not_a_template("it has no Resources")
    if any(ord(character) >= 0xF0000 for text in texts(raw) for character in text):
        raise _not_a_template("it has characters of Unicode's private planes")
    return raw


def _not_a_template(why: str) -> FedstackError:
    return FedstackError(
        ExitCode.CONFIG,
        f"This is no template that can be reviewed: {why}.",
        "Pass a client's *.template.json.",
    )


def _source_accounts(value: Any) -> Iterator[str]:
    """Yield the accounts that the template's own conditions call the source: its own."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if str(key).lower() == "aws:sourceaccount":
                yield from (text for text in texts(part) if re.fullmatch(r"\d{12}", text))
            else:
                yield from _source_accounts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _source_accounts(part)


def _commonest(values: Iterator[str]) -> str | None:
    return next((value for value, _ in Counter(values).most_common(1)), None)
