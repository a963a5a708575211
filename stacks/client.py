"""The account of one client: its data, and the one gate through which a federation may train on them."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from cdk_app.bundles import Bundle
from cdk_app.checks import removal_policy
from cdk_app.config_models import ClientAccount, Federation
from cdk_app.constructs.alerts import Alerts
from cdk_app.constructs.broker import Broker
from cdk_app.constructs.client_job import ClientJob
from cdk_app.constructs.client_notebook import ClientNotebook
from cdk_app.constructs.client_storage import ClientStorage
from cdk_app.constructs.dashboard import Dashboard
from cdk_app.constructs.direct_kickoff import DirectKickoff
from cdk_app.constructs.keys import Keys
from cdk_app.constructs.kickoff_endpoint import KickoffEndpoint
from cdk_app.constructs.kickoff_role import KickoffRole
from cdk_app.constructs.network import Network
from cdk_app.constructs.peering import PeeringToServer, server_vpc_id
from cdk_app.naming import ClientNames, ServerNames


class ClientStack(cdk.Stack):
    """What the owner of one client's data deploys, with nobody else's credentials."""

    def __init__(
        self, scope: Construct, *, federation: Federation, client: ClientAccount, bundle: Bundle, delete: bool
    ) -> None:
        names = ClientNames(federation.name, client.name, client.account, client.region)
        hub = federation.server
        server = ServerNames(federation.name, hub.account, hub.region)
        super().__init__(
            scope,
            names.stack,
            env=cdk.Environment(account=client.account, region=client.region),
            description=f"Federation {federation.name}: the data of {client.name} and the gate to them",
        )
        removal = removal_policy(self, asked=client.delete_data, confirmed=delete)
        direct = client.kickoff == "direct"

        published = s3_assets.Asset(self, "Bundle", path=str(bundle.path))
        keys = Keys(self, existing_data_key=client.key_arn, removal=removal)
        storage = ClientStorage(self, keys=keys, mailbox_name=names.mailbox, removal=removal)
        network = Network(
            self,
            cidr=client.cidr,
            availability_zones=client.availability_zones,
            flow_log=names.flow_log,
            key=keys.operations,
            existing=client.vpc,
        )
        network.allow_own_buckets(storage.bucket_arns)
        PeeringToServer(
            self,
            network=network,
            server=server,
            server_vpc_id=server_vpc_id(self, hub.vpc_id),
            server_cidr=hub.cidr,
            accepter_role=names.accepter_role,
        )
        job = ClientJob(
            self,
            names=names,
            network=network,
            server_cidr=hub.cidr,
            storage=storage,
            keys=keys,
            published=published,
            direct=direct,
            bundle_sha256=bundle.sha256,
            tags=federation.tags,
            **federation.job(client).model_dump(),
        )
        kickoff_role = KickoffRole(
            self,
            role_name=names.kickoff_role,
            server_role_arn=server.notebook_role_arn,
            external_id=client.external_id or names.external_id,
        )
        kickoff_role.allow_mailbox(storage.mailbox, names.federation, keys.operations)
        alerts = Alerts(self, key=keys.operations, email=client.alarm_email)
        alerts.on_failed_job(names.job_prefix)
        board = Dashboard(self, name=names.notebook)
        if direct:
            DirectKickoff(self, names=names, request=job.request, kickoff_role=kickoff_role)
            network.allow_published(published)
        else:
            code = job.broker_bundle(published, storage.code, bundle.sha256_base64)
            broker = Broker(self, names=names, request=job.request, bundle=code, keys=keys, kickoff_role=kickoff_role)
            alerts.on_failed_execution(broker.state_machine)
            board.show_broker(broker.state_machine, broker.log_group)
            if client.region != hub.region:
                KickoffEndpoint(self, vpc=network.vpc, server_cidr=hub.cidr, state_machine_arn=broker.arn)
        board.show_jobs(names.job_prefix)
        if client.notebook_type is not None:
            network.allow_published(published)
            network.allow_amazon_linux_packages()
            ClientNotebook(
                self,
                names=names,
                instance_type=client.notebook_type,
                idle_minutes=hub.idle_minutes,
                network=network,
                storage=storage,
                key=keys.data,
                published=published,
                bundle_sha256=bundle.sha256,
            )
            board.show_notebook(names.notebook)
