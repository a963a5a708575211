"""How a run begins: wait for the roster, and learn who is who."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.server.settings import PlatformSettings

POLL_SECONDS: Final = 0.05


class Names:
    """The client's name for each of Flower's node ids.

    On the link a node's id follows from the name that its certificate proves. Flower's own engines number
    nodes at random: there a node says its name, once, and only a name of the roster.
    """

    def __init__(self, roster: list[str]) -> None:
        self._roster = roster
        self._proved = {flower.number_of(name): name for name in roster}
        self._claimed: dict[int, str] = {}

    def of(self, node: int) -> str:
        """Return a node's name."""
        return self._proved.get(node) or self._claimed.get(node) or f"node-{node}"

    def learn(self, node: int, claim: str) -> str:
        """Take the name that a node claims, where nothing proves one."""
        if node not in self._proved and self._claimed.get(node) != claim:
            if claim not in self._roster or claim in self._claimed.values():
                raise ValueError(
                    f"it says that it is {claim!r}, which is not in the roster or is here already"
                )
            self._claimed[node] = claim
        return self.of(node)


def join(grid: Grid, settings: PlatformSettings, note: Callable[..., None]) -> None:
    """Wait for the roster; go on without the missing only if there is a quorum.

    It is over when everybody is there, when the time is up, or when nobody is left who could still come.
    """
    deadline = time.monotonic() + settings.join_seconds
    while _may_come(grid, settings) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    nodes = set(grid.get_node_ids())
    missing = [name for name in settings.roster if flower.number_of(name) not in nodes]
    if len(nodes) < settings.quorum:
        if time.monotonic() < deadline:
            raise _none_can_come(grid, settings, len(nodes))
        raise FedstackError(
            ExitCode.JOIN_DEADLINE,
            f"{len(nodes)} of {len(settings.roster)} clients joined within {settings.join_seconds:g} s, "
            f"{settings.quorum} are needed (missing: {', '.join(missing)}).",
            "See each missing client's job log and exit code.",
        )
    if len(nodes) < len(settings.roster):
        note("join_deadline", missing=missing)
    if begin := getattr(grid, "begin", None):  # a resumed run sends nothing before its first round
        begin()


def _may_come(grid: Grid, settings: PlatformSettings) -> bool:
    """Whether somebody is missing who may still join; only the link knows who cannot any more."""
    if awaited := getattr(grid, "awaited", None):
        return bool(awaited())
    return len(set(grid.get_node_ids())) < len(settings.roster)


def _none_can_come(grid: Any, settings: PlatformSettings, there: int) -> FedstackError:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in grid.leave_reasons().items())
    return FedstackError(
        ExitCode.JOB,
        f"{there} of {len(settings.roster)} clients joined, {settings.quorum} are needed, and the others "
        f"cannot come ({reasons}).",
        "Have each client named mend what its reason says, then run again.",
    )


def need_quorum(
    settings: PlatformSettings, there: int, did: str, lost: Mapping[str, str], note: Callable[..., None]
) -> None:
    """Note who is lost to the run and why; end it when fewer than its quorum are there."""
    for name, reason in lost.items():
        note("moments_refused", client=name, reason=reason)
    if there < settings.quorum:
        why = "; ".join(f"{name}: {reason}" for name, reason in lost.items())
        raise FedstackError(
            ExitCode.QUORUM,
            f"{there} clients {did}, {settings.quorum} are needed ({why}).",
            "Mend the clients named, then run again.",
        )


def messages_to_all(grid: Grid, content: RecordDict, kind: str) -> list[Message]:
    """Address one content to every node that is there."""
    return [Message(content, node, kind) for node in sorted(grid.get_node_ids())]
