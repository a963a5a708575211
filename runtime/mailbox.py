"""Mailboxes: where a client's job leaves its certificate for the server to read.

A client account's mailbox can be written only by its execution role and read by the server's. It is a
folder here; its S3 form comes with the accounts.
"""

from __future__ import annotations

import os
from pathlib import Path

from runtime.contract import CERTIFICATE_KEY, ExitCode, FedstackError


class Mailbox:
    """One client's mailbox, named by a URI.

    Parameters
    ----------
    uri
        `file:///absolute/folder`.
    """

    def __init__(self, uri: str) -> None:
        scheme, _, place = uri.partition("://")
        if scheme != "file" or not place.startswith("/"):
            raise FedstackError(
                ExitCode.CONFIG, f"The mailbox is {uri!r}.", "Give it as file:///absolute/folder."
            )
        self._folder = Path(place)

    def post_certificate(self, run_id: str, client: str, certificate: bytes) -> None:
        """Leave a client's certificate for one run, in place of an earlier one."""
        path = self._path(run_id, client)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(certificate)
        fresh.replace(path)  # a reader sees the old certificate or the new one, never half of one

    def read_certificate(self, run_id: str, client: str) -> bytes | None:
        """Return a client's certificate for one run, if it is there yet."""
        try:
            return self._path(run_id, client).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, run_id: str, client: str) -> Path:
        return self._folder / CERTIFICATE_KEY.format(run_id=run_id, client=client)
