"""The address that clients' jobs reach this server by: in its network, and never this machine's loopback."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from runtime.contract import ExitCode, FedstackError
from runtime.server.settings import PlatformSettings

_GIVE: Final = "Give --address HOST:PORT, as the clients' networks reach this machine."


def own_address(cidr: str) -> str:
    """Return this machine's address in a network; a notebook has one of SageMaker's own, too.

    An address is this machine's where a socket can be bound to it: nothing is sent, and no route is assumed.
    A network of AWS has 65,536 addresses at most.

    Raises
    ------
    FedstackError
        When it has none there.
    """
    network = ipaddress.ip_network(cidr)
    with socket.socket() as probe:
        for address in network:
            try:
                probe.bind((str(address), 0))
            except OSError:
                continue
            return str(address)
    raise FedstackError(
        ExitCode.CONFIG, f"This machine has no address in {cidr}, the server's network.", _GIVE
    )


def check_address(settings: PlatformSettings) -> None:
    """Refuse an address that means another machine wherever a job is started: its own.

    Where AWS itself answers on this machine's loopback, as in a rehearsal, the jobs run here as well.

    Raises
    ------
    FedstackError
        When clients' jobs are started in their accounts, and could not reach the address.
    """
    host = settings.address.rpartition(":")[0]
    started = [client.name for client in settings.clients if client.kickoff != "none"]
    if not started or not _stays_here(host) or _accounts_are_here():
        return
    raise FedstackError(
        ExitCode.CONFIG,
        f"The address is {settings.address}, which no other machine reaches, and jobs are to be started in "
        f"the accounts of {', '.join(started)}.",
        _GIVE,
    )


def _stays_here(host: str) -> bool:
    """Whether a name or an address is of this machine's loopback, or of no interface at all."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, socket.AF_INET)}
    except OSError:  # nobody knows it: the server cannot listen there and says so
        return False
    return all(ipaddress.ip_address(one).is_loopback or int(ipaddress.ip_address(one)) == 0 for one in found)


def _accounts_are_here() -> bool:
    """Whether the roles of the clients' accounts are taken from an AWS on this machine's loopback."""
    import boto3  # not needed, nor perhaps installed, where there is no AWS

    sts = boto3.client("sts", region_name=boto3.Session().region_name or "us-east-1")
    host = urlsplit(sts.meta.endpoint_url).hostname or ""
    return not host.endswith(("amazonaws.com", "amazonaws.com.cn")) and _stays_here(host)
