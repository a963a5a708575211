"""What must hold of the clients' privacy policies, each by itself and between those who are summed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdk_app.config.models import ClientAccount, PrivacyPolicy
from cdk_app.config.rules import Labelled, Problem, known
from cdk_app.naming import signing_key_parameter
from runtime.contract import LEAST_COHORT, MAX_COHORT_OPTIONS, Updates

OWNER: Final = "needs an owner's `updates: plain`, or noise"
"""What every refusal of sums says, here as at the server (runtime.server.settings)."""

DEFAULT_ROUNDS: Final = 10
"""Rounds of a run that says nothing of them (runtime.server.settings)."""


@dataclass(frozen=True)
class _Client:
    """A client as far as it could be read."""

    where: str
    name: str
    policy: PrivacyPolicy
    account: ClientAccount


def broken_privacy(clients: Labelled, training: object) -> Iterator[Problem]:
    """Yield every rule of privacy that is broken; a value that could not be read breaks none."""
    run: Mapping[str, object] = training if isinstance(training, Mapping) else {}
    readable = list(_readable(clients))
    updates = {client.name: client.policy.updates for client in readable}
    names = [client.name for _, client in clients if known(client, "name")]
    for client in readable:
        yield from _mechanism(client)
        yield from _answers(client, run.get("rounds", DEFAULT_ROUNDS))
        yield from _asked(client, run)
        if client.policy.updates is Updates.SUMS:
            yield from _sums(client, len(clients))
            yield from _members(client, names, updates)
    yield from _keys(clients)


def _readable(clients: Labelled) -> Iterator[_Client]:
    for where, client in clients:
        if known(client, "name", "privacy"):
            yield _Client(where, client.name, client.privacy, client)


def _mechanism(client: _Client) -> Iterator[Problem]:
    policy, said = client.policy, f"privacy.updates is '{client.policy.updates}'"
    noisy = policy.epsilon_budget is not None or policy.min_noise_multiplier > 0
    direct = known(client.account, "kickoff") and client.account.kickoff == "direct"
    if direct and policy.updates is not Updates.PLAIN:
        yield Problem(
            client.where,
            f"kickoff is 'direct' beside {said}: a server that writes the job could leave the policy out",
            "Use kickoff: broker, which pins the policy, or let the data's owner write updates: plain.",
        )
    if policy.updates is Updates.NOISE and not noisy:
        yield Problem(
            client.where,
            f"{said} without privacy.epsilon_budget or privacy.min_noise_multiplier",
            "Say how much noise: give one of the two.",
        )
    if policy.updates is Updates.PLAIN and noisy:
        yield Problem(
            client.where,
            f"{said} beside privacy.epsilon_budget or privacy.min_noise_multiplier, which only let noise out",
            "Use updates: noise, or remove those two.",
        )
    if policy.updates is not Updates.SUMS and policy.cohort:
        yield Problem(
            client.where,
            f"{said} beside privacy.cohort {list(policy.cohort)}, and only sums have members",
            "Use updates: sums, or remove the cohort.",
        )


def _answers(client: _Client, rounds: object) -> Iterator[Problem]:
    if isinstance(rounds, int) and client.policy.max_answers < rounds:
        yield Problem(
            client.where,
            f"privacy.max_answers is {client.policy.max_answers}, and a run has {rounds} rounds",
            f"Allow {rounds} answers, or let training.rounds be fewer.",
        )


def _asked(client: _Client, run: Mapping[str, object]) -> Iterator[Problem]:
    """Yield what the defaults of the runs ask for and this client would refuse."""
    own, noisy = client.policy.updates, run.get("privacy_epsilon") is not None
    asked = run.get("updates", Updates.NOISE if noisy else None)
    if asked == Updates.PLAIN and own is not Updates.PLAIN:
        yield Problem(
            client.where,
            f"training.updates is 'plain', which {OWNER}: this one's privacy.updates is '{own}'",
            "Remove training.updates; only this client's owner can let its updates leave plain.",
        )
    if (own is Updates.SUMS and asked == Updates.NOISE) or (
        own is not Updates.SUMS and asked == Updates.SUMS
    ):
        yield Problem(
            client.where,
            f"training asks for updates with '{asked}', and this client's privacy.updates is '{own}'",
            f"Let training.updates be {own}; noise and sums together are updates: sums with privacy_epsilon.",
        )


def _sums(client: _Client, clients: int) -> Iterator[Problem]:
    """Yield what keeps a client from having members enough."""
    policy, members = client.policy, len(client.policy.cohort) + 1
    least = policy.min_cohort or LEAST_COHORT
    if clients < LEAST_COHORT:
        yield Problem(
            client.where,
            f"privacy.updates is 'sums', and a federation of {clients} {OWNER}: "
            f"a sum has at least {LEAST_COHORT} members",
            "Only the data's owner can decide that: docs/privacy.md says what each lets the server see.",
        )
    elif members == 1:
        yield Problem(
            client.where,
            f"privacy.updates is 'sums', and a client that names no cohort {OWNER}: "
            f"a sum has at least {least} members",
            f"Name at least {least - 1} clients in privacy.cohort, whose owners you trust not to "
            "help the server.",
        )
    elif members < least:
        yield Problem(
            client.where,
            f"privacy.cohort is {list(policy.cohort)}, and a sum has at least {least} members, "
            "this one included",
            f"Name at least {least - 1} others, or lower min_cohort ({LEAST_COHORT} at least).",
        )
    if members - 1 > MAX_COHORT_OPTIONS:
        yield Problem(
            client.where,
            f"privacy.cohort has {members - 1} members, and a job can be told {MAX_COHORT_OPTIONS}",
            "Name fewer: each of them adds to what hides this client's part.",
        )


def _members(client: _Client, names: Sequence[str], updates: Mapping[str, Updates]) -> Iterator[Problem]:
    """Yield what is wrong with single members."""
    parameters: dict[str, str] = {}
    for index, member in enumerate(client.policy.cohort):
        said = f"privacy.cohort names {member!r}"
        if member in client.policy.cohort[:index]:
            yield Problem(client.where, f"{said} twice", "Name each member once.")
        elif member == client.name:
            yield Problem(client.where, f"{said}, this client itself", "Name others only: it is always one.")
        elif member not in names:
            there = ", ".join(name for name in names if name != client.name) or "none"
            yield Problem(client.where, f"{said}, which is no client of the federation", f"There is {there}.")
        elif updates.get(member, Updates.SUMS) is not Updates.SUMS:
            yield Problem(
                client.where,
                f"{said}, whose own privacy.updates is '{updates[member]}': it signs no sum",
                "Remove it, or let its owner write updates: sums.",
            )
        elif (other := parameters.setdefault(signing_key_parameter(member), member)) != member:
            yield Problem(
                client.where,
                f"{said} beside {other!r}, and both keys would be parameter {signing_key_parameter(member)}",
                "Rename one of the two clients.",
            )


def _keys(clients: Labelled) -> Iterator[Problem]:
    holders: dict[str, str] = {}
    for where, client in clients:
        if not known(client, "signing_key") or client.signing_key is None:
            continue
        if (first := holders.setdefault(client.signing_key, where)) != where:
            yield Problem(where, f"signing_key is that of {first}", "Each account has a key of its own.")
