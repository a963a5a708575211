"""The training job's entry point: run the ClientApp on this account's data until the run is over.

SageMaker's script mode calls it with the job's hyperparameters as options and its folders in the
environment. Everything that can be wrong here is found before the server hears of this client.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from flwr.app import Context, Message, RecordDict

from runtime.cli import run_cli
from runtime.client import gains, gate, silo
from runtime.client.app import app
from runtime.client.floor import Floor
from runtime.contract import ExitCode, FedstackError, JobOption, PrivacyOption, check_invitation
from runtime.ledger import Ledger
from runtime.link import flower
from runtime.link.client import Handler, LinkClient, handle_with
from runtime.link.identity import make_identity
from runtime.mailbox import Mailbox

log = logging.getLogger("fedstack.client")
cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@cli.command()
def main(
    run_id: Annotated[str, typer.Option(help="The run, as the server's invitation names it.")],
    server_address: Annotated[str, typer.Option(help="host:port of the server.")],
    server_fingerprint: Annotated[str, typer.Option(help="sha256:... of the server's certificate.")],
    client_name: Annotated[str, typer.Option(help="This client's name in the server's roster.")],
    mailbox: Annotated[str, typer.Option(help="URI of this account's mailbox.")],
    bundle: Annotated[
        str, typer.Option(help="sha256:... of the bundle that this job was started from.")
    ] = "",
    run_seconds: Annotated[float, typer.Option(help="When to stop in any case, in seconds.")] = 86_400.0,
    data: Annotated[
        Path, typer.Option(envvar="SM_CHANNEL_TRAIN", help="The silo: a CSV or a folder of them.")
    ] = Path("/opt/ml/input/data/train"),
    model_dir: Annotated[
        Path, typer.Option(envvar="SM_MODEL_DIR", help="Where the final model goes.")
    ] = Path("/opt/ml/model"),
    output_dir: Annotated[
        Path,
        typer.Option(envvar="SM_OUTPUT_DATA_DIR", help="Where the ledger and value.json go."),
    ] = Path("/opt/ml/output/data"),
    privacy_epsilon_budget: Annotated[
        float | None, typer.Option(min=0, help="Epsilon per row that all runs together may reach.")
    ] = None,
    privacy_delta: Annotated[float, typer.Option(help="Delta at which epsilon is counted.")] = 1e-5,
    privacy_min_noise: Annotated[
        float, typer.Option(min=0, help="Least noise of a release, in units of what one row can change.")
    ] = 0.0,
    privacy_ledger: Annotated[
        str | None, typer.Option(help="URI of the ledger of all that was spent, which outlives runs.")
    ] = None,
    privacy_cohort: Annotated[
        int, typer.Option(min=0, help="Send updates only masked, within sums of so many clients.")
    ] = 0,
) -> None:
    """Take part in one federated run with the data of this account."""
    invitation = (
        (JobOption.RUN_ID, run_id),
        (JobOption.SERVER_ADDRESS, server_address),
        (JobOption.SERVER_FINGERPRINT, server_fingerprint),
    )
    for option, value in invitation:
        check_invitation(option, value)
    floor = privacy_floor(
        privacy_epsilon_budget, privacy_delta, privacy_min_noise, privacy_ledger, privacy_cohort, output_dir
    )
    rows = silo.load(str(data))
    ledger = Ledger(output_dir / "ledger.jsonl")
    own = make_identity(client_name, run_seconds)
    Mailbox(mailbox).post_certificate(run_id, client_name, own.certificate)
    ledger.write(
        "started",
        run_id=run_id,
        client=client_name,
        bundle=bundle,
        rows=len(rows),
        positives=int(rows.y.sum()),
        certificate=own.fingerprint,
    )
    if rows.y.min() == rows.y.max():
        log.warning("%s: all rows have %s %s", client_name, rows.schema.label, rows.y[0])
    log.info("%s: %s rows, certificate %s is in the mailbox", client_name, f"{len(rows):,}", own.fingerprint)
    node_config: dict[str, Any] = {
        "name": client_name,
        "data": str(data),
        "model-dir": str(model_dir),
        "output-dir": str(output_dir),
        **floor,
    }
    context = Context(1, flower.number_of(client_name), node_config, RecordDict(), {})
    handler = recorded(handle_with(app, context), ledger)
    try:
        LinkClient(server_address, server_fingerprint, own, handler, run_seconds=run_seconds).run()
    except FedstackError as error:
        said = gate.refusal(context.node_id) or error  # what this account refused comes before how it ended
        ledger.write("failed", code=int(said.code), reason=said.what)
        raise said from error
    if refused := gate.refusal(context.node_id):
        ledger.write("failed", code=int(refused.code), reason=refused.what)
        raise refused
    ledger.write("ended", model=str(model_dir / "model.joblib"))
    log.info("%s: the run is over; the final model is %s", client_name, model_dir / "model.joblib")


def privacy_floor(
    budget: float | None, delta: float, min_noise: float, ledger: str | None, cohort: int, output_dir: Path
) -> dict[str, Any]:
    """Return this account's privacy floor as the node's config has it, or say what is wrong with it."""
    if budget is not None and not ledger:
        raise FedstackError(
            ExitCode.CONFIG,
            f"--{PrivacyOption.EPSILON_BUDGET} is {budget:g}, but no ledger to keep it in is named.",
            f"Give --{PrivacyOption.LEDGER}.",
        )
    place = ledger or f"file://{(output_dir / 'privacy').absolute()}"
    floor = {
        PrivacyOption.EPSILON_BUDGET: budget,
        PrivacyOption.DELTA: delta,
        PrivacyOption.MIN_NOISE: min_noise,
        PrivacyOption.LEDGER: place,
        PrivacyOption.COHORT: cohort,
    }
    given = {str(name): value for name, value in floor.items() if value is not None}
    Floor.read(given).budget().entries()  # whatever is wrong with it is found before the server hears of us
    return given


def recorded(handler: Handler, ledger: Ledger) -> Handler:
    """Write every message that comes in and every answer that leaves this account to its own ledger."""

    def handle(message: Message) -> Message:
        reply = handler(message)
        outcome = {"error": reply.error.reason} if reply.has_error() else {"sha256": flower.digest_of(reply)}
        ledger.write(
            "answered",
            message=message.metadata.message_type,
            bytes_in=flower.size_of(message),
            bytes_out=flower.size_of(reply),
            **outcome,
        )
        gains.record(message, reply, ledger)
        return reply

    return handle


def _report(line: str) -> None:
    """Put the failure where SageMaker and a person look for it."""
    print(line, file=sys.stderr)  # noqa: T201
    failure = Path(os.environ.get("SM_OUTPUT_DIR", "/opt/ml/output")) / "failure"
    if failure.parent.is_dir():
        failure.write_text(line[:1024])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    run_cli(cli, _report)
