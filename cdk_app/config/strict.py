"""What every part of a federation file is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Frozen, and an unknown key is an error: a typo must never become a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
