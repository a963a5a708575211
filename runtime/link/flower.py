"""Every touch of Flower that is not its public API, in one file.

Flower hands a message from process to process as one protobuf. The link takes the arrays' bytes out of
it first and sends them beside it, so that a 1 GB array is neither copied nor bound by protobuf's 2 GB.
"""

from __future__ import annotations

import gc
import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import click
from flwr.app import Array, ArrayRecord, Error, Message, RecordDict
from flwr.common import config as app_config
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto, recorddict_to_proto
from flwr.common.serde_utils import metadata_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.supercore.object_ref import load_app
from flwr.supercore.run import Run as Run  # for whoever implements a Grid
from flwr.supercore.task_identity import TaskIdentity

from runtime.link.wire import joint_digest
from runtime.messages import SECURE

CLIENT_APP_FAILED = int(ErrorCode.CLIENT_APP_RAISED_EXCEPTION)
NODE_UNAVAILABLE = int(ErrorCode.NODE_UNAVAILABLE)
REPLY_REFUSED = int(ErrorCode.MOD_FAILED_PRECONDITION)


def adopt_identity(run_number: int) -> Run:
    """Make this process the run's ServerApp, as Flower's own engines do before they call it."""
    TaskIdentity.task_id = 1
    TaskIdentity.run_id = run_number
    TaskIdentity.node_id = SUPERLINK_NODE_ID
    return Run.create_empty(run_number)


def number_of(name: str) -> int:
    """Return Flower's numeric id for a name: the same in every run and on every machine."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1 | 2  # 63 bits; 0 and 1 have a meaning in Flower


def stamp(message: Message, message_id: str) -> None:
    """Give an outgoing message its id, which Flower leaves to the engine."""
    message.metadata.__dict__["_message_id"] = message_id


def error_reply(message: Message, code: int, reason: str) -> Message:
    """Answer a message with an error, as Flower does for a node that failed."""
    return Message(Error(code, reason), reply_to=message)


def answer_of(nodes: Iterable[int], message_type: str, content: RecordDict) -> Message:
    """Make one reply that stands for several nodes', of which only the sum is known."""
    digest = hashlib.sha256(repr(sorted(nodes)).encode()).digest()
    request = Message(RecordDict(), int.from_bytes(digest[:8], "big") >> 1 | 2, message_type)
    stamp(request, digest.hex())
    return Message(content, reply_to=request)


LARGE: Final = 16 * 1024 * 1024
CAME_SIZE: Final = "_fedstack_came_size"
"""Where a message that came has how many bytes it took."""


@dataclass(eq=False)
class Body:
    """What a message holds, as it crosses: records (or an error) without array data, then each array's data.

    Parameters
    ----------
    content
        What it was made of; kept so that it can be told by its identity.
    """

    content: RecordDict | None
    parts: list[bytes]

    @cached_property
    def digest(self) -> bytes:
        """The SHA-256 that both ends compute of it."""
        return joint_digest(hashlib.sha256(part).digest() for part in self.parts)


Bodies = dict[int, Body]
"""Contents taken apart before, by their identity: a strategy sends one content to every client."""


def to_parts(message: Message) -> list[bytes]:
    """Take a message apart: its metadata, and then its body's parts."""
    return [envelope_of(message), *body_of(message).parts]


def envelope_of(message: Message) -> bytes:
    """Return a message's metadata as they cross."""
    envelope: bytes = ProtoMessage(metadata=metadata_to_proto(message.metadata)).SerializeToString()
    return envelope


def body_of(message: Message, known: Bodies | None = None) -> Body:
    """Return what a message holds, as it crosses.

    Parameters
    ----------
    known
        Filled with the message's body and used for the next message that has the same content.
    """
    if not message.has_content():
        proto = ProtoMessage(error=message_to_proto(message).error)
        return Body(None, [proto.SerializeToString(deterministic=True)])
    content, known = message.content, {} if known is None else known
    if id(content) not in known:
        known[id(content)] = Body(content, _content_parts(content))
    return known[id(content)]


def _content_parts(content: RecordDict) -> list[bytes]:
    hollow, data = _hollow(content)
    proto = ProtoMessage(content=recorddict_to_proto(hollow))
    return [proto.SerializeToString(deterministic=True), *data]


