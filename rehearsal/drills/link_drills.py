"""Faults of clients, of their links and of the server's machine, over processes and mutual TLS."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rehearsal.drills.drill import Drill, DrillError, Ground
from rehearsal.drills.intruders import idle_connections, streams
from rehearsal.link.place import NAMES, Place
from rehearsal.link.processes import Federation, Process
from rehearsal.link.proxy import Proxy
from rehearsal.link.waiting import eventually
from runtime.contract import ExitCode
from runtime.link import identity
from runtime.mailbox import Mailbox

ROUNDS: Final = 4
VICTIM: Final = "clinic"
OTHERS: Final = tuple(name for name in NAMES if name != VICTIM)
LENIENT: Final = ("--min-clients=2", f"--rounds={ROUNDS}")
"""A run that goes on without one of three."""
ROUND_SECONDS: Final = 10
STREAMS: Final = 12
CONNECTIONS: Final = 2000
USUAL_FILES: Final = "ulimit -S -n 1024"
"""The soft limit of open files that most systems have."""
SMALL_DISK: Final = 80 * 1024
CUTS: Final = 12


class LinkGround(Ground):
    """Three clients and a server, each a process of this machine."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root)
        super().__init__(self.place.out)
        self.federation = Federation(self.place)

    def close(self) -> None:
        """Make sure that nothing runs any more."""
        self.federation.close()

    def ledgers(self) -> Mapping[str, Path]:
        """Return where each client's ledger is."""
        return {name: self.place.root / name / "ledger.jsonl" for name in NAMES}

    def end(self, server: Process, *clients: Process, codes: tuple[int, ...] = ()) -> None:
        """Wait for the ends; clients must exit with these codes, 0 each by default."""
        self.run.note_end(server.end(), server.text)
        found = tuple(client.end() for client in clients)
        if found != (codes or (0,) * len(clients)):
            raise DrillError(f"clients exited with {found}")

    def await_round(self, number: int = 1) -> None:
        """Wait until a round is over."""
        eventually(lambda: len(self.run.events("round")) >= number, f"round {number}")

    def hold(self, name: str) -> Process:
        """Start a client that stops in the middle of round 2 until it is released."""
        return self.federation.client(name, odd=("hold", str(self.place.root / name)))

    def await_hold(self, name: str) -> None:
        """Wait until it has."""
        eventually((self.place.root / f"{name}.holding").exists, f"{name} in the middle of round 2")


def odd(*fault: str, code: int = 0, event: str = "", says: str = "") -> Callable[[LinkGround], None]:
    """Return the drill of one client with a fault of its own, which the ledger names; the others go on."""

    def act(ground: LinkGround) -> None:
        fednewton = (
            ("--strategy=fednewton",) if fault[0] == "poison" else ()
        )  # which knows what rows can give
        server = ground.federation.server(*LENIENT, "--join-seconds=15", *fednewton)
        victim = ground.federation.client(VICTIM, odd=fault)
        others = ground.federation.clients(*OTHERS)
        ground.end(server, *others.values(), victim, codes=(0, 0, code))
        ground.run.expect(event, VICTIM, says=says)

    return act


def missing(ground: LinkGround) -> None:
    """One of three never starts."""
    server = ground.federation.server(*LENIENT, "--join-seconds=15")
    ground.end(server, *ground.federation.clients(*OTHERS).values())
    if ground.run.events("join_deadline")[0]["missing"] != [VICTIM]:
        raise DrillError("the ledger does not say who is missing")


def slow(ground: LinkGround) -> None:
    """One client sends its update a byte at a time: the run waits for it once."""
    server = ground.federation.server(*LENIENT, f"--round-seconds={ROUND_SECONDS}")
    victim = ground.federation.client(VICTIM, odd=("trickle", "0.2"))
    others = ground.federation.clients(*OTHERS)
    ground.end(server, *others.values(), victim)
    ground.run.expect("set_aside", VICTIM, times=1, says=f"no reply within {ROUND_SECONDS} s")
    waited = [event["seconds"] >= ROUND_SECONDS for event in ground.run.events("round")]
    if waited != [True, *[False] * (ROUNDS - 1)]:
        raise DrillError(f"rounds waited for it: {waited}")


def flapping(ground: LinkGround) -> None:
    """One client's connection is cut again and again while it works."""
    server = ground.federation.server("--rounds=20")
    proxy, over = Proxy(str(ground.federation.invitation()["server-address"])), threading.Event()

    def cut() -> None:
        for _ in range(CUTS):
            if over.wait(0.5):
                return
            proxy.cut()

    try:
        victim = ground.federation.client(VICTIM, f"--server-address={proxy.address}")
        others = ground.federation.clients(*OTHERS)
        eventually(lambda: ground.run.events("joined", VICTIM), VICTIM)
        threading.Thread(target=cut, daemon=True).start()
        ground.end(server, *others.values(), victim)
    finally:
        over.set()
        proxy.close()
    ground.run.expect("rejoined", VICTIM)


def disk_full(ground: LinkGround) -> None:
    """The server's disk takes no more in mid-run; then there is room, and the run goes on."""
    with small_disk(ground.place.out) as (limits, make_room):
        server = ground.federation.server("--rounds=12", limits=limits)
        ground.end(server, *ground.federation.clients().values(), codes=(ExitCode.ABORTED,) * len(NAMES))
        if "Traceback" in server.text or "fedstack-error 24 ENGINE:" not in server.text:
            raise DrillError("the server does not say in one line that its disk is full")
        before = ground.run.checkpoint()
        make_room()
        again = ground.federation.server("--rounds=12", "--resume")
        ground.end(again, *ground.federation.clients().values())
        ground.run.expect("resumed", times=1)
        if before == ground.run.checkpoint():
            raise DrillError(f"the run did not go on from {before}")


