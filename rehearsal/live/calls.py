"""Five calls that accounts' own administrators must be refused; on_notebook has five of the server's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rehearsal.deployment import Deployment
from rehearsal.live.on_notebook import FORBIDDEN, outcome
from runtime.model.images import registry

BY_ADMINISTRATORS: Final = (
    "the kickoff role, by the server's administrator",
    "a start of the client's broker, by the server's administrator",
    "a certificate, by the client's administrator",
    "other code in the place of the admitted one, by the client's administrator",
    "another peering, by the client's administrator",
)
TEN: Final = (*FORBIDDEN, *BY_ADMINISTRATORS)
"""All of them. The threat model says what stands against each."""


def tried_by_administrators(deployment: Deployment, client: str) -> dict[str, str]:
    """Try what no administrator may; return how each call ended."""
    server, names = deployment.server, deployment.clients[client]

    def of_server(service: str) -> Any:
        return deployment.owner(server, service)

    def of_client(service: str) -> Any:
        return deployment.owner(names, service)

    code = deployment.resource(names, "StorageCode", "AWS::S3::Bucket")
    accepter = server.accepter_role_arn(client)
    kickoff = {"RoleArn": names.kickoff_role_arn, "ExternalId": names.external_id}
    letter = {"Bucket": names.mailbox, "Key": f"{names.federation}/run-1/{client}/certificate.pem"}
    calls: tuple[Callable[[], Any], ...] = (
        lambda: of_server("sts").assume_role(**kickoff, RoleSessionName="live"),
        lambda: of_server("stepfunctions").start_execution(stateMachineArn=names.broker_arn, input="{}"),
        lambda: of_client("s3").put_object(**letter, Body=b"forged"),
        lambda: of_client("s3").put_object(Bucket=code, Key="bundles/other.tar.gz", Body=b"other"),
        lambda: of_client("sts").assume_role(RoleArn=accepter, RoleSessionName="live"),
    )
    return {name: outcome(call) for name, call in zip(BY_ADMINISTRATORS, calls, strict=True)}


def task_of(deployment: Deployment, client: str) -> dict[str, str]:
    """Return what the server's five calls are about."""
    server, names = deployment.server, deployment.clients[client]
    role = deployment.resource(names, "JobExecutionRole", "AWS::IAM::Role")
    return {
        "region": names.region,
        "server_region": server.region,
        "kickoff_role": names.kickoff_role_arn,
        "external_id": names.external_id,
        "execution_role": names.roles.arn(names.region, names.account, role),
        "job_name": f"{names.job_prefix}run-forbidden",
        "image": f"{registry(server.account, server.region)}/any:1",
        "data": deployment.resource(names, "StorageData", "AWS::S3::Bucket"),
        "row": f"train/{client}.csv",
        "mailbox": names.mailbox,
        "certificate": f"{names.federation}/run-1/{client}/certificate.pem",
        "results": deployment.resource(server, "StorageResults", "AWS::S3::Bucket"),
    }
