"""The server's buckets: a test set that no client holds, and what came of each run."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from cdk_app.constructs.storage.bucket import AccessLogBucket, PrivateBucket
from cdk_app.constructs.storage.keys import Keys


class ServerStorage(Construct):
    """`test/` in the one, reports, ledgers and models in the other; both are kept when the stack goes."""

    def __init__(self, scope: Construct, *, keys: Keys, removal: cdk.RemovalPolicy) -> None:
        super().__init__(scope, "Storage")
        logs = AccessLogBucket(self, removal=removal)
        self.test_data = PrivateBucket(self, "TestData", key=keys.data, access_logs=logs, removal=removal)
        self.results = PrivateBucket(self, "Results", key=keys.data, access_logs=logs, removal=removal)

    @property
    def bucket_arns(self) -> list[str]:
        """Both of them."""
        return [self.test_data.bucket_arn, self.results.bucket_arn]
