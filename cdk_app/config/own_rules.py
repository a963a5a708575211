"""What must hold of what an account's owner brings: names, keys, policies, and the partition of each ARN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cdk_app.config.models import ClientAccount, ServerAccount
from cdk_app.config.own import ClientOwnNames, ServerOwnNames, is_reserved
from cdk_app.config.rules import Labelled, Problem, known
from cdk_app.naming import ClientNames, ServerNames
from cdk_app.regions import partition

LONGEST_ROLE: Final = 64
"""Characters of a role's name (IAM quotas)."""

Place = ServerAccount | ClientAccount


def broken_own(
    federation: str | None, hub: str, server: ServerAccount | None, clients: Labelled
) -> Iterator[Problem]:
    """Yield what is wrong with what owners bring.

    Parameters
    ----------
    federation
        Its name; None where that could not be read.
    """
    places: list[tuple[str, Place]] = [*clients]
    if server is not None:
        places.insert(0, (hub, server))
    for where, place in places:
        yield from _arns(where, place)
    if federation is not None:
        yield from _roles(federation, hub, server, clients)
        yield from _buckets(federation, places)


def _arns(where: str, place: Place) -> Iterator[Problem]:
    """Yield ARNs that are of another account, Region or partition than their place."""
    for name in ("key_arn", "asset_key_arn", "permissions_boundary", "deployed_by"):
        if not known(place, "account", "region") or (arn := getattr(place, name, None)) is None:
            continue
        _, said, _, region, account, _ = arn.split(":", 5)
        if name.endswith("key_arn") and (account, region) != (place.account, place.region):
            yield Problem(
                where,
                f"{name} is {arn!r}, a key of account {account} in {region}",
                f"Use a key of account {place.account} in {place.region}: data and key must have one owner.",
            )
        elif account not in (place.account, "aws"):
            remedy = {
                "deployed_by": f"Give a role or user of {place.account}: each account is deployed with its "
                "own credentials.",
                "permissions_boundary": f"Give a policy of {place.account}, or one of AWS's own.",
            }[name]
            yield Problem(where, f"{name} is {arn!r}, of account {account}", remedy)
        elif said != partition(place.region):
            yield Problem(
                where,
                f"{name} is {arn!r}, and ARNs of {place.region} begin with arn:{partition(place.region)}:",
                "Copy it from the account itself.",
            )


def _roles(federation: str, hub: str, server: ServerAccount | None, clients: Labelled) -> Iterator[Problem]:
    """Yield prefixes with which the name of a role would be longer than IAM lets it be."""
    named = [(where, client) for where, client in clients if known(client, "name")]
    for where, client in named:
        if (own := _own(client)) is not None:
            kickoff = ClientNames(federation, client.name, "", "", own.roles).kickoff_role
            yield from _too_long(where, own.role_prefix, [kickoff])
    if server is not None and (own := _own(server)) is not None:
        names = ServerNames(federation, "", "", own.roles)
        accepters = [names.accepter_role(client.name) for _, client in named]
        yield from _too_long(hub, own.role_prefix, [names.notebook_role, *accepters])


def _own(place: Place) -> ServerOwnNames | ClientOwnNames | None:
    """Return the names of a place; None where they could not be read."""
    return place.names if known(place, "names") else None


def _too_long(where: str, prefix: str, roles: list[str]) -> Iterator[Problem]:
    longest = max(roles, key=len)
    if (over := len(longest) - LONGEST_ROLE) > 0:
        yield Problem(
            where,
            f"names.role_prefix is {prefix!r}, with which the role {longest} has {len(longest)} characters",
            f"IAM takes {LONGEST_ROLE}: shorten it by {over}, or a name that follows.",
        )


def _buckets(federation: str, places: list[tuple[str, Place]]) -> Iterator[Problem]:
    """Yield buckets that are called as another one is; names that nobody chose count, too."""
    taken: dict[str, str] = {}
    for where, place in places:
        for key, name in _bucket_names(federation, place):
            this = f"{key} of {where}"
            if is_reserved(name):  # no chosen one is
                yield Problem(
                    where,
                    f"{key} is {name!r}, a name that S3 keeps for itself",
                    f"Write {key.removeprefix('the default of ')}, or rename the federation.",
                )
            if (first := taken.setdefault(name, this)) != this:
                yield Problem(
                    where,
                    f"{key} is {name!r}, as {first}",
                    "Give each bucket its own name: S3 has one namespace for all accounts.",
                )


def _bucket_names(federation: str, place: Place) -> Iterator[tuple[str, str]]:
    if (own := _own(place)) is None:
        return
    chosen = {key: name for key, name in own.buckets if name is not None}
    yield from ((f"names.buckets.{key}", name) for key, name in chosen.items())
    if isinstance(place, ClientAccount) and known(place, "name", "account"):
        default = ClientNames(federation, place.name, place.account, "")
        for key, name in (("mailbox", default.mailbox), ("bundle", default.bundle_bucket)):
            if key not in chosen:
                yield f"the default of names.buckets.{key}", name
