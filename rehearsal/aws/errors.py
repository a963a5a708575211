"""An error as an AWS service answers it."""

from __future__ import annotations


class AwsError(Exception):
    """An error response: the code that SDKs switch on, a sentence, and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


def denied(principal_arn: str, action: str, resource: str, why: str) -> AwsError:
    """Return AWS's refusal, worded as the service authorisation reference shows it."""
    return AwsError(
        "AccessDenied",
        f"User: {principal_arn} is not authorized to perform: {action} on resource: {resource} because {why}",
        403,
    )
