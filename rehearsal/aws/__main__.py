"""Run the emulated AWS as a process: `python -m rehearsal.aws --work FOLDER [--port N]`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path


def main() -> None:
    """Serve until SIGTERM or SIGINT; the file `endpoint` in the work folder says where, once it is ready."""
    parser = argparse.ArgumentParser(prog="rehearsal.aws")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--time-scale", type=float, default=0.1, help="how long AWS's own waits take, in parts of theirs"
    )
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    os.environ.setdefault(
        "MOTO_IAM_LOAD_MANAGED_POLICIES", "true"
    )  # AdministratorAccess, for `cdk bootstrap`
    from rehearsal.aws.server import EmulatedAws  # after the environment that moto reads when it is imported

    aws = EmulatedAws(given.port, given.work, given.time_scale)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=aws.close).start())
    fresh = given.work / "endpoint.tmp"
    fresh.write_text(aws.endpoint)
    fresh.replace(given.work / "endpoint")
    aws.serve()


if __name__ == "__main__":
    main()
