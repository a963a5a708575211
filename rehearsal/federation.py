"""The federation of a rehearsal: one server and n clients, each an account of its own, in two Regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from cdk_app.config.load import load
from cdk_app.config.models import Federation
from cdk_app.images import DEFAULT
from runtime.contract import MAX_COHORT_OPTIONS, Updates

NAME: Final = "rehearsal"
HOME: Final = "eu-west-1"
AWAY: Final = "eu-central-1"


def write(
    path: Path,
    clients: int,
    *,
    privacy: Mapping[str, Any] | None = None,
    app: Path | None = None,
    image: str = DEFAULT,
    **changes: Any,
) -> Federation:
    """Write a federation file and load it, as an operator's is loaded.

    Parameters
    ----------
    path
        Where to.
    clients
        How many clients; the last of several is in another Region than the server.
    privacy
        The privacy policy of every client, where it is not the default. Those whose updates are summed agree
        to be summed with all others of them, as far as a job can be told so many.
    app
        A Flower app's folder, to run in place of the built-in one.
    image
        What jobs run on.
    changes
        What to say otherwise of one client (`silo_1={"kickoff": "direct"}`), or of the server.
    """
    names = [f"silo-{number}" for number in range(clients)]
    sums = (privacy or {}).get("updates", Updates.SUMS) == Updates.SUMS
    said: dict[str, Any] = {
        "name": NAME,
        "tags": {"project": "federated-learning"},
        "run": {"max_runtime_minutes": 30, "image": image},
        **({} if app is None else {"app": str(app.absolute())}),
        "server": {**_place(0, HOME), "notebook_type": "ml.t3.medium", **changes.get("server", {})},
        "clients": [
            {
                "name": name,
                **_place(number + 1, AWAY if number and number == clients - 1 else HOME),
                "notebook_type": "ml.t3.medium",
                "privacy": {**({"cohort": _others(names, name)} if sums else {}), **(privacy or {})},
                **changes.get(f"silo_{number}", {}),
            }
            for number, name in enumerate(names)
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(said, sort_keys=False))
    return load(path)


def _others(names: Sequence[str], own: str) -> list[str]:
    return [name for name in names if name != own][:MAX_COHORT_OPTIONS]


def _place(number: int, region: str) -> dict[str, Any]:
    """Return an account's number, Region and addresses; none overlaps another's."""
    return {
        "account": f"{100_000_000_000 + (number + 1) * 1_111_111:012d}",
        "region": region,
        "cidr": f"10.{number // 250}.{number % 250}.0/24",
        "availability_zones": [f"{region}a", f"{region}b"],
    }
