"""The broker's checks of what the server says, in the Amazon States Language.

The language has no regular expressions. `States.StringSplit` takes a set of delimiter characters, so
splitting a value at every character that it may contain leaves nothing, or only empty strings: services
differ in whether they keep those, hence `ArrayUnique`. Length is left to the job, which checks every
value against the full pattern (`contract.check_invitation`) before it reads any data.
"""

from __future__ import annotations

import string
from typing import Any, Final

from runtime.contract import INVITATION, LINK_PORT, JobOption

FIELDS: Final = {option: option.value.replace("-", "_") for option in INVITATION}
"""What each part of the invitation is called in the broker's input: `run_id` and so on."""

_LOWER_AND_DIGITS: Final = string.ascii_lowercase + string.digits
_ALPHANUMERIC: Final = string.ascii_letters + string.digits
_HEX: Final = string.digits + "abcdef"
_NOTHING: Final = ("[]", '[""]')


def path(option: JobOption) -> str:
    """Return where one part of the invitation stands in the state."""
    return f"$.invitation.{FIELDS[option]}"


def _rest(value: str, allowed: str) -> str:
    return f"States.JsonToString(States.ArrayUnique(States.StringSplit({value}, '{allowed}')))"


def listing() -> dict[str, Any]:
    """Return a Pass state's parameters: the invitation, and its values as a list that can be counted."""
    return {"invitation.$": "$.invitation", "values.$": "$.invitation.*"}


def inspection() -> dict[str, Any]:
    """Return a Pass state's parameters: the invitation and what the checks below look at."""
    address = f"States.StringSplit({path(JobOption.SERVER_ADDRESS)}, ':')"
    return {
        "invitation.$": "$.invitation",
        "execution.$": "$$.Execution.Name",
        "host.$": f"States.ArrayGetItem({address}, 0)",
        "fields.$": "States.ArrayLength($.values)",
        "address_parts.$": f"States.ArrayLength({address})",
        "run_id_rest.$": _rest(path(JobOption.RUN_ID), _LOWER_AND_DIGITS + "-"),
        "host_rest.$": _rest(path(JobOption.SERVER_ADDRESS), _ALPHANUMERIC + ".-:"),
        "fingerprint_rest.$": _rest(path(JobOption.SERVER_FINGERPRINT), _HEX),
    }


def _any_of(variable: str, values: tuple[str, ...]) -> dict[str, Any]:
    return {"Or": [{"Variable": variable, "StringEquals": value} for value in values]}


def _like(option: JobOption, pattern: str) -> dict[str, Any]:
    return {"Variable": path(option), "StringMatches": pattern}


def present() -> dict[str, Any]:
    """Return the rule that the whole invitation is there, as text."""
    return {
        "And": [
            {"Variable": path(option), test: True}
            for option in INVITATION
            for test in ("IsPresent", "IsString")
        ]
    }


def well_formed() -> dict[str, Any]:
    """Return the rule that nothing else is there, and that every value is made of what it may be made of."""
    run_id, address, fingerprint = INVITATION
    return {
        "And": [
            {"Variable": "$.fields", "NumericEquals": len(INVITATION)},
            # Whoever stops an execution stops the job of its name, so the two must be one.
            {"Variable": path(run_id), "StringEqualsPath": "$.execution"},
            _like(run_id, "run-*"),
            {"Not": _any_of(path(run_id), ("run-",))},
            {"Not": _like(run_id, "run--*")},
            _any_of("$.run_id_rest", _NOTHING),
            {"Variable": "$.address_parts", "NumericEquals": 2},
            _like(address, f"*:{LINK_PORT}"),
            {"Not": _like(address, ":*")},
            _any_of("$.host_rest", _NOTHING),
            _like(fingerprint, "sha256:*"),
            # "sha256:" less its hexadecimal characters leaves "sh" and ":"; anything more is not hex.
            _any_of("$.fingerprint_rest", ('["sh",":"]', '["sh", ":"]', '["sh","",":"]')),
        ]
    }


def invited_hyperparameters() -> dict[str, str]:
    """Return the job options that the server may fill in; the port is not among what it decides."""
    run_id, address, fingerprint = INVITATION
    return {
        f"{run_id.value}.$": path(run_id),
        f"{address.value}.$": f"States.Format('{{}}:{LINK_PORT}', $.host)",
        f"{fingerprint.value}.$": path(fingerprint),
    }
