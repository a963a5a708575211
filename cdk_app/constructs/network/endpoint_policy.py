"""What an endpoint lets through: named resources for the principals of named accounts.

A policy of a gateway endpoint must name everyone: an account as its principal would only match the root
user (VPC guide, "Gateway endpoints"). Interface endpoints are written alike; a condition on the account
then says who it is.

A policy has 20,480 characters at most. What the server reaches in its clients' accounts by two ARNs each is
therefore a pattern of names, and a condition names the accounts. 125 clients fit, as many as can peer; of
more, the kickoff roles are such a pattern, too (`server_endpoints.MOST_LISTED`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_iam as iam

from cdk_app.constructs.once import Home, everyone
from cdk_app.regions import partition
from runtime.contract import model_group

REGISTRY: Final = (
    "CreateModelPackage",
    "CreateModelPackageGroup",
    "DescribeModelPackageGroup",
    "ListModelPackages",
)
"""What registering a model calls; approving one is a person's."""

REGISTER: Final = ("elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets")
"""What a run of the server calls at its start and at its end, where clients come by PrivateLink."""


def list_length(*texts: str) -> int:
    """Return how many characters of a policy a list takes: each text with its quotes and a comma."""
    return sum(len(text) + 3 for text in texts)


def allow(
    sid: str, actions: Sequence[str], resources: Sequence[str], accounts: Sequence[str]
) -> iam.PolicyStatement:
    """Let the principals of some accounts do this to these resources."""
    return iam.PolicyStatement(
        sid=sid,
        principals=[everyone()],
        actions=list(actions),
        resources=list(resources),
        conditions={"StringEquals": {"aws:PrincipalAccount": list(accounts)}},
    )


def own_buckets(account: str, bucket_arns: Sequence[str]) -> iam.PolicyStatement:
    """Let the account's own principals work with its own buckets."""
    actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListBucket"]
    return allow("OwnBuckets", actions, [*bucket_arns, *(f"{arn}/*" for arn in bucket_arns)], [account])


def mailboxes(accounts: Sequence[str], bucket_arns: Sequence[str]) -> iam.PolicyStatement:
    """Let the roles that the server takes in the clients' accounts read those accounts' mailboxes.

    Parameters
    ----------
    bucket_arns
        A pattern, and those that their owners named. S3's names belong to whoever takes them first, so the
        owner is a condition, too.
    """
    resources = [f"{arn}{objects}" for arn in bucket_arns for objects in ("", "/*")]
    statement = allow("Mailboxes", ["s3:GetObject", "s3:ListBucket"], resources, accounts)
    statement.add_condition("StringEquals", {"aws:ResourceAccount": list(accounts)})
    return statement


def amazon_linux_packages(region: str) -> iam.PolicyStatement:
    """Let a notebook install Python 3.12 from Amazon Linux's own bucket, which dnf reads anonymously."""
    return iam.PolicyStatement(
        sid="AmazonLinuxPackages",
        principals=[everyone()],
        actions=["s3:GetObject"],
        resources=[f"arn:{partition(region)}:s3:::al2023-repos-{region}-de612dc2/*"],
    )


def own_notebook(home: Home, name: str) -> iam.PolicyStatement:
    """Let a notebook look at itself and stop itself."""
    notebook = home.arn("sagemaker", "notebook-instance", name)
    actions = ["sagemaker:DescribeNotebookInstance", "sagemaker:StopNotebookInstance"]
    return allow("OwnNotebook", actions, [notebook], [home.account])


def own_script(home: Home, name: str) -> iam.PolicyStatement:
    """Let a notebook read the start script that its stack has for it."""
    script = home.arn("sagemaker", "notebook-instance-lifecycle-config", name)
    return allow("OwnScript", ["sagemaker:DescribeNotebookInstanceLifecycleConfig"], [script], [home.account])


def model_arns(home: Home, federation: str) -> list[str]:
    """Return a federation's group of models in the account's registry, and every version in it."""
    group = model_group(federation)
    return [
        home.arn("sagemaker", kind, name)
        for kind, name in (("model-package-group", group), ("model-package", f"{group}/*"))
    ]


def registry(home: Home, federation: str) -> iam.PolicyStatement:
    """Let the account's own principals register models of a federation."""
    actions = [f"sagemaker:{action}" for action in REGISTRY]
    return allow("OwnModels", actions, model_arns(home, federation), [home.account])


def brokers(accounts: Sequence[str], state_machine_arn: str) -> iam.PolicyStatement:
    """Let the roles that the server takes start, watch and stop brokers of their own accounts.

    Parameters
    ----------
    state_machine_arn
        One broker, or a pattern: no principal can start a state machine of another account than its own.
    """
    executions = f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:*"
    actions = ["states:StartExecution", "states:DescribeExecution", "states:StopExecution"]
    return allow("Brokers", actions, [state_machine_arn, executions], accounts)


def jobs(accounts: Sequence[str], job_arns: Sequence[str]) -> iam.PolicyStatement:
    """Let the roles that the server takes create, watch and stop training jobs (direct kickoff)."""
    actions = ["AddTags", "CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"]
    return allow("DirectJobs", [f"sagemaker:{action}" for action in actions], job_arns, accounts)


def parameters(accounts: Sequence[str], parameter_arns: Sequence[str]) -> iam.PolicyStatement:
    """Let the roles that the server takes read which job they should ask for (direct kickoff)."""
    return allow("DirectRequests", ["ssm:GetParameter"], parameter_arns, accounts)


def register(account: str, target_group_arn: str) -> iam.PolicyStatement:
    """Let the account's own principals put the server behind its load balancer, and take it away."""
    return allow("RegisterServer", REGISTER, [target_group_arn], [account])


def signing(account: str, key_arn: str) -> iam.PolicyStatement:
    """Let the account's own principals sign with one key; its own policy says which of them."""
    return allow("Sign", ["kms:Sign"], [key_arn], [account])
