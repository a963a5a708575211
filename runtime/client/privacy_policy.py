"""The client account's own privacy policy: what may leave, in which form, computed from how much.

Set in the client's own stack, as options of the job. The server can ask for more privacy, and is refused if
it asks for less; what is not known to be allowed is refused. docs/privacy.md says what each rule is for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from flwr.app import Context

from runtime.contract import LEAST_COHORT, POLICY_REFUSES, ExitCode, FedstackError, PrivacyOption, Updates
from runtime.messages import Releases
from runtime.privacy.budget import Budget

LARGEST_VALIDATION: Final = 0.5
"""Share of its rows that a client keeps back at most: a server that chose it could leave one row."""

LARGEST_LOSS: Final = 10 * math.log(2)
"""Mean log loss on the client's own rows, in nats, above which a model is not answered.

Ten times that of the model that knows nothing. A model that singles a row out is far worse on the others.
"""

LEAST_EFFECTIVE: Final = 3.0
"""Rows that one member's part of a sum is made of at least, however many members there are."""


@dataclass(frozen=True)
class PrivacyPolicy:
    """What a client account allows.

    Parameters
    ----------
    updates
        How updates may leave: masked in sums, with noise, or plain.
    cohort
        The members that this account agrees to be summed with: their names and public signing keys.
    signing_key
        The URI of this account's own.
    min_cohort
        How many members a sum has at least, this one included; without it, all that are named.
    min_rows
        No answer is computed from fewer rows; a score needs so many of each label. The default is the cell
        size of CMS's suppression policy.
    max_answers
        How many messages of one kind are answered in a run.
    max_numbers_per_cell
        How many numbers a run's answers may hold for each cell of the rows they come from: with more
        equations than unknowns the rows could be solved for (a ratio as DataSHIELD's nfilter.glm).
    epsilon_budget
        The epsilon per row that all runs together may reach; with one, only noise leaves.
    delta
        At which epsilon is counted.
    min_noise_multiplier
        The least noise of one release, in units of what one row can change; with any, only noise leaves.
    ledger
        Where the ledger of all that was spent lies.
    """

    updates: Updates = Updates.SUMS
    cohort: Mapping[str, str] = field(default_factory=dict)
    signing_key: str = ""
    min_cohort: int | None = None
    min_rows: int = 11
    max_answers: int = 100
    max_numbers_per_cell: float = 1.0
    epsilon_budget: float | None = None
    delta: float = 1e-5
    min_noise_multiplier: float = 0.0
    ledger: str = ""

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise FedstackError(
                ExitCode.CONFIG,
                f"This client's privacy policy cannot be: {'; '.join(faults)}.",
                "Correct the `privacy:` block of the client's stack.",
            )

    def _faults(self) -> list[str]:
        budget = 0.0 if self.epsilon_budget is None else self.epsilon_budget
        rules = {  # NaN compares false, always
            f"epsilon_budget is {budget}": 0 <= budget < math.inf,
            f"delta is {self.delta}": 0 < self.delta < 1,
            f"min_noise_multiplier is {self.min_noise_multiplier}": 0 <= self.min_noise_multiplier < math.inf,
            f"min_cohort is {self.min_cohort}, and a sum has {LEAST_COHORT} members at least": (
                self.min_cohort is None or self.min_cohort >= LEAST_COHORT
            ),
            f"min_rows is {self.min_rows}": self.min_rows >= 1,
            f"max_answers is {self.max_answers}": self.max_answers >= 1,
            f"max_numbers_per_cell is {self.max_numbers_per_cell}": self.max_numbers_per_cell > 0,
            "updates is 'noise' without epsilon_budget or min_noise_multiplier": (
                self.updates is not Updates.NOISE or self.needs_noise
            ),
            "updates is 'plain' beside epsilon_budget or min_noise_multiplier": not (
                self.updates is Updates.PLAIN
                and (self.epsilon_budget is not None or self.min_noise_multiplier)
            ),
        }
        return [fault for fault, holds in rules.items() if not holds]

    @property
    def least_members(self) -> int:
        """How many members a sum has at least, this one included."""
        return max(LEAST_COHORT, self.min_cohort or len(self.cohort) + 1)

    @property
    def whole_cohort(self) -> bool:
        """Whether a sum has all members that are named, or is none: then nobody can be left out of one."""
        return self.least_members > len(self.cohort)

    @property
    def needs_noise(self) -> bool:
        """Whether only noisy answers leave."""
        return self.epsilon_budget is not None or self.min_noise_multiplier > 0

    @property
    def needs_sums(self) -> bool:
        """Whether answers leave only masked."""
        return self.updates is Updates.SUMS

    @classmethod
    def of(cls, context: Context) -> PrivacyPolicy:
        """Read a node's policy from its config, or from its environment (`FEDSTACK_PRIVACY_...`)."""
        names = {str(option): "FEDSTACK_" + option.upper().replace("-", "_") for option in PrivacyOption}
        environment = {option: os.environ[name] for option, name in names.items() if name in os.environ}
        return cls.read({**environment, **context.node_config})

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> PrivacyPolicy:
        """Read a policy from options by name; what is not given has its default."""
        given: dict[str, Any] = {}
        for option, kind in _KINDS.items():
            if (value := config.get(option)) is None:
                continue
            try:
                given[option.removeprefix("privacy-").replace("-", "_")] = kind(value)
            except ValueError:
                raise FedstackError(
                    ExitCode.CONFIG, f"--{option} is {value!r}.", "Give it as docs/privacy.md says."
                ) from None
        return cls(**given)

    def admit(self, kind: str, releases: Releases, *, masked: bool, noise_multiplier: float | None) -> None:
        """Refuse a message that asks for less privacy than the policy.

        Parameters
        ----------
        releases
            What the answer to this kind of message releases.
        masked
            Whether the answer will be masked.
        noise_multiplier
            Of the answer's noise; None without.

        Raises
        ------
        FedstackError
            With ExitCode.PRIVACY_POLICY, naming what is missing.
        """
        if releases is Releases.NOTHING:
            return
        noisy = releases is Releases.NOISE
        if self.needs_noise and not noisy:
            least = (
                f"epsilon at most {self.epsilon_budget:g}"
                if self.epsilon_budget is not None
                else f"noise {self.min_noise_multiplier:.4g}"
            )
            raise refusal(f"{kind!r} is not differentially private, and only noise may leave ({least})")
        if noisy and (noise_multiplier or 0.0) < self.min_noise_multiplier:
            raise refusal(
                f"noise {noise_multiplier or 0.0:.4g} is asked for, "
                f"at least {self.min_noise_multiplier:.4g} is needed"
            )
        if self.needs_sums and not (masked and releases is not Releases.PLAIN):
            raise refusal(
                f"the answer to {kind!r} would be visible to the server, and updates may leave only in sums "
                f"of at least {self.least_members} members; anything else needs an owner's `updates: plain`, "
                "or noise"
            )

    def budget(self) -> Budget:
        """Return the budget; without a ledger nothing noisy leaves either."""
        if not self.ledger:
            raise FedstackError(
                ExitCode.PRIVACY_POLICY,
                "Differential privacy is asked for, but this client keeps no privacy ledger.",
                f"Set --{PrivacyOption.LEDGER} in the client's account.",
            )
        return _budget(self.ledger, self.epsilon_budget, self.delta)


