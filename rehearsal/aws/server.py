"""Puts the emulated AWS together and serves it on the loopback."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Final

from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from rehearsal.aws import ecr, kms, moto_fixes, workflows
from rehearsal.aws.authorization import Authorization
from rehearsal.aws.clients import Clients
from rehearsal.aws.cloudformation.service import CloudFormation
from rehearsal.aws.control import Control
from rehearsal.aws.events import Events
from rehearsal.aws.gateway import Gateway
from rehearsal.aws.principals import Credentials, Principal, Principals
from rehearsal.aws.privatelink import PrivateLink
from rehearsal.aws.quotas import Quotas
from rehearsal.aws.sts import Sts
from rehearsal.aws.training.jobs import TrainingJobs

HOST: Final = "127.0.0.1"


class _QuietHandler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Say nothing of requests."""


class EmulatedAws:
    """The services of every account, behind one port.

    Parameters
    ----------
    port
        Where to listen; 0 for any free one.
    work
        Where training jobs get their folders.
    time_scale
        How long AWS's own waits take here, as a part of what they take there.
    """

    def __init__(self, port: int, work: Path, time_scale: float) -> None:
        moto_fixes.apply()
        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        self.principals = Principals()
        self.authorization = Authorization()
        self.control = Control(self.principals, self.authorization)
        self._clients: dict[tuple[str, str], Clients] = {}
        self._lock = threading.Lock()
        self.cloudformation = CloudFormation(self.clients, self._deployer)
        events = Events(self.principals, self.authorization, self.clients)
        self._over = threading.Event()
        threading.Thread(target=events.keep_schedules, args=(time_scale, self._over), daemon=True).start()
        workflows.install(self.principals, self.authorization, self.clients, events, time_scale)
        self.jobs = jobs = TrainingJobs(
            self.principals, self.authorization, self.clients, events, work / "jobs", time_scale
        )
        self.privatelink = link = PrivateLink()
        quotas = Quotas()
        self.control.add("quota", quotas.change)
        ecr.publish()
        routes = {
            ("sts", "*"): Sts(self.principals, self.authorization).answer,
            ("cloudformation", "*"): self.cloudformation.answer,
            ("ec2", "CreateVpcEndpoint"): link.create,
            ("ec2", "DescribeVpcEndpointConnections"): link.connections,
            ("ec2", "AcceptVpcEndpointConnections"): link.accept,
            ("ec2", "RejectVpcEndpointConnections"): link.reject,
            ("ec2", "DeleteVpcEndpointServiceConfigurations"): link.delete_services,
            ("ecr", "BatchGetImage"): ecr.batch_get_image,
            ("kms", "Sign"): kms.sign,
            ("sagemaker", "CreateTrainingJob"): jobs.create,
            ("sagemaker", "DescribeTrainingJob"): jobs.describe,
            ("sagemaker", "StopTrainingJob"): jobs.stop,
            ("sagemaker", "ListTrainingJobs"): jobs.list,
            ("servicequotas", "*"): quotas.answer,
        }
        moto = DomainDispatcherApplication(create_backend_app)
        gateway = Gateway(moto, routes, self.principals, self.authorization, self.control)
        self._server: BaseWSGIServer = make_server(
            HOST, port, gateway, threaded=True, request_handler=_QuietHandler
        )
        self.endpoint = f"http://{HOST}:{self._server.server_port}"
        os.environ["MOTO_PORT"] = str(self._server.server_port)

    def clients(self, account: str, region: str) -> Clients:
        """Return clients with which AWS's own services work in an account and Region."""
        with self._lock:
            place = (account, region)
            if place not in self._clients:
                keys = self.principals.service(account)
                self._clients[place] = Clients(self.endpoint, region, keys)
            return self._clients[place]

    def _deployer(self, caller: Principal, role_arn: str | None, stack_arn: str) -> Credentials:
        """Return the rights that a stack is deployed with: its service role's, else its caller's."""
        if role_arn is None:
            return self.principals.on_behalf_of(caller)
        self.authorization.check_service("cloudformation.amazonaws.com", role_arn, caller.account, stack_arn)
        return self.principals.session(role_arn, "AWSCloudFormation", 3600)[1]

    def serve(self) -> None:
        """Serve until `close`."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop serving, and every job with it."""
        self._over.set()
        self.jobs.stop_all()
        self.privatelink.close()
        self._server.shutdown()
