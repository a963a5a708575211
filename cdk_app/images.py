"""The images and instances that a client's training job can have; images.yaml has them as data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from cdk_app.regions import AMAZONAWS
from runtime.command_line.near import near
from runtime.contract import ExitCode, FedstackError
from runtime.model.images import ACCOUNTS, registry

DEFAULT: Final = "sklearn"

OWN_IMAGE: Final = re.compile(
    rf"(?P<account>\d{{12}})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<suffix>{AMAZONAWS})/"
    r"(?P<repository>[a-z0-9][a-z0-9._/-]*)@sha256:[0-9a-f]{64}"
)
"""An image of one's own, by its digest: a tag could be another image tomorrow."""


@dataclass(frozen=True)
class Image:
    """An image that AWS publishes.

    Parameters
    ----------
    cpu, gpu
        Its tags; without the second it has no libraries for a GPU.
    accounts
        The account that publishes it, by Region.
    has
        Versions of packages that it brings, and that no bundle for it needs to carry.
    """

    repository: str
    cpu: str
    gpu: str | None
    accounts: Mapping[str, str]
    has: Mapping[str, str] = field(default_factory=dict)

    def uri(self, region: str, *, gpu: bool) -> str:
        """Return the image's place in a Region, pinned to a tag."""
        tag = self.gpu if gpu and self.gpu else self.cpu
        return f"{registry(self.accounts[region], region)}/{self.repository}:{tag}"


@cache
def _data() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("images.yaml").read_text(encoding="utf-8"))
    told["registries"]["sagemaker"] = ACCOUNTS
    return told


@cache
def published() -> dict[str, Image]:
    """Return the images that AWS publishes, by the names that a federation file uses."""
    data = _data()
    return {
        name: Image(
            repository=told["repository"],
            cpu=told["cpu"],
            gpu=told.get("gpu"),
            accounts=data["registries"][told["registry"]],
            has=told.get("has", {}),
        )
        for name, told in data["images"].items()
    }


def check_image(image: str) -> None:
    """Refuse an image that is neither published nor one's own by its digest.

    Raises
    ------
    FedstackError
        With ExitCode.CONFIG.
    """
    if image not in published() and not OWN_IMAGE.fullmatch(image):
        raise FedstackError(
            ExitCode.CONFIG,
            f"There is no image {image!r}.",
            f"{near(image, published())} One's own is named by its digest, URI@sha256:...".strip(),
        )


def regions() -> frozenset[str]:
    """Return the Regions in which some image is published; which one, config/rules.py asks of each client."""
    return frozenset[str]().union(*(image.accounts for image in published().values()))


def image_uri(image: str, region: str, instance_type: str) -> str:
    """Return the image of one client's jobs: by a published one's name, or as its owner wrote it."""
    known = published().get(image)
    return image if known is None else known.uri(region, gpu=has_gpu(instance_type))


def families(kind: str) -> tuple[str, ...]:
    """Return the instance families of a kind: `volume`, or `gpu_with_own_disks`."""
    return tuple(_data()["instances"][kind])


def has_gpu(instance_type: str) -> bool:
    """Whether an instance has a GPU; those that are offered have disks of their own, too."""
    return instance_type.split(".")[1] in families("gpu_with_own_disks")


def named_by(uri: str) -> str | None:
    """Return the name of the published image that a URI is of."""
    repository = uri.partition("/")[2].partition(":")[0]
    return next((name for name, image in published().items() if image.repository == repository), None)


def suited_to(packages: Iterable[str]) -> str:
    """Return the published image that has some of these packages, or else the default one."""
    wanted = set(packages)
    return next((name for name, image in published().items() if wanted & image.has.keys()), DEFAULT)
