"""Behind a load balancer: this server is its target for as long as a run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.server.jobs.kickoff import Note

_CURE: Final = (
    "Deploy the server's stack as it is now, stop the notebook and start it; docs/privatelink.md says what "
    "it may do there."
)


@contextmanager
def registered(target_group: str, address: str, note: Note) -> Iterator[None]:
    """Register an address as the target of clients by PrivateLink; take it away again, however it ends.

    Parameters
    ----------
    target_group
        Its ARN; empty where no client comes by PrivateLink.
    address
        The `host:port` that the server listens at, in its own network.
    note
        Told what could not be taken away: the load balancer finds out by itself that nobody listens there.

    Raises
    ------
    FedstackError
        Where AWS refuses it: no client could join.
    """
    if not target_group:
        yield
        return
    from botocore.exceptions import BotoCoreError, ClientError

    host, _, port = address.rpartition(":")
    request = {"TargetGroupArn": target_group, "Targets": [{"Id": host, "Port": int(port)}]}
    try:
        balancer = _balancer(target_group)
        balancer.register_targets(**request)
    except (ClientError, BotoCoreError) as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{address} cannot be registered with {target_group}: {printable(error)}.",
            _CURE,
        ) from error
    note("target_registered", address=address)
    try:
        yield
    finally:
        try:
            balancer.deregister_targets(**request)
        except (ClientError, BotoCoreError) as error:
            note("target_left", address=address, reason=printable(error))


def _balancer(target_group: str) -> Any:
    """Return a client of the target group's Region, which its ARN names."""
    import boto3  # not needed, nor perhaps installed, where there is no AWS
    from botocore.config import Config

    quick = Config(connect_timeout=10, read_timeout=20, retries={"mode": "standard", "max_attempts": 3})
    return boto3.client("elbv2", region_name=target_group.split(":")[3], config=quick)
