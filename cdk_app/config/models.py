"""What a federation file may say; each default stands here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from cdk_app.config import types as kinds
from cdk_app.config.own import ClientOwnNames, ExistingVpc, PolicyArn, ServerOwnNames
from cdk_app.config.strict import Strict
from cdk_app.images import DEFAULT
from cdk_app.naming import ClientNames, ServerNames
from runtime.contract import LEAST_COHORT, ExitCode, FedstackError, Updates

Connectivity = Literal["peering", "privatelink", "existing"]
"""How a client's network reaches the server's: a VPC peering, the server's endpoint service, or a way that
both networks have already (Transit Gateway, Cloud WAN)."""


class RunDefaults(Strict):
    """How long a client's job may live, unless the client says otherwise."""

    instance_type: kinds.TrainingInstance = Field(
        default="ml.m5.xlarge", description="Training instance type."
    )
    image: kinds.TrainingImage = Field(default=DEFAULT, description="The image that its job runs on.")
    volume_gb: Annotated[int, Field(ge=5, le=1024)] = Field(
        default=30, description="Training volume, encrypted."
    )
    max_runtime_minutes: Annotated[int, Field(ge=5, le=420)] = Field(
        default=60, description="A job is stopped after so long; the broker watches for 7 hours at most."
    )
    spot: bool = Field(default=False, description="Use managed spot capacity; a job may then start late.")


class _Place(Strict):
    """What every account has: where it is, and how its network is cut."""

    account: kinds.AccountId
    region: kinds.Region
    cidr: kinds.Cidr
    availability_zones: Annotated[tuple[str, str], Field(description="Exactly two zones of the Region.")]
    key_arn: kinds.KeyArn | None = Field(
        default=None, description="An existing KMS key for data at rest; else one is made."
    )
    bootstrap_qualifier: kinds.Qualifier | None = Field(
        default=None, description="What `cdk bootstrap --qualifier` was given, where it was; else CDK's own."
    )
    asset_key_arn: kinds.KeyArn | None = Field(
        default=None,
        description="The KMS key of the bucket of `cdk bootstrap`, where it has one of the account's own.",
    )
    permissions_boundary: PolicyArn | None = Field(
        default=None, description="The managed policy that bounds every role of its stacks."
    )
    vpc: ExistingVpc | None = Field(
        default=None, description="A VPC that it has already, of the block `cidr`; else one is made."
    )
    inference: Literal["serverless", "batch"] | None = Field(
        default=None,
        description="Serve the model that this account registered: an endpoint, or for batch transforms.",
    )
    termination_protection: bool = Field(
        default=True,
        description="Nobody deletes its stack before this is off, or lifted with the AWS command line.",
    )
    delete_data: bool = Field(
        default=False,
        description="First of two keys for deleting data with the stack; -c delete_data=NAME is the other.",
    )


class RunWindow(Strict):
    """When a client lets runs start, in UTC; one that has started goes on, as long as its job may run."""

    days: kinds.Weekdays = Field(default=kinds.WEEKDAYS, description="The days on which it opens.")
    opens: kinds.TimeOfDay
    closes: kinds.TimeOfDay = Field(description="On the next day, where it is not later than `opens`.")

    @property
    def weekdays(self) -> tuple[int, ...]:
        """The days as numbers, Sunday being 0."""
        return tuple(sorted(kinds.WEEKDAYS.index(day) for day in self.days))

    @property
    def first_minute(self) -> int:
        """The minute of the day at which it opens."""
        return kinds.minute_of(self.opens)

    @property
    def minutes(self) -> int:
        """How long it is open: a whole day, where both times are the same."""
        return (kinds.minute_of(self.closes) - self.first_minute - 1) % kinds.MINUTES_A_DAY + 1


class Schedule(Strict):
    """When the server runs by itself, in UTC."""

    days: kinds.Weekdays = Field(default=kinds.WEEKDAYS, description="The days on which it runs.")
    at: kinds.TimeOfDay

    @property
    def starts(self) -> tuple[int, ...]:
        """The minutes of a week at which it starts, from Sunday's midnight on."""
        days = sorted(kinds.WEEKDAYS.index(day) for day in self.days)
        return tuple(kinds.MINUTES_A_DAY * day + kinds.minute_of(self.at) for day in days)


class ServerAccount(_Place):
    """The account that coordinates: it holds the test set and the results, never a client's data."""

    names: ServerOwnNames = Field(
        default_factory=ServerOwnNames, description="Names by its owner's rules; clients are told of them."
    )

    vpc_id: kinds.VpcId | None = Field(
        default=None, description="The server's VPC once deployed; client stacks peer with it."
    )
    endpoint_service: kinds.EndpointService | None = Field(
        default=None,
        description="The server's endpoint service once deployed; clients by PrivateLink connect to it.",
    )
    notebook_type: kinds.NotebookInstance = "ml.t3.medium"
    notebook_volume_gb: Annotated[int, Field(ge=5, le=1024)] = 20
    idle_minutes: Annotated[int, Field(ge=15, le=1440)] = Field(
        default=60, description="An idle notebook stops itself."
    )
    schedule: Schedule | None = Field(
        default=None, description="When a run starts by itself, within the run_window of every client."
    )


