"""The ClientApp on Flower's own engines: the built-in app, or the one that this node's own config names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from runtime.client.hosting.hosted_app import HostedApp
from runtime.flower_app import BUILT_IN_APP, FlowerApp

FOLDER: Final = "FEDSTACK_APP"
"""In the environment: the app's folder, for virtual clients, which have no config of their own."""

PLATFORM: Final = frozenset({"app", "run-id", "model-dir"})
"""What of a node's config is not the app's to know; nor are options of its owner's policy."""


class EngineApp(ClientApp):
    """Choose the app by what its owner says: never by what the server says."""

    def __init__(self) -> None:
        super().__init__()
        self._hosted: dict[int, HostedApp] = {}

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message."""
        folder = context.node_config.get("app") or os.environ.get(FOLDER)
        if not folder:
            return _built_in()(message, context)
        if context.node_id not in self._hosted:
            config = context.node_config
            own: dict[str, Any] = {"name": f"silo-{config.get('partition-id')}"}
            own |= {k: v for k, v in config.items() if k not in PLATFORM and not k.startswith("privacy-")}
            if "data" not in own and (silos := context.run_config.get("silos")):
                own["data"] = f"{silos}/silo-{own.get('partition-id')}.csv"
            hosted = HostedApp(FlowerApp.read(Path(str(folder))), own)
            said = json.loads(str(context.run_config.get("run-config") or "{}"))
            hosted.begin(context.node_id, {"run-config": said})
            self._hosted[context.node_id] = hosted
        return self._hosted[context.node_id](message, context)


@cache
def _built_in() -> Callable[[Message, Context], Message]:
    return FlowerApp.read(BUILT_IN_APP).load_client_app()


app = EngineApp()
