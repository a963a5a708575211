"""A client's privacy floor as the options of its job."""

from __future__ import annotations

from typing import Final

from cdk_app.config_models import PrivacyFloor
from runtime.contract import PrivacyOption

OPTIONS: Final = {
    "epsilon_budget": PrivacyOption.EPSILON_BUDGET,
    "delta": PrivacyOption.DELTA,
    "min_noise": PrivacyOption.MIN_NOISE,
    "cohort": PrivacyOption.COHORT,
}


def job_options(floor: PrivacyFloor) -> dict[PrivacyOption, str]:
    """Return what the floor pins; an account without a budget pins none, and keeps the ledger only."""
    said = floor.model_dump(exclude_none=True)
    return {option: str(said[name]) for name, option in OPTIONS.items() if name in said}
