"""A package's two stacks as Terraform has them: the same templates, deployed by the AWS provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SIGNED_FOLDER: Final = "${path.module}/.."
"""The package's own folder, as the files in `terraform/` see it."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What the two stacks are called, and which files they are made from."""

    account: str
    region: str
    stack: str
    template: str
    template_key: str
    bundle_stack: str
    bundle_template: str
    bucket: str
    bundle: str


def main_tf(deployed: Deployed, parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return main.tf.json.

    Whether the client takes part is not in it: an `apply` would undo a withdrawal.

    Parameters
    ----------
    deployed
        The two stacks.
    parameters
        The parameters that the template of the client's stack declares.
    """
    return {
        "terraform": {
            "required_version": ">= 1.3",
            "required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.0"}},
        },
        "provider": {"aws": {"region": deployed.region, "allowed_account_ids": [deployed.account]}},
        "variable": {variable(name): _declared(declared) for name, declared in parameters.items()},
        "resource": {
            "aws_cloudformation_stack": {
                "bundle": {
                    "name": deployed.bundle_stack,
                    "template_body": f'${{file("{SIGNED_FOLDER}/{deployed.bundle_template}")}}',
                },
                "client": {
                    "name": deployed.stack,
                    "template_url": (
                        "${aws_cloudformation_stack.bundle.outputs.Url}/${aws_s3_object.template.key}"
                    ),
                    "capabilities": ["CAPABILITY_NAMED_IAM"],
                    "parameters": {name: f"${{var.{variable(name)}}}" for name in parameters},
                    "depends_on": ["aws_s3_object.bundle"],
                },
            },
            "aws_s3_object": {
                "template": _uploaded(deployed, deployed.template, deployed.template_key),
                "bundle": _uploaded(deployed, deployed.bundle, deployed.bundle),
            },
        },
    }


def variable(parameter: str) -> str:
    """Return what Terraform calls a parameter: `ServerVpcId` is `server_vpc_id`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", parameter).lower()


def _declared(parameter: Mapping[str, Any]) -> dict[str, Any]:
    default = {"default": parameter["Default"]} if "Default" in parameter else {}
    return {"type": "string", "description": parameter.get("Description", ""), **default}


def _uploaded(deployed: Deployed, file: str, key: str) -> dict[str, Any]:
    return {
        "bucket": deployed.bucket,
        "key": key,
        "source": f"{SIGNED_FOLDER}/{file}",
        "checksum_algorithm": "SHA256",
        "depends_on": ["aws_cloudformation_stack.bundle"],
    }
