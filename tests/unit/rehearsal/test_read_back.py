"""What a template asks for is what the service then describes: nothing that moto takes and drops."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from assembly import Assembly
from botocore.exceptions import ClientError
from moto.core.config import default_user_config
from moto_stack import REGION, a, created, empty_stack, type_of
from property_cases import CASES
from property_readings import MORE, NOT_READ, NOT_SHOWN, READINGS, RENAMED
from property_values import AROUND, BASE, ROLES

from rehearsal.aws.cloudformation import calls, schemas
from rehearsal.aws.cloudformation.intrinsics import references
from rehearsal.aws.cloudformation.provider import Items, Put
from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.types import PROVIDERS
from rehearsal.aws.moto_fixes import mend_state_machines

KINDS = sorted({name.removeprefix("AWS::") for name in PROVIDERS} | {*CASES})
DOCUMENTS = {"AssumeRolePolicyDocument", "EventPattern", "KeyPolicy", "PolicyDocument", "Tags"}
Path = tuple[str, ...]


def test_every_property_has_a_value_here() -> None:
    tried = {(type_of(kind), name) for kind in KINDS for name in values(kind)}
    not_read = {(type_of(kind), name) for kind, names in NOT_READ.items() for name in names}
    read = {(kind, n) for kind, p in PROVIDERS.items() for n in p.properties - {*p.ignored}}
    assert tried == read - not_read


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_every_call_is_seen_again(kind: str) -> None:
    subject = a(kind, **values(kind))
    around = {name: AROUND[name] for name in needed(subject)}
    with empty_stack() as stack:
        created(stack, **around, Subject=subject)
        seen = [leaf for answer in answers(stack, kind) for leaf in leaves(answer)]
        assert stack.resources["Subject"].resource.physical_id == identifier(stack)
        lost = [leaf for leaf in asked(stack) if not any(same(leaf, other) for other in seen)]
    assert {path[0] for path, _ in lost} == {name.lower() for name in NOT_SHOWN.get(kind, ())}, (lost, seen)


def test_the_templates_have_nothing_that_the_tables_of_values_have_not(
    templates: Mapping[str, Any], other: Assembly, linked: Assembly
) -> None:
    used = {
        (resource["Type"], path)
        for template in [*templates.values(), *other.templates.values(), *linked.templates.values()]
        for resource in template["Resources"].values()
        for path in keys(resource.get("Properties", {}))
    }
    tried = {(type_of(kind), path) for kind in KINDS for path in keys(values(kind))}
    ignored = {(kind, name) for kind, p in PROVIDERS.items() for name in p.ignored}
    not_read = {(type_of(kind), name) for kind, names in NOT_READ.items() for name in names}
    assert {(k, path) for k, path in used - tried if (k, path[0]) not in ignored | not_read} == set()


def keys(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every key, but not in documents, which go to the service as they are."""
    for key, part in value.items() if isinstance(value, Mapping) else ():
        if key not in ("Ref", "Fn::GetAtt", "Fn::Join", "Fn::Sub", "Fn::If", "Fn::Base64", "Fn::ImportValue"):
            yield (*path, key)
            yield from keys(part, (*path, key)) if key not in DOCUMENTS else ()
    for part in value if isinstance(value, list) else ():
        yield from keys(part, path)


def identifier(stack: Stack) -> str:
    """What `Ref` gives by the schema, where the table has it as a property or an attribute."""
    subject = stack.resources["Subject"]
    if subject.type_name == "AWS::Events::Rule":
        return str(subject.properties["Name"])  # the schema says Arn, CloudFormation's reference the name
    schema = schemas.schema_of(subject.type_name)
    facts = {**subject.properties, **subject.resource.attributes}
    parts = [str(facts.get(path[0], "")) for path in schemas.paths(schema, "primaryIdentifier")]
    return "|".join(parts) if all(parts) else subject.resource.physical_id


