"""The client account's own floor: what it asks of every message before it answers.

Set in the client's own stack, as options of the job; the server can ask for more privacy, and is refused if
it asks for less. One rule, for every message, before any handler: what is not known to be private is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from flwr.app import ConfigRecord, Context, Message

from runtime.contract import ExitCode, FedstackError, PrivacyOption
from runtime.privacy.budget import Budget
from runtime.privacy.mechanism import Terms

PRIVATE: Final = frozenset({"query.prepare_private", "train.private", "train.private_curvature"})
"""Messages whose answer is noisy, or tells nothing of the rows but how many there are."""

STEPS: Final = frozenset({f"query.secure_{step}" for step in ("advertise", "share", "confirm", "unmask")})
HARMLESS: Final = STEPS | {"query.finish"}
"""Messages whose answer tells nothing of the rows."""

MASKED: Final = PRIVATE | {"query.prepare", "train", "train.curvature"}
"""Messages whose answer can be masked."""


@dataclass(frozen=True)
class Floor:
    """What a client account asks for.

    Parameters
    ----------
    limit
        The epsilon per row that all runs together may reach; None: differential privacy is not asked for.
    delta
        At which epsilon is counted.
    min_noise
        The least noise of one release, in units of what one row can change; with any, only noise leaves.
    ledger
        Where the ledger of all spends lies.
    cohort
        How many clients' updates must be in a sum that this client's is in; 0: a sum is not asked for.
    """

    limit: float | None
    delta: float
    min_noise: float
    ledger: str
    cohort: int

    def __post_init__(self) -> None:
        budget = 0.0 if self.limit is None else self.limit
        sound = math.isfinite(budget) and budget >= 0 and 0 < self.delta < 1  # NaN compares false, always
        if not (sound and math.isfinite(self.min_noise) and self.min_noise >= 0 and self.cohort >= 0):
            raise FedstackError(
                ExitCode.CONFIG,
                f"This client's privacy floor is epsilon {self.limit} at delta {self.delta}, noise "
                f"{self.min_noise}, cohort {self.cohort}.",
                "Give finite numbers that are not negative, and a delta within 0 and 1.",
            )

    @classmethod
    def of(cls, context: Context) -> Floor:
        """Read a node's floor from its config."""
        return cls.read(context.node_config)

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Floor:
        """Read a floor, and say what is wrong with one that is none."""
        limit = config.get(PrivacyOption.EPSILON_BUDGET)
        return cls(
            None if limit is None else float(limit),
            float(config.get(PrivacyOption.DELTA, 1e-5)),
            float(config.get(PrivacyOption.MIN_NOISE, 0.0)),
            str(config.get(PrivacyOption.LEDGER, "")),
            int(config.get(PrivacyOption.COHORT, 0)),
        )

    def admit(self, message: Message) -> None:
        """Refuse a message that asks for less privacy than the floor.

        Raises
        ------
        FedstackError
            With ExitCode.PRIVACY_FLOOR, naming what is missing.
        """
        kind, secure = message.metadata.message_type, "secure" in message.content.config_records
        if kind in HARMLESS:
            return
        if (self.limit is not None or self.min_noise) and kind not in PRIVATE:
            floor = f"noise {self.min_noise:.4g}" if self.limit is None else f"epsilon at most {self.limit:g}"
            raise _refusal(f"{kind!r} is not differentially private", floor)
        if kind in PRIVATE and (asked := terms_of(message).noise) < self.min_noise:
            raise _refusal(f"noise {asked:.4g} is asked for", f"at least {self.min_noise:.4g}")
        if self.cohort and not (secure and kind in MASKED):
            raise _refusal(f"{kind!r} is not secure aggregation", f"sums over at least {self.cohort} clients")

    def budget(self) -> Budget:
        """Return the budget; without a ledger nothing noisy leaves either."""
        if not self.ledger:
            raise FedstackError(
                ExitCode.PRIVACY_FLOOR,
                "Differential privacy is asked for, but this client keeps no privacy ledger.",
                f"Set --{PrivacyOption.LEDGER} in the client's account.",
            )
        return _budget(self.ledger, self.limit, self.delta)


@cache
def _budget(uri: str, limit: float | None, delta: float) -> Budget:
    """Return one budget for all messages of this process, which reads each entry once."""
    return Budget(uri, limit, delta)


def terms_of(message: Message) -> Terms:
    """Read how private the server wants an answer to be."""
    config = message.content.config_records["config"]
    return Terms(*(number(config, f"privacy-{name}") for name in ("noise", "clip", "delta")))


def number(config: ConfigRecord, name: str) -> float:
    """Read a number that the server sent."""
    value = config.get(name)
    if type(value) not in (int, float):
        raise FedstackError(ExitCode.CONFIG, f"The server's {name} is {value!r}.", "Deploy the same release.")
    return float(value)  # type: ignore[arg-type]


def _refusal(asked: str, floor: str) -> FedstackError:
    return FedstackError(
        ExitCode.PRIVACY_FLOOR,
        f"The server asks for less privacy than this client's account allows: {asked}, the floor is {floor}.",
        "Run with --privacy-epsilon and --secure-aggregation as the client's account wants them.",
    )
