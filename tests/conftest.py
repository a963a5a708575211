"""What holds for every test: no account, no network but loopback, one thread per fit."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["assembly", "broker_account", "journeys", "model_run", "own_accounts", "varied_clients"]

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy loads; many fits share a machine

FAKE_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

LOOPBACK = ["127.0.0.0/8", "127.0.0.1", "::1", "localhost"]

hypothesis.settings.register_profile("fedstack", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("fedstack")


@pytest.fixture(scope="session", autouse=True)
def fake_account() -> Iterator[None]:
    """Give this process, and those that it starts, credentials that open nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_PROFILE", raising=False)
        for name, value in FAKE_ACCOUNT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> None:
    """Take what is loaded by now out of garbage collection, which Flower's strategies do for every reply."""
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors (pyproject.toml), but for these of other people's imports."""
    for line in (
        r"ignore:'click\.:DeprecationWarning",
        # Of a handshake that a test broke off: the collector finds it in whichever test runs by then.
        r"ignore:unclosed <ssl.SSLSocket:ResourceWarning",
    ):
        config.addinivalue_line("filterwarnings", line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.allow_hosts(LOOPBACK))


class BySharing(LoadScopeScheduling):  # type: ignore[misc]
    """Keep in one process what shares what takes minutes to make: the emulated AWS, a file's whole run."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if "/test_aws_" in file:
            return "emulated AWS"
        return file if "/end_to_end/" in file or "/snapshot/" in file else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> BySharing:
    return BySharing(config, log)
