"""What every message of the server's passes before a handler sees it, and every answer before it leaves."""

from __future__ import annotations

from flwr.app import ConfigRecord, Context, Message, MetricRecord
from flwr.clientapp.typing import ClientAppCallable

from runtime.client import secure
from runtime.client.floor import PRIVATE, STEPS, Floor
from runtime.contract import ExitCode, FedstackError

PRIVATE_METRICS = frozenset({"num-examples", "train-seconds", "epsilon", "epsilon-spent", "delta"})
"""All that a noisy answer may say beside its noisy arrays; none of it depends on what the rows hold."""

_sessions: dict[int, secure.Session] = {}
_refusals: dict[int, FedstackError] = {}


def guard(message: Message, context: Context, handle: ClientAppCallable) -> Message:
    """Apply the account's floor to a message, and mask the answer if a sum is asked for."""
    try:
        Floor.of(context).admit(message)
        try:
            reply = handle(message, context)
        except FedstackError as error:
            raise _quiet(error, message) from error
        return _masked(reply, message, context)
    except FedstackError as error:
        if error.code in (ExitCode.PRIVACY_FLOOR, ExitCode.PRIVACY_BUDGET):
            _refusals[context.node_id] = error
        raise


def refusal(node: int) -> FedstackError | None:
    """Return why this node's account refused to take part, if it did."""
    return _refusals.get(node)


def step(message: Message, context: Context) -> ConfigRecord:
    """Take one of secure aggregation's own steps."""
    told, name = message.content.config_records["secure"], message.metadata.message_type
    node, session_id = context.node_id, str(told["session"])
    if name.endswith("advertise"):
        _sessions[node] = secure.Session(session_id, node, Floor.of(context).cohort)
        return _sessions[node].advertise()
    session = _session(node, session_id)
    if name.endswith("unmask"):
        return _sessions.pop(node).unmask(told)
    return session.share(told) if name.endswith("share") else session.confirm(told)


def _masked(reply: Message, message: Message, context: Context) -> Message:
    kind, content = message.metadata.message_type, reply.content
    if kind in PRIVATE and not (told := content.metric_records["metrics"]).keys() <= PRIVATE_METRICS:
        raise FedstackError(
            ExitCode.PRIVACY_FLOOR,
            f"The answer to {kind!r} would tell {sorted(told.keys() - PRIVATE_METRICS)}.",
            "This is a defect; please report it.",
        )
    asked = message.content.config_records.get("secure")
    if asked is None or kind in STEPS:
        return reply
    if kind == "query.prepare_private":  # it has no arrays; how many rows there are is in each sum
        kept = {k: v for k, v in content.metric_records["metrics"].items() if k != "num-examples"}
        content["metrics"] = MetricRecord(kept)
        return reply
    return secure.hidden(reply, message, _session(context.node_id, str(asked["session"])))


def _session(node: int, session_id: str) -> secure.Session:
    session = _sessions.get(node)
    if session is None or session.id != session_id:
        raise FedstackError(
            ExitCode.SECURE_AGGREGATION,
            f"There is no sum {session_id!r} that this client has keys for.",
            "It was started again since, or the message was sent twice; the next round starts afresh.",
        )
    return session


def _quiet(error: FedstackError, message: Message) -> FedstackError:
    """Keep what an error quotes of the data from a server that may only have noise."""
    if message.metadata.message_type in PRIVATE and error.code == ExitCode.DATA:
        return FedstackError(ExitCode.DATA, "Its data cannot be used.", "See the client's own log.")
    return error
