"""The server's notebook: what its stack wrote beside the roster, and the lock of a run that goes on."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.contract import FEDERATION_FILE, INSTALLED_FILE, LINK_PORT, RUNNING_FILE, ExitCode, FedstackError
from runtime.server.notebook import buckets
from runtime.server.notebook.address import own_address
from runtime.server.notebook.home import HOME, default_out


class ServerNotebook(BaseModel):
    """Where a run finds and leaves what its stack made buckets for."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # the file also says what `installed` compares

    home: Path
    cidr: str = Field(description="The server's network, in which clients reach it.")
    test_data: str = Field(pattern=r"^s3://[^/]+/.+/$", description="Where the test set lies.")
    results: str = Field(pattern=r"^s3://[^/]+/.+/$", description="Where what a run leaves is kept.")

    target_group: str = Field("", description="Where a run registers, for clients by PrivateLink.")

    @classmethod
    def here(cls, home: Path = HOME) -> Self | None:
        """Return what this notebook was told; None on any other machine."""
        file = home / INSTALLED_FILE
        if not file.exists():
            return None
        try:
            return cls.model_validate({**json.loads(file.read_text()), "home": home})
        except (OSError, ValueError, TypeError, ValidationError) as error:
            raise FedstackError(
                ExitCode.CONFIG,
                f"{file}, which the notebook's start script wrote, cannot be read: {error}.",
                "Stop the notebook and start it.",
            ) from error

    @property
    def roster(self) -> Path:
        """The roster that the stack published."""
        return self.home / FEDERATION_FILE

    def defaults(self, given: Mapping[str, Any], *, needs_test_data: bool) -> dict[str, Any]:
        """Return what a run was not given: where it writes and is reached, and the test set, fetched anew."""
        found: dict[str, Any] = {"out": default_out(self.home)}
        if "address" not in given:
            found["address"] = f"{own_address(self.cidr)}:{LINK_PORT}"
        if self.target_group:
            found["target_group"] = self.target_group
        if "test_data" not in given:
            fetched = buckets.fetch_test_set(self.test_data, self.home / "test", needed=needs_test_data)
            found |= {"test_data": fetched} if fetched else {}
        return found

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Hold the lock that keeps auto-stop away; the kernel lets go of it however the process ends."""
        with (self.home / RUNNING_FILE).open("w") as lock:
            fcntl.flock(
                lock, fcntl.LOCK_SH
            )  # two runs may go on; who asks for it alone is told that one does
            yield
