"""The link's wire format: frames on one bidirectional gRPC stream.

A frame is one byte of kind and a body. Control bodies are JSON. A Flower message travels as a MESSAGE
frame (its id, the sizes of its parts, what came in from the other end since, the sender's ledger, and as
much of the parts as fits) followed by CHUNK frames; a small message is one frame. The first part is the
message's metadata, the others are what it holds: bytes that only Flower's protobuf and numpy (without
pickle) ever read.
"""

from __future__ import annotations

import enum
import hashlib
import io
import json
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

METHOD: Final = "/fedstack.Link/Converse"
CHUNK: Final = 256 * 1024
"""Bytes of a frame at most: gRPC holds several of each stream, so small ones keep its buffers small."""
MAX_PARTS: Final = 100_000
LARGEST_FRAME: Final = 2 * 1024 * 1024 + 65536
"""Bytes of a frame that either end takes: the head of a message of very many parts is longer than a chunk."""
CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", LARGEST_FRAME),
    ("grpc.max_receive_message_length", LARGEST_FRAME),
    ("grpc.keepalive_time_ms", 30_000),  # well below the 350 s after which a load balancer forgets us
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.enable_http_proxy", 0),
)

LOOK_UP_SECONDS: Final = 0.5
"""How often either end interrupts a wait: a signal that comes as a wait begins is only seen after it."""

_LENGTH = struct.Struct(">I")


class Kind(enum.IntEnum):
    """What a frame is."""

    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    MESSAGE = 4
    CHUNK = 5
    END = 7
    ABORT = 8
    BYE = 9
    REPLACED = 10


class WireError(Exception):
    """The other end sent what this protocol does not allow."""


class TooLargeError(WireError):
    """A message announced more bytes than its receiver is ready to take."""


def is_digest(value: Any) -> bool:
    """Say whether what the other end sent is a SHA-256 in hexadecimal."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def control(kind: Kind, **body: Any) -> bytes:
    """Build a control frame."""
    return bytes([kind]) + json.dumps(body).encode()


def kind_of(frame: bytes) -> Kind:
    """Return a frame's kind."""
    try:
        return Kind(frame[0])
    except (IndexError, ValueError) as error:
        raise WireError(f"unknown frame {frame[:1]!r}") from error


def body_of(frame: bytes) -> dict[str, Any]:
    """Return a control frame's body."""
    try:
        body = json.loads(memoryview(frame)[1:].tobytes())
    except (ValueError, RecursionError) as error:
        raise WireError("a control frame is not JSON") from error
    if not isinstance(body, dict):
        raise WireError("a control frame is not a JSON object")
    return body


def message_frames(
    message_id: str, parts: Sequence[bytes], received: Sequence[str] = (), ledger: str = ""
) -> Iterator[bytes]:
    """Cut a message into frames of at most CHUNK bytes, copying one chunk at a time.

    Parameters
    ----------
    received
        Ids of messages whose replies came: the other end may forget those.
    ledger
        The hash of the line that the sender's ledger has of this message, if it has one by now.
    """
    head = _head(message_id, [len(part) for part in parts], received, ledger)
    pieces: list[bytes | memoryview] = [bytes([Kind.MESSAGE]), _LENGTH.pack(len(head)), head]
    room = max(0, CHUNK - len(head))  # the head of a model of very many arrays is long itself
    for part in parts:
        view = memoryview(part)
        while len(view):
            if not room:
                yield b"".join(pieces)
                pieces, room = [bytes([Kind.CHUNK])], CHUNK
            pieces.append(view[:room])
            view, room = view[room:], room - len(pieces[-1])
    yield b"".join(pieces)


def _head(message_id: str, sizes: Sequence[int], received: Sequence[str], ledger: str) -> bytes:
    said = {"id": message_id, "sizes": [*sizes], "received": [*received], "ledger": ledger}
    return json.dumps(said).encode()


def framed_size(message_id: str, sizes: Sequence[int], ledger: str = "") -> int:
    """Return how many bytes the frames of a message have together, what it says of other messages aside."""
    head, total = len(_head(message_id, sizes, (), ledger)), sum(sizes)
    chunks = -(-max(0, total - max(0, CHUNK - head)) // CHUNK)
    return 1 + _LENGTH.size + head + total + chunks


def joint_digest(digests: Iterable[bytes]) -> bytes:
    """Return the SHA-256 of what a message holds: that of its parts' SHA-256, metadata aside."""
    return hashlib.sha256(b"".join(digests)).digest()


def digest_of(message_type: str, joint: bytes) -> str:
    """Return what a ledger names a request or a reply by: SHA-256 of the request's kind and what it holds."""
    return hashlib.sha256(message_type.encode() + b"\0" + joint).hexdigest()


@dataclass
class Assembler:
    """Put the frames of one message together, each part written once into its final buffer."""

    message_id: str
    sizes: list[int]
    received: list[str] = field(default_factory=list)
    ledger: str = ""
    parts: list[bytes] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    _buffer: io.BytesIO = field(default_factory=io.BytesIO)
    _digest: Any = field(default_factory=hashlib.sha256)

    @property
    def total(self) -> int:
        """How many bytes the message announced."""
        return sum(self.sizes)

    def feed(self, data: memoryview) -> bool:
        """Take the next bytes, which are digested as they come; return whether the message is whole."""
        while len(self.parts) < len(self.sizes):
            size = self.sizes[len(self.parts)]
            if len(data) >= size and not self._buffer.tell():  # as all parts of a small message come
                self.parts.append(bytes(data[:size]))
                self.digests.append(hashlib.sha256(self.parts[-1]).digest())
                data = data[size:]
                continue
            taken = data[: size - self._buffer.tell()]
            self._buffer.write(taken)
            self._digest.update(taken)
            data = data[len(taken) :]
            if self._buffer.tell() < size:
                return False
            self.parts.append(self._buffer.getvalue())
            self.digests.append(self._digest.digest())
            self._buffer, self._digest = io.BytesIO(), hashlib.sha256()
        if len(data):
            raise WireError("a message is longer than announced")
        return True


def open_message(frame: bytes) -> tuple[Assembler, memoryview]:
    """Read a MESSAGE frame's head; return the assembler for it and the frame's share of the parts."""
    view = memoryview(frame)[1:]
    try:
        (length,) = _LENGTH.unpack(view[: _LENGTH.size])
        head = json.loads(view[_LENGTH.size : _LENGTH.size + length].tobytes())
        message_id, sizes, received, ledger = (head[key] for key in ("id", "sizes", "received", "ledger"))
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError("a message's head is malformed") from error
    if not (isinstance(message_id, str) and isinstance(sizes, list) and 0 < len(sizes) <= MAX_PARTS):
        raise WireError("a message's head is malformed")
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise WireError("a message's sizes are malformed")
    if not (isinstance(received, list) and all(isinstance(one, str) for one in received)):
        raise WireError("a message's receipts are malformed")
    if ledger and not is_digest(ledger):
        raise WireError("the hash of a message's ledger line is malformed")
    return Assembler(message_id, sizes, received, ledger), view[_LENGTH.size + length :]
