"""Whose credentials, which Region, is the account bootstrapped, and are its stacks what synth gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from cdk_app.naming import BOOTSTRAP_QUALIFIER
from cdk_app.preflight.deployed import SETTLED, digest
from cdk_app.preflight.side import Side
from runtime.server.preflight import caller
from runtime.server.preflight.findings import NotCheckedError, Problem

LEAST_BOOTSTRAP: Final = 6
"""What cdk asks for where no template says otherwise."""


def clock(side: Side) -> Iterator[Problem | str]:
    """Compare this machine's clock with AWS's."""
    yield from caller.clock(side.caller, side.owner)


def identity(side: Side) -> Iterator[Problem | str]:
    """Compare whose the credentials are with the account of this side."""
    if side.caller.account != side.place.account:
        yield Problem(
            side.owner,
            f"These credentials are of account {side.caller.account} ({side.caller.arn}); "
            f"in federation.yaml it is {side.place.account}.",
            "Choose the profile of that account (AWS_PROFILE), or correct federation.yaml.",
        )
    yield side.caller.arn


def region(side: Side) -> Iterator[Problem | str]:
    """Find a Region that the account has not switched on, or another default Region."""
    yield from caller.home_region(side.account.session, side.place.region, side.owner)
    regions = side.account.all("ec2", "describe_regions", "Regions", AllRegions=True)
    state = {r["RegionName"]: r["OptInStatus"] for r in regions}.get(side.place.region, "unknown")
    if state not in ("opt-in-not-required", "opted-in"):
        yield Problem(
            side.owner,
            f"The account's Region {side.place.region} is {state}.",
            "Enable the Region for the account (Account settings, AWS Regions); it takes minutes to hours.",
        )


def bootstrap(side: Side) -> Iterator[Problem | str]:
    """Compare the account's CDK bootstrap with what the templates need: its qualifier and version."""
    if from_package(side, side.stack_name):
        yield "none is needed: the stack was deployed from its hand-off package"
        return
    template = _some_template(side)
    qualifier = side.place.bootstrap_qualifier or BOOTSTRAP_QUALIFIER
    named = f"/cdk-bootstrap/{qualifier}/version"
    path = template.get("Parameters", {}).get("BootstrapVersion", {}).get("Default", named)
    qualifier = path.split("/")[2]
    command = f"`cdk bootstrap --app '' aws://{side.place.account}/{side.place.region}`"
    if qualifier != BOOTSTRAP_QUALIFIER:
        command += f" with --qualifier {qualifier}"
    answer = side.account.get("ssm", "get_parameter", Name=path)
    if answer is None:
        yield Problem(
            side.owner,
            f"The account has no CDK bootstrap with the qualifier {qualifier} in {side.place.region}.",
            f"Run {command} once.",
        )
        return
    version, needed = str(answer["Parameter"]["Value"]), _needed(template)
    if not version.isdecimal() or int(version) < needed:
        yield Problem(
            side.owner,
            f"The account's CDK bootstrap is version {version}; the stacks need {needed}.",
            f"Run {command} again.",
        )
    yield f"version {version}, qualifier {qualifier}"
    bucket = f"cdk-{qualifier}-assets-{side.place.account}-{side.place.region}"
    if side.account.get("s3", "head_bucket", Bucket=bucket) is None:
        yield Problem(
            side.owner,
            f"The bootstrap's bucket {bucket} is not there.",
            f"Run {command} again, or name the bucket.",
        )


def from_package(side: Side, name: str) -> bool:
    """Whether a stack is deployed from a hand-off package, which needs nothing of `cdk bootstrap`."""
    stack = side.account.stack(name)
    return stack is not None and "BootstrapVersion" not in stack.template.get("Parameters", {})


def _some_template(side: Side) -> dict[str, Any]:
    """Return the template of this side's stack, as it is deployed or as synth wrote it."""
    if stack := side.account.stack(side.stack_name):
        return dict(stack.template)
    return _synthesised(side, side.stack_name) or {}


def _needed(template: dict[str, Any]) -> int:
    """Return the version that a template's own rule asks for: it lists those that are too old."""
    rule = json.dumps(template.get("Rules", {}).get("CheckBootstrapVersion", {}))
    refused = [int(version) for version in re.findall(r'"(\d+)"', rule)]
    return max(refused) + 1 if refused else LEAST_BOOTSTRAP


def stacks(side: Side) -> Iterator[Problem | str]:
    """Find stacks that are not there, or not as somebody wanted them."""
    names = list(side.stack_names())
    for name in names:
        stack = side.account.stack(name)
        if stack is None:
            yield Problem(
                side.owner,
                f"The stack {name} is not deployed in {side.place.region}.",
                "Deploy it, in the order of docs/deploy.md, or correct its Region in federation.yaml.",
            )
        elif stack.status not in SETTLED:
            busy = stack.status.endswith("_IN_PROGRESS")
            why = f": {stack.reason}" if stack.reason else ""
            yield Problem(
                side.owner,
                f"The stack {name} is {stack.status}{why}.",
                "Wait until it has settled." if busy else "Mend what its events name, and deploy it again.",
            )
    yield f"{len(names)} deployed" if len(names) > 1 else names[0]


def template(side: Side) -> Iterator[Problem | str]:
    """Compare each deployed template with what synth gives now."""
    if not (side.assembly / "manifest.json").exists():
        raise NotCheckedError(f"there is nothing in {side.assembly}: run `make synth` to compare")
    for name in side.stack_names():
        if (stack := side.account.stack(name)) is None:
            continue
        if from_package(side, name):
            raise NotCheckedError(
                f"{name} was deployed from its hand-off package, which has a template of its own: compare "
                f"its SHA-256, {digest(stack.template)[:12]} here, with the package's review"
            )
        synthesised = _synthesised(side, name)
        if synthesised is None:
            yield Problem(
                side.owner,
                f"{side.assembly} has no template of {name}.",
                "Run `make synth` with this federation.yaml.",
            )
        elif digest(synthesised) != digest(stack.template):
            yield Problem(
                side.owner,
                f"The template of {name} is {digest(stack.template)[:12]}, and synth gives "
                f"{digest(synthesised)[:12]}: {_changed(stack.template, synthesised)}.",
                "Deploy it, or take the release and the federation.yaml that it was deployed from.",
            )
        else:
            yield f"{name} {digest(synthesised)[:12]}"


def _synthesised(side: Side, name: str) -> dict[str, Any] | None:
    file = side.assembly / f"{name}.template.json"
    if not file.exists():
        return None
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return read


def _changed(old: Any, new: Any) -> str:
    """Return which resources differ, or which parts of the template."""
    before, after = old.get("Resources", {}), new.get("Resources", {})
    names = sorted(n for n in {*before, *after} if before.get(n) != after.get(n))
    if not names:
        names = sorted(n for n in {*old, *new} if old.get(n) != new.get(n))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more differ" if len(names) > 5 else " differ")