def _hollow(content: RecordDict) -> tuple[RecordDict, list[bytes]]:
    """Part a content into itself without the arrays' data, and those."""
    hollow = RecordDict()
    data: list[bytes] = []
    for key, record in content.items():
        if isinstance(record, ArrayRecord):
            data.extend(array.data for array in record.values())
            hollow[key] = ArrayRecord({name: _with_data(a, b"") for name, a in record.items()})
        else:
            hollow[key] = record
    return hollow, data


def from_parts(parts: Sequence[bytes]) -> Message:
    """Put a message together again; the arrays hold the very bytes objects passed in.

    Raises
    ------
    ValueError
        When the parts are no Flower message, their arrays do not match, or the metadata hold anything else:
        the digests in the ledgers are of the other parts.
    """
    try:
        envelope, proto = (ProtoMessage.FromString(part) for part in parts[:2])
        apart = [envelope.HasField(name) for name in ("metadata", "content", "error")] == [True, False, False]
        if not apart or proto.HasField("metadata"):
            raise ValueError("metadata and content are not apart")
        proto.metadata.CopyFrom(envelope.metadata)
        message = message_from_proto(proto)
        arrays = list(_arrays(message))
    except Exception as error:  # protobuf and Flower raise many kinds for malformed bytes
        raise ValueError(f"not a Flower message: {error}") from error
    if len(arrays) != len(parts) - 2:
        raise ValueError(f"{len(parts) - 2} array parts for {len(arrays)} arrays")
    for array, data in zip(arrays, parts[2:], strict=True):
        array.data = data
    message.__dict__[CAME_SIZE] = sum(map(len, parts))
    return message


def make_room(size: int) -> None:
    """Let go of messages that are done with before a large one comes.

    A RecordDict whose `array_records` was read holds itself in a cycle, which only the garbage collector
    finds; it runs by the number of objects, so a few large models would pile up.
    """
    if size >= LARGE:
        gc.collect()


def check_reply(reply: Message, message_id: str, client: str) -> None:
    """Refuse (ValueError) a reply that speaks for another node or answers another message."""
    metadata = reply.metadata
    if (metadata.reply_to_message_id, metadata.src_node_id) != (message_id, number_of(client)):
        raise ValueError(f"a reply of node {metadata.src_node_id} to {metadata.reply_to_message_id!r}")


def size_of(message: Message, known: Bodies | None = None) -> int:
    """Return how many bytes a message takes on the link, framing aside; of one that came, how many it took.

    Parameters
    ----------
    known
        As `body_of` has it.
    """
    if (came := message.__dict__.get(CAME_SIZE)) is not None:
        return int(came)
    return sum(map(len, [envelope_of(message), *body_of(message, known).parts]))


def _arrays(message: Message) -> Iterator[Array]:
    if message.has_content():
        for record in message.content.values():
            if isinstance(record, ArrayRecord):
                yield from record.values()


def _with_data(array: Array, data: bytes) -> Array:
    return Array(dtype=array.dtype, shape=array.shape, stype=array.stype, data=data)


def question_of(message: Message) -> bytes:
    """Digest what a message asks, whoever it is addressed to: its kind and content, secure steps aside."""
    content = RecordDict({key: record for key, record in message.content.items() if key != SECURE})
    hollow, data = _hollow(content)
    digest = hashlib.sha256(message.metadata.message_type.encode() + b"\0")
    for part in (recorddict_to_proto(hollow).SerializeToString(deterministic=True), *data):
        digest.update(hashlib.sha256(part).digest())
    return digest.digest()


# Apps in folders: what Flower's own command line reads them with ------------------------------------


def project_of(folder: Path) -> dict[str, Any]:
    """Return the `pyproject.toml` of an app; ValueError or OSError, when it is none."""
    return app_config.get_project_config(folder)


def flat(config: dict[str, Any]) -> dict[str, bool | float | int | str]:
    """Return a run config with nested keys joined by dots, as apps see it."""
    return dict(app_config.flatten_dict(config))


def read_pairs(pairs: Sequence[str]) -> dict[str, bool | float | int | str]:
    """Read KEY=VALUE pairs as `flwr run --run-config` does; ValueError, when they are none."""
    try:
        return dict(app_config.parse_config_args(list(pairs)))
    except click.ClickException as error:
        raise ValueError(error.format_message()) from None
    except (OSError, TypeError) as error:
        raise ValueError(str(error)) from None


def component(reference: str, folder: Path) -> Any:
    """Import what `module:attribute` names in an app's folder; AttributeError, when it is not there.

    The folder is its author's: no bytecode is left in it.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return load_app(reference, AttributeError, folder)
    finally:
        sys.dont_write_bytecode = before
