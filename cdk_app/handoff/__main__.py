"""`python -m cdk_app.handoff CLIENT`: write what a client deploys without CDK or Python."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Final

import typer

from cdk_app.bundles import BUNDLES, load_bundles, role_for
from cdk_app.config.load import load
from cdk_app.handoff.package import SUMS, Package, archive
from cdk_app.review.review import review
from cdk_app.synthesis import templates
from runtime.cli import run_cli
from runtime.contract import ExitCode, FedstackError

OUT: Final = Path("handoff")

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


def hand_off(federation_file: Path, client_name: str, out: Path, bundles: Path, key: Path | None) -> Path:
    """Synthesise a client's stack, review it, and write its package; return the archive.

    Raises
    ------
    FedstackError
        When there is no such client, or none who deploys it, or its stack cannot be synthesised, or its
        review fails.
    """
    federation = load(federation_file)
    client = federation.client(client_name)
    if client.deployed_by is None and federation.reached_by(client) == "peering":
        raise FedstackError(
            ExitCode.CONFIG,
            f"Who deploys {client_name}'s package is not said: the server would let only CDK's role peer.",
            "Write `deployed_by`, the ARN of that role or user, into the federation file; update the server.",
        )
    template = synthesise(federation_file, client_name, bundles)
    verdict = review(template)
    if not verdict.passed:
        raise FedstackError(
            ExitCode.REVIEW,
            f"The review of {client_name}'s template fails:\n{verdict.text}\n",
            "What a client cannot approve is not handed off: mend it.",
        )
    package = Package(
        federation=federation,
        client=client,
        template=template,
        bundle=load_bundles(bundles)[role_for(federation.job(client).image)],
        review=f"{verdict.text}\n",
    )
    return archive(package.write(out, key))


def synthesise(federation_file: Path, client: str, bundles: Path) -> bytes:
    """Return the template of one client's stack, as the entry point of the cdk command line writes it."""
    (template,) = templates(federation_file, bundles, f"{client}'s stack", {"handoff": client}).values()
    return template


@cli.command()
def main(
    client: Annotated[str, typer.Argument(help="The client's name in the federation file.")],
    federation: Annotated[Path, typer.Option(help="The federation file.")] = Path("federation.yaml"),
    out: Annotated[Path, typer.Option(help="Where the package goes.")] = OUT,
    bundles: Annotated[Path, typer.Option(help="Where `fedstack bundle` built the bundles.")] = BUNDLES,
    sign: Annotated[Path | None, typer.Option(help="The operator's SSH key, to sign with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """Write what a client deploys without CDK or Python, and say what its owner compares."""
    packed = hand_off(federation, client, out, bundles, sign)
    sums = packed.with_suffix("") / SUMS
    digest = hashlib.sha256(sums.read_bytes()).hexdigest()
    if as_json:
        typer.echo(json.dumps({"package": str(packed), "sums": str(sums), "sums_sha256": digest}))
    else:
        typer.echo(f"{packed}  {packed.stat().st_size / 1e6:.1f} MB\n{digest}  {sums}")


if __name__ == "__main__":
    run_cli(cli, lambda line: typer.echo(line, err=True))
