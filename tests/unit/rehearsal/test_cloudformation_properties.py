"""Each property that the tables call updatable changes what the service then answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from moto_stack import a, created, empty_stack, identity, type_of, updated
from property_cases import CASES, UNSEEN
from property_values import AROUND, BASE

from rehearsal.aws.cloudformation.intrinsics import references
from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.types import PROVIDERS


def test_every_updatable_property_has_a_case() -> None:
    cases = {(type_of(kind), name) for kind, cases in CASES.items() for name in cases}
    assert cases | UNSEEN == {(p.type_name, name) for p in PROVIDERS.values() for name in p.updatable}


@pytest.mark.parametrize("kind", CASES)
def test_an_updated_property_has_its_new_value(kind: str) -> None:
    cases = CASES[kind]
    first = a(kind, **BASE.get(kind, {}) | {name: old for name, (old, _, _) in cases.items()})
    changes = {name: a(kind, **first["Properties"] | {name: new}) for name, (_, new, _) in cases.items()}
    around = {key: AROUND[key] for subject in (first, *changes.values()) for key in needed(subject)}
    with empty_stack() as stack:
        created(stack, **around, Subject=first)
        before = {name: answer(stack, reading) for name, (_, _, reading) in cases.items()}
        subject = identity(stack, "Subject")
        for name, changed in changes.items():
            values = leaves(stack.resources["Subject"].properties[name])
            assert all(value in before[name] for value in values), name
            updated(stack, **around, Subject=changed)
            assert identity(stack, "Subject") == subject
            after = answer(stack, cases[name][2])
            values = leaves(stack.resources["Subject"].properties[name])
            assert all(value in after for value in values), name
            assert after != before[name], name
            updated(stack, **around, Subject=first)
            assert answer(stack, cases[name][2]) != after, name


def answer(stack: Stack, reading: str) -> str:
    """What the service says of the resource."""
    subject = stack.resources["Subject"]
    resource = stack._resource(subject.type_name, "Subject")
    facts = {"id": subject.resource.physical_id, **subject.resource.attributes, **subject.properties}
    reply = resource.run(reading, facts | {"name": subject.properties.get(resource.provider.name)})
    return json.dumps({key: part for key, part in reply.items() if key != "ResponseMetadata"}, default=str)


def needed(resource: Mapping[str, Any]) -> Iterator[str]:
    """The resources around a resource that it needs."""
    for name in references(resource["Properties"]):
        yield from needed(AROUND[name])
        yield name


def leaves(value: Any) -> Iterator[str]:
    """The texts and numbers in a value, as an answer's JSON has them."""
    if isinstance(value, Mapping):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, str) and value.startswith("{"):
        yield from leaves(json.loads(value))
    else:
        yield json.dumps(value) if isinstance(value, bool) else str(value)