def killed(ground: LinkGround) -> None:
    """The server is killed in the middle of round 2, with SIGKILL, and started again with --resume."""
    server = ground.federation.server(f"--rounds={ROUNDS}")
    before = [ground.hold(VICTIM), *ground.federation.clients(*OTHERS).values()]
    ground.await_hold(VICTIM)
    server.send(signal.SIGKILL)
    ground.run.note_end(server.end(), server.text)
    for client in before:
        client.close()
    resumed = ground.federation.server(f"--rounds={ROUNDS}", "--resume")
    ground.end(resumed, *ground.federation.clients().values())
    if ground.run.events("resumed")[0]["after_round"] != 1:
        raise DrillError("it did not go on after round 1")


def silent_streams(ground: LinkGround) -> None:
    """An admitted client opens streams and says nothing, while the others join, and then itself."""
    server = ground.federation.server(f"--rounds={ROUNDS}")
    invitation = ground.federation.invitation()
    own = identity.make_identity(VICTIM, 600)
    Mailbox(ground.place.mailbox(VICTIM)).post_certificate(invitation["run-id"], VICTIM, own.certificate)
    eventually(lambda: ground.run.events("trusted", VICTIM), "its certificate to be trusted")
    address, pinned = invitation["server-address"], invitation["server-fingerprint"]
    shown = identity.fetch_certificate(address, pinned, timeout=10)
    with streams(STREAMS, address, shown, own) as held:
        others = ground.federation.clients(*OTHERS)
        eventually(lambda: all(ground.run.events("joined", name) for name in OTHERS), "the others")
        eventually(lambda: not any(stream.open() for stream in held), "the end of every silent stream")
        victim = ground.federation.client(VICTIM)
        ground.end(server, *others.values(), victim)
    ground.run.expect("stream_refused", VICTIM, times=1)
    ground.run.expect("hello_refused", VICTIM, times=1, says="no HELLO within")


def idle(ground: LinkGround) -> None:
    """Somebody opens connections that say nothing, more than files may usually be open."""
    server = ground.federation.server(f"--rounds={ROUNDS}", limits=USUAL_FILES)
    with idle_connections(str(ground.federation.invitation()["server-address"]), CONNECTIONS):
        eventually(lambda: ground.run.events("idle_connections"), "the server to name them")
        ground.end(server, *ground.federation.clients().values())
    ground.run.expect("idle_connections", times=1)
    if "Traceback" in server.text:
        raise DrillError("the server shows a traceback")


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Make a folder a small disk of its own, where this process may mount one.

    Elsewhere files of the server may not grow beyond a size: not a full disk, but the nearest to it that
    needs no right to mount.

    Yields
    ------
    limits, make_room
        What bash must set before the server starts, and what gives the folder room again.
    """

    def mount(*options: str) -> bool:
        command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
        return not subprocess.run(command, capture_output=True, check=False).returncode

    def make_room() -> None:
        if not mount("-o", "remount,size=16m"):
            raise DrillError("the small disk cannot be made larger")

    folder.mkdir()
    if os.geteuid() or not mount("-o", f"size={SMALL_DISK}"):
        yield f"ulimit -f {SMALL_DISK // 2 // 1024}", lambda: None
        return
    kept = folder.with_name("kept")
    try:
        yield "", make_room
        shutil.copytree(folder, kept)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)  # noqa: S607 - the system's
    shutil.copytree(kept, folder, dirs_exist_ok=True)


DRILLS: Final[tuple[Drill[LinkGround], ...]] = (
    Drill("missing", "one of three clients never starts", "PARTIAL 22", missing),
    Drill("slow", "one sends its update a byte at a time", "PARTIAL 22", slow),
    Drill("flapping", f"one's connection is cut {CUTS} times", "COMPLETE 0", flapping),
    Drill(
        "wrong version",
        "one is of another release",
        "PARTIAL 22",
        odd("version", "0.0.1", code=ExitCode.VERSION, event="rejected", says="client has 0.0.1"),
    ),
    Drill(
        "wrong certificate",
        "one shows another certificate than its mailbox has",
        "PARTIAL 22",
        odd("impostor", VICTIM, code=ExitCode.UNREACHABLE, event="trusted"),
    ),
    Drill(
        "poisoned",
        "one multiplies its Hessian by -1e6",
        "PARTIAL 22",
        odd("poison", "-1e6", event="update_refused"),
    ),
    Drill(
        "NaN",
        "one's update is not a number",
        "PARTIAL 22",
        odd("poison", "nan", event="update_refused", says="NaN"),
    ),
    Drill(
        "oversized",
        "one's update has 40 MB",
        "PARTIAL 22",
        odd("swell", "20000000", event="refused", says="the reply has 40,"),
    ),
    Drill("disk full", "the server's disk is full, then has room", "FAILED 24, then COMPLETE 0", disk_full),
    Drill("server killed and resumed", "SIGKILL in round 2, --resume", "killed, then COMPLETE 0", killed),
    Drill(
        f"{STREAMS} silent streams",
        "an admitted client opens them and says nothing",
        "COMPLETE 0",
        silent_streams,
    ),
    Drill(
        f"{CONNECTIONS:,} idle TCP connections",
        "somebody opens them; 1,024 files may be open at first",
        "COMPLETE 0",
        idle,
    ),
)
