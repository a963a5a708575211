"""What a client sees of its federation: a dashboard, and word of every job that fails."""

from __future__ import annotations

from constructs import Construct

from cdk_app.constructs.broker.broker import Broker
from cdk_app.constructs.observability.alerts import Alerts
from cdk_app.constructs.observability.dashboard import Dashboard
from cdk_app.constructs.storage.keys import OperationsKey
from cdk_app.naming import ClientNames


class ClientWatch(Construct):
    """Alerts to a topic of the client's own, and a dashboard in its own account."""

    def __init__(
        self, scope: Construct, *, names: ClientNames, key: OperationsKey, email: str | None
    ) -> None:
        super().__init__(scope, "Watch")
        self._names = names
        self._alerts = Alerts(self, key=key, email=email)
        self._alerts.on_failed_job(names.job_prefix)
        self._dashboard = Dashboard(self, name=names.notebook)
        self._dashboard.show_jobs(names.job_prefix)

    def add_broker(self, broker: Broker) -> None:
        """Watch the broker's executions."""
        refused = "The broker refused an invitation, or its job failed"
        self._alerts.on_failed_execution("BrokerFailed", broker.state_machine, refused)
        alive = "A job may still run whose execution ended, and nobody watches it"
        self._alerts.on_failed_execution("StopperFailed", broker.stopper.state_machine, alive)
        self._alerts.on_failed_execution("SweeperFailed", broker.sweeper.state_machine, alive)
        self._alerts.on_many_starts("ManyStarts", broker.state_machine, broker.runs_per_day)
        self._alerts.on_abort(
            "BrokerAborted", broker.state_machine, "The server stopped a run of this client"
        )
        self._dashboard.show_broker(broker.state_machine, broker.log_group)

    def add_notebook(self) -> None:
        """Show the notebook."""
        self._dashboard.show_notebook(self._names.notebook)
