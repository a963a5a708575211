"""Run any Flower app's ClientApp behind this account's privacy policy.

The app gets a context of its own: the node config that its owner wrote, and the run config. The policy is in
another one. What they share is the state that Flower keeps for a node between messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict

from runtime.client import secure_aggregation
from runtime.client.hosting.app_watch import AppWatch
from runtime.client.privacy_mod import Hosted
from runtime.client.quiet_mod import quiet
from runtime.contract import ExitCode, FedstackError
from runtime.errors import SEE_LOG, printable
from runtime.flower_app import FlowerApp, kind_of
from runtime.messages import NAME_QUERY, SECURE, SECURE_STEPS


class HostedApp:
    """A ClientApp for the link, over another one.

    Parameters
    ----------
    app
        The Flower app, imported at once: what it lacks is found before the server hears of this client.
    node_config
        What `context.node_config` holds for the app, by the data's owner; the server adds
        `partition-id` and `num-partitions` at the start of the run.
    """

    def __init__(self, app: FlowerApp, node_config: Mapping[str, Any]) -> None:
        places = [str(app.folder), *(str(node_config.get(key, "")) for key in ("data", "output-dir"))]
        self.watch = AppWatch(places)
        with self.watch.watching():
            self._app, self._client_app = app, app.load_client_app()
        self._mod = Hosted(app)
        self._node_config = dict(node_config)
        self._context: Context | None = None
        self._told: dict[str, Any] | None = None

    def begin(self, node_id: int, told: Mapping[str, Any]) -> None:
        """Take what the server says of the run, once: its run config, and this client's place among all.

        Raises
        ------
        FedstackError
            When the app does not know a key of the run config, or the server says something else later.
        """
        if self._told is not None:
            if dict(told) != self._told:
                raise FedstackError(
                    ExitCode.PRIVACY_POLICY, "The run config changed during the run.", "Start another run."
                )
            return
        overrides = told.get("run-config", {})
        if not isinstance(overrides, Mapping):
            raise FedstackError(ExitCode.CONFIG, "The server's run config is no table.", "See the server.")
        place = {key: told[key] for key in ("partition-id", "num-partitions") if type(told.get(key)) is int}
        config = self._app.run_config(overrides)
        self._context = Context(1, node_id, {**place, **self._node_config}, RecordDict(), config)
        self._told = dict(told)

    @property
    def name(self) -> str:
        """The client's name, as its owner gave it."""
        return str(self._node_config.get("name", ""))

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message, as far as the policy in `context` lets it."""
        return quiet(message, context, lambda m, c: self._mod(m, c, self._answer))

    def _answer(self, message: Message, context: Context) -> Message:
        """Call the app, or take one of secure aggregation's own steps for it."""
        if message.metadata.message_type in SECURE_STEPS:
            step = secure_aggregation.step(message, context)
            return Message(RecordDict({SECURE: step}), reply_to=message)
        if self._context is None:
            raise FedstackError(ExitCode.CONFIG, "The server said nothing of the run.", "See the server.")
        if message.metadata.message_type == NAME_QUERY:
            content = RecordDict({"client": ConfigRecord({"name": self.name})})
            return Message(content, reply_to=message)
        message.content.pop(SECURE, None)
        self._context.state = context.state  # Flower keeps it between messages, on every engine
        kind = kind_of(message.metadata.message_type)
        try:
            with self.watch.watching():
                reply = self._client_app(message, self._context)
        except Exception as error:
            raise FedstackError(
                ExitCode.CLIENT_APP,
                f"The app's ClientApp raised {type(error).__name__} on {printable(kind)!r}"
                f"{self._app.place_of(error)}.",
                SEE_LOG,
            ) from error
        if not isinstance(reply, Message):
            raise FedstackError(
                ExitCode.CLIENT_APP,
                f"The app's ClientApp answered {printable(kind)!r} with a {type(reply).__name__}.",
                "Let its handler return a Message.",
            )
        return reply
