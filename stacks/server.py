"""The account that coordinates: it meets the clients' jobs, and never sees their data."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from cdk_app.bundles import Bundle
from cdk_app.checks import removal_policy
from cdk_app.config.models import ClientAccount, Connectivity, Federation
from cdk_app.config.types import PRIVATE
from cdk_app.constructs.account_stack import AccountStack, qualifier_of
from cdk_app.constructs.identity.role_names import name_roles
from cdk_app.constructs.network.endpoint_service import EndpointService
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.network.peering_accepter import PeeringAccepter
from cdk_app.constructs.network.server_endpoints import ServerEndpoints
from cdk_app.constructs.notebook.scheduled_runs import Times
from cdk_app.constructs.notebook.server_notebook import ServerNotebook
from cdk_app.constructs.observability.dashboard import Dashboard
from cdk_app.constructs.serving.serving import Serving
from cdk_app.constructs.storage.keys import Keys
from cdk_app.constructs.storage.published_bundle import PublishedBundle
from cdk_app.constructs.storage.server_storage import ServerStorage
from cdk_app.naming import execution_role_arn
from runtime.contract import LINK_PORT


class ServerStack(AccountStack):
    """What the server's operator deploys first, with the server account's credentials alone."""

    def __init__(
        self, scope: Construct, *, federation: Federation, bundle: Bundle, roster: Path, delete: bool
    ) -> None:
        server = federation.server
        names = federation.server_names
        about = f"Server of federation {federation.name}"
        super().__init__(
            scope,
            names.stack,
            place=server,
            description=about,
            compact=True,
            protected=server.termination_protection,
        )
        clients = {client: federation.names_of(client) for client in federation.clients}
        removal = removal_policy(self, asked=server.delete_data, confirmed=delete)
        published = PublishedBundle(self, bundle=bundle, key_arn=server.asset_key_arn)
        listed = s3_assets.Asset(self, "Roster", path=str(roster))

        keys = Keys(self, existing_data_key=server.key_arn, removal=removal)
        storage = ServerStorage(self, keys=keys, own_names=server.names.buckets, removal=removal)
        network = Network(self, cidr=server.cidr, flow_log=names.flow_log, keys=keys, existing=server.vpc)
        network.allow_own_buckets(storage.bucket_arns)
        network.allow_published(published, listed)
        network.allow_amazon_linux_packages()
        linked = [client for config, client in clients.items() if _by(federation, config, "privatelink")]
        target_group_arn = None
        if linked:
            callers = [str(block) for block in PRIVATE]
            door = EndpointService(self, network=network, callers=callers, clients=linked, port=LINK_PORT)
            target_group_arn = door.target_group_arn
        if network.is_ours:
            ServerEndpoints(
                self,
                server=names,
                network=network,
                brokered=[client for config, client in clients.items() if config.kickoff == "broker"],
                direct=[client for config, client in clients.items() if config.kickoff == "direct"],
                target_group_arn=target_group_arn,
            )
        for config, client in clients.items():
            if not _by(federation, config, "peering"):
                continue
            deployer = config.deployed_by or execution_role_arn(
                client.account, client.region, qualifier_of(self, config)
            )
            PeeringAccepter(
                self, server=names, client=client, deployer_arn=deployer, vpc_id=network.vpc.vpc_id
            )
        notebook = ServerNotebook(
            self,
            names=names,
            instance_type=server.notebook_type,
            volume_gb=server.notebook_volume_gb,
            idle_minutes=server.idle_minutes,
            network=network,
            storage=storage,
            key=keys.data,
            published=published,
            roster=listed,
            kickoff_role_arns=[client.kickoff_role_arn for client in clients.values()],
            target_group_arn=target_group_arn,
            runs=None if server.schedule is None else Times(server.schedule.starts),
        )
        if server.inference is not None:
            Serving(
                self,
                kind=server.inference,
                federation=federation.name,
                endpoint_name=names.notebook,
                models=storage.results,
                rows=storage.test_data,
                key=keys.data,
                network=network,
            )
        Dashboard(self, name=names.notebook).show_notebook(names.notebook)
        cdk.CfnOutput(
            self, "VpcId", value=network.vpc.vpc_id, description="The one value that clients are told"
        )
        name_roles(self, names.roles, names.federation)
        self.route_table_ids = network.route_table_ids
        self.link_group_id = notebook.group.security_group_id


def _by(federation: Federation, client: ClientAccount, way: Connectivity) -> bool:
    return federation.reached_by(client) == way
