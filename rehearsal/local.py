"""A federation on this machine without AWS, the server and each client a process: the fast rehearsal."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from rehearsal import baselines, checks, too_few
from rehearsal.data import Parts, Silos, cut, hand_out
from rehearsal.nursery import Forked
from rehearsal.options import RehearsalOptions
from rehearsal.processes import Processes
from runtime.client.hosting.engine_app import FOLDER
from runtime.client.signing_key import make_file
from runtime.command_line import stop
from runtime.contract import ExitCode, FedstackError, PrivacyOption, Updates
from runtime.flower_app import FlowerApp
from runtime.server.engines.flower import flower_environment
from runtime.server.settings import Engine
from runtime.tabular.report.claims import said

START_SECONDS: Final = 120.0
REPORT_FILES: Final = (
    *("report.json", "report.html", "model.joblib", "result.npz", "ledger.jsonl", "checkpoint.npz"),
)
JOIN_SECONDS: Final = "120"
ROUND_SECONDS: Final = "300"

Member = subprocess.Popen[bytes] | Forked
"""A client's process: of the link a forked one, of Flower's SuperLink its own SuperNode."""

terminal = Console(highlight=False)


def rehearse(asked: RehearsalOptions) -> None:
    """Federate over processes of this machine, without AWS, and compare with pooling the data."""
    checks.check(asked, accounts=False)
    if asked.app is not None:
        checks.check_components(FlowerApp.read(asked.app))
    started = time.perf_counter()
    out, engine, work = asked.out, asked.engine, clear(asked.out)
    silos = data_for(asked, work)
    seconds = {"setup": _since(started)}
    told = (*asked.server(), "--engine", engine.value)
    policies = policies_of(asked, work, silos.names)
    # The simulation's virtual clients have no config of their own: their policy is their process's.
    shared = _environment(policies) if engine is Engine.SIMULATION else {}
    if asked.app is not None and engine is Engine.SIMULATION:
        shared[FOLDER] = str(asked.app.absolute())
    with Processes(shared) as processes:
        server = processes.forked("runtime.server.server", *_server_options(out, work, silos, engine), *told)
        try:
            members = _start_clients(processes, server, asked, work, silos, policies, seconds)
            code = server.wait()
        except KeyboardInterrupt:
            server.send_signal(signal.SIGINT)
            if server.wait(30) == ExitCode.INTERRUPTED:
                stop.told_by_a_child()
            raise
        started = time.perf_counter()
        failed = _end_clients(members, engine)
    seconds["destroy"] = _since(started)
    if (out / "report.json").exists() and isinstance(silos, Silos) and asked.app is None:
        compare(out, silos, seconds)
    if members:
        _say(f"  {'clients':<11} {work}/<client>  (log, model and ledger of each)")
    for name, exit_code in failed.items():
        _say(f"[red]{name} ended with {exit_code}[/]: see {work / name / 'client.log'}")
    raise typer.Exit(code)


def data_for(asked: RehearsalOptions, work: Path) -> Silos | Parts:
    """Cut the data as asked, or hand out an app's own, and say what they are."""
    if asked.app is not None and asked.data is not None and asked.data.is_dir():
        parts: Silos | Parts = hand_out(asked.data, asked.clients)
        _say(f"[bold]data[/]  {asked.data}: {parts.told}")
    else:
        parts = cut(asked.data, work, clients=asked.clients, how=asked.split, seed=asked.seed)
        if asked.app is None and asked.privacy_epsilon is None and not asked.virtual():
            too_few.refuse(parts, asked.seed)
        source = f"{asked.data}" if asked.data else "the stand-in (no DATA was given)"
        _say(f"[bold]data[/]  {source}, {asked.split.value} skew: {parts.told}")
    if reason := asked.plain_because():
        few = ", however few its rows are" if asked.virtual() else ""
        _say(
            "[bold yellow]privacy[/]  this rehearsal wrote `updates: plain` into every client's account, so "
            f"the server sees each client's updates{few}: {reason}"
        )
    return parts


def policies_of(asked: RehearsalOptions, work: Path, names: list[str]) -> dict[str, dict[str, str]]:
    """Make every client's policy as options of its process, with signing keys where updates are summed."""
    policy = {f"privacy-{name.replace('_', '-')}": str(value) for name, value in asked.policy().items()}
    ledgers = {name: f"file://{(work / name / 'privacy').absolute()}" for name in names}
    own = {name: {**policy, PrivacyOption.LEDGER: ledger} for name, ledger in ledgers.items()}
    if policy.get(PrivacyOption.UPDATES, Updates.SUMS) != Updates.SUMS:
        return own
    files = {name: (work / name / "signing-key.pem").absolute() for name in names}
    keys = {name: make_file(file) for name, file in files.items()}
    return {
        name: own[name]
        | {PrivacyOption.SIGNING_KEY: f"file://{files[name]}"}
        | {f"{PrivacyOption.COHORT}-{n}": f"{o}={keys[o]}" for n, o in enumerate(names, 1) if o != name}
        for name in names
    }


