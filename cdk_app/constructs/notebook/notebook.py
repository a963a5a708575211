"""A notebook instance without internet, root or passwords, which installs the bundle and stops when idle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from cdk_app.constructs.identity.notebook_role import NotebookRole
from runtime.contract import INSTALLED_FILE, RUNNING_FILE

_LIFECYCLE: Final = Path(__file__).parents[2] / "lifecycle"


def on_start_script(values: Mapping[str, str], told: Mapping[str, str]) -> str:
    """Return the script that a notebook runs as root at every start.

    Parameters
    ----------
    values
        What stands for each `@NAME@` of on_start.sh; a name that stays open is an error.
    told
        What the runtime has to know of its account: it finds that in INSTALLED_FILE.
    """
    script = (_LIFECYCLE / "on_start.sh").read_text(encoding="utf-8")
    auto_stop = (_LIFECYCLE / "auto_stop.py").read_text(encoding="utf-8").rstrip()
    files = {"INSTALLED_FILE": INSTALLED_FILE, "RUNNING_FILE": RUNNING_FILE}
    for name, value in {**values, "AUTO_STOP": auto_stop, "TOLD": json.dumps(told)[1:-1], **files}.items():
        if f"@{name}@" not in script:
            raise ValueError(f"on_start.sh has no @{name}@")
        script = script.replace(f"@{name}@", value)
    return script


class Notebook(Construct):
    """One notebook instance with its lifecycle configuration.

    Parameters
    ----------
    lifecycle
        The values of the start script: BUNDLE_URI, BUNDLE_SHA256, ROSTER_URI, IDLE_MINUTES, REGION, COMMANDS,
        NOTEBOOK.
    told
        What the runtime there has to know of its account.
    more
        What the start script does besides, at its end.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        name: str,
        instance_type: str,
        volume_gb: int,
        subnet_id: str,
        group: ec2.ISecurityGroup,
        role: NotebookRole,
        key: kms.IKey,
        lifecycle: Mapping[str, str],
        told: Mapping[str, str],
        more: str = "",
    ) -> None:
        super().__init__(scope, "Notebook")
        on_start = sagemaker.CfnNotebookInstanceLifecycleConfig.NotebookInstanceLifecycleHookProperty(
            content=cdk.Fn.base64(on_start_script({**lifecycle, "NAME": name}, told) + more)
        )
        config = sagemaker.CfnNotebookInstanceLifecycleConfig(
            self, "Lifecycle", notebook_instance_lifecycle_config_name=name, on_start=[on_start]
        )
        imds = sagemaker.CfnNotebookInstance.InstanceMetadataServiceConfigurationProperty(
            minimum_instance_metadata_service_version="2"
        )
        instance = sagemaker.CfnNotebookInstance(
            self,
            "Instance",
            notebook_instance_name=name,
            instance_type=instance_type,
            role_arn=role.role_arn,
            platform_identifier="notebook-al2023-v1",
            direct_internet_access="Disabled",
            root_access="Disabled",
            instance_metadata_service_configuration=imds,
            kms_key_id=key.key_id,
            volume_size_in_gb=volume_gb,
            subnet_id=subnet_id,
            security_group_ids=[group.security_group_id],
            lifecycle_config_name=config.attr_notebook_instance_lifecycle_config_name,
        )
        # It cannot start before its role may use the key.
        instance.node.add_dependency(role)
