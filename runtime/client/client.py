"""The training job's entry point: run the ClientApp on this account's data until the run is over.

SageMaker's script mode calls it with the job's hyperparameters as options and its folders in the
environment. Everything that can be wrong here is found before the server hears of this client.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from flwr.app import Context, Message, RecordDict

from runtime.cli import run_cli
from runtime.client.privacy_mod import refused
from runtime.client.privacy_policy import PrivacyPolicy
from runtime.client.quiet_mod import quietly
from runtime.client.session import Session, open_session
from runtime.contract import (
    MAX_COHORT_OPTIONS,
    ExitCode,
    FedstackError,
    JobOption,
    PrivacyOption,
    Updates,
    check_invitation,
)
from runtime.errors import crossing
from runtime.ledger import Ledger, of_model
from runtime.link import flower
from runtime.link.client import LinkClient, Record, handle_with
from runtime.link.identity import make_identity
from runtime.mailbox import Mailbox

_DEFAULT = PrivacyPolicy()
COHORT_OPTIONS = [
    f"--{PrivacyOption.COHORT}",
    *(f"--{PrivacyOption.COHORT}-{number}" for number in range(1, MAX_COHORT_OPTIONS + 1)),
]
"""Script mode passes each option once, so a job's members have one of these each."""

log = logging.getLogger("fedstack.client")
cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@cli.command()
@quietly
def main(
    run_id: Annotated[str, typer.Option(help="The run, as the server's invitation names it.")],
    server_address: Annotated[str, typer.Option(help="host:port of the server.")],
    server_fingerprint: Annotated[str, typer.Option(help="sha256:... of the server's certificate.")],
    client_name: Annotated[str, typer.Option(help="This client's name in the server's roster.")],
    mailbox: Annotated[str, typer.Option(help="URI of this account's mailbox.")],
    bundle: Annotated[
        str, typer.Option(help="sha256:... of the bundle that this job was started from.")
    ] = "",
    link_host: Annotated[
        str, typer.Option(help="By which host this account reaches the server, where its own stack says so.")
    ] = "",
    run_seconds: Annotated[float, typer.Option(help="When to stop in any case, in seconds.")] = 86_400.0,
    data: Annotated[
        Path, typer.Option(envvar="SM_CHANNEL_TRAIN", help="The silo: a CSV or a folder of them.")
    ] = Path("/opt/ml/input/data/train"),
    model_dir: Annotated[
        Path, typer.Option(envvar="SM_MODEL_DIR", help="Where the final model goes.")
    ] = Path("/opt/ml/model"),
    app: Annotated[
        Path | None, typer.Option(help="A Flower app's folder; the bundle's by default, or the built-in one.")
    ] = None,
    node_config: Annotated[
        list[str] | None, typer.Option(help="What the app gets of this client's owner, as key=value.")
    ] = None,
    output_dir: Annotated[
        Path,
        typer.Option(envvar="SM_OUTPUT_DATA_DIR", help="Where the ledger and value.json go."),
    ] = Path("/opt/ml/output/data"),
    privacy_updates: Annotated[
        Updates, typer.Option(help="How updates may leave: only in sums, only with noise, or plain.")
    ] = Updates.SUMS,
    privacy_cohort: Annotated[
        list[str] | None,
        typer.Option(*COHORT_OPTIONS, help="A member to be summed with, as NAME=PUBLIC-KEY."),
    ] = None,
    privacy_signing_key: Annotated[
        str, typer.Option(help="This account's signing key: the ARN of a KMS key, or file:///key.pem.")
    ] = "",
    privacy_min_cohort: Annotated[
        int | None, typer.Option(help="Members of a sum at least; all that are named, if not given.")
    ] = None,
    privacy_min_rows: Annotated[int, typer.Option(help="Rows of an answer at least.")] = _DEFAULT.min_rows,
    privacy_max_answers: Annotated[
        int, typer.Option(help="Answers to one kind of message at most.")
    ] = _DEFAULT.max_answers,
    privacy_max_numbers_per_cell: Annotated[
        float, typer.Option(help="Numbers that may leave for each cell of the rows.")
    ] = _DEFAULT.max_numbers_per_cell,
    privacy_epsilon_budget: Annotated[
        float | None, typer.Option(help="Epsilon per row that all runs together may reach.")
    ] = None,
    privacy_delta: Annotated[float, typer.Option(help="Delta at which epsilon is counted.")] = _DEFAULT.delta,
    privacy_min_noise_multiplier: Annotated[
        float, typer.Option(help="Least noise of a release, in units of what one row can change.")
    ] = _DEFAULT.min_noise_multiplier,
    privacy_ledger: Annotated[
        str | None, typer.Option(help="URI of the ledger of all that was spent, which outlives runs.")
    ] = None,
) -> None:
    """Take part in one federated run with the data of this account."""
    invitation = (
        (JobOption.RUN_ID, run_id),
        (JobOption.SERVER_ADDRESS, server_address),
        (JobOption.SERVER_FINGERPRINT, server_fingerprint),
    )
    for option, value in invitation:
        check_invitation(option, value)
    policy = privacy_options(
        {
            PrivacyOption.UPDATES: privacy_updates.value,
            PrivacyOption.COHORT: " ".join(privacy_cohort or ()),
            PrivacyOption.SIGNING_KEY: privacy_signing_key,
            PrivacyOption.MIN_COHORT: privacy_min_cohort,
            PrivacyOption.MIN_ROWS: privacy_min_rows,
            PrivacyOption.MAX_ANSWERS: privacy_max_answers,
            PrivacyOption.MAX_NUMBERS_PER_CELL: privacy_max_numbers_per_cell,
            PrivacyOption.EPSILON_BUDGET: privacy_epsilon_budget,
            PrivacyOption.DELTA: privacy_delta,
            PrivacyOption.MIN_NOISE_MULTIPLIER: privacy_min_noise_multiplier,
            PrivacyOption.LEDGER: privacy_ledger,
        },
        output_dir,
    )
    node_id = flower.number_of(client_name)
    session = open_session(app, client_name, node_id, data, output_dir, node_config or [])
    ledger = Ledger(output_dir / "ledger.jsonl")
    own = make_identity(client_name, run_seconds)
    Mailbox(mailbox).post_certificate(run_id, client_name, own.certificate)
    ledger.write(
        "started",
        nonce=secrets.token_hex(16),  # the server hears hashes of lines: nobody can guess what they hold
        run_id=run_id,
        client=client_name,
        bundle=bundle,
        **session.facts,
        certificate=own.fingerprint,
    )
    if changed := session.drift(policy[PrivacyOption.LEDGER], run_id):
        ledger.write("drift", **changed)
    log.info("%s: certificate %s is in the mailbox", client_name, own.fingerprint)
    config: dict[str, Any] = {
        "name": client_name,
        "run-id": run_id,
        "data": str(data),
        "model-dir": str(model_dir),
        "output-dir": str(output_dir),
        **policy,
    }
    context = Context(1, node_id, config, RecordDict(), {})
    link = LinkClient(
        f"{link_host}:{server_address.rpartition(':')[2]}" if link_host else server_address,
        server_fingerprint,
        own,
        handle_with(session.app, context),
        record=recording(ledger, session),
        app=session.digest,
        begin=session.begin,
        run_seconds=run_seconds,
    )
    try:
        link.run()
    except FedstackError as error:
        said = refused(context) or error  # what this account refused comes before how it ended
        close_ledger(ledger, link, said)
        raise said from error
    except BaseException as error:
        close_ledger(ledger, link, error)
        raise
    refusal = refused(context)
    model = model_dir / "model.joblib"
    left = {"model": str(model), **of_model(model)} if model.exists() else {}
    close_ledger(ledger, link, refusal, **left)
    if refusal is not None:
        raise refusal
    log.info("%s: the run is over%s", client_name, f"; the final model is {model}" if model.exists() else "")