class PrivacyPolicy(Strict):
    """What a client's own stack pins of every run; the server can ask for more, and never for less."""

    updates: Updates = Field(
        default=Updates.SUMS,
        description="How updates may leave: masked in sums, with noise, or plain: the server sees each.",
    )
    cohort: tuple[kinds.ClientName, ...] = Field(
        default=(), description="The other clients that this one agrees to be summed with."
    )
    min_cohort: Annotated[int, Field(ge=LEAST_COHORT)] | None = Field(
        default=None,
        description="Members that a sum has at least, this one included; all of the cohort if not given.",
    )
    min_rows: Annotated[int, Field(ge=1)] = Field(
        default=11,
        description="No answer is computed from fewer rows; the default is CMS's rule of cell suppression.",
    )
    max_answers: Annotated[int, Field(ge=1)] = Field(
        default=100, description="Answers to one kind of message in one run."
    )
    max_numbers_per_cell: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1.0,
        description="Numbers that a run's answers may hold for each cell of the rows: more could be solved.",
    )
    epsilon_budget: Annotated[float, Field(gt=0, le=100)] | None = Field(
        default=None,
        description="Epsilon per row that all runs together may reach; then only noise leaves.",
    )
    delta: Annotated[float, Field(gt=0, le=0.01)] = Field(
        default=1e-5, description="Delta at which epsilon is counted."
    )
    min_noise_multiplier: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=0.0,
        description="Least noise of a release, in units of what one row can change; then only noise leaves.",
    )


class ClientAccount(_Place):
    """An account that holds data; everything that may happen to them is pinned by its own stack."""

    name: kinds.ClientName
    names: ClientOwnNames = Field(
        default_factory=ClientOwnNames, description="Names by its owner's rules; the server is told of them."
    )
    connectivity: Connectivity | None = Field(
        default=None, description="How its network reaches the server's, where it is not the federation's."
    )
    kickoff: Literal["broker", "direct"] = Field(
        default="broker", description="How a job starts; `direct` lets the server run any code over the data."
    )
    instance_type: kinds.TrainingInstance | None = None
    image: kinds.TrainingImage | None = None
    volume_gb: Annotated[int, Field(ge=5, le=1024)] | None = None
    max_runtime_minutes: Annotated[int, Field(ge=5, le=420)] | None = None
    spot: bool | None = None
    max_runs_per_day: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=24, description="Runs that the server may start in a day (UTC); one at a time in any case."
    )
    run_window: RunWindow | None = Field(
        default=None, description="When runs may start here; at any time, if not given."
    )
    deployed_by: kinds.DeployerArn | None = Field(
        default=None,
        description="Who deploys its stack, where it is not CDK's execution role: nobody else may peer.",
    )
    external_id: kinds.ExternalId | None = Field(default=None, description="Else made of the two names.")
    privacy: PrivacyPolicy = Field(
        default_factory=PrivacyPolicy, description="What may leave this account, pinned in its job."
    )
    node_config: kinds.NodeConfig = Field(
        default_factory=dict,
        validate_default=True,
        description="What a Flower app of one's own gets of this account: context.node_config.",
    )
    notebook_type: kinds.NotebookInstance | None = Field(
        default=None, description="A notebook to prepare data with."
    )
    alarm_email: kinds.EmailAddress | None = Field(default=None, description="Who hears of a failed job.")
    peering_id: kinds.PeeringId | None = Field(
        default=None, description="The peering once deployed, for the server's route."
    )
    signing_key: kinds.PublicKey | None = Field(
        default=None,
        description="The public half of its signing key once deployed, for the clients that name it.",
    )
    kickoff_endpoint: kinds.EndpointName | None = Field(
        default=None,
        description="Cross-Region clients: their stack's output KickoffEndpoint; with PrivateLink, a Step "
        "Functions endpoint in their Region that the server's own network reaches.",
    )


class Federation(Strict):
    """One server account and the client accounts that it federates."""

    name: kinds.FederationName
    tags: kinds.Tags = Field(default_factory=dict, description="Put on every resource that takes tags.")
    connectivity: Connectivity = Field(
        default="peering",
        description="How clients' networks reach the server's: a peering, PrivateLink, or a way that exists.",
    )
    run: RunDefaults = Field(default_factory=RunDefaults)
    training: dict[str, Any] = Field(
        default_factory=dict, description="Defaults of the server's runs; its command line overrides them."
    )
    app: str | None = Field(
        default=None, description="A Flower app's folder, beside this file; the built-in app by default."
    )
    run_config: kinds.NodeConfig = Field(
        default_factory=dict, validate_default=True, description="What it replaces in the app's run config."
    )
    server: ServerAccount
    clients: Annotated[tuple[ClientAccount, ...], Field(min_length=1)]

    def client(self, name: str) -> ClientAccount:
        """Return the client of a name."""
        for client in self.clients:
            if client.name == name:
                return client
        names = ", ".join(client.name for client in self.clients)
        raise FedstackError(
            ExitCode.CONFIG, f"{name!r} is no client of {self.name}.", f"Name one of {names}."
        )

    @property
    def server_names(self) -> ServerNames:
        """What is called how in the server's account."""
        server = self.server
        return ServerNames(self.name, server.account, server.region, server.names.roles)

    def names_of(self, client: ClientAccount) -> ClientNames:
        """Return what is called how in a client's account."""
        own = client.names
        return ClientNames(
            self.name,
            client.name,
            client.account,
            client.region,
            own.roles,
            own.buckets.mailbox,
            own.buckets.bundle,
        )

    def reached_by(self, client: ClientAccount) -> Connectivity:
        """Return how this client's network reaches the server's."""
        return client.connectivity or self.connectivity

    def job(self, client: ClientAccount) -> RunDefaults:
        """Return how this client's job runs: its own words where it has any, else the federation's."""
        own = {key: getattr(client, key) for key in RunDefaults.model_fields}
        return self.run.model_copy(update={key: value for key, value in own.items() if value is not None})
