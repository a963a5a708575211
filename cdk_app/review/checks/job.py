"""The pinned job: is each of the client's own choices one that can be pinned, and what can it cost?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from cdk_app.handoff import cost
from cdk_app.images import OWN_IMAGE, families, published
from cdk_app.review.reading.parts import Parts, data
from runtime.contract import LEAST_COHORT, PrivacyOption, Updates

_COHORT: Final = re.compile(rf"{PrivacyOption.COHORT}-\d+")
_WHERE: Final = "the training job"


class Job:
    """The job of a client, with what its stack pins."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._template = parts.template
        self._values = parts.values

    @property
    def members(self) -> dict[str, str]:
        """The other members that it agrees to be summed with, and their public keys."""
        options = self._parts.request.get("HyperParameters", {})
        pairs = (str(value).partition("=") for key, value in options.items() if _COHORT.fullmatch(key))
        return {name: key for name, _, key in pairs}

    def check(self) -> None:
        """Object to whatever cannot be pinned, or is more than a client can want."""
        for sentence in (*self._names(), *self._image(), *self._limits(), *self._code(), *self._privacy()):
            self._template.object(_WHERE, sentence)
        if self._parts.direct:
            self._template.object(
                _WHERE,
                "kickoff: direct. The server asks for the job itself, so that image, code and privacy policy "
                "cannot be pinned: it can run any code over this account's data.",
            )

    def costs(self) -> tuple[cost.Item, cost.Item]:
        """Return the worst cost of a run and of a day."""
        job = cost.Job(
            instance_type=str(self._values.get("instance_type")),
            volume_gb=_number(self._values.get("volume_gb")),
            max_runtime_minutes=_number(self._values.get("run_seconds")) // 60,
            max_runs_per_day=_number(self._values.get("runs_a_day")),
        )
        return cost.run(job, self._template.region), cost.day(job, self._template.region)

    def _names(self) -> Iterator[str]:
        for name, pattern in (
            ("federation", r"[a-z][a-z0-9]{1,15}"),
            ("client", r"[a-z](?:-?[a-z0-9]){1,23}"),
        ):
            if not re.fullmatch(pattern, str(self._values.get(name))):
                yield f"The {name} is called {self._values.get(name)!r}, which is more than a name."

    def _image(self) -> Iterator[str]:
        image = str(self._values.get("image", ""))
        region = self._template.region
        ours = {
            kind.uri(region, gpu=gpu)
            for kind in published().values()
            for gpu in (False, True)
            if region in kind.accounts
        }
        if image not in ours and not OWN_IMAGE.fullmatch(image):
            yield (
                f"The image {image or 'is not there'} is not pinned: it is none that AWS publishes for "
                "SageMaker in this Region, and has no digest (@sha256:...)."
            )

    def _limits(self) -> Iterator[str]:
        told = data("job.yaml")
        kinds = "|".join(families("volume") + families("gpu_with_own_disks"))
        if not re.fullmatch(rf"ml\.({kinds})\.\d*x?(large|medium)", str(self._values.get("instance_type"))):
            kind = self._values.get("instance_type")
            yield f"The instance {kind} is none whose disks are encrypted as reviewed."
        for name, longest in (("run", "longest_run_seconds"), ("wait", "longest_wait_seconds")):
            seconds = self._values.get(f"{name}_seconds", 0 if name == "wait" else None)
            if not isinstance(seconds, int) or not (name == "wait" or seconds > 0) or seconds > told[longest]:
                most = told[longest]
                yield f"The job may {name} for {seconds} seconds; {most} is the most that is reviewed."

    def _code(self) -> Iterator[str]:
        digest = str(self._values.get("bundle_sha256", ""))
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            yield f"The bundle has no SHA-256 but {digest!r}."
        elif not self._parts.direct and self._values.get("code_key") != f"bundles/{digest}.tar.gz":
            yield "The code that the job loads is not the bundle whose digest it is told."

    def _privacy(self) -> Iterator[str]:
        values = self._values
        updates = values.get("updates")
        if updates not in set(Updates):
            yield f"How updates may leave is {updates!r}, which is no privacy policy."
        for name, least in (
            ("min_rows", 1),
            ("max_answers", 1),
            ("max_numbers_per_cell", 0),
            ("delta", 0),
            ("min_noise_multiplier", 0),
        ):
            if name in values and not _at_least(values[name], least):
                yield f"The privacy policy's {name} is {values[name]!r}, which is no number from {least} on."
        if updates == Updates.SUMS:
            members, least = 1 + len(self.members), values.get("min_cohort", LEAST_COHORT)
            if "signing_key" not in values:
                yield "Updates leave in sums, and no signing key vouches for this account's part of one."
            if not _at_least(least, LEAST_COHORT) or members < int(float(least)):
                fewest = f"{LEAST_COHORT} are the fewest"
                yield f"Updates leave in sums over {members} members, at least {least}: {fewest}."
        if (
            updates == Updates.NOISE
            and "epsilon_budget" not in values
            and not _at_least(values.get("min_noise_multiplier", "0"), 1e-9)
        ):
            yield "Updates leave with noise, and neither a budget nor a least noise is pinned."


def _at_least(value: Any, least: float) -> bool:
    try:
        return float(value) >= least
    except (TypeError, ValueError):
        return False


def _number(value: Any) -> int:
    """Return a number of a template; 0 for what is none, which is objected to elsewhere."""
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else 0
