"""A client's training job: the role it has, the network it sits in, and the request that makes it."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from constructs import Construct

from cdk_app.constructs.identity.execution_role import ExecutionRole
from cdk_app.constructs.identity.signing_key import SigningKey, cohort_options
from cdk_app.constructs.job.job import JobRequest
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.network.security_groups import JobGroup
from cdk_app.constructs.network.way import Way
from cdk_app.constructs.once import known, objects, url
from cdk_app.constructs.storage.client_storage import ClientStorage
from cdk_app.constructs.storage.keys import Keys
from cdk_app.constructs.storage.published_bundle import PublishedBundle
from cdk_app.images import DEFAULT, image_uri
from cdk_app.naming import ClientNames
from runtime.contract import LINK_PORT, PrivacyOption


class ClientJob(Construct):
    """Everything that a training job of one client is, before anybody starts it.

    Parameters
    ----------
    way
        How its network reaches the server's.
    privacy
        The values of the account's privacy policy, as options of the job.
    cohort
        The members that its updates are summed with, and their public keys as far as they are known; None
        where nothing is summed, and so nothing signed.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        names: ClientNames,
        network: Network,
        way: Way,
        storage: ClientStorage,
        keys: Keys,
        published: PublishedBundle,
        direct: bool,
        image: str,
        instance_type: str,
        volume_gb: int,
        max_runtime_minutes: int,
        spot: bool,
        privacy: Mapping[str, str],
        cohort: Mapping[str, str | None] | None,
        tags: Mapping[str, str],
    ) -> None:
        super().__init__(scope, "Job")
        group = JobGroup(self, vpc=network.vpc, link_cidr=way.cidr, port=LINK_PORT)
        role = ExecutionRole(self, job_prefix=names.job_prefix)
        # The broker admits the code into a bucket that only it can write; without one, it stays where it is.
        code = published.bucket if direct else storage.code
        code_key = known(published, "s3_object_key") if direct else published.admitted_key
        storage.mailbox.only_writer(known(role, "role_arn"))
        uri = image_uri(image, names.region, instance_type)
        key = None if cohort is None else SigningKey(self, alias=names.signing_key)
        with role.together():
            role.allow_logs()
            role.allow_storage(storage, code=objects(code, code_key), mailbox_prefix=names.federation)
            if direct:
                role.allow_asset_key(published.key_arn, known(code, "bucket_arn"), [objects(code, code_key)])
            role.allow_keys(data=keys.data, operations=keys.operations)
            if image != DEFAULT:
                role.allow_image(uri)
            role.allow_network(subnet_ids=network.subnet_ids, group_id=known(group, "security_group_id"))
            if key is not None:
                role.allow_signing(key)
        signing: dict[str, str] = {}
        if key is not None and cohort is not None:
            key.only_signer(known(role, "role_arn"))
            if network.is_ours:
                key.reachable_from(network)
            signing = {
                PrivacyOption.SIGNING_KEY: known(key, "key_arn"),
                **cohort_options(cdk.Stack.of(self), cohort),
            }
        self.request = JobRequest(
            image=uri,
            role_arn=known(role, "role_arn"),
            client_name=names.client,
            data_uri=url(storage.data, "train/"),
            artifact_uri=url(storage.artifacts, "models/"),
            code_uri=url(code, code_key),
            bundle=f"sha256:{published.sha256}",
            mailbox_uri=names.mailbox_uri,
            link_host=way.host,
            privacy={
                **privacy,
                **signing,
                PrivacyOption.LEDGER: url(storage.artifacts, "privacy"),
            },
            key_arn=known(keys.data, "key_arn"),
            subnet_ids=network.subnet_ids,
            group_id=known(group, "security_group_id"),
            instance_type=instance_type,
            volume_gb=volume_gb,
            max_runtime_seconds=max_runtime_minutes * 60,
            spot=spot,
            region=names.region,
            tags={**tags, "federation": names.federation, "client": names.client},
        )
