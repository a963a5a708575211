"""ECR's images of AWS's own accounts, which every account may pull.

Source: Amazon ECR API reference, BatchGetImage. Which images: cdk_app/images.yaml, with its sources.
moto 5.2.5 looks for every registry in the caller's account.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from moto.ecr.models import ecr_backends

from cdk_app.images import published
from cdk_app.regions import partition
from rehearsal.aws.errors import AwsError, denied
from rehearsal.aws.protocol import Call

MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"


def publish() -> None:
    """Put AWS's images where AWS has them; whoever deletes one finds out what is missed."""
    for image in published().values():
        for region, account in image.accounts.items():
            registry = ecr_backends[account][region]
            registry.create_repository(image.repository, None, {}, None, "MUTABLE", [])
            for tag in filter(None, (image.cpu, image.gpu)):
                manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "tag": tag})
                registry.put_image(image.repository, manifest, tag)


def batch_get_image(call: Call) -> Mapping[str, Any]:
    """Return the manifests of images; those of another account only where that account is AWS's own."""
    asked = call.parameters
    registry, repository = asked.get("registryId") or call.principal.account, asked["repositoryName"]
    of_aws = {account for image in published().values() for account in image.accounts.values()}
    if registry not in {call.principal.account, *of_aws}:
        arn = f"arn:{partition(call.region)}:ecr:{call.region}:{registry}:repository/{repository}"
        raise denied(call.principal.arn, "ecr:BatchGetImage", arn, "no policy of the repository allows it")
    backend = ecr_backends[registry][call.region]
    if repository not in backend.repositories:
        message = (
            f"The repository with name '{repository}' does not exist in the registry with id '{registry}'"
        )
        raise AwsError("RepositoryNotFoundException", message)
    answer = backend.batch_get_image(repository, registry, asked["imageIds"])
    images = [
        {
            "registryId": registry,
            "repositoryName": repository,
            "imageId": {"imageDigest": image.get_image_digest()},
            "imageManifest": image.get_image_manifest(),
        }
        for image in answer["images"]
    ]
    return {"images": images, "failures": answer["failures"]}
