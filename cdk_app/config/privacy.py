"""A client's privacy policy as the options of its job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from cdk_app.config.models import ClientAccount, Federation, PrivacyPolicy
from runtime.contract import JobOption, PrivacyOption, Updates

OPTIONS: Final = {
    "updates": PrivacyOption.UPDATES,
    "min_cohort": PrivacyOption.MIN_COHORT,
    "min_rows": PrivacyOption.MIN_ROWS,
    "max_answers": PrivacyOption.MAX_ANSWERS,
    "max_numbers_per_cell": PrivacyOption.MAX_NUMBERS_PER_CELL,
    "epsilon_budget": PrivacyOption.EPSILON_BUDGET,
    "delta": PrivacyOption.DELTA,
    "min_noise_multiplier": PrivacyOption.MIN_NOISE_MULTIPLIER,
}
"""Those that are values of the policy; keys, members and the ledger are resources of the stack."""


def job_options(policy: PrivacyPolicy) -> dict[str, str]:
    """Return what the policy pins; an account without a budget pins none, and keeps the ledger only."""
    values = policy.model_dump(mode="json", exclude_none=True)
    return {str(option): str(values[name]) for name, option in OPTIONS.items() if name in values}


def node_options(node_config: Mapping[str, bool | int | float | str]) -> dict[str, str]:
    """Return what the account's owner gives a Flower app, as the option of its job."""
    pairs = " ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in node_config.items())
    return {str(JobOption.NODE_CONFIG): pairs} if pairs else {}


def cohort_keys(federation: Federation, client: ClientAccount) -> Mapping[str, str | None] | None:
    """Return the members that a client is summed with, and their public keys where the file knows them.

    None where its updates are not summed: such a client signs nothing.
    """
    if client.privacy.updates is not Updates.SUMS:
        return None
    known = {other.name: other.signing_key for other in federation.clients}
    return {name: known[name] for name in client.privacy.cohort}
