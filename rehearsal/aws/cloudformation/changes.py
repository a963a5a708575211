"""Change sets: what a stack would become, and whether that is anything new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.template import Template


@dataclass(frozen=True)
class ChangeSet:
    """What a stack would become."""

    stack: Stack
    template: Template
    request: Mapping[str, Any]

    def changes(self) -> list[dict[str, Any]]:
        """Return what would happen to which resource."""
        before, after = self.stack.resources, self.template.resources()
        actions = {
            **{name: ("Modify" if name in before else "Add", r["Type"]) for name, r in after.items()},
            **{name: ("Remove", before[name].type_name) for name in before if name not in after},
        }
        return [
            {
                "Type": "Resource",
                "ResourceChange": {"Action": act, "LogicalResourceId": name, "ResourceType": kind},
            }
            for name, (act, kind) in actions.items()
        ]


def differs(stack: Stack, template: Template) -> bool:
    """Whether a template would change a stack."""
    now = stack.template
    return now is None or (now.body, now.parameters) != (template.body, template.parameters)
