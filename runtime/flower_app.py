"""Load a Flower app from its folder: components, run config, and what its messages release.

The folder is as `flwr new` makes it; `pyproject.toml` is read by Flower's own functions. What Fedstack adds
is `[tool.fedstack]`: what the answer to each kind of message releases, and how large an answer may be.
"""

from __future__ import annotations

import difflib
import hashlib
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.link import flower
from runtime.messages import Releases

RunConfig = dict[str, bool | float | int | str]

BUNDLED_APP: Final = Path(__file__).parents[1] / "app"
"""Where a bundle has its app; the project's own folder has none of that name."""

BUILT_IN_APP: Final = Path(__file__).with_name("tabular")
"""The app that a federation runs where nobody names another one."""

LARGEST_REPLY_MB: Final = 8192
"""What an app may declare at most."""

LEFT_OUT: Final = frozenset({"__pycache__", "node_modules", "dist", "build", "out"})
"""Folders that are no part of an app, beside those whose names begin with a dot."""


@dataclass(frozen=True)
class FlowerApp:
    """A Flower app.

    Parameters
    ----------
    folder
        Where its `pyproject.toml` lies, absolute.
    server_app, client_app
        References to its components, as `module:attribute`.
    config
        Its run config with nested keys joined by dots, as `context.run_config` has them.
    releases
        What the answer to each kind of message releases, as the app declares it.
    largest_reply
        Bytes that an answer may have; None for the link's own limit.
    """

    folder: Path
    name: str
    version: str
    publisher: str
    server_app: str
    client_app: str
    config: RunConfig
    releases: Mapping[str, Releases]
    largest_reply: int | None

    @classmethod
    def read(cls, folder: Path) -> FlowerApp:
        """Read an app's description; nothing of it is run.

        Raises
        ------
        FedstackError
            With ExitCode.CONFIG, saying all that is wrong with it.
        """
        folder = folder.absolute()
        try:
            project = flower.project_of(folder)
            told = project["tool"]["flwr"]["app"]
            components = told["components"]
            config = flower.flat(told.get("config", {}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unusable(folder, [" ".join(str(error).split())]) from None
        own = project["tool"].get("fedstack", {})
        if faults := list(_faults(own)):
            raise _unusable(folder, faults)
        megabytes = own.get("largest-reply-mb")
        return cls(
            folder=folder,
            name=str(project["project"]["name"]),
            version=str(project["project"]["version"]),
            publisher=str(told["publisher"]),
            server_app=str(components["serverapp"]),
            client_app=str(components["clientapp"]),
            config=dict(config),
            releases={kind_of(kind): Releases(value) for kind, value in own.get("messages", {}).items()},
            largest_reply=None if megabytes is None else int(megabytes * 1e6),
        )

    @property
    def is_built_in(self) -> bool:
        """Whether it is the platform's own app, whose components know the platform."""
        return self.folder == BUILT_IN_APP

    @property
    def _import_root(self) -> Path:
        """What its components are imported from: of the built-in app the project, where `runtime` lies."""
        return BUILT_IN_APP.parents[1] if self.is_built_in else self.folder

    def released_by(self, kind: str) -> Releases:
        """Return what the answer to a kind of message releases: everything, where nothing is declared."""
        return self.releases.get(kind_of(kind), Releases.PLAIN)

    def run_config(self, overrides: Mapping[str, Any]) -> RunConfig:
        """Return the run config with some values replaced; a key that the app does not know is an error."""
        faults = []
        for key, value in overrides.items():
            if key not in self.config:
                near = difflib.get_close_matches(key, self.config, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.config) or 'none'}"
                faults.append(f"run config has {printable(key, 100)!r}, which the app does not know ({hint})")
            elif not _fits(value, self.config[key]):
                kind = type(self.config[key]).__name__
                faults.append(
                    f"run config {key!r} is {printable(repr(value), 100)}, and the app's is a {kind}"
                )
        if faults:
            raise FedstackError(
                ExitCode.CONFIG, f"{self.name}: {'; '.join(faults)}.", "Correct the run config."
            )
        return {**self.config, **overrides}

    def load_server_app(self) -> Callable[..., None]:
        """Import the ServerApp."""
        return self._load("serverapp", self.server_app)

    def load_client_app(self) -> Callable[..., Any]:
        """Import the ClientApp."""
        return self._load("clientapp", self.client_app)

    def digest(self) -> str:
        """Digest all files of the app: both ends must run the same ones."""
        digest = hashlib.sha256()
        for path in self.files():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.folder).as_posix()}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:16]

    def files(self) -> list[Path]:
        """Return the app's files, in one order on every machine."""
        return sorted(_files(self.folder), key=lambda path: path.relative_to(self.folder).as_posix())

    def place_of(self, error: BaseException) -> str:
        """Say where in the app an error was raised: its own file and line, and not what the error says."""
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            file = Path(frame.filename)
            if file.is_relative_to(self.folder):
                return f" at {file.relative_to(self.folder).as_posix()}, line {frame.lineno}"
        return ""

    def _load(self, component: str, reference: str) -> Callable[..., Any]:
        try:
            app: Callable[..., Any] = flower.component(reference, self._import_root)
        except ModuleNotFoundError as error:
            raise FedstackError(
                ExitCode.CONFIG,
                f"The {component} {reference!r} of {self.name} cannot be imported: there is no module "
                f"{error.name!r} here{self.place_of(error)}.",
                "Name what it comes from in the dependencies of the app's pyproject.toml, and install or "
                "bundle the app anew.",
            ) from error
        except Exception as error:
            raise FedstackError(
                ExitCode.CONFIG,
                f"The {component} {reference!r} of {self.name} cannot be imported: "
                f"{type(error).__name__}{self.place_of(error)}.",
                "Mend the app; the log has all of the error.",
            ) from error
        if not callable(app):
            raise FedstackError(
                ExitCode.CONFIG,
                f"The {component} {reference!r} of {self.name} is a {type(app).__name__}.",
                f"Let {component} in the app's pyproject.toml name a ServerApp or a ClientApp.",
            )
        return app


