"""The ten calls of `make live`, tried on a deployed federation: all are refused."""

from __future__ import annotations

import boto3
import pytest

from rehearsal.journey import Journey
from rehearsal.live.calls import BY_ADMINISTRATORS, TEN, task_of, tried_by_administrators
from rehearsal.live.on_notebook import FORBIDDEN, forbidden

pytestmark = pytest.mark.timeout(900)


def test_what_the_server_tries_on_its_notebook_is_refused(
    journey: Journey, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = journey.deployment
    task = task_of(deployment, "silo-0")
    keys = deployment.notebook(deployment.server)
    for name, value in journey.aws.environment(keys, task["server_region"]).items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(**keys, region_name=task["server_region"])
    assert forbidden(task, session) == dict.fromkeys(FORBIDDEN, "refused")


def test_what_the_accounts_administrators_try_is_refused(journey: Journey) -> None:
    tried = tried_by_administrators(journey.deployment, "silo-0")
    assert tried == dict.fromkeys(BY_ADMINISTRATORS, "refused")
    assert len({*FORBIDDEN, *tried}) == len(TEN) == 10
