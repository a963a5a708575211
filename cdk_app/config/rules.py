"""What must hold between the accounts of one federation; every breach is found, not only the first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cdk_app.config.models import ClientAccount, RunDefaults, ServerAccount
from cdk_app.images import OWN_IMAGE, has_gpu, published
from cdk_app.regions import dns_suffix, partition


class Problem(NamedTuple):
    """One thing wrong with a federation file: where, what with the value received, and the cure."""

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """Return the problem as one line."""
        return f"{self.where}: {self.what}. {self.remedy}"


Labelled = Sequence[tuple[str, ClientAccount]]


def broken_rules(
    hub: str, server: ServerAccount | None, clients: Labelled, run: RunDefaults | None
) -> Iterator[Problem]:
    """Yield every rule between accounts that is broken; a value that could not be read breaks none."""
    places: list[tuple[str, ServerAccount | ClientAccount]] = [*clients]
    if server is not None:
        places.insert(0, (hub, server))
    for where, place in places:
        yield from _zones(where, place)
    yield from _duplicates(clients)
    for where, client in clients:
        if run is not None:
            yield from _image(where, client, run)
    if server is not None:
        for where, client in clients:
            yield from _against_server(where, client, server)


def known(place: object, *fields: str) -> bool:
    """Tell whether these could be read."""
    return all(hasattr(place, field) for field in fields)


def _zones(where: str, place: ServerAccount | ClientAccount) -> Iterator[Problem]:
    if not known(place, "availability_zones", "region"):
        return
    first, second = place.availability_zones
    for zone in place.availability_zones:
        if not re.fullmatch(rf"{place.region}[a-z]", zone):
            yield Problem(
                where,
                f"availability_zones has {zone!r}, which is not in {place.region}",
                f"Use two zones such as {place.region}a and {place.region}b.",
            )
    if first == second:
        yield Problem(where, f"availability_zones names {first!r} twice", "Use two different zones.")


def _image(where: str, client: ClientAccount, run: RunDefaults) -> Iterator[Problem]:
    """Yield what an image cannot do: use the instance's GPU, or be pulled from another Region."""
    if not known(client, "region", "image", "instance_type") or not known(run, "image", "instance_type"):
        return
    image, instance_type = client.image or run.image, client.instance_type or run.instance_type
    if own := OWN_IMAGE.fullmatch(image):
        if own["region"] != client.region:
            yield Problem(
                where,
                f"image lies in {own['region']}, and the client is in {client.region}",
                "Copy it into a repository of the client's Region.",
            )
        elif own["suffix"] != dns_suffix(client.region):
            yield Problem(
                where,
                f"image ends its registry with {own['suffix']}, and in {client.region} that is "
                f"{dns_suffix(client.region)}",
                "Copy the repository's URI from ECR's console.",
            )
    elif client.region not in published()[image].accounts:
        there = ", ".join(name for name, one in published().items() if client.region in one.accounts)
        yield Problem(
            where,
            f"image is {image!r}, which AWS does not publish in {client.region}",
            f"Use {there or 'no image of AWS'}, or one of your own in ECR by its digest.",
        )
    elif has_gpu(instance_type) and published()[image].gpu is None:
        able = ", ".join(name for name, one in published().items() if one.gpu)
        yield Problem(
            where,
            f"instance_type is {instance_type!r}, whose GPU the image {image} cannot use",
            f"Use image: {able}, one of your own, or an instance without a GPU such as ml.m5.xlarge.",
        )


def _duplicates(clients: Labelled) -> Iterator[Problem]:
    names: dict[str, str] = {}
    homes: dict[tuple[str, str], str] = {}
    for where, client in clients:
        if known(client, "name") and (first := names.setdefault(client.name, where)) != where:
            yield Problem(where, f"name is {client.name!r}, as {first} has", "Give each client its own name.")
        if not known(client, "account", "region"):
            continue
        home = (client.account, client.region)
        if (first := homes.setdefault(home, where)) != where:
            yield Problem(
                where,
                f"account {client.account} in {client.region} is also that of {first}",
                "Name an account and Region once; split its data by prefix, not by client.",
            )


def _against_server(where: str, client: ClientAccount, server: ServerAccount) -> Iterator[Problem]:
    if known(client, "account") and known(server, "account") and client.account == server.account:
        yield Problem(
            where,
            f"account is {client.account!r}, the server's own",
            "Use an account of its own: the border between accounts is what protects the data.",
        )
    if not known(client, "region") or not known(server, "region"):
        return
    if partition(client.region) != partition(server.region):
        yield Problem(
            where,
            f"region is {client.region!r}, in another AWS partition ({partition(client.region)}) than the "
            f"server's {server.region} ({partition(server.region)})",
            "Keep a federation inside one partition: accounts of two cannot trust each other.",
        )
        return  # what else is wrong with that Region is beside the point
    if known(client, "kickoff") and client.kickoff == "direct" and client.region != server.region:
        yield Problem(
            where,
            f"kickoff is 'direct', but {client.region} is not the server's Region",
            "Use kickoff: broker; only it can be reached from another Region.",
        )
    if not known(client, "kickoff_endpoint"):
        return
    if client.kickoff_endpoint and client.region == server.region:
        yield Problem(
            where,
            f"kickoff_endpoint is {client.kickoff_endpoint!r}, but the client is in the server's Region",
            "Remove it: the server's own endpoint is used.",
        )
    elif client.kickoff_endpoint and not client.kickoff_endpoint.endswith(
        f".{client.region}.vpce.{dns_suffix(client.region)}"
    ):
        yield Problem(
            where,
            f"kickoff_endpoint is {client.kickoff_endpoint!r}, not in {client.region}",
            "Copy the output KickoffEndpoint of this client's stack.",
        )
