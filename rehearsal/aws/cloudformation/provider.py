"""What a resource type declares: its API calls, and what becomes of each of its properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rehearsal.aws.cloudformation.calls import Facts, used
from rehearsal.aws.errors import AwsError

if TYPE_CHECKING:
    from rehearsal.aws.cloudformation.resource import Resource

_OTHER_NAMES: Final = {"elasticloadbalancingv2": "elbv2"}
"""Services that boto3 calls otherwise than CloudFormation."""

Step = Callable[["Resource", Facts], Any]
"""What no line can say."""

Change = Callable[["Resource", str, Facts, Facts], None]
"""Brings one property, named, from its old to its new value, with all facts before and after."""


@dataclass(frozen=True)
class PhysicalResource:
    """A resource that exists: what `Ref` and `Fn::GetAtt` give."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceProvider:
    """One resource type. A property that none of its parts names is an error; its values are the schema's.

    Parameters
    ----------
    create
        The call that makes the resource.
    physical_id, attributes
        What `Ref` and `Fn::GetAtt` give.
    delete
        What deletes it; that it is gone already is no error.
    name, name_length
        The property that names it, and the length of the name that it gets without.
    updatable
        How a property changes in place. One that `create` does not use is set that way after creation, too.
        A change of any other property replaces the resource, if the schema says so, or is an error.
    ignored
        Properties without an effect here, each with the reason.
    convert
        How a property's value becomes the API's; all calls get it converted.
    after_create, after_create_uses
        A further step of creation, which may return attributes, and the properties that only it uses.
    cleared
        Updatable properties to be emptied before the resource can be deleted.
    """

    type_name: str
    create: str
    delete: Sequence[str | Step]
    physical_id: str = "name"
    attributes: str = ""
    name: str = ""
    name_length: int = 64
    updatable: Mapping[str, Change] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    convert: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    after_create: Step | None = None
    after_create_uses: Sequence[str] = ()
    cleared: Sequence[str] = ()

    @property
    def service(self) -> str:
        """The service as boto3 calls it."""
        name = self.type_name.split("::")[1].lower()
        return _OTHER_NAMES.get(name, name)

    @property
    def properties(self) -> set[str]:
        """All properties that the type knows."""
        created = {name for name in used(self.create) | {self.name} if name[:1].isupper()}
        return created | {*self.after_create_uses, *self.updatable, *self.ignored}


@dataclass(frozen=True)
class Put:
    """Set a property by calls; without calls that remove it, it cannot be taken away."""

    lines: Sequence[str]
    remove: Sequence[str] | None = None

    def __call__(self, resource: Resource, name: str, old: Facts, new: Facts) -> None:  # noqa: ARG002
        """Make the calls."""
        lines = self.lines if name in new else self.remove
        if lines is None:
            raise AwsError("ValidationError", f"The rehearsal cannot remove {name} from a resource.")
        for line in lines:
            resource.run(line, new)


@dataclass(frozen=True)
class Items:
    """Remove and add what differs in a list, known to the calls as `items`; `default` is one not given."""

    add: str
    remove: str
    default: Sequence[Any] = ()

    def __call__(self, resource: Resource, name: str, old: Facts, new: Facts) -> None:
        """Remove what is no longer there, then add what is new."""
        before, after = (facts.get(name) or self.default for facts in (old, new))
        if removed := [item for item in before if item not in after]:
            resource.run(self.remove, {**old, **new, "items": removed}, discard=True)
        if added := [item for item in after if item not in before]:
            resource.run(self.add, {**old, **new, "items": added})
