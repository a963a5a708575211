"""The account of one client: its data, and the one gate through which a federation may train on them."""

from __future__ import annotations

from constructs import Construct

from cdk_app.bundles import Bundle
from cdk_app.checks import removal_policy
from cdk_app.config.models import ClientAccount, Federation
from cdk_app.config.privacy import cohort_keys, job_options, node_options
from cdk_app.constructs.account_stack import AccountStack
from cdk_app.constructs.broker.broker import Broker
from cdk_app.constructs.broker.window import Window
from cdk_app.constructs.identity.kickoff_role import KickoffRole
from cdk_app.constructs.identity.role_names import name_roles
from cdk_app.constructs.job.client_job import ClientJob
from cdk_app.constructs.job.direct_kickoff import DirectKickoff
from cdk_app.constructs.network.kickoff_endpoint import KickoffEndpoint
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.network.way import Told, way_to_server
from cdk_app.constructs.notebook.client_notebook import ClientNotebook
from cdk_app.constructs.observability.watch import ClientWatch
from cdk_app.constructs.serving.serving import Serving
from cdk_app.constructs.storage.client_storage import ClientStorage
from cdk_app.constructs.storage.keys import Keys
from cdk_app.constructs.storage.published_bundle import PublishedBundle


class ClientStack(AccountStack):
    """What the owner of one client's data deploys, with nobody else's credentials."""

    def __init__(
        self, scope: Construct, *, federation: Federation, client: ClientAccount, bundle: Bundle, delete: bool
    ) -> None:
        names, server, hub = federation.names_of(client), federation.server_names, federation.server
        super().__init__(
            scope,
            names.stack,
            place=client,
            description=f"Data of {client.name} and their gate",
            protected=client.termination_protection,
        )
        removal = removal_policy(self, asked=client.delete_data, confirmed=delete)

        published = PublishedBundle(self, bundle=bundle, key_arn=client.asset_key_arn)
        keys = Keys(self, existing_data_key=client.key_arn, removal=removal)
        storage = ClientStorage(
            self, keys=keys, mailbox_name=names.mailbox, own_names=client.names.buckets, removal=removal
        )
        network = Network(self, cidr=client.cidr, flow_log=names.flow_log, keys=keys, existing=client.vpc)
        network.allow_own_buckets(storage.bucket_arns)
        told = Told(federation.reached_by(client), hub.cidr, hub.vpc_id, hub.endpoint_service)
        way = way_to_server(self, told, network=network, names=names, server=server)
        job = ClientJob(
            self,
            names=names,
            network=network,
            way=way,
            storage=storage,
            keys=keys,
            published=published,
            direct=client.kickoff == "direct",
            privacy={**job_options(client.privacy), **node_options(client.node_config)},
            cohort=cohort_keys(federation, client),
            tags=federation.tags,
            **federation.job(client).model_dump(),
        )
        role = KickoffRole(self, names=names, server=server, external_id=client.external_id)
        role.allow_mailbox(storage.mailbox, names.federation, keys.operations)
        watch = ClientWatch(self, names=names, key=keys.operations, email=client.alarm_email)
        if client.kickoff == "direct":
            network.allow_published(published)
            DirectKickoff(self, names=names, request=job.request, kickoff_role=role)
        else:
            code = published.admitted_to(storage.code)
            broker = Broker(
                self,
                names=names,
                request=job.request,
                code=code,
                keys=keys,
                kickoff_role=role,
                runs_per_day=client.max_runs_per_day,
                window=_window(client),
            )
            storage.code.only_writer(broker.role_arn)
            watch.add_broker(broker)
            if client.region != hub.region and told.kind != "privatelink":
                KickoffEndpoint(self, vpc=network.vpc, server_cidr=hub.cidr, state_machine_arn=broker.arn)
        if client.inference is not None:
            Serving(
                self,
                kind=client.inference,
                federation=federation.name,
                endpoint_name=names.notebook,
                models=storage.artifacts,
                rows=storage.data,
                key=keys.data,
                network=network,
            )
        if client.notebook_type is not None:
            ClientNotebook(
                self,
                names=names,
                instance_type=client.notebook_type,
                idle_minutes=hub.idle_minutes,
                network=network,
                storage=storage,
                key=keys.data,
                published=published,
                policy=job_options(client.privacy),
                cohort=client.privacy.cohort,
            )
            watch.add_notebook()
        name_roles(self, names.roles, f"{names.federation}-{names.client}")


def _window(client: ClientAccount) -> Window | None:
    window = client.run_window
    return None if window is None else Window(window.weekdays, window.first_minute, window.minutes)