def test_why_an_execution_was_stopped_stays_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(default_user_config, "stepfunctions", {"execute_state_machine": True})
    mend_state_machines()
    with empty_stack() as stack:
        machines = stack.clients.get("stepfunctions")
        waiting = {"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 600, "End": True}}}
        made = machines.create_state_machine(name="m", definition=json.dumps(waiting), roleArn=ROLES[0])
        asked = {"stateMachineArn": made["stateMachineArn"], "name": "run-1", "input": '{"a": 1}'}
        started = machines.start_execution(**asked)
        assert asked.items() <= machines.describe_execution(executionArn=started["executionArn"]).items()
        machines.stop_execution(executionArn=started["executionArn"], cause="over", error="Stop")
        deadline = time.monotonic() + 60
        while (stopped := machines.describe_execution(executionArn=started["executionArn"]))[
            "status"
        ] == "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (stopped["status"], stopped.get("cause"), stopped.get("error")) == ("ABORTED", "over", "Stop")


def test_what_the_runtime_and_the_rehearsal_ask_of_moto_is_seen_again() -> None:
    with empty_stack() as stack:
        s3, ssm = (stack.clients.get(name) for name in ("s3", "ssm"))
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="bucket", Key="a", Body=b"first", IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.put_object(Bucket="bucket", Key="a", Body=b"second", IfNoneMatch="*")
        kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key"}
        s3.put_object(Bucket="bucket", Key="b", Body=b"x", **kms)
        assert kms.items() <= s3.get_object(Bucket="bucket", Key="b").items()
        listed = s3.list_objects_v2(Bucket="bucket", Prefix="b", MaxKeys=1)
        assert [entry["Key"] for entry in listed["Contents"]] == ["b"]
        ssm.put_parameter(Name="/p", Value="on", Type="String")
        assert ssm.get_parameter(Name="/p")["Parameter"]["Value"] == "on"


def values(kind: str) -> dict[str, Any]:
    first = {name: old for name, (old, _, _) in CASES.get(kind, {}).items()}
    return {**BASE.get(kind, {}), **first, **MORE.get(kind, {})}


def needed(resource: Mapping[str, Any]) -> Iterator[str]:
    for name in references(resource["Properties"]):
        yield from needed(AROUND[name])
        yield name


def asked(stack: Stack) -> Iterator[tuple[Path, Any]]:
    """Every argument of the calls that made the subject."""
    subject = stack.resources["Subject"]
    resource = stack._resource(subject.type_name, "Subject")
    facts = resource._facts(subject.properties, subject.resource)
    provider = resource.provider
    names = [subject.resource.physical_id, *subject.resource.attributes.values()]  # of the subject itself
    lines: list[tuple[str, Any]] = [(provider.create, None)]
    for name in {*subject.properties} - calls.used(provider.create):
        change = provider.updatable.get(name)
        if isinstance(change, Put):
            lines += [(line, None) for line in change.lines]
        elif isinstance(change, Items):
            lines.append((change.add, facts[name]))
    for line, items in lines:
        for _, request in calls.requests(line, facts | {"items": items}):
            yield from (leaf for leaf in leaves(request) if leaf[1] not in names)


def answers(stack: Stack, kind: str) -> Iterator[Any]:
    subject = stack.resources["Subject"]
    resource = stack._resource(subject.type_name, "Subject")
    facts = resource._facts(subject.properties, subject.resource)
    for line in {*(reading for _, _, reading in CASES.get(kind, {}).values()), *READINGS.get(kind, [])}:
        yield resource.run(line, facts)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every text, number and truth value in a value, with the names above it; tags with their keys."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        value = json.loads(value)
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, (*path, key.lower()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part, path)
    elif value is not None:
        yield path, value


def same(one: tuple[Path, Any], other: tuple[Path, Any]) -> bool:
    (asked, value), (seen, found) = one, other
    return value == found and any(ends_alike(name, seen) for name in (asked, *renamed(asked)))


def renamed(path: Path) -> Iterator[Path]:
    """A path as an answer may have it instead."""
    text = ".".join(path)
    for name, others in RENAMED.items():
        if f"{text}.".startswith(f"{name.lower()}."):
            yield from (tuple((new.lower() + text[len(name) :]).split(".")) for new in others.split())


def ends_alike(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[-shorter:] == other[-shorter:]
