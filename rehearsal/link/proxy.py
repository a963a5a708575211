"""A TCP proxy that cuts connections in the middle of what they carry."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Forward loopback connections to a server, and cut them when told to, or after so many bytes.

    Parameters
    ----------
    target
        The server's `host:port`.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.up = self.down = 0
        self._limits: dict[str, int | None] = {"up": None, "down": None}
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.cuts = 0
        self._refusing = False
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, *, up: int | None = None, down: int | None = None) -> None:
        """Cut once, as soon as so many more bytes have gone to the server, or come from it."""
        with self._lock:
            self._limits = {"up": up and self.up + up, "down": down and self.down + down}

    def cut(self) -> None:
        """Cut every connection now."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
            self._limits = {"up": None, "down": None}
            self.cuts += 1
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def refuse(self) -> None:
        """Cut every connection, and the next ones at once."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        """Let connections through again."""
        self._refusing = False

    def close(self) -> None:
        """Accept nobody any more and cut everybody."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or it would accept one more
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._refusing:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(self._target)
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._pairs.append((near, far))
                for source, sink, way in ((near, far, "up"), (far, near, "down")):
                    threading.Thread(target=self._pump, args=(source, sink, way), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    setattr(self, way, getattr(self, way) + len(data))
                    limit = self._limits[way]
                    due = limit is not None and getattr(self, way) >= limit
                if due:
                    self.cut()
                    return
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
