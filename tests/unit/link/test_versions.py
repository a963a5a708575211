from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from runtime.contract import PROTOCOL, RELEASE
from runtime.link.versions import SERVER_ONLY, bundle_digest, differences, versions

RUNTIME = Path(__file__).parents[3] / "runtime"


SHARED = (
    "contract.py",
    "cli.py",
    "errors.py",
    "ledger.py",
    "mailbox.py",
    "messages.py",
    "link/wire.py",
    "client/session.py",
    "privacy/masking.py",
    "tabular/data/dataset.py",
    "tabular/pyproject.toml",
)
"""What both ends run."""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    for name in (*SHARED, "server/server.py", "tabular/server/rounds.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return tmp_path


def test_what_must_be_equal() -> None:
    assert versions() == {
        "fedstack": RELEASE,
        "protocol": str(PROTOCOL),
        "flwr": importlib.metadata.version("flwr"),
        "scikit-learn": importlib.metadata.version("scikit-learn"),
        "bundle": bundle_digest(RUNTIME),
        "app": "built-in",
    }
    assert versions("0123")["app"] == "0123"


@pytest.mark.parametrize("name", SHARED)
def test_whatever_a_client_runs_changes_the_bundle(release: Path, name: str) -> None:
    before = bundle_digest(release)
    (release / name).write_text("# another release\n")
    assert bundle_digest(release) != before


def test_all_code_of_ours_but_the_servers_is_shared(release: Path) -> None:
    """A module that a client imports and that no digest covers could differ on both ends unseen."""
    before = bundle_digest(release)
    (release / "tabular" / "server" / "rounds.py").write_text("# another release\n")
    assert bundle_digest(release) == before
    (release / "new.py").write_text("")
    assert bundle_digest(release) != before
    assert all((RUNTIME / folder).is_dir() for folder in SERVER_ONLY)


def test_a_moved_file_changes_the_bundle(release: Path) -> None:
    before = bundle_digest(release)
    (release / "client/session.py").rename(release / "client/application.py")
    assert bundle_digest(release) != before


def test_what_only_the_server_runs_does_not_change_the_bundle(release: Path) -> None:
    before = bundle_digest(release)
    (release / "server/run.py").write_text("# another release\n")
    (release / "client/app.pyc").write_bytes(b"compiled")
    assert bundle_digest(release) == before


def test_equal_versions_do_not_differ() -> None:
    assert differences(versions(), dict(versions())) == ""


@pytest.mark.parametrize("name", ["protocol", "flwr", "scikit-learn", "bundle"])
def test_a_difference_names_both(name: str) -> None:
    said = differences(versions(), versions() | {name: "0.0.1"})
    assert said == f"{name}: server has {versions()[name]}, client has 0.0.1"


def test_every_difference_is_named_and_a_missing_version_too() -> None:
    assert differences({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}) == (
        "a: server has 1, client has none; c: server has 3, client has 4"
    )


def test_what_a_client_says_is_cut_short() -> None:
    assert len(differences({"flwr": "1"}, {"flwr": "x" * 10_000})) < 200
