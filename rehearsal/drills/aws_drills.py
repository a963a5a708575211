"""Faults of a client's account: its jobs, its owner's consent, its mailbox, in emulated accounts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from botocore.exceptions import ClientError

from cdk_app.bundles import BUNDLES, load_bundles, role_for
from cdk_app.images import DEFAULT
from cdk_app.naming import ClientNames
from rehearsal import federation
from rehearsal.aws.client import Rehearsed
from rehearsal.aws.training.environments import install
from rehearsal.data import Silos, cut
from rehearsal.deployment import synthesise
from rehearsal.drills.drill import Drill, DrillError, Ground
from rehearsal.journey import Journey, interrupt
from rehearsal.link.waiting import eventually
from rehearsal.processes import Processes
from runtime.contract import CERTIFICATE_KEY
from runtime.tabular.data.silos import Split

VICTIM: Final = "silo-0"
PLAIN: Final = {"updates": "plain", "max_answers": 1000}
"""The policy of two clients' owners: two are no sum."""
SHORT: Final = ("--strategy", "fedavg", "--rounds", "3")
LASTING: Final = ("--strategy", "fedavg", "--rounds", "400")
"""Rounds enough for a fault in the middle of them."""
ALONE: Final = ("--min-clients", "1")


class Accounts:
    """Two clients' accounts and a server's, deployed once for all drills."""

    def __init__(self, journey: Journey, processes: Processes, silos: Silos) -> None:
        self.journey, self.processes, self.silos = journey, processes, silos

    @classmethod
    @contextmanager
    def deployed(cls, work: Path) -> Iterator[Accounts]:
        """Deploy them, with data, for the time of the block; the emulation goes with it."""
        work.mkdir()
        install(load_bundles(BUNDLES)[role_for(DEFAULT)].path, DEFAULT)  # or the first jobs would
        silos = cut(None, work, clients=2, how=Split.FEATURE, seed=0)
        chosen = federation.write(work / "federation.yaml", 2, privacy=PLAIN)
        synthesise(work / "federation.yaml", work / "cdk.out")
        with Processes() as processes:
            journey = Journey(Rehearsed.start(processes, work / "aws"), chosen, work / "cdk.out")
            journey.deploy()
            journey.bring_data(silos)
            yield cls(journey, processes, silos)

    def ground(self, out: Path) -> AwsGround:
        """Return what one drill is run on."""
        return AwsGround(self, out)


class AwsGround(Ground):
    """One run in the accounts, which go on to the next drill."""

    def __init__(self, accounts: Accounts, out: Path) -> None:
        super().__init__(out)
        self.accounts, self.journey = accounts, accounts.journey
        self.victim: ClientNames = self.journey.deployment.clients[VICTIM]
        self._server: subprocess.Popen[bytes] | None = None
        self._log = out.with_suffix(".log")

    def start(self, *options: str) -> None:
        """Start the server with the notebook's role, which starts the jobs."""
        asked = ("--updates", "plain", "--join-seconds", "300", "--round-seconds", "60", *options)
        self._server = self.journey.start_server(self.accounts.processes, self.run.out, asked, log=self._log)

    def end(self) -> None:
        """Wait for the server's end, and for the jobs'."""
        assert self._server is not None  # noqa: S101 - started first
        self.run.note_end(self._server.wait(), self._log.read_text())

    def job(self, client: ClientNames) -> str:
        """Return the name of the run's job in an account."""
        run_id: str = self.run.events("run")[-1]["settings"]["run_id"]
        return f"{client.job_prefix}{run_id}"

    def await_round(self) -> None:
        """Wait until a round is over."""
        eventually(lambda: self.run.events("round"), "the first round")

    def ledgers(self) -> Mapping[str, Path]:
        """Fetch each client's ledger from its account, where its job left one."""
        found = {}
        for name, client in self.journey.deployment.clients.items():
            path = self.run.out / f"{name}.jsonl"
            with suppress(ClientError, KeyError):  # no job was started, or it ended before its first line
                self.journey.await_end(client, self.job(client))
                path.write_bytes(self.journey.artifact(client, self.job(client), "output", "ledger.jsonl"))
                found[name] = path
        return found

    def close(self) -> None:
        """End the server, if it still runs, and let it stop its jobs: each account has one at a time."""
        if self._server is None or self._server.poll() is not None:
            return
        try:
            interrupt(self._server)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


