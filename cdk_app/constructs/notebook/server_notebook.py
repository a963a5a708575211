"""The notebook from which a person runs the federation, and the one role that client accounts trust."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from cdk_app.constructs.identity.notebook_role import NotebookRole
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.network.security_groups import NotebookGroup
from cdk_app.constructs.notebook.notebook import Notebook
from cdk_app.constructs.notebook.scheduled_runs import ScheduledStart, Times, scheduled_run_script
from cdk_app.constructs.storage.published_bundle import PublishedBundle
from cdk_app.constructs.storage.server_storage import RESULTS, TEST_DATA, ServerStorage
from cdk_app.naming import ServerNames
from runtime.contract import LINK_PORT


class ServerNotebook(Construct):
    """A notebook instance with the server's bundle and its roster, which may take the kickoff roles.

    Parameters
    ----------
    target_group_arn
        Where a run's server registers itself, where clients come by PrivateLink.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        names: ServerNames,
        instance_type: str,
        volume_gb: int,
        idle_minutes: int,
        network: Network,
        storage: ServerStorage,
        key: kms.IKey,
        published: PublishedBundle,
        roster: s3_assets.Asset,
        kickoff_role_arns: Sequence[str],
        runs: Times | None,
        target_group_arn: str | None = None,
    ) -> None:
        super().__init__(scope, "Federation")
        role = NotebookRole(self, notebook_name=names.notebook, role_name=names.notebook_role)
        role.allow_objects("TestData", ["GetObject"], storage.test_data, f"{TEST_DATA}/*")
        role.allow_objects("Results", ["GetObject", "PutObject"], storage.results, f"{RESULTS}/*")
        role.allow_registry(storage.results, names.federation)
        role.allow_published(published, roster, key_arn=published.key_arn)
        role.allow_own_script()
        role.allow_key(key)
        role.allow_assume(kickoff_role_arns)
        group = NotebookGroup(self, vpc=network.vpc)
        self.group: ec2.ISecurityGroup = group
        told = {
            "cidr": network.cidr,
            "test_data": storage.test_data.s3_url_for_object(f"{TEST_DATA}/"),
            "results": storage.results.s3_url_for_object(f"{RESULTS}/"),
        }
        if target_group_arn is not None:
            role.allow_register(target_group_arn)
            group.admit_balancer(network.cidr, LINK_PORT)
            told["target_group"] = target_group_arn
        Notebook(
            self,
            name=names.notebook,
            instance_type=instance_type,
            volume_gb=volume_gb,
            subnet_id=network.subnet_ids[0],
            group=self.group,
            role=role,
            key=key,
            lifecycle={
                "BUNDLE_URI": published.s3_object_url,
                "BUNDLE_SHA256": published.sha256,
                "ROSTER_URI": roster.s3_object_url,
                "IDLE_MINUTES": str(idle_minutes),
                "REGION": names.region,
                "COMMANDS": "runtime.server.commands",
                "NOTEBOOK": "runtime/server/federation.ipynb",
            },
            told=told,
            more=scheduled_run_script(runs),
        )
        if runs is not None:
            ScheduledStart(self, notebook=names.notebook, times=runs)
