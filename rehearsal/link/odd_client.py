"""client.py with one fault, as a process: `python odd_client.py FAULT [VALUE] client options ...`.

hold FILE        says in FILE.holding that it trains in round 2, and waits there for FILE.release
give-up SECONDS  gives up on an unreachable server after so long
break TEXT       fails in every round, with an exception that says TEXT
trickle SECONDS  sends its updates a byte at a time, with so long in between
poison FACTOR    multiplies its updates
swell BYTES      sends so many bytes more
version TEXT     says that it is of another release
impostor NAME    leaves a certificate in its mailbox that is not its own, and soon gives up
"""

from __future__ import annotations

import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message

from runtime.cli import run_cli
from runtime.client import client
from runtime.link import client as link_client
from runtime.link import wire
from runtime.link.client import LinkClient
from runtime.link.identity import make_identity
from runtime.link.versions import versions
from runtime.mailbox import Mailbox
from runtime.tabular.client import client_app
from runtime.tabular.models import logistic

ROUND: Final = 2
app = client_app.app


def hold(file: str) -> None:
    """Stop in the middle of a round."""

    def held(message: Message, context: Context) -> Message:
        config = message.content.config_records["config"]
        if message.metadata.message_type == "train" and config["server-round"] == ROUND:
            Path(f"{file}.holding").touch()
            while not Path(f"{file}.release").exists():
                time.sleep(0.02)
        return app(message, context)

    vars(client_app)["app"] = held


def give_up(seconds: str) -> None:
    """Have less patience."""
    vars(client)["LinkClient"] = functools.partial(LinkClient, give_up_seconds=float(seconds))


def fail(text: str) -> None:
    """Fail in the model code."""

    def failing(*_: object) -> None:
        raise ValueError(text)

    logistic.Logistic.fit = failing  # type: ignore[assignment, method-assign]


def trickle(pause: str) -> None:
    """Answer so slowly that no round sees the end of an update; only the first answer comes as it is."""
    whole, answers = wire.message_frames, itertools.count()

    def frames(*args: Any, **options: Any) -> Iterator[bytes]:
        if next(answers) == 0:
            yield from whole(*args, **options)
            return
        frame = memoryview(b"".join(whole(*args, **options)))
        head = 5 + int.from_bytes(frame[1:5], "big")  # says how much is to come
        yield bytes(frame[:head])
        for byte in frame[head:]:
            time.sleep(float(pause))
            yield bytes([wire.Kind.CHUNK, byte])

    wire.message_frames = frames


def poison(factor: str) -> None:
    """Send an update that no rows give."""
    _change(lambda array: array * float(factor))


def swell(size: str) -> None:
    """Send far more than was asked for."""
    _change(lambda array: np.zeros(int(size) // array.itemsize, dtype=array.dtype))


def _change(change: Callable[[Any], Any]) -> None:
    def changed(message: Message, context: Context) -> Message:
        reply = app(message, context)
        if message.metadata.message_type.startswith("train") and not reply.has_error():
            arrays = reply.content.array_records["arrays"]
            record = ArrayRecord({name: Array(change(array.numpy())) for name, array in arrays.items()})
            reply.content["arrays"] = record
        return reply

    vars(client_app)["app"] = changed


def version(text: str) -> None:
    """Be of another release."""
    theirs = {**versions(), "bundle": text}
    vars(link_client)["versions"] = lambda app: {**theirs, "app": app}


def impostor(name: str) -> None:
    """Post another certificate than the one that is shown."""
    post = Mailbox.post_certificate

    def posted(self: Mailbox, run_id: str, client_name: str, _: bytes) -> None:
        post(self, run_id, client_name, make_identity(name, 600).certificate)

    vars(client)["Mailbox"] = type("Impostor", (Mailbox,), {"post_certificate": posted})
    give_up("3")


FAULTS: Final[dict[str, Callable[[str], None]]] = {
    "hold": hold,
    "give-up": give_up,
    "break": fail,
    "trickle": trickle,
    "poison": poison,
    "swell": swell,
    "version": version,
    "impostor": impostor,
}

if __name__ == "__main__":
    FAULTS[sys.argv[1]](sys.argv[2])
    sys.argv[1:3] = []
    run_cli(client.cli, client._report)
