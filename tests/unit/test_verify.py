"""What `python -m runtime.ledger verify` finds in one ledger, and in two."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_pair import CERTIFICATE, Events, Pair, events, rewrite, whole_pair
from typer.testing import CliRunner

from runtime.contract import ExitCode, FedstackError
from runtime.ledger import Ledger, LedgerError
from runtime.ledger_command import cli
from runtime.sides import load
from runtime.verify import verdict

PROJECT = Path(__file__).parents[2]
Change = Callable[[Events], object]


def verify(*paths: Path) -> str:
    return verdict([load(path) for path in paths])


def fault(*paths: Path) -> str:
    with pytest.raises(LedgerError) as raised:
        verify(*paths)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return whole_pair(tmp_path)


def test_ledgers_as_they_were_written_are_whole_and_agree_in_either_order(pair: Pair) -> None:
    assert verify(pair.server).endswith("is whole, and every line follows from the one before.")
    assert verify(pair.client).endswith("is whole, and every line follows from the one before.")
    for paths in ((pair.server, pair.client), (pair.client, pair.server)):
        assert verify(*paths).endswith("are whole and agree: 4 answers of clinic match one to one.")


# One ledger alone ------------------------------------------------------------------------------------


def tampered(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


LINES: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "changed": (
        lambda lines: [*lines[:3], lines[3].replace("1000", "1001"), *lines[4:]],
        "line 4 was changed",
    ),
    "changed last": (
        lambda lines: [*lines[:-1], lines[-1].replace("server_", "Server_")],
        "line 6 was changed",
    ),
    "dropped": (lambda lines: [*lines[:3], *lines[4:]], "line 4 does not follow"),
    "dropped first": (lambda lines: lines[1:], "line 1 does not follow"),
    "dropped last": (lambda lines: lines[:-1], "line 5 is the last and 'answered', not ended or failed"),
    "dropped many": (lambda lines: lines[:1], "line 1 is the last and 'started', not ended or failed"),
    "swapped": (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "line 3 does not follow"),
    "twice": (lambda lines: [*lines[:3], lines[2], *lines[3:]], "line 4 does not follow"),
    "no JSON": (lambda lines: [*lines[:3], "no JSON", *lines[3:]], "line 4 is no event"),
    "empty line": (lambda lines: [*lines[:3], "", *lines[3:]], "line 4 is no event"),
    "no hash": (lambda lines: [*lines[:3], "{}", *lines[3:]], "line 4 is no event"),
    "deep": (lambda lines: [*lines[:3], "[" * 100_000, *lines[3:]], "line 4 is no event"),
}


@pytest.mark.parametrize("what", LINES)
def test_a_ledger_that_was_edited_is_found_out_alone(pair: Pair, what: str) -> None:
    change, said = LINES[what]
    tampered(pair.client, change)
    assert fault(pair.client).startswith(f"{pair.client}: {said}")


def test_a_line_of_another_run_or_of_another_client_does_not_follow(pair: Pair, tmp_path: Path) -> None:
    for name, run_id in (("clinic", "run-2"), ("insurer", "run-1")):
        (tmp_path / run_id).mkdir()
        other = whole_pair(tmp_path / run_id, run_id, name).client.read_text().splitlines()
        mine = pair.client.read_text().splitlines()
        other_in_mine = tmp_path / "mixed.jsonl"
        other_in_mine.write_text("\n".join([*mine[:3], other[3], *mine[4:]]) + "\n")
        assert fault(other_in_mine).startswith(f"{other_in_mine}: line 4 does not follow")


FORGED: dict[str, tuple[Change, str]] = {
    "no end": (lambda old: old.pop(), "line 8 is the last and 'round', not verdict"),
    "after the end": (lambda old: old.append(old[4]), "line 10 follows 'verdict', after which nothing"),
    "no beginning": (lambda old: old.pop(0), "line 1 is 'trusted', but a server's ledger begins with 'run'"),
    "another client": (lambda old: old[4].update(client="spy"), "line 5 is of client 'spy', who is foreign"),
    "the other side's": (
        lambda old: old[4].update(event="answered"),
        "line 5 is 'answered', which only the other",
    ),
    "twice": (lambda old: old.insert(5, old[4]), "line 6 has 'message-2' for the second time"),
    "no id": (lambda old: old[4].pop("id"), "line 5: id is None, which is no text"),
    "no roster": (lambda old: old[0].update(settings=7), "line 1 has no roster"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_ledger_that_no_server_writes_is_found_out_although_its_hashes_are_right(
    pair: Pair, what: str
) -> None:
    change, said = FORGED[what]
    rewrite(pair.server, change)
    assert fault(pair.server).startswith(f"{pair.server}: {said}")


def test_a_clients_ledger_with_a_line_of_another_client_is_found_out(pair: Pair) -> None:
    rewrite(pair.client, lambda old: old.insert(1, old[0] | {"client": "insurer"}))
    assert "line 2 is of client 'insurer', who is foreign to it" in fault(pair.client)


# Both sides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "value"),
    [
        ("message", "message", "query.finish"),
        ("request_sha256", "request_sha256", "f" * 64),
        ("bytes_in", "bytes_down", 1001),
        ("reply_sha256", "reply_sha256", "f" * 64),
        ("bytes_out", "bytes_up", 501),
    ],
)
@pytest.mark.parametrize("who", ["client", "server"])
def test_the_first_difference_is_named_by_client_line_and_field(
    pair: Pair, who: str, ours: str, theirs: str, value: object
) -> None:
    if who == "client":
        rewrite(pair.client, lambda old: old[2].update({ours: value}))
    else:
        rewrite(pair.server, lambda old: old[4].update({theirs: value}))
    said = fault(pair.server, pair.client)
    assert said.startswith(f"client clinic, {pair.client}: line 3: {ours} is ")
    assert f"but {theirs} is " in said
    assert said.endswith(f"in {pair.server}: line 5")
    assert repr(value) in said


BOTH: dict[str, tuple[str, Change, str]] = {
    "an answer the client dropped": ("client", lambda old: old.pop(2), "'message-2' ('train') is not in"),
    "the last the client dropped": ("client", lambda old: old.pop(4), "'message-4' ('evaluate') is not in"),
    "an answer the server dropped": ("server", lambda old: old.pop(4), "'message-2' ('train') is not in"),
    "the last the server dropped": ("server", lambda old: old.pop(6), "'message-4' ('evaluate') is not in"),
    "client's order": ("client", lambda old: old.insert(2, old.pop(3)), "'message-2' ('train') is not in"),
    "server's order": ("server", lambda old: old.insert(4, old.pop(5)), "'message-3' ('train') is not in"),
    "rows": ("client", lambda old: old[0].update(rows=7), "line 2: sha256 is "),
    "verdict": ("server", lambda old: old[-1].update(verdict="PARTIAL"), "line 6: server_ledger is "),
    "a round": ("server", lambda old: old.pop(-2), "line 6: server_ledger is "),
    "run": ("client", lambda old: old[0].update(run_id="run-2"), "line 1: run_id is 'run-2', which"),
    "certificate": (
        "client",
        lambda old: old[0].update(certificate="other"),
        "certificate is 'other', which",
    ),
    "roster": (
        "server",
        lambda old: old[0]["settings"].update(clients=[{"name": "insurer"}]),
        "who is foreign",
    ),
    "head": (
        "client",
        lambda old: old[-1].update(server_ledger=None),
        "line 6: server_ledger is None, which",
    ),
}


@pytest.mark.parametrize("what", BOTH)
def test_a_ledger_rewritten_from_its_first_line_is_found_by_the_other_sides(pair: Pair, what: str) -> None:
    who, change, said = BOTH[what]
    rewrite(pair.client if who == "client" else pair.server, change)
    assert said in fault(pair.server, pair.client)


@given(st.integers(0, 9), st.sampled_from(["time", "reason", "rows", "verdict"]), st.booleans())
def test_nothing_that_a_server_rewrites_after_the_end_agrees_with_its_clients(
    tmp_path_factory: pytest.TempPathFactory, at: int, field: str, drop: bool
) -> None:
    pair = whole_pair(tmp_path_factory.mktemp("pair"))

    def change(old: Events) -> None:
        if drop:
            del old[at % len(old)]
        else:
            old[at % len(old)][field if field != "time" else "when"] = "forged"

    rewrite(pair.server, change)
    assert fault(pair.server, pair.client)


def test_a_ledger_of_a_client_or_of_a_run_that_the_server_does_not_have_is_foreign(
    pair: Pair, tmp_path: Path
) -> None:
    for folder, run_id, name in (("a", "run-2", "clinic"), ("b", "run-1", "spy")):
        (tmp_path / folder).mkdir()
        other = tmp_path / folder / "other.jsonl"
        ledger = Ledger(other)
        ledger.write("started", run_id=run_id, client=name, certificate=CERTIFICATE)
        ledger.write("failed", code=14, server_ledger=None)
        assert f"run_id is '{run_id}', which {pair.server}" in fault(pair.server, other)


def test_the_other_clients_ledger_of_the_same_run_does_not_pass_for_this_ones(pair: Pair) -> None:
    rewrite(pair.client, lambda old: [one.update(client="insurer") for one in old if "client" in one])
    assert "client insurer" in fault(pair.server, pair.client)


def test_an_answer_that_the_server_did_not_get_is_no_difference_but_is_told(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.message("train")
    pair.message("train", "missed")  # it came too late
    pair.message("train", "missed", client=False)  # it never reached the client
    pair.message("evaluate")
    pair.end()
    assert "2 answers of clinic match one to one; 1 more did not reach the server" in verify(
        pair.server, pair.client
    )
    rewrite(pair.client, lambda old: old[2].update(request_sha256="f" * 64))
    assert "line 3: request_sha256 is" in fault(pair.server, pair.client)


def test_a_reply_that_was_refused_is_compared_as_far_as_it_was_read(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.message("train", "refused", reply_sha256=None, reason="the reply has 99 bytes")
    pair.message("train", "refused", reason="not a Flower message")
    pair.message("train", "exchanged")
    pair.end()
    assert "3 answers of clinic match one to one." in verify(pair.server, pair.client)
    rewrite(pair.server, lambda old: old[5].update(reply_sha256=None))
    assert "line 4: reply_sha256 is" in fault(pair.server, pair.client)


def test_a_client_that_was_started_again_has_two_jobs_in_one_ledger_or_a_ledger_each(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.message("train")
    pair.message("train", None)  # answered, and killed before the reply left
    pair.count -= 1
    pair.join("run-1", "sha256:" + "d" * 64)
    pair.message("train")
    pair.end()
    said = verify(pair.server, pair.client)
    assert "2 answers of clinic match one to one; 1 more did not reach the server" in said
    second = tmp_path / "second.jsonl"
    second.write_bytes(pair.client.read_bytes())
    rewrite(second, lambda old: old.__delitem__(slice(0, 3)))
    rewrite(pair.server, lambda old: old[-3].update(client_ledger=events(second)[1]["sha256"]))
    rewrite(second, lambda old: old[-1].update(server_ledger=events(pair.server)[-1]["sha256"]))
    said = verify(pair.server, second)
    assert "1 answers of clinic match one to one; 1 are of other jobs of it" in said


def test_a_run_that_was_resumed_and_one_that_crashed_verify(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.message("train")
    pair.begin("run-2", resume=True)  # the server was killed: no verdict
    pair.join("run-2", "sha256:" + "d" * 64)
    pair.message("train")
    pair.end("failed")
    pair.begin("run-3", resume=True)
    pair.join("run-3", "sha256:" + "e" * 64)
    pair.message("train")
    pair.message("evaluate")
    pair.end()
    assert "4 answers of clinic match one to one." in verify(pair.client, pair.server)
    rewrite(pair.server, lambda old: old[3].update(reply_sha256="f" * 64))
    assert "line 2: reply_sha256 is" in fault(pair.client, pair.server)


def test_what_a_killed_server_did_not_write_is_told_and_no_more_than_that(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.message("train")
    pair.message("train", None)  # it was on its way when the server was killed
    pair.begin("run-2", resume=True)
    pair.join("run-2", "sha256:" + "d" * 64)
    pair.message("train")
    pair.end()
    said = verify(pair.client, pair.server)
    assert (
        "2 answers of clinic match one to one; 1 more are after the last line of a run without a ver" in said
    )
    rewrite(pair.server, lambda old: old[3].update(id="message-2"))
    assert "line 2: id 'message-1'" in fault(pair.client, pair.server)


def test_a_server_that_drops_the_end_of_its_ledger_cannot_say_that_it_was_killed(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.message("train")
    pair.message("train", None)
    pair.message("evaluate", None)
    pair.begin("run-2", resume=True)
    pair.join("run-2", "sha256:" + "d" * 64)
    pair.end()
    assert "id 'message-3' ('evaluate') is not in" in fault(pair.client, pair.server)


def test_an_answer_that_a_run_with_a_verdict_has_not_is_a_difference(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.message("train")
    pair.message("train", None)
    pair.end()
    assert "line 3: id 'message-2' ('train') is not in" in fault(pair.client, pair.server)


def test_what_a_ledger_holds_cannot_reach_the_terminal(pair: Pair) -> None:
    rewrite(pair.client, lambda old: old[2].update(message="\x1b[31m\u2028" + "x" * 1000))
    said = fault(pair.server, pair.client)
    assert said.isprintable()
    assert len(said) < 1000


# The command -----------------------------------------------------------------------------------------


def test_the_command_exits_with_0_or_1_and_one_line(pair: Pair) -> None:
    right = CliRunner().invoke(cli, ["verify", str(pair.server), str(pair.client)])
    assert (right.exit_code, right.output.count("\n")) == (0, 1)
    tampered(pair.client, lambda lines: lines[:-1])
    wrong = CliRunner().invoke(cli, ["verify", str(pair.server), str(pair.client)])
    assert (wrong.exit_code, wrong.output.count("\n")) == (1, 1)
    assert "line 5 is the last" in wrong.output


@pytest.mark.parametrize("content", [None, "a folder", "", "no ledger\n", '{"seq": 0', "[]\n", "7\n", "\xff"])
def test_a_file_that_is_no_ledger_is_a_mistake_of_who_names_it(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ledger.jsonl"
    if content == "a folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(FedstackError) as raised:
        verify(path)
    assert raised.value.code is ExitCode.CONFIG
    assert str(path) in raised.value.what


def test_half_a_line_that_a_crash_left_is_said_to_be_that(pair: Pair) -> None:
    for cut in (-1, -20):
        whole = pair.client.read_bytes()
        pair.client.write_bytes(whole[:cut])
        with pytest.raises(FedstackError, match="ends in half a line, after 5 whole ones"):
            verify(pair.client)
        pair.client.write_bytes(whole)


def test_two_ledgers_of_one_side_are_not_compared(pair: Pair) -> None:
    for path in (pair.server, pair.client):
        with pytest.raises(FedstackError, match="Name a server's ledger and a client's") as raised:
            verify(path, path)
        assert raised.value.code is ExitCode.CONFIG


def test_the_module_is_a_command(pair: Pair, tmp_path: Path) -> None:
    def run(*paths: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "runtime.ledger", "verify", *map(str, paths)]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert run(pair.server, pair.client).returncode == 0
    tampered(pair.server, lambda lines: lines[:-1])
    assert run(pair.server).returncode == 1
    missing = run(tmp_path / "missing.jsonl")
    assert (missing.returncode, missing.stdout) == (int(ExitCode.CONFIG), "")
    assert missing.stderr.startswith("fedstack-error 10 CONFIG: The ledger ")
    assert missing.stderr.count("\n") == 1


def test_a_line_of_json_that_is_no_event_of_ours_is_no_crash(pair: Pair) -> None:
    rewrite(pair.client, lambda old: old[2].update(id=["message-2"], certificate={"a": 1}))
    assert "id is ['message-2'], which is no text" in fault(pair.server, pair.client)
    rewrite(pair.client, lambda old: old[2].update(id="message-2"))
    rewrite(pair.server, lambda old: [one.update(certificate=[json.dumps(one)]) for one in old[3:6]])
    assert "client clinic" in fault(pair.server, pair.client)
