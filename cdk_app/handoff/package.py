"""Writes a hand-off package: one client's folder, and an archive of it, byte for byte the same every time."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from cdk_app.bundles import CONTENTS, Bundle
from cdk_app.config.models import ClientAccount, Federation
from cdk_app.handoff import cost, signature
from cdk_app.handoff.bundle_bucket import bundle_bucket_template
from cdk_app.handoff.terraform import Deployed, main_tf
from cdk_app.naming import ClientNames
from runtime.contract import Updates

SUMS: Final = "SHA256SUMS"
_BUCKET: Final = "AWS::S3::Bucket"
_CHUNK: Final = 1 << 20

Template = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Package:
    """All that goes into one client's package.

    Parameters
    ----------
    template
        The synthesised template of the client's stack, as CloudFormation gets it.
    bundle
        The bundle that this template admits.
    review
        What the template's review says.
    """

    federation: Federation
    client: ClientAccount
    template: bytes
    bundle: Bundle
    review: str

    @property
    def names(self) -> ClientNames:
        """What is called how in the client's account."""
        return self.federation.names_of(self.client)

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.federation.name}-{self.client.name}"

    def write(self, out: Path, key: Path | None = None) -> Path:
        """Write the package into a folder of its own under `out`, anew; return that folder.

        Parameters
        ----------
        key
            The operator's SSH key, to sign with.
        """
        folder = out / self.name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "terraform").mkdir(parents=True)
        for name, content in self._files().items():
            (folder / name).write_bytes(content)
        shutil.copyfile(self.bundle.path, folder / self.bundle.path.name)
        sums = "".join(
            f"{_sha256(path)}  ./{path.relative_to(folder).as_posix()}\n" for path in files(folder)
        )
        (folder / SUMS).write_bytes(sums.encode())
        if key is not None:
            signature.sign(folder / SUMS, key)
        return folder

    def _files(self) -> dict[str, bytes]:
        template: Template = json.loads(self.template)
        declared: Mapping[str, Mapping[str, Any]] = template.get("Parameters", {})
        job = self.federation.job(self.client)
        pinned = cost.Job(
            instance_type=job.instance_type,
            volume_gb=job.volume_gb,
            max_runtime_minutes=job.max_runtime_minutes,
            max_runs_per_day=self.client.max_runs_per_day,
        )
        deployed = Deployed(
            account=self.client.account,
            region=self.client.region,
            stack=self.names.stack,
            template="template.json",
            template_key=f"templates/{hashlib.sha256(self.template).hexdigest()}.json",
            bundle_stack=self.names.bundle_stack,
            bundle_template="bucket.json",
            bucket=self.names.bundle_bucket,
            bundle=self.bundle.path.name,
        )
        first = bundle_bucket_template(self.names.bundle_bucket, what_for=self.names.stack)
        return {
            "template.json": self.template,
            "bucket.json": _json(first),
            "parameters.json": _json(
                [f"{name}={each.get('Default', '')}" for name, each in declared.items()]
            ),
            "bundle.json": _contents(self.bundle.path),
            "review.txt": self.review.encode(),
            "cost.txt": cost.text(template, pinned, self.client.region).encode(),
            "terraform/main.tf.json": _json(main_tf(deployed, declared)),
            "README.md": self._readme(template, declared).encode(),
        }

    def _readme(self, template: Template, declared: Mapping[str, Any]) -> str:
        names, client = self.names, self.client
        summed = client.privacy.updates is Updates.SUMS
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - no HTML
        readme = environment.from_string(Path(__file__).with_name("readme.md.j2").read_text("utf-8"))
        return readme.render(
            federation=self.federation.name,
            client=client.name,
            account=client.account,
            region=client.region,
            stack=names.stack,
            bundle_stack=names.bundle_stack,
            bucket=names.bundle_bucket,
            bundle=self.bundle.path.name,
            bundle_sha256_base64=self.bundle.sha256_base64,
            parameters=declared,
            parameters_file=f"{self.name}.parameters.json",
            cidr=client.cidr,
            server_cidr=self.federation.server.cidr,
            way=self.federation.reached_by(client),
            kickoff_endpoint="KickoffEndpoint" in template.get("Outputs", {}),
            data_bucket=next(name for name in _buckets(template) if name.startswith("StorageData")),
            emptied=" || ".join(f"LogicalResourceId=='{name}'" for name in _buckets(template, kept=False)),
            kept=_kept(template),
            signing_key=names.signing_key if summed else None,
            cohort=" and ".join(client.privacy.cohort),
            participation=names.participation,
            deployed_by=client.deployed_by,
            protected=client.termination_protection,
            signer=signature.SIGNER,
            namespace=signature.NAMESPACE,
        )


def archive(folder: Path) -> Path:
    """Pack a package's folder into one file beside it, which says nothing of when and where it was made."""
    path = folder.with_name(f"{folder.name}.tar")
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as packed:
        for file in files(folder):
            entry = tarfile.TarInfo(f"{folder.name}/{file.relative_to(folder).as_posix()}")
            entry.size, entry.mode = file.stat().st_size, 0o644
            with file.open("rb") as content:
                packed.addfile(entry, content)
    return path


def files(folder: Path) -> list[Path]:
    """Return every file of a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _buckets(template: Template, *, kept: bool | None = None) -> Iterator[str]:
    """Yield the logical ids of buckets; with `kept`, of those that stay without their stack, or go."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == _BUCKET and kept in (None, resource.get("DeletionPolicy") == "Retain"):
            yield name


def _kept(template: Template) -> str:
    keys = [
        resource
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::KMS::Key" and resource.get("DeletionPolicy") == "Retain"
    ]
    count = len(list(_buckets(template, kept=True)))
    return f"{count} buckets (data, models, access logs) and {len(keys)} KMS keys"


def _contents(bundle: Path) -> bytes:
    """Return the list of files that a bundle has as its first member."""
    with tarfile.open(bundle) as packed:
        found = packed.extractfile(CONTENTS)
        assert found is not None  # noqa: S101 - every bundle is built with it
        return found.read()


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