@cache
def _budget(uri: str, limit: float | None, delta: float) -> Budget:
    """Return one budget for all messages of this process, which reads each entry once."""
    return Budget(uri, limit, delta)


def read_cohort(given: Any) -> dict[str, str]:
    """Read members and their keys: `NAME=KEY` in a list, or in one text with spaces between them."""
    if isinstance(given, Mapping):
        return {str(name): str(key) for name, key in given.items()}
    pairs = given.split() if isinstance(given, str) else list(given)
    if any("=" not in pair for pair in pairs):
        raise ValueError("a member is not NAME=KEY")
    return {name: key for name, _, key in (pair.partition("=") for pair in pairs)}


_KINDS: Final[Mapping[PrivacyOption, Callable[[Any], Any]]] = {
    PrivacyOption.UPDATES: Updates,
    PrivacyOption.COHORT: read_cohort,
    PrivacyOption.SIGNING_KEY: str,
    PrivacyOption.MIN_COHORT: int,
    PrivacyOption.MIN_ROWS: int,
    PrivacyOption.MAX_ANSWERS: int,
    PrivacyOption.MAX_NUMBERS_PER_CELL: float,
    PrivacyOption.EPSILON_BUDGET: float,
    PrivacyOption.DELTA: float,
    PrivacyOption.MIN_NOISE_MULTIPLIER: float,
    PrivacyOption.LEDGER: str,
}
"""How each option is read."""


def refusal(what: str) -> FedstackError:
    """Make the refusal of something that the policy does not allow."""
    return FedstackError(
        ExitCode.PRIVACY_POLICY,
        f"{POLICY_REFUSES}: {what}.",
        "Run as the client's account wants it; only its owner can change its policy (docs/privacy.md).",
    )
