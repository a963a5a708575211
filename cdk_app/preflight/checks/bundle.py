"""The code that would run: pinned by the stack, published by the deployment, and built here."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from cdk_app.bundles import Bundle, BundleError, load_bundles, role_for
from cdk_app.config.roster import roster
from cdk_app.preflight.account import Described
from cdk_app.preflight.side import DEPLOY, Side
from runtime.contract import JobOption
from runtime.link.versions import versions
from runtime.server.preflight.findings import NotCheckedError, Problem

_MACHINE: Final = "AWS::StepFunctions::StateMachine"
_PARAMETER: Final = "AWS::SSM::Parameter"
_LIFECYCLE: Final = "AWS::SageMaker::NotebookInstanceLifecycleConfig"
_PINNED: Final = re.compile(
    rf"\"{JobOption.BUNDLE}\":\s*\"sha256:([0-9a-f]{{64}})\"|([0-9a-f]{{64}})  /tmp/bundle"
)
_PUBLISHED: Final = (
    re.compile(r"\"CopySource\":\s*\"([^\"/]+)/([^\"]+)\""),
    re.compile(r"\"sagemaker_submit_directory\":\s*\"s3://([^\"/]+)/([^\"]+)\""),
    re.compile(r"s3://([^\"/ ]+)/([^\" ]+)\" /tmp/bundle"),
)
_ROSTER: Final = re.compile(r"s3://([^\"/ ]+)/([^\" ]+\.json)")
_MEBIBYTE: Final = 1 << 20


def digests_in(text: str) -> set[str]:
    """Return the digests of bundles that a state machine, a request or a start script names."""
    return {first or second for first, second in _PINNED.findall(text)}


def published_in(text: str) -> tuple[str, str] | None:
    """Return bucket and key of the bundle that a state machine, a request or a start script fetches."""
    found = next((match for pattern in _PUBLISHED if (match := pattern.search(text))), None)
    return (found[1], found[2]) if found else None


def bundle(side: Side) -> Iterator[Problem | str]:
    """Compare the bundle that the stack pins with the published object and with what is built here."""
    text = _pinning(side)
    digests = digests_in(text)
    if len(digests) != 1:
        raise NotCheckedError(f"the stack pins {len(digests)} bundles")
    pinned = digests.pop()
    yield f"sha256:{pinned[:12]}"
    here = _built(side)
    if here is not None and here.sha256 != pinned:
        yield Problem(
            side.owner,
            f"The stack runs the bundle sha256:{pinned[:12]}; here, sha256:{here.sha256[:12]} is built.",
            "Deploy the same release in all accounts: `make synth`, then deploy; or take that release here.",
        )
    if here is not None and here.sha256 == pinned:
        yield f"code {versions()['bundle']}, protocol {versions()['protocol']}: to be the same on both sides"
    place = published_in(text)
    if place is None:
        raise NotCheckedError("the stack names no published bundle")
    yield from _published(side, *place, pinned, here)


def _pinning(side: Side) -> str:
    """Return where this side's stack pins its bundle: the broker, the direct request, or the start script."""
    stack = side.stack()
    if side.client is None:
        return _script(side)
    if side.client.kickoff == "direct":
        return "".join(str(p.properties["Value"]) for p in stack.resources(_PARAMETER))
    return "".join(str(machine.properties["DefinitionString"]) for machine in stack.resources(_MACHINE))


def _script(side: Side) -> str:
    config = side.stack().resource(_LIFECYCLE)
    if config is None:
        raise NotCheckedError("the stack has no notebook")
    return base64.b64decode(config.properties["OnStart"][0]["Content"]).decode("utf-8")


def _built(side: Side) -> Bundle | None:
    """Return the bundle for this side that `make bundle` built last, if it did."""
    role = "server" if side.client is None else role_for(side.federation.job(side.client).image)
    try:
        return load_bundles(side.bundles).get(role)
    except BundleError:
        return None


def _published(
    side: Side, bucket: str, key: str, pinned: str, here: Bundle | None
) -> Iterator[Problem | str]:
    """Compare the published object, by the checksum that S3 keeps of it, else by its size."""
    place = f"s3://{bucket}/{key}"
    live = side.account.get("s3", "head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    if live is None:
        yield Problem(side.owner, f"The published bundle {place} is not there.", DEPLOY)
        return
    there, size = str(live.get("ChecksumSHA256", "")).partition("-")[0], int(live["ContentLength"])
    expected = _expected_checksum(live, pinned, here)
    known = here.path.stat().st_size if here is not None and here.sha256 == pinned else size
    if (there and expected and there != expected) or size != known:
        yield Problem(
            side.owner,
            f"What lies at {place} ({size:,} bytes) is not the bundle sha256:{pinned[:12]}.",
            "Delete that object and deploy again; CloudTrail shows who wrote it. No broker starts it.",
        )
    yield f"published, {size / 1e6:.0f} MB, compared by its {'checksum' if there and expected else 'size'}"


def _expected_checksum(live: Described, pinned: str, here: Bundle | None) -> str | None:
    """Return the checksum that S3 has of the bundle; of an upload in parts, that of the parts' checksums."""
    parts = str(live["ETag"]).strip('"').partition("-")[2]
    if not parts:
        return base64.b64encode(bytes.fromhex(pinned)).decode("ascii")
    if here is None or here.sha256 != pinned or not here.path.exists():
        return None
    return of_parts(here.path, int(parts))


@cache
def of_parts(file: Path, parts: int) -> str | None:
    """Return S3's composite SHA-256 of a file uploaded in so many equal parts of whole mebibytes.

    Source: S3 User Guide, "Checking object integrity", composite checksums.
    """
    size = file.stat().st_size
    step = math.ceil(size / parts / _MEBIBYTE) * _MEBIBYTE
    if math.ceil(size / step) != parts:
        return None
    whole = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(step):
            whole.update(hashlib.sha256(part).digest())
    return base64.b64encode(whole.digest()).decode("ascii")


def server_roster(side: Side) -> Iterator[Problem | str]:
    """Compare the roster that the server's notebook fetches with federation.yaml."""
    found = _ROSTER.search(_script(side))
    if found is None:
        raise NotCheckedError("the notebook's start script names no roster")
    bucket, key = found.groups()
    answer = side.account.get("s3", "get_object", Bucket=bucket, Key=key)
    if answer is None:
        yield Problem(side.server, f"The roster s3://{bucket}/{key} is not there.", DEPLOY)
        return
    there = json.loads(answer["Body"].read())
    wanted = json.loads(json.dumps(roster(side.federation)))
    if there != wanted:
        yield Problem(
            side.server,
            f"The server's roster is not that of federation.yaml: {_differs(there, wanted)}.",
            "Run `make synth`, deploy the server's stack, then stop and start its notebook.",
        )
    yield f"{len(wanted['clients'])} clients"


def _differs(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    old, new = ({c["name"]: c for c in told["clients"]} for told in (there, wanted))
    if names := sorted(name for name in {*old, *new} if old.get(name) != new.get(name)):
        return f"{', '.join(names)} differ" if len(names) > 1 else f"{names[0]} differs"
    return ", ".join(sorted(key for key in {*there, *wanted} if there.get(key) != wanted.get(key)))
