"""Notebook instances and their lifecycle scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from rehearsal.aws.cloudformation.handler import Handler, Made, Properties
from rehearsal.aws.errors import AwsError

MOST_CHARACTERS: Final = 16_384
_RENAMED: Final = {"LifecycleConfigName": "LifecycleConfigName", "SecurityGroupIds": "SecurityGroupIds"}


class LifecycleConfig(Handler, type_name="AWS::SageMaker::NotebookInstanceLifecycleConfig"):
    """A notebook's start script; SageMaker takes 16,384 characters of it at most (its API reference)."""

    mutable: ClassVar = frozenset({"OnStart", "OnCreate", "Tags"})

    def create(self, properties: Properties) -> Made:
        """Make it."""
        for hook in [*properties.get("OnStart", []), *properties.get("OnCreate", [])]:
            if len(hook["Content"]) > MOST_CHARACTERS:
                raise AwsError(
                    "ValidationException", f"A lifecycle script has more than {MOST_CHARACTERS} characters"
                )
        name = properties.get("NotebookInstanceLifecycleConfigName") or self.name(63)
        scripts = {key: properties[key] for key in ("OnStart", "OnCreate") if key in properties}
        self.client("sagemaker").create_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName=name, **scripts
        )
        return Made(name, {"NotebookInstanceLifecycleConfigName": name})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Make it again, under its name."""
        self.delete(made, old)
        return self.create({**new, "NotebookInstanceLifecycleConfigName": made.physical_id})

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("sagemaker").delete_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName=made.physical_id
        )


class NotebookInstance(Handler, type_name="AWS::SageMaker::NotebookInstance"):
    """A notebook instance. No machine is behind it here; its role can be taken in its name."""

    mutable: ClassVar = frozenset(
        {"InstanceType", "RoleArn", "LifecycleConfigName", "VolumeSizeInGB", "Tags"}
    )

    def create(self, properties: Properties) -> Made:
        """Make it."""
        arn = self.client("sagemaker").create_notebook_instance(**_request(properties))["NotebookInstanceArn"]
        return Made(arn, {"NotebookInstanceName": properties["NotebookInstanceName"]})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Make it again: what moto cannot change is changed by that."""
        self.delete(made, old)
        return self.create(new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Stop it, then delete it, which SageMaker allows of a stopped one only."""
        name = properties["NotebookInstanceName"]
        self.client("sagemaker").stop_notebook_instance(NotebookInstanceName=name)
        self.client("sagemaker").delete_notebook_instance(NotebookInstanceName=name)


def _request(properties: Properties) -> Mapping[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in properties.items()}