def _environment(policies: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    shared = next(iter(policies.values()))
    return {"FEDSTACK_" + option.upper().replace("-", "_"): value for option, value in shared.items()}


def clear(out: Path) -> Path:
    """Make room: what an earlier rehearsal left in this folder goes, and nothing else."""
    work = out / checks.WORK
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name in (*REPORT_FILES, "invitation.json", "settings.json"):
        (out / name).unlink(missing_ok=True)
    return work


def _server_options(out: Path, work: Path, silos: Silos | Parts, engine: Engine) -> list[str]:
    roster = [
        {"name": name, "mailbox": f"file://{(work / name / 'mailbox').absolute()}"} for name in silos.names
    ]
    federation = work / "federation.json"
    federation.write_text(json.dumps({"name": "rehearsal", "clients": roster}, indent=1) + "\n")
    # The link finds a free port itself; a SuperLink has to be told one.
    port = 0 if engine is Engine.LINK else _free_port()
    return [
        *("--federation", str(federation), "--out", str(out)),
        *(("--test-data", str(silos.test_file)) if silos.test_file.exists() else ()),
        *("--address", f"127.0.0.1:{port}", "--silos", str(silos.folder)),
        *("--join-seconds", JOIN_SECONDS, "--round-seconds", ROUND_SECONDS),
    ]


def _start_clients(
    processes: Processes,
    server: Forked,
    asked: RehearsalOptions,
    work: Path,
    silos: Silos | Parts,
    policies: Mapping[str, Mapping[str, str]],
    seconds: dict[str, float],
) -> dict[str, Member]:
    """Hand every client the server's invitation, as the accounts' brokers do on AWS."""
    if asked.engine is Engine.SIMULATION:
        return {}
    started = time.perf_counter()
    invitation = _invitation(server, asked.out / "invitation.json")
    seconds["deploy"] = _since(started)
    start = _start_link_client if asked.engine is Engine.LINK else _start_supernode
    app = {} if asked.app is None else {"app": str(asked.app.absolute())}
    return {
        name: start(processes, name, work / name, silos.file(name), invitation, {**policies[name], **app})
        for name in silos.names
    }


def _start_link_client(
    processes: Processes,
    name: str,
    folder: Path,
    data: Path,
    invitation: dict[str, str],
    policy: Mapping[str, str],
) -> Member:
    folder.mkdir(exist_ok=True)
    arguments = {
        **invitation,
        **policy,
        "client-name": name,
        "mailbox": f"file://{(folder / 'mailbox').absolute()}",
        "data": str(data),
        "model-dir": str(folder / "model"),
        "output-dir": str(folder / "output"),
    }
    options = [f"--{option}={value}" for option, value in arguments.items()]
    return processes.forked("runtime.client.client", *options, log=folder / "client.log")


def _start_supernode(
    processes: Processes,
    name: str,
    folder: Path,
    data: Path,
    invitation: dict[str, str],
    policy: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    places = {"data": data, "model-dir": folder / "model", "output-dir": folder / "output"}
    node = {"name": name, **policy, **{option: str(place.absolute()) for option, place in places.items()}}
    return processes.start(
        str(Path(sys.executable).with_name("flower-supernode")),
        *("--superlink", invitation["superlink"], "--root-certificates", invitation["root-certificates"]),
        *(
            "--port",
            str(_free_port()),
            "--node-config",
            " ".join(f'{key}="{value}"' for key, value in node.items()),
        ),
        log=folder / "client.log",
        environment=flower_environment(folder.absolute()),
    )


def _invitation(server: Forked, path: Path) -> dict[str, str]:
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        if (code := server.poll()) is not None:
            raise typer.Exit(code)  # it has said why
        if time.monotonic() > deadline:
            raise FedstackError(ExitCode.ENGINE, f"The server made no {path}.", "See its output above.")
        time.sleep(0.05)
    invitation: dict[str, str] = json.loads(path.read_text())
    return invitation


def _end_clients(members: dict[str, Member], engine: Engine) -> dict[str, int]:
    """Wait for the clients' own end; return who ended badly. SuperNodes never end by themselves."""
    if engine is not Engine.LINK:
        return {}
    codes = {name: process.wait(60) for name, process in members.items()}
    return {name: code for name, code in codes.items() if code}


def compare(out: Path, silos: Silos, seconds: dict[str, float]) -> None:
    """Add pooling and staying alone to the report, and say in one line whether federating was worth it."""
    _say("comparing with pooling the data, and with each client alone ...")
    report = baselines.add(out, silos, seconds)
    name, title = report["scores"][0]["name"], report["scores"][0]["title"]
    final, pooled = report["final"].get(name), report["pooled"][name]
    if final is None or pooled is None:
        return
    known = {
        client: scores[name] for client, scores in report["local_only"].items() if scores[name] is not None
    }
    best = max(known.items(), key=lambda item: item[1], default=("nobody", float("nan")))
    share = f"{100 * final / pooled:.1f} % of pooling" if pooled > 0 else "beside pooling"
    _say(
        f"[bold]{title}[/]  federated {final:.4f}, {share} the data ({pooled:.4f}); the best client alone, "
        f"{best[0]}, {best[1]:.4f}"
    )
    differences = report.get("compared") or {}
    for who, found in (
        ("pooling", differences.get("pooled")),
        (f"{best[0]} alone", (differences.get("local_only") or {}).get(best[0])),
    ):
        if found:
            _say(f"{'':<{len(title)}}  against {who} {said(found[name], name)}")


def _say(text: str) -> None:
    terminal.print(text, soft_wrap=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
