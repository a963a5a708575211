"""The processes of flwr 1.3.0, in its own environment: start_server, and hosts of start_numpy_client.

Typed loosely: it runs where flwr is 1.3.0 and is checked where flwr is the pinned one.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from typing import Any

import flwr
import grpc
import numpy as np
from flwr.client import NumPyClient
from flwr.common import ndarrays_to_parameters
from flwr.server.strategy import FedAvg

from bench.child import Marks, Usage, say, told

MODEL = [np.linspace(-1, 1, 49).reshape(1, 49), np.ones(1)]


class Echo(NumPyClient):
    def fit(self, parameters: Any, config: Any) -> Any:  # noqa: ARG002 - flwr's names
        return parameters, 1, {}

    def evaluate(self, parameters: Any, config: Any) -> Any:  # noqa: ARG002 - flwr's names
        return 0.0, 1, {}


class Timed(FedAvg):
    marks = Marks()

    def aggregate_evaluate(self, server_round: int, results: Any, failures: Any) -> Any:
        aggregate = super().aggregate_evaluate(server_round, results, failures)
        if failures:
            raise RuntimeError(f"{failures} in round {server_round}")
        self.marks.round_ended()
        return aggregate


def serve() -> None:
    clients, rounds = sys.argv[2:]
    with socket.create_server(("127.0.0.1", 0)) as free:  # start_server does not tell which port it got
        address = f"127.0.0.1:{free.getsockname()[1]}"
    n = int(clients)
    strategy = Timed(
        min_fit_clients=n,
        min_evaluate_clients=n,
        min_available_clients=n,
        initial_parameters=ndarrays_to_parameters(MODEL),
    )
    usage = Usage()
    say(address=address)
    flwr.server.start_server(
        server_address=address, config=flwr.server.ServerConfig(num_rounds=int(rounds)), strategy=strategy
    )
    say(**usage.figures(strategy.marks))


def host() -> None:
    order = told()
    wait_for(order["address"])
    _a_connection_each()
    threads = [
        threading.Thread(
            target=flwr.client.start_numpy_client,
            kwargs={"server_address": order["address"], "client": Echo()},
        )
        for _ in range(order["clients"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _a_connection_each() -> None:
    """Keep gRPC from sharing one connection among the threads: start_server knows clients by their port."""
    shared = grpc.insecure_channel

    def own(target: str, options: Any = None) -> Any:
        return shared(target, options=[*(options or ()), ("grpc.use_local_subchannel_pool", 1)])

    grpc.insecure_channel = own


def wait_for(address: str) -> None:
    """Wait until the server listens: the first conversation of start_numpy_client has no second try."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    logging.getLogger("flwr").setLevel(logging.WARNING)
    {"serve": serve, "host": host}[sys.argv[1]]()
