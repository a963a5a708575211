"""By PrivateLink a job dials the endpoint that its own account's stack pinned, whatever the server says."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.in_process import providers
from runtime.client import client as job
from runtime.tabular.data.dataset import save_csv


@pytest.mark.parametrize(
    ("pinned", "dialled"), [("", "10.0.0.7:9092"), ("vpce-1.example", "vpce-1.example:9092")]
)
def test_the_host_that_the_account_pinned_is_dialled_at_the_invitation_s_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: str, dialled: str
) -> None:
    found: list[object] = []

    class Link:
        """Ends at once, having noted where it would have dialled."""

        server_ledger = None

        def __init__(self, address: str, *_: object, **__: object) -> None:
            found.append(address)

        def run(self) -> None:
            """End at once."""

    monkeypatch.setattr(job, "LinkClient", Link)
    save_csv(tmp_path / "rows.csv", providers())
    options = {
        "run-id": "run-1",
        "server-address": "10.0.0.7:9092",
        "server-fingerprint": f"sha256:{'0' * 64}",
        "client-name": "clinic",
        "mailbox": f"file://{tmp_path}/mail",
        "link-host": pinned,
        "data": tmp_path / "rows.csv",
        "output-dir": tmp_path / "output",
        "model-dir": tmp_path / "model",
        "privacy-updates": "plain",
        "privacy-ledger": f"file://{tmp_path}/privacy",
    }
    job.cli([f"--{name}={value}" for name, value in options.items()], standalone_mode=False)
    assert found == [dialled]
