"""A run of any Flower app in one process: real ServerApp, real ClientApps behind their owners' policies."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict

from runtime.client.hosting.hosted_app import HostedApp
from runtime.client.signing_key import make_file
from runtime.flower_app import FlowerApp
from runtime.link import flower
from runtime.link.client import handle_with
from runtime.link.grid_base import GridBase
from runtime.server.run.app_run import AppRun
from runtime.server.settings import parse_app

PYPROJECT = """
[project]
name = "{name}"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "{package}.server_app:app"
clientapp = "{package}.client_app:app"
[tool.flwr.app.config]
{config}
{more}
"""


def write_app(
    folder: Path, server: str, client: str, *, config: str = "rounds = 2", more: str = "", package: str = ""
) -> Path:
    """Write a Flower app; its package has a name of its own, for modules of a process are kept by name."""
    package = package or f"app_{abs(hash(str(folder)))}"
    inside = folder / package
    inside.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        PYPROJECT.format(name=package.replace("_", "-"), package=package, config=config, more=more)
    )
    (inside / "__init__.py").write_text("")
    (inside / "server_app.py").write_text(textwrap.dedent(server))
    (inside / "client_app.py").write_text(textwrap.dedent(client))
    return folder


class AppFederation:
    """Clients `silo-0`, `silo-1`, ... each with a file of data, and where runs write."""

    def __init__(self, folder: Path, app: Path, clients: int = 3) -> None:
        self.folder, self.app = folder, app
        self.names = [f"silo-{number}" for number in range(clients)]
        self.data = {name: folder / f"{name}.csv" for name in self.names}
        for number, file in enumerate(self.data.values()):
            if not file.exists():
                file.write_text(f"x,label\n{number},1\n")
        self.grid: AppMemoryGrid | None = None
        self.keys: dict[str, str] = {}

    def policy(self, name: str, updates: str) -> dict[str, Any]:
        """A client's own policy: plain, or sums with all others."""
        if updates != "sums":
            return {"privacy-updates": updates}
        keys = self.keys = self.keys or {n: make_file(self.folder / "keys" / f"{n}.pem") for n in self.names}
        return {
            "privacy-cohort": " ".join(f"{n}={key}" for n, key in keys.items() if n != name),
            "privacy-signing-key": f"file://{self.folder / 'keys' / f'{name}.pem'}",
        }

    def run(
        self,
        updates: str = "plain",
        policies: Mapping[str, Mapping[str, Any]] | None = None,
        nodes: Mapping[str, Mapping[str, Any]] | None = None,
        change: Callable[[str, Message], Message | None] = lambda _, reply: reply,
        **settings: Any,
    ) -> dict[str, Any]:
        """Run the app to its report.

        Parameters
        ----------
        change
            Called with a client's name and its reply; returns another one, or None for none.
        """
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        given = {
            "clients": [{"name": name, "mailbox": "file:///nowhere"} for name in self.names],
            "app": self.app,
            "out": out,
            "updates": updates,
            **settings,
        }
        read = parse_app(given)
        app = FlowerApp.read(self.app)
        handlers = {}
        for number, name in enumerate(self.names):
            own = {"name": name, "data": str(self.data[name]), **(nodes or {}).get(name, {})}
            hosted = HostedApp(app, own)
            told = {"run-config": read.run_config, "partition-id": number, "num-partitions": len(self.names)}
            node = flower.number_of(name)
            hosted.begin(node, told)
            policy = {**self.policy(name, updates), **(policies or {}).get(name, {})}
            context = Context(1, node, {"name": name, **policy}, RecordDict(), {})
            handlers[node] = handle_with(hosted, context)
        self.grid = AppMemoryGrid({flower.number_of(name): name for name in self.names}, handlers, change)
        AppRun(self.grid, read).execute()
        return self.report()

    def report(self) -> dict[str, Any]:
        """Return the last run's report."""
        report: dict[str, Any] = json.loads((self.folder / "out" / "report.json").read_text())
        return report


class AppMemoryGrid(GridBase):
    """Flower's Grid over handlers in this process; messages cross as bytes."""

    def __init__(
        self,
        names: Mapping[int, str],
        handlers: Mapping[int, Callable[[Message], Message]],
        change: Callable[[str, Message], Message | None],
    ) -> None:
        super().__init__(1)
        self._names, self._handlers, self._change = names, handlers, change
        self._ready: dict[str, Message] = {}
        self.count = 0
        self.crossed: list[bytes] = []

    def get_node_ids(self) -> Iterable[int]:
        return list(self._handlers)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids = []
        for message in messages:
            reply = self._answer(message)
            ids.append(message.metadata.message_id)
            if reply is not None:
                self._ready[ids[-1]] = reply
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._ready.pop(one) for one in list(message_ids) if one in self._ready]

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,  # noqa: ARG002 - nobody is waited for here
    ) -> Iterable[Message]:
        return [reply for message in messages if (reply := self._answer(message)) is not None]

    def _answer(self, message: Message) -> Message | None:
        self.count += 1
        flower.stamp(message, f"message-{self.count}")
        node = message.metadata.dst_node_id
        over = flower.from_parts(flower.to_parts(message))
        parts = flower.to_parts(self._handlers[node](over))
        self.crossed += parts
        return self._change(self._names[node], flower.from_parts(parts))


@contextmanager
def forgotten(package: str) -> Iterator[None]:
    """Forget an app's modules afterwards, so that another test imports its own."""
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]
