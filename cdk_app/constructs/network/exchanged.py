"""Values that another account tells once: in the federation file, or as a parameter of the deployment."""

from __future__ import annotations

import aws_cdk as cdk


def exchanged(
    stack: cdk.Stack,
    name: str,
    known: str | None,
    *,
    pattern: str,
    description: str,
    default: str | None = None,
) -> str:
    """Return a value that another account tells.

    Parameters
    ----------
    name
        The parameter, where the file does not know the value.
    default
        The parameter's value until it is told; None where the stack cannot be deployed without it.
    """
    if known is not None:
        return known
    parameter = cdk.CfnParameter(
        stack, name, type="String", allowed_pattern=pattern, description=description, default=default
    )
    return parameter.value_as_string
