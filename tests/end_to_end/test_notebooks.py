"""The two notebooks, run from top to bottom as a person runs them, against federations on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest

from cdk_app.project import PACKAGES
from rehearsal.link.place import NAMES, Place
from rehearsal.link.processes import Federation
from rehearsal.link.waiting import eventually
from runtime.contract import INSTALLED_FILE

SERVER = PACKAGES / "runtime" / "server" / "federation.ipynb"
OWNER = PACKAGES / "runtime" / "client" / "data_owner.ipynb"


EXECUTE = "from nbclient.cli import main; main()"


def content_of(notebook: Path) -> Any:
    return nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]


def execute(notebook: Path, folder: Path, parameters: Mapping[str, str]) -> list[str]:
    """Run every cell in a folder, with other values in the parameters' cell; return what each shows.

    The kernel is the Python that runs the tests, whatever the notebook's own is called.
    """
    content = content_of(notebook)
    [cell] = [cell for cell in content.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source += "\n" + "\n".join(f"{name} = {value}" for name, value in parameters.items())
    mine = folder / notebook.name
    nbformat.write(content, mine)  # type: ignore[no-untyped-call]
    options = ["--inplace", "--kernel_name=python3", "--timeout=180"]
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(mine), *options],
        env={**os.environ, **own_folders(folder), "PYTHONPATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    cells = content_of(mine).cells
    return ["".join(map(shown, cell.outputs)) for cell in cells if cell.cell_type == "code"]


def own_folders(folder: Path) -> dict[str, str]:
    """Return where Jupyter, IPython and matplotlib keep what is theirs."""
    names = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    for name in names:
        (folder / name).mkdir()
    return {name: str(folder / name) for name in names}


def shown(output: Any) -> str:
    if output.output_type == "stream":
        return str(output.text)
    return "".join(f"<{kind}> {text}\n" for kind, text in output.get("data", {}).items())


@pytest.mark.parametrize("notebook", [SERVER, OWNER])
def test_a_notebook_is_committed_without_anything_that_a_run_left_in_it(notebook: Path) -> None:
    content = content_of(notebook)
    nbformat.validate(content)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)
    assert set(content.metadata) == {"kernelspec", "language_info"}
    assert len(content.cells) > len(code), "somebody who opens it wants to be told something"


def test_the_server_s_notebook_runs_a_federation_and_shows_it_as_it_goes(
    place: Place, federation: Federation
) -> None:
    """Its clients are started as the accounts' brokers do it: when there is an invitation."""
    words = ["--federation", place.roster, "--test-data", place.test, "--out", place.out, "--rounds", 3]
    words += ["--address", "127.0.0.1:0", "--updates", "plain", "--strategy", "fedavg"]
    invitation = place.out / "invitation.json"

    def brokers() -> None:
        eventually(invitation.exists, "the invitation")
        federation.clients()

    started = threading.Thread(target=brokers)
    started.start()
    outputs = execute(SERVER, place.root, {"OPTIONS": repr([str(word) for word in words])})
    started.join()
    _, followed, table, page, model, counted = outputs
    report = place.report()
    assert report["verdict"] == "COMPLETE"
    assert "<image/png>" in followed
    assert followed.rstrip().endswith("COMPLETE")
    for client in report["clients"]:
        row = f"<td>{client['name']}</td><td>{client['status']}</td>"
        assert row in table
        assert f"{client['value']['federated']['roc_auc']:.4f}" in table
    assert "<iframe srcdoc=" in page
    assert report["run_id"] in page
    assert "Pipeline" in model
    assert "'round': 3" in counted


def test_a_data_s_owner_sees_data_policy_last_run_and_model_and_nothing_of_it_is_a_row(
    whole: Place, tmp_path: Path
) -> None:
    name = NAMES[0]
    last = tmp_path / "last"
    last.mkdir()
    for file in (whole.model(name), *(whole.root / name).iterdir()):
        if file.is_file():
            (last / file.name).write_bytes(file.read_bytes())
    told = {
        "switch": f"/fedstack/test/{name}/participation",
        "policy": "privacy-updates=sums privacy-min-rows=11 privacy-max-answers=40 "
        "privacy-max-numbers-per-cell=1.0 privacy-epsilon-budget=3.0",
        "cohort": "insurer pharmacy",
    }
    (tmp_path / INSTALLED_FILE).write_text(json.dumps(told))
    values = {
        "HOME": tmp_path,
        "PYTHON": sys.executable,
        "DATA": whole.silo(name),
        "LAST": last,
        "SERVER_LEDGER": whole.out / "ledger.jsonl",
    }
    outputs = execute(OWNER, tmp_path, {key: repr(str(value)) for key, value in values.items()})
    _, _, described, allowed, switch, happened, verified, gained = outputs
    rows = whole.silo(name).read_text().splitlines()
    assert f"{len(rows) - 1:,} rows in {name}.csv, 49 features" in described
    assert "in a sum with those of insurer, pharmacy, over 3 members at least" in allowed
    assert "at most 40 answers of a kind" in allowed
    assert "may spend epsilon 3 per row" in allowed
    assert f"--name {told['switch']} --value off" in switch
    assert f"{name} ended" in happened
    assert "answered 4 x train" in happened
    assert f"answers of {name} match one to one" in verified
    value = next(c["value"] for c in whole.report()["clients"] if c["name"] == name)
    assert f"federated   roc_auc   {value['federated']['roc_auc']:.4f}" in gained
    assert "The model on all" in gained
    assert not [row for row in rows[1:] if row in "".join(outputs)]
