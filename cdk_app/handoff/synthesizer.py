"""Where the template of a hand-off package expects its bundle: in a bucket of the package's own."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import jsii

from cdk_app.regions import dns_suffix


class HandoffSynthesizer(cdk.BootstraplessSynthesizer):
    """Write a template for CloudFormation alone: nothing of `cdk bootstrap` is in it.

    Parameters
    ----------
    bucket
        The bucket into which the client puts its bundle.
    key
        The bundle's key there.
    region
        Where that is.
    """

    def __init__(self, bucket: str, key: str, region: str) -> None:
        super().__init__()
        self._region = region
        self._bucket, self._key = bucket, key
        self._asked = False

    @jsii.member(jsii_name="addFileAsset")
    def add_file_asset(self, *_: Any, **__: Any) -> cdk.FileAssetLocation:
        """Return where a client's one asset, its bundle, will be; nothing is published."""
        if self._asked:
            raise ValueError("A hand-off package has one asset, the bundle; this stack has another one.")
        self._asked = True
        place = f"{self._bucket}/{self._key}"
        return cdk.FileAssetLocation(
            bucket_name=self._bucket,
            object_key=self._key,
            http_url=f"https://s3.{self._region}.{dns_suffix(self._region)}/{place}",
            s3_object_url=f"s3://{place}",
        )
