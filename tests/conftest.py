"""What every test gets: no network beyond this machine, and AWS credentials that open nothing."""

from __future__ import annotations

import pytest

pytest_plugins = ["assembly"]


@pytest.fixture(autouse=True, scope="session")
def _fake_credentials() -> None:
    """Keep a test that forgets to fake AWS from finding the developer's account."""
    patch = pytest.MonkeyPatch()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.delenv("AWS_PROFILE", raising=False)
