"""A run in one process, and a client's folder of it, for tests of what becomes of a model."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rehearsal.in_process import Federation

from runtime.ledger import Ledger, of_model


@dataclass(frozen=True)
class ModelRun:
    """The server's output folder, a client's, and the test set."""

    out: Path
    client: Path
    test: Path
    federation: Federation

    def copy(self, side: str, to: Path) -> Path:
        """One side's folder, which a test may change."""
        return Path(shutil.copytree(getattr(self, side), to / side))


@pytest.fixture(scope="session")
def model_run(tmp_path_factory: pytest.TempPathFactory) -> ModelRun:
    """A run of which one client keeps a ledger as its job does."""
    from rehearsal.in_process import Federation

    federation = Federation.cut(tmp_path_factory.mktemp("model"), rows=3000)
    names = list(federation.silos)
    kept = {name: {"model-dir": str(federation.folder / "kept" / name)} for name in names}
    federation.run(strategy="fedavg", rounds=3, nodes=kept, name="cms", run_id="run-1")
    folder = federation.folder / "kept" / names[0]
    return ModelRun(
        federation.folder / "out", as_client(folder, names[0]), federation.folder / "test.csv", federation
    )


def as_client(folder: Path, name: str, **started: str) -> Path:
    """Write the ledger that a client's job leaves beside its model."""
    ledger = Ledger(folder / "ledger.jsonl")
    facts = {"run_id": "run-1", "client": name, "bundle": f"sha256:{'b' * 64}", "certificate": "sha256:c"}
    ledger.write("started", **{**facts, **started})
    ledger.write("value", federated={"roc_auc": 0.8}, local_only={"roc_auc": 0.7}, rows=10, positives=3)
    model = folder / "model.joblib"
    ledger.write("ended", **of_model(model), server_ledger=None)
    return folder
