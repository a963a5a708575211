"""A bundle as `cdk deploy` publishes it: one object of the account's own asset bucket."""

from __future__ import annotations

from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from cdk_app.bundles import Bundle
from cdk_app.constructs.broker.broker_states import AdmittedBundle
from cdk_app.constructs.once import known


class PublishedBundle(s3_assets.Asset):
    """The built file, and the SHA-256 by which everybody calls it.

    Parameters
    ----------
    key_arn
        The KMS key of the asset bucket; None where every principal of the account may use it, or has none.
    """

    def __init__(self, scope: Construct, *, bundle: Bundle, key_arn: str | None) -> None:
        super().__init__(scope, "Bundle", path=str(bundle.path))
        self.key_arn = key_arn
        self.sha256 = bundle.sha256
        self._sha256_base64 = bundle.sha256_base64

    @property
    def admitted_key(self) -> str:
        """Where it goes in a code bucket."""
        return f"bundles/{self.sha256}.tar.gz"

    def admitted_to(self, code: s3.IBucket) -> AdmittedBundle:
        """Return what a broker has to copy and compare before this bundle may run from a code bucket."""
        return AdmittedBundle(
            published_bucket=known(self, "s3_bucket_name"),
            published_key=known(self, "s3_object_key"),
            published_kms_key=self.key_arn,
            code_bucket=known(code, "bucket_name"),
            code_key=self.admitted_key,
            sha256_base64=self._sha256_base64,
        )
