"""Direct kickoff: the server calls CreateTrainingJob itself, inside what IAM can limit, and no further."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from cdk_app.constructs.identity.kickoff_role import KickoffRole
from cdk_app.constructs.job.job import JobRequest
from cdk_app.naming import ClientNames


class DirectKickoff(Construct):
    """The request as a parameter that the server reads, and the right to send it, or another one like it."""

    def __init__(
        self, scope: Construct, *, names: ClientNames, request: JobRequest, kickoff_role: KickoffRole
    ) -> None:
        super().__init__(scope, "DirectKickoff")
        content = {**request.parameters(), "HyperParameters": request.pinned_hyperparameters()}
        parameter = ssm.StringParameter(
            self,
            "Request",
            parameter_name=names.job_parameter,
            description="The training job that the federation's server should ask for",
            string_value=cdk.Stack.of(self).to_json_string(content),
        )
        kickoff_role.allow_direct(
            job_prefix=names.job_prefix,
            execution_role_arn=request.role_arn,
            limits=request.iam_limits(),
            tags=request.iam_tags(),
            request=parameter,
        )
        cdk.Annotations.of(self).add_warning_v2(
            "fedstack:direct-kickoff",
            f"client {names.client!r}: kickoff is direct. IAM has no condition for a job's image, code, "
            "hyperparameters or S3 locations, so the server can run any code on this account's data, and "
            "participation cannot be switched off. Use kickoff: broker unless that is intended.",
        )
