"""The ClientApp on Flower's own engines: an owner's policy holds there, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from rehearsal.in_process import providers
from runtime.client.hosting.engine_app import EngineApp
from runtime.contract import FedstackError
from runtime.link import flower
from runtime.tabular.data.dataset import save_csv


@pytest.mark.parametrize("allowed", [False, True])
def test_a_virtual_client_answers_only_what_its_owner_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    rows = providers()
    save_csv(tmp_path / "silo-0.csv", rows)
    if allowed:
        monkeypatch.setenv("FEDSTACK_PRIVACY_UPDATES", "plain")
    flower.adopt_identity(1)
    settings: dict[str, Any] = {"schema": rows.schema.digest(), "validation": 0.1, "smote": False, "seed": 0}
    message = Message(RecordDict({"config": ConfigRecord(settings)}), 3, "query.prepare")
    flower.stamp(message, "message-1")
    context = Context(1, 3, {"partition-id": 0}, RecordDict(), {"silos": str(tmp_path)})
    if not allowed:
        with pytest.raises(FedstackError, match="would be visible to the server"):
            EngineApp()(message, context)
        return
    reply = EngineApp()(message, context)
    assert reply.content.metric_records["metrics"]["num-examples"] == round(0.9 * len(rows))
