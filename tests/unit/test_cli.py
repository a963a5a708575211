from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import typer

from runtime.cli import only_json, run_cli
from runtime.contract import ExitCode, FedstackError


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(
    monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], *options: str
) -> tuple[object, list[str]]:
    """Run a command line of one command; return what it exits with and the failures it reports."""
    cli, told = typer.Typer(add_completion=False), list[str]()
    cli.command()(command)
    monkeypatch.setattr("sys.argv", ["program", *options])
    with pytest.raises(SystemExit) as ended:
        run_cli(cli, told.append)
    return ended.value.code, told


def test_a_command_that_returns_exits_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, lambda: None) == (0, [])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_full_disk_is_one_line_and_no_traceback(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), "settings.json")

    code, (line,) = run(monkeypatch, fail)
    assert code == ExitCode.ENGINE
    assert line.startswith("fedstack-error 24 ENGINE: settings.json cannot be written (")


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_failure_is_one_line_and_its_code(monkeypatch: pytest.MonkeyPatch, code: ExitCode) -> None:
    def fail() -> None:
        raise FedstackError(code, "This is wrong.", "Mend it.")

    assert run(monkeypatch, fail)[0] == code
    assert f"fedstack-error {int(code)} {code.name}: This is wrong. Mend it." in run(monkeypatch, fail)[1]


@pytest.mark.parametrize("code", [0, 22])
def test_a_command_may_end_with_a_code_of_its_own(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A run that ends PARTIAL has a report and no error, and still must not exit 0."""

    def end() -> None:
        raise typer.Exit(code)

    assert run(monkeypatch, end) == (code, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_from_outside_is_an_interruption(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def stopped() -> None:
        os.kill(os.getpid(), number)

    code, told = run(monkeypatch, stopped)
    assert code == 130
    assert told == ["fedstack-error 130 INTERRUPTED: Stopped from outside. Start it again to go on."]


def test_a_wrong_option_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    code, (line,) = run(monkeypatch, lambda: None, "--no-such-option")
    assert code == ExitCode.CONFIG
    assert line.startswith("fedstack-error 10 CONFIG: No such option")
    assert line.endswith(" --help`.")
    assert "\n" not in line


def test_a_program_reads_json_alone_and_people_the_rest(capfd: pytest.CaptureFixture[str]) -> None:
    with only_json(True) as stdout:
        sys.stdout.write("for people\n")
        subprocess.run(["echo", "of a child"], check=True)
        print('{"verdict": "COMPLETE"}', file=stdout)
    sys.stdout.write("afterwards\n")
    sys.stdout.flush()
    out, err = capfd.readouterr()
    assert out == '{"verdict": "COMPLETE"}\nafterwards\n'
    assert set(err.splitlines()) == {"for people", "of a child"}
    with only_json(False) as stdout:
        assert stdout is sys.stdout
