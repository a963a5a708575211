"""What an app does beside computing stands in its client's own ledger."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from app_federation import write_app
from flwr.app import Message, RecordDict

from runtime.client.client import recording
from runtime.client.hosting.app_watch import AppWatch
from runtime.client.hosting.hosted_app import HostedApp
from runtime.client.session import Session
from runtime.flower_app import FlowerApp
from runtime.ledger import Ledger
from runtime.link import flower

ELSEWHERE = Path(__file__).parents[3] / "README.md"


def test_only_what_is_elsewhere_is_noted_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/nowhere")
    (tmp_path / "data.csv").write_text("x")
    (tmp_path / "data.csv.other").write_text("x")
    watch = AppWatch([str(tmp_path / "data.csv")])
    with watch.watching():
        for _ in range(2):
            (tmp_path / "data.csv").read_text()
            (tmp_path / "data.csv.other").read_text()
            Path(subprocess.__file__).read_text()
    (tmp_path / "third").write_text("x")
    assert watch.fresh() == [("opened", str(tmp_path / "data.csv.other"))]
    assert watch.fresh() == []


def test_a_link_does_not_lead_past_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/nowhere")
    (tmp_path / "own").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "own" / "link").symlink_to(tmp_path / "secret")
    watch = AppWatch([str(tmp_path / "own")])
    with watch.watching():
        (tmp_path / "own" / "link").read_text()
        (tmp_path / "own" / ".." / "secret").read_text()
    assert watch.fresh() == [("opened", str(tmp_path / "secret"))]


def test_unpickling_processes_and_connections_are_noted() -> None:
    watch = AppWatch([])
    data = pickle.dumps(Path("x"))
    with watch.watching():
        pickle.loads(data)  # noqa: S301 - what an app must not do unseen
        subprocess.run([sys.executable, "-c", ""], check=True)
        with pytest.raises(ConnectionRefusedError), socket.socket() as other:
            other.connect(("127.0.0.1", 1))
    acts = watch.fresh()
    assert any(act == "unpickled" and what.startswith("pathlib") for act, what in acts)
    assert any(act == "started" and sys.executable in what for act, what in acts)
    assert ("connected", "('127.0.0.1', 1)") in acts


def test_other_threads_are_not_the_app_s(tmp_path: Path) -> None:
    watch = AppWatch([])
    with watch.watching():
        thread = threading.Thread(target=ELSEWHERE.read_text)
        thread.start()
        thread.join()
    assert not [what for act, what in watch.fresh() if what == str(ELSEWHERE)]


def test_it_stands_in_the_ledger_before_the_answer_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/nowhere")
    elsewhere = tmp_path / "another silo.csv"
    elsewhere.write_text("x")
    client = f"""
    import pickle
    from pathlib import Path
    from flwr.app import Message, RecordDict
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.query()
    def handle(message, context):
        Path({str(elsewhere)!r}).read_text()
        pickle.loads(pickle.dumps(Path("x")))
        return Message(RecordDict(), reply_to=message)
    """
    folder = write_app(tmp_path / "app", "app = 1\n", client)
    hosted = HostedApp(FlowerApp.read(folder), {"name": "north", "data": str(tmp_path / "data.csv")})
    hosted.begin(3, {})
    flower.adopt_identity(1)
    from flwr.app import Context

    message = Message(RecordDict(), 3, "query")
    flower.stamp(message, "message-1")
    reply = hosted(message, Context(1, 3, {"privacy-updates": "plain"}, RecordDict(), {}))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    recording(ledger, Session(hosted, acts=hosted.watch.fresh))(message, reply, {"id": "message-1"})
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    events = [(event["event"], event.get("what")) for event in map(json.loads, lines)]
    assert ("app_opened", str(elsewhere)) in events
    assert any(event == "app_unpickled" and "pathlib" in str(what) for event, what in events)
    assert events[-1][0] == "answered"
