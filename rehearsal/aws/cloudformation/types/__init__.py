"""One handler per resource type of our templates and of `cdk bootstrap`, by service."""

from rehearsal.aws.cloudformation.types import (
    ec2,
    iam,
    observability,
    peering,
    sagemaker,
    security_groups,
    storage,
    workflow,
)

__all__ = ["ec2", "iam", "observability", "peering", "sagemaker", "security_groups", "storage", "workflow"]
