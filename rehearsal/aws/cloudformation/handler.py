"""What a resource type has to say for itself, and the list of all that do."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from rehearsal.aws.clients import Clients
from rehearsal.aws.errors import AwsError

Properties = Mapping[str, Any]
HANDLERS: Final[dict[str, type[Handler]]] = {}
_LETTERS: Final = string.ascii_uppercase + string.digits


@dataclass(frozen=True)
class Made:
    """A resource that exists: what `Ref` and `Fn::GetAtt` give."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Handler:
    """Creates, updates and deletes resources of one type, with the account's APIs.

    A subclass names its type in its class arguments and lists which properties change in place; a change of
    any other one replaces the resource, as the type's page in the CloudFormation template reference says.
    """

    mutable: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, *, type_name: str | None = None) -> None:
        if type_name:
            HANDLERS[type_name] = cls

    def __init__(self, clients: Clients, stack: str, logical_id: str) -> None:
        self.clients, self.stack, self.logical_id = clients, stack, logical_id

    def client(self, service: str) -> Any:
        """Return a client of a service in the stack's account and Region."""
        return self.clients.get(service)

    def name(self, most: int = 64) -> str:
        """Make a name as CloudFormation does for a resource that is given none."""
        ending = "".join(secrets.choice(_LETTERS) for _ in range(12))
        return f"{self.stack}-{self.logical_id}"[: most - 13] + f"-{ending}"

    def create(self, properties: Properties) -> Made:
        """Make the resource."""
        raise NotImplementedError

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Change what can be changed in place; most types need only to be set again."""
        raise NotImplementedError

    def delete(self, made: Made, properties: Properties) -> None:
        """Remove the resource."""
        raise NotImplementedError


def handler_for(resource_type: str) -> type[Handler]:
    """Return the handler of a type."""
    try:
        return HANDLERS[resource_type]
    except KeyError:
        raise AwsError(
            "ValidationError",
            f"The rehearsal has no {resource_type}: add a handler in rehearsal/aws/cloudformation/types.",
        ) from None


def tags(properties: Properties) -> list[dict[str, str]]:
    """Return a resource's tags as most APIs take them."""
    return list(properties.get("Tags", []))


def picked(properties: Properties, *names: str) -> dict[str, Any]:
    """Return those of some properties that are given."""
    return {name: properties[name] for name in names if name in properties}


def lower(properties: Any) -> Any:
    """Return the same with every key's first letter lowered, as some services' APIs write it."""
    if isinstance(properties, Mapping):
        return {key[0].lower() + key[1:]: lower(value) for key, value in properties.items()}
    if isinstance(properties, list):
        return [lower(value) for value in properties]
    return properties
