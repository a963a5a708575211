"""client.py with one fault, as a process: `python odd_client.py FAULT [VALUE] client options ...`.

hold FILE        says in FILE.holding that it trains in round 2, and waits there for FILE.release
give-up SECONDS  gives up on an unreachable server after so long
break TEXT       fails in every round, with an exception that says TEXT
"""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path

from flwr.app import Context, Message

from runtime.cli import run_cli
from runtime.client import client
from runtime.link.client import LinkClient
from runtime.tabular.client import client_app
from runtime.tabular.models import logistic

ROUND = 2
app = client_app.app


def hold(file: str) -> None:
    """Stop in the middle of a round."""

    def held(message: Message, context: Context) -> Message:
        config = message.content.config_records["config"]
        if message.metadata.message_type == "train" and config["server-round"] == ROUND:
            Path(f"{file}.holding").touch()
            while not Path(f"{file}.release").exists():
                time.sleep(0.02)
        return app(message, context)

    vars(client_app)["app"] = held


def give_up(seconds: str) -> None:
    """Have less patience."""
    vars(client)["LinkClient"] = functools.partial(LinkClient, give_up_seconds=float(seconds))


def fail(text: str) -> None:
    """Fail in the model code."""

    def failing(*_: object) -> None:
        raise ValueError(text)

    logistic.Logistic.fit = failing  # type: ignore[assignment, method-assign]


FAULTS = {"hold": hold, "give-up": give_up, "break": fail}

if __name__ == "__main__":
    FAULTS[sys.argv[1]](sys.argv[2])
    sys.argv[1:3] = []
    run_cli(client.cli, client._report)