def job_failed(ground: AwsGround) -> None:
    """One account's data cannot be read: its job fails at its start."""
    bad = ground.run.out.with_suffix(".csv")
    bad.write_text("these,are,no\ncolumns,at,all\n")
    ground.journey.upload(VICTIM, _as(bad, f"{VICTIM}.csv"))
    try:
        ground.start()
        ground.end()
    finally:
        ground.journey.upload(VICTIM, ground.accounts.silos.file(VICTIM))
    ground.run.expect("job_failed", VICTIM, says="fedstack-error 11 DATA")


def job_stopped(ground: AwsGround) -> None:
    """An account's owner stops its job in the middle of the run."""
    ground.start(*LASTING, *ALONE)
    ground.await_round()
    sagemaker = ground.journey.deployment.owner(ground.victim, "sagemaker")
    sagemaker.stop_training_job(TrainingJobName=ground.job(ground.victim))
    ground.killed.add(VICTIM)  # a stop does not reach a script in script mode, which is killed in the end
    ground.end()
    ground.run.expect("job_failed", VICTIM, says="JobStopped")


def participation_off(ground: AwsGround) -> None:
    """An account's owner does not take part: its broker starts nothing."""
    ssm = ground.journey.deployment.owner(ground.victim, "ssm")
    name = ground.victim.participation
    ssm.put_parameter(Name=name, Value="off", Type="String", Overwrite=True)
    try:
        ground.start(*SHORT, *ALONE)
        ground.end()
    finally:
        ssm.put_parameter(Name=name, Value="on", Type="String", Overwrite=True)
    ground.run.expect("job_failed", VICTIM, says="ParticipationOff")
    sagemaker = ground.journey.deployment.owner(ground.victim, "sagemaker")
    jobs = sagemaker.list_training_jobs(NameContains=ground.job(ground.victim))["TrainingJobSummaries"]
    if jobs:
        raise DrillError(f"a job was started without consent: {jobs}")


def mailbox_tampered(ground: AwsGround) -> None:
    """Everybody but the job tries to put another certificate into a mailbox; its owner takes its own out."""
    ground.start(*SHORT)
    eventually(lambda: ground.run.events("trusted", VICTIM), "its certificate to be trusted")
    journey, victim = ground.journey, ground.victim
    run_id = ground.job(victim).removeprefix(victim.job_prefix)
    key = f"{victim.federation}/{CERTIFICATE_KEY.format(run_id=run_id, client=VICTIM)}"
    owner, server = journey.deployment.owner(victim, "s3"), journey.as_server(victim, "s3")
    notebook = journey.aws.client(journey.deployment.notebook(victim), victim.region, "s3")
    for who, s3 in {"the owner": owner, "the notebook": notebook, "the server": server}.items():
        _refused(who, partial(s3.put_object, Bucket=victim.mailbox, Key=key, Body=b"another"))
    _refused("the server", partial(server.delete_object, Bucket=victim.mailbox, Key=key))
    owner.delete_object(Bucket=victim.mailbox, Key=key)  # its own to delete; whoever is trusted stays so
    ground.end()
    if len(ground.run.events("trusted", VICTIM)) != 1:
        raise DrillError("another certificate was trusted")


def _refused(who: str, call: Callable[[], object]) -> None:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException"):
            return
        raise DrillError(f"{who} was refused for another reason: {error}") from error
    raise DrillError(f"{who} could change the mailbox")


def _as(file: Path, name: str) -> Path:
    """Return a file under the name that its object has."""
    folder = file.with_suffix("")
    folder.mkdir(exist_ok=True)
    return file.rename(folder / name)


DRILLS: Final[tuple[Drill[AwsGround], ...]] = (
    Drill("job failed", "an account's data cannot be read", "FAILED 25", job_failed, 420),
    Drill("job stopped", "an owner stops its job in mid-run", "PARTIAL 22", job_stopped, 420),
    Drill(
        "mailbox tampered",
        "all but the job try to put a certificate there",
        "COMPLETE 0",
        mailbox_tampered,
        420,
    ),
    Drill("participation off", "an owner has switched it off", "PARTIAL 22", participation_off, 420),
)
