"""The roster: which clients a federation has, and how the server reaches each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.contract import ExitCode, FedstackError

NOTEBOOK_ROLE: Final = "FL-server-notebook-{federation}"
"""Where a roster does not say it."""


class Client(BaseModel):
    """One client of the roster."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # the roster also says what people want to know

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    mailbox: str = ""
    kickoff: Literal["none", "broker", "direct"] = Field(
        "none", description="Who starts its job: somebody else, its account's broker, or this server."
    )
    region: str = ""
    kickoff_role_arn: str = Field("", description="The role that its account lets this server take.")
    external_id: str = ""
    state_machine_arn: str = Field("", description="Its broker.")
    job_parameter: str = Field("", description="Where its account publishes the job to ask for (direct).")
    endpoint_url: str | None = Field(None, description="How its Region's Step Functions is reached.")

    @model_validator(mode="after")
    def _startable(self) -> Self:
        needed = {
            "none": (),
            "broker": ("region", "kickoff_role_arn", "external_id", "state_machine_arn"),
            "direct": ("region", "kickoff_role_arn", "external_id", "job_parameter"),
        }[self.kickoff]
        if lost := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"kickoff is {self.kickoff!r}, which needs {', '.join(lost)} as well")
        return self


def read(path: Path) -> dict[str, Any]:
    """Read the federation's name, clients, and defaults of its runs."""
    federation = _content(path)
    return {**federation.get("run", {}), **{key: federation[key] for key in ("name", "clients")}}


def notebook_role(path: Path) -> str:
    """Return the one role that may take the clients' kickoff roles: the notebook's, as its stack named it."""
    federation = _content(path)
    return str(federation.get("notebook_role") or NOTEBOOK_ROLE.format(federation=federation["name"]))


def _content(path: Path) -> dict[str, Any]:
    try:
        federation: dict[str, Any] = json.loads(path.read_text())
        federation["name"], federation["clients"], dict(federation.get("run", {}))
        return federation
    except FileNotFoundError:
        what = f"There is no roster at {path}."
    except (ValueError, KeyError, TypeError) as error:
        what = f"The roster at {path} cannot be read: {type(error).__name__}: {error}."
    raise FedstackError(ExitCode.CONFIG, what, 'Give one with --federation: {"name": ..., "clients": [...]}.')
