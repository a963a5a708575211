"""What the whole journey costs: `make demo` from bare accounts to bare accounts, in seconds and CPU seconds.

Run as `python -m bench.journey [--json FILE] [-- OPTIONS OF fedstack demo]`. CPU is user and system of the
demo and all that it started and waited for; what it makes once and keeps (.venvs) should be there already.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Run it once and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("options", nargs="*", help="options of fedstack demo")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "fedstack", "demo", "--out", out, *asked.options],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {"seconds": round(seconds, 1), "cpu_seconds": round(used.ru_utime + used.ru_stime, 1)}
    print(f"{figures['seconds']:.1f} s, {figures['cpu_seconds']:.1f} CPU seconds")
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
