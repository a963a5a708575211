"""A notebook in which a client prepares its data; the server knows nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk_app.constructs.identity.notebook_role import NotebookRole
from cdk_app.constructs.network import endpoint_policy
from cdk_app.constructs.network.endpoints import InterfaceEndpoints
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.network.security_groups import NotebookGroup
from cdk_app.constructs.notebook.notebook import Notebook
from cdk_app.constructs.once import home_of
from cdk_app.constructs.storage.client_storage import ClientStorage
from cdk_app.constructs.storage.published_bundle import PublishedBundle
from cdk_app.naming import ClientNames


class ClientNotebook(Construct):
    """The notebook, its role (the account's own data and models) and the one API that it calls.

    Parameters
    ----------
    policy, cohort
        What the account's jobs are pinned to, for the notebook to say in sentences.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        names: ClientNames,
        instance_type: str,
        idle_minutes: int,
        network: Network,
        storage: ClientStorage,
        key: kms.IKey,
        published: PublishedBundle,
        policy: Mapping[str, str],
        cohort: Sequence[str],
    ) -> None:
        super().__init__(scope, "DataPreparation")
        home = home_of(self)
        network.allow_published(published)
        network.allow_amazon_linux_packages()
        role = NotebookRole(self, notebook_name=names.notebook)
        role.allow_objects("Data", ["GetObject", "PutObject", "DeleteObject"], storage.data, "train/*")
        role.allow_objects("Models", ["GetObject"], storage.artifacts, "models/*")
        role.allow_registry(storage.artifacts, names.federation)
        role.allow_published(published, key_arn=published.key_arn)
        role.allow_key(key)
        if network.is_ours:
            doors = InterfaceEndpoints(self, vpc=network.vpc, region=home.region, callers=[network.cidr])
            sagemaker = doors.add("sagemaker.api", endpoint_policy.own_notebook(home, names.notebook))
            sagemaker.add_to_policy(endpoint_policy.registry(home, names.federation))
        Notebook(
            self,
            name=names.notebook,
            instance_type=instance_type,
            volume_gb=20,
            subnet_id=network.subnet_ids[0],
            group=NotebookGroup(self, vpc=network.vpc),
            role=role,
            key=key,
            lifecycle={
                "BUNDLE_URI": published.s3_object_url,
                "BUNDLE_SHA256": published.sha256,
                "ROSTER_URI": "",
                "IDLE_MINUTES": str(idle_minutes),
                "REGION": home.region,
                "COMMANDS": "",
                "NOTEBOOK": "runtime/client/data_owner.ipynb",
            },
            told={
                "federation": names.federation,
                "data": storage.data.s3_url_for_object("train/"),
                "models": storage.artifacts.s3_url_for_object("models/"),
                "switch": names.participation,
                "policy": " ".join(f"{option}={value}" for option, value in policy.items()),
                "cohort": " ".join(cohort),
            },
        )
