"""A whole run in this process: the server's real run, and clients in threads whose ClientApp a test bends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict

from end_to_end.hub import Running
from rehearsal.link.place import Place
from rehearsal.link.waiting import PATIENCE, eventually
from runtime.contract import FedstackError
from runtime.link import flower
from runtime.link.client import Handler, LinkClient, handle_with
from runtime.link.identity import make_identity
from runtime.mailbox import Mailbox
from runtime.server.engines.link import run_on_link
from runtime.tabular.client.client_app import app
from runtime.tabular.server.settings import parse

App = Callable[[Message, Context], Message]
Update = dict[str, npt.NDArray[Any]]

ONE_FIT = threading.Lock()


class Inside:
    """One run over the link, server and clients in threads of this process.

    Parameters
    ----------
    place
        The federation.
    apps
        The clients that join, and the ClientApp of each.
    settings
        Of the run, beside those that follow from the place.
    """

    def __init__(self, place: Place, apps: Mapping[str, App], **settings: Any) -> None:
        self.place = place
        self.error: BaseException | None = None
        roster = json.loads(place.roster.read_text())
        given: dict[str, Any] = {
            "test_data": place.test,
            "out": place.out,
            "address": "127.0.0.1:0",
            "rounds": 2,
        }
        given |= dict.fromkeys(("join_seconds", "round_seconds", "run_seconds"), PATIENCE)
        self._settings = parse({"strategy": "fedavg", "updates": "plain"} | roster | given | settings)
        place.out.mkdir(exist_ok=True)
        self._file = place.out / "settings.json"
        self._file.write_text(self._settings.model_dump_json())
        self._server = threading.Thread(target=self._serve, daemon=True)
        self._server.start()
        invitation = place.out / "invitation.json"
        eventually(invitation.exists, "the invitation")
        self._invitation = json.loads(invitation.read_text())
        self.clients = {name: self.join(name, one) for name, one in apps.items()}

    def _serve(self) -> None:
        try:
            run_on_link(self._settings, self._file)
        except BaseException as error:
            self.error = error

    def join(self, name: str, one: App = app, *, waiting: bool = False) -> Running:
        """Let a client join with its ClientApp; one that waits for the test must not make others wait."""
        own = make_identity(name, 600)
        self.post(name, own.certificate)
        place = {"data": str(self.place.silo(name)), "model-dir": str(self.place.model(name).parent)}
        policy = dict(option.removeprefix("--").split("=") for option in Place.plain)
        context = Context(1, flower.number_of(name), {"name": name, **place, **policy}, RecordDict(), {})
        address, fingerprint = (self._invitation[key] for key in ("server-address", "server-fingerprint"))
        handler = handle_with(one, context) if waiting else in_turn(handle_with(one, context))
        return Running(LinkClient(address, fingerprint, own, handler, run_seconds=600))

    def post(self, name: str, certificate: bytes) -> None:
        """Leave a certificate in a client's mailbox."""
        Mailbox(self.place.mailbox(name)).post_certificate(self._invitation["run-id"], name, certificate)

    def end(self) -> dict[str, Any]:
        """Wait for the end of the server and of its clients; return the report."""
        self._server.join(PATIENCE)
        assert not self._server.is_alive(), "the server does not end"
        assert self.error is None or isinstance(self.error, FedstackError), repr(self.error)
        return self.place.report()


def in_turn(handler: Handler) -> Handler:
    """Fit one at a time: what scikit-learn does with warnings is not for threads."""

    def handle(message: Message) -> Message:
        with ONE_FIT:
            return handler(message)

    return handle


def honest(*names: str) -> dict[str, App]:
    """Return clients that do as they should."""
    return dict.fromkeys(names, app)


def bent(bend: Callable[[Message, Message], Message], kind: str = "train") -> App:
    """Return a ClientApp whose replies of one kind are bent: `bend(message, reply)` is what it sends."""

    def bending(message: Message, context: Context) -> Message:
        reply = app(message, context)
        return bend(message, reply) if message.metadata.message_type == kind else reply

    return bending


def updating(change: Callable[[Update], Update]) -> App:
    """Return a ClientApp that changes its update before it sends it."""

    def bend(message: Message, reply: Message) -> Message:
        update = {name: array.numpy() for name, array in reply.content.array_records["arrays"].items()}
        record = ArrayRecord({name: Array(array) for name, array in change(update).items()})
        content = RecordDict({"arrays": record, "metrics": reply.content["metrics"]})
        return Message(content, reply_to=message)

    return bent(bend)


def filled(shape: tuple[int, ...], value: float = 0.0, dtype: str = "float64") -> npt.NDArray[Any]:
    """Return an array of one value."""
    return np.full(shape, value, dtype=dtype)
