"""The server's buckets: a test set that no client holds, and what came of each run."""

from __future__ import annotations

from typing import Final, Protocol

import aws_cdk as cdk
from constructs import Construct

from cdk_app.constructs.once import known
from cdk_app.constructs.storage.bucket import AccessLogBucket, PrivateBucket, name_buckets
from cdk_app.constructs.storage.keys import Keys

TEST_DATA: Final = "test"
"""Where the test set lies in its bucket."""
RESULTS: Final = "runs"
"""Where each run has a folder in the bucket of results."""


class OwnNames(Protocol):
    """What the buckets are called by their owner's rules; None where there are none."""

    @property
    def test_data(self) -> str | None: ...  # noqa: D102
    @property
    def results(self) -> str | None: ...  # noqa: D102
    @property
    def access_logs(self) -> str | None: ...  # noqa: D102


class ServerStorage(Construct):
    """`test/` in the one, reports, ledgers and models in the other; both are kept when the stack goes."""

    def __init__(
        self, scope: Construct, *, keys: Keys, own_names: OwnNames, removal: cdk.RemovalPolicy
    ) -> None:
        super().__init__(scope, "Storage")
        logs = AccessLogBucket(self, removal=removal, name=own_names.access_logs)
        self.test_data = PrivateBucket(
            self, "TestData", key=keys.data, access_logs=logs, removal=removal, name=own_names.test_data
        )
        self.results = PrivateBucket(
            self, "Results", key=keys.data, access_logs=logs, removal=removal, name=own_names.results
        )
        name_buckets(
            self,
            TestDataBucket=(self.test_data, f"The test set goes to {TEST_DATA}/"),
            ResultsBucket=(self.results, f"What each run leaves is in {RESULTS}/"),
            AccessLogsBucket=(logs, "Who read and wrote what in the others"),
        )

    @property
    def bucket_arns(self) -> list[str]:
        """Both of them."""
        return [known(self.test_data, "bucket_arn"), known(self.results, "bucket_arn")]
