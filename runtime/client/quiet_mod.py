"""Nothing of the data is in an error that leaves a client: the error is in its own log, a stand-in leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable

from runtime.client import own_log
from runtime.errors import CrossingError, printable

P = ParamSpec("P")


def quiet(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Raise an error's stand-in: Flower's own engines put an exception's text into the error reply.

    The outermost of the ClientApp's mods, so that it is the last to see an error, on every engine.
    """
    try:
        return call_next(message, context)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        doing = f"No answer to {printable(message.metadata.message_type)}"
        own_log.failed(doing, error, texts=not _is_virtual(context))
        stand_in = CrossingError(error)
    raise stand_in  # out here, where it has no context that would hold the error itself


def quietly(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command raise, in place of whatever it raises, only what may cross."""

    @wraps(command)
    def quiet_command(*args: P.args, **kwargs: P.kwargs) -> None:
        own_log.start()
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            own_log.failed("The job failed", error)
            stand_in = CrossingError(error)
        raise stand_in

    return quiet_command


def _is_virtual(context: Context) -> bool:
    """Tell whether the node is one of a simulation's, whose log is the server's."""
    config = context.node_config
    return "partition-id" in config and "data" not in config