def kind_of(message_type: str) -> str:
    """Return a kind of message by its one name: Flower has two for the handler without a name."""
    return message_type.removesuffix(".default")


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in LEFT_OUT:
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.suffix != ".pyc":
            yield path


def _faults(own: Any) -> Iterator[str]:
    """Yield what is wrong with [tool.fedstack]."""
    if not isinstance(own, dict):
        yield "[tool.fedstack] is no table"
        return
    if unknown := sorted(own.keys() - {"messages", "largest-reply-mb"}):
        yield f"[tool.fedstack] has {', '.join(unknown)}; it knows messages and largest-reply-mb"
    megabytes = own.get("largest-reply-mb", 1)
    if type(megabytes) not in (int, float) or not 0 < megabytes <= LARGEST_REPLY_MB:
        yield f"largest-reply-mb is {megabytes!r}; give a number up to {LARGEST_REPLY_MB}"
    messages = own.get("messages", {})
    if not isinstance(messages, dict):
        yield "[tool.fedstack.messages] is no table"
        return
    for kind, value in messages.items():
        if value not in set(Releases):
            yield f"the answer to {kind!r} releases {value!r}; it can be {', '.join(Releases)}"


def _unusable(folder: Path, faults: list[str]) -> FedstackError:
    return FedstackError(
        ExitCode.CONFIG,
        f"{folder} is no Flower app that can be run: {'; '.join(faults)}.",
        "See docs/your-own-app.md; `flwr new` makes a folder as it should be.",
    )


def _fits(value: object, like: object) -> bool:
    """Whether a value can replace another one: of its type, or a whole number for a real one."""
    return type(value) is type(like) or (isinstance(like, float) and type(value) is int)