def privacy_options(given: dict[str, Any], output_dir: Path) -> dict[str, Any]:
    """Return this account's privacy policy as the node's config has it, or say what is wrong with it."""
    if given[PrivacyOption.EPSILON_BUDGET] is not None and not given[PrivacyOption.LEDGER]:
        raise FedstackError(
            ExitCode.CONFIG,
            f"--{PrivacyOption.EPSILON_BUDGET} is {given[PrivacyOption.EPSILON_BUDGET]:g}, but no ledger to "
            "keep it in is named.",
            f"Give --{PrivacyOption.LEDGER}.",
        )
    place = given[PrivacyOption.LEDGER] or f"file://{(output_dir / 'privacy').absolute()}"
    options = {str(name): value for name, value in given.items() if value is not None}
    options[PrivacyOption.LEDGER] = place
    PrivacyPolicy.read(options).budget().entries()  # what is wrong is found before the server hears of us
    return options


def recording(ledger: Ledger, session: Session) -> Record:
    """Write every message that comes in and every answer that leaves this account to its own ledger."""

    def record(message: Message, reply: Message, evidence: dict[str, Any]) -> str:
        for act, what in session.acts():
            ledger.write(f"app_{act}", what=what, message=message.metadata.message_type)
        error = {"error": reply.error.reason} if reply.has_error() else {}
        line = ledger.write("answered", **evidence, **error)
        session.record(message, reply, ledger)
        ledger.sync()
        return line

    return record


def close_ledger(ledger: Ledger, link: LinkClient, error: BaseException | None, **ended: Any) -> None:
    """Write how the run ended here, and what the server's ledger ended with as far as it said so."""
    if error is None:
        ledger.write("ended", **ended, server_ledger=link.server_ledger)
    else:
        code = int(error.code) if isinstance(error, FedstackError) else None
        ledger.write("failed", code=code, reason=crossing(error), server_ledger=link.server_ledger)
    ledger.sync()


def _report(line: str) -> None:
    """Put the failure where SageMaker and a person look for it; the server reads it there."""
    print(line, file=sys.stderr)  # noqa: T201
    failure = Path(os.environ.get("SM_OUTPUT_DIR", "/opt/ml/output")) / "failure"
    if failure.parent.is_dir():
        failure.write_text(line[:1024])


if __name__ == "__main__":
    run_cli(cli, _report)
