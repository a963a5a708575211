"""The broker's check of what the server says: the contract's own patterns, as JSONata."""

from __future__ import annotations

from typing import Final

from cdk_app.constructs.broker import asl
from runtime.contract import ATTEMPT_PATTERN, INVITATION, INVITATION_PATTERNS, LINK_PORT, JobOption

INPUT: Final = "$states.context.Execution.Input"
FIELDS: Final = {option: option.value.replace("-", "_") for option in INVITATION}
"""What each part of the invitation is called in the broker's input: `run_id` and so on."""

_END: Final = r"(?![\s\S])"
"""The end of a text. What `$` means before a line's end differs between regular expressions' dialects."""


def field(option: JobOption) -> str:
    """Return one part of the invitation, as JSONata."""
    return f"{INPUT}.{FIELDS[option]}"


def _matches(value: str, pattern: str) -> str:
    """Return the rule that a value is text of a pattern, which nothing follows."""
    return f"($type({value}) = 'string' ? $contains({value}, /{pattern.removesuffix('$')}{_END}/) : false)"


def well_formed() -> str:
    """Return the rule that the invitation has its three fields, each in its form, and nothing else."""
    run_id, address, _ = INVITATION
    attempt = ATTEMPT_PATTERN.removesuffix("$") + _END
    return " and ".join(
        [
            f"$type({INPUT}) = 'object'",
            f"$count($keys({INPUT})) = {len(INVITATION)}",
            *(_matches(field(option), INVITATION_PATTERNS[option]) for option in INVITATION),
            _matches(field(address), f":{LINK_PORT}$"),
            # Whoever stops an execution stops the job of its name, so the two must be one.
            f"{field(run_id)} in [{asl.EXECUTION}, $replace({asl.EXECUTION}, /{attempt}/, '')]",
        ]
    )


def invited_hyperparameters() -> dict[str, str]:
    """Return the job options that the server may fill in."""
    return {option.value: asl.jsonata(field(option)) for option in INVITATION}
