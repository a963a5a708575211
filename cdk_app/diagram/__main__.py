"""Draws the accounts of an assembly: python -m cdk_app.diagram [cdk.out] [--out docs]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cdk_app.diagram import draw
from cdk_app.diagram.read import read


def pictures(assembly: Path) -> dict[str, str]:
    """Return each picture by its file's name."""
    found = read(assembly)
    if len(found) < 2:
        sys.exit(f"{assembly} has no templates of a server and a client: run `make synth` first.")
    return {"accounts.svg": draw.accounts(found), "client-account.svg": draw.client(found[1])}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description="Draw the accounts of an assembly.")
    parser.add_argument(
        "assembly", nargs="?", type=Path, default=Path("cdk.out"), help="what `make synth` wrote"
    )
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where the pictures go")
    options = parser.parse_args()
    for name, picture in pictures(options.assembly).items():
        (options.out / name).write_text(picture, encoding="utf-8")
        sys.stdout.write(f"{options.out / name}\n")


if __name__ == "__main__":
    main()
