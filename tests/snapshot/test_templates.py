"""A committed snapshot of each stack of the example; `make snapshots` writes them anew.

Not of west and its peer: they differ from north and south in names and addresses only. South and its peer
are kept as what differs from north. A policy's statements are a digest: tests/unit/test_iam.py asserts them.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from assembly import (
    NORTH,
    PEER_NORTH,
    PEER_SOUTH,
    PEER_WEST,
    SERVER,
    SOUTH,
    Assembly,
    Template,
    masked,
)
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

LIKE = {SOUTH: NORTH, PEER_SOUTH: PEER_NORTH}
PARTITIONS = {
    "gov": ("us-gov-west-1", "us-gov-east-1", "aws-us-gov"),
    "china": ("cn-north-1", "cn-northwest-1", "aws-cn"),
}


@pytest.mark.parametrize("stack", [SERVER, NORTH, SOUTH, PEER_NORTH, PEER_SOUTH])
def test_template(templates: dict[str, Template], stack: str, snapshot: SnapshotAssertion) -> None:
    kept = brief(masked(templates[stack]))
    if stack in LIKE:
        first = brief(masked(templates[LIKE[stack]]))
        whole, kept = kept, difference(first, kept)
        assert patched(first, kept) == whole
    assert kept == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize("stack", [SERVER, NORTH, SOUTH, PEER_WEST])
def test_template_of_another_way_than_a_peering(
    templates: dict[str, Template], linked: Assembly, stack: str, snapshot: SnapshotAssertion
) -> None:
    """What differs from the example where clients come by PrivateLink, or on a way that exists."""
    first, whole = (brief(masked(each[stack])) for each in (templates, linked.templates))
    kept = difference(first, whole)
    assert patched(first, kept) == whole
    assert kept == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize("stack", [SERVER, NORTH, PEER_NORTH])
def test_template_where_owners_bring_all_that_they_can(
    templates: dict[str, Template], own: Assembly, stack: str, snapshot: SnapshotAssertion
) -> None:
    """What differs from the example with VPCs, keys, boundaries, names and qualifiers of their own."""
    first, whole = (brief(masked(each[stack])) for each in (templates, own.templates))
    kept = difference(first, whole)
    assert patched(first, kept) == whole
    assert kept == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize("stack", [SERVER, NORTH, SOUTH])
@pytest.mark.parametrize("where", ["gov", "china"])
def test_template_of_another_partition(
    templates: dict[str, Template],
    where: str,
    stack: str,
    snapshot: SnapshotAssertion,
    request: pytest.FixtureRequest,
) -> None:
    """The words that differ from the example's, beyond the names of Regions and the beginning of ARNs."""
    home, away, partition = PARTITIONS[where]
    there: Assembly = request.getfixturevalue(where)
    name = stack.replace("eu-west-1", home).replace("eu-central-1", away)
    text = json.dumps(there.templates[name]).replace(f"arn:{partition}:", "arn:aws:")
    moved = json.loads(text.replace(home, "eu-west-1").replace(away, "eu-central-1"))
    first, second = (masked(each)["Resources"] for each in (templates[stack], moved))
    kept = {
        name: {"only here": sorted(words(second.get(name)) - words(first.get(name)))}
        for name in sorted({*first, *second})
        if words(first.get(name)) != words(second.get(name))
    }
    assert kept == snapshot(extension_class=JSONSnapshotExtension)


def test_a_changed_statement_changes_the_digest() -> None:
    allow, deny = ({"Statement": [{"Effect": effect}]} for effect in ("Allow", "Deny"))
    assert brief(allow) != brief(deny)
    assert brief(allow) == brief(json.loads(json.dumps(allow)))


def brief(value: Any) -> Any:
    """The template with references on one line (`<Bucket.Arn>`) and a digest for a policy's statements."""
    if isinstance(value, list):
        return [brief(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Ref"}:
        return f"<{value['Ref']}>"
    if value.keys() == {"Fn::GetAtt"}:
        return f"<{'.'.join(value['Fn::GetAtt'])}>"
    return {key: digest(part) if key == "Statement" else brief(part) for key, part in value.items()}


def words(value: Any) -> set[str]:
    """What stands in a part of a template, text in text included."""
    return set(re.findall(r"[^\s\"\\]+", json.dumps(value)))


def digest(statements: Any) -> str:
    """How many statements there are, and a hash by which a change of any is seen."""
    text = json.dumps(statements, sort_keys=True)
    return f"statements: {len(statements)}, sha256: {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def difference(first: Any, second: Any) -> Any:
    """What makes the second of the first, as a JSON merge patch (RFC 7386): null removes a key."""
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    return {key: None for key in first if key not in second} | {
        key: difference(first.get(key), value) for key, value in second.items() if value != first.get(key)
    }


def patched(first: Any, patch: Any) -> Any:
    """The second again."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(first) if isinstance(first, dict) else {}
    return {key: value for key, value in kept.items() if key not in patch} | {
        key: patched(kept.get(key), value) for key, value in patch.items() if value is not None
    }
