"""One approved version of the federation's model, served in the account that registered it."""

from __future__ import annotations

from typing import Final, Literal

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from cdk_app.constructs.network.network import Network
from cdk_app.constructs.network.security_groups import ServingGroup
from cdk_app.constructs.serving.serving_role import ServingRole
from cdk_app.images import DEFAULT, published
from runtime.contract import model_group

VERSION: Final = r"^([1-9][0-9]{0,5})?$"
"""A version of the registry; empty as long as nothing is served."""

MEMORY_MB: Final = 2048
MOST_CALLS: Final = 5
"""How many requests are answered at once; each holds a container of its own."""


class Serving(Construct):
    """A model of the registry, created when the parameter ModelVersion names one that is approved.

    A template cannot hold an endpoint before there is a model: while the parameter is empty, only the role
    stands. SageMaker itself refuses a version that is not approved.

    Parameters
    ----------
    kind
        `serverless`: an endpoint that scales to nothing. Serverless inference has neither a VPC configuration
        nor network isolation (SageMaker Developer Guide, "Serverless Inference", feature exclusions).
        `batch`: a model for batch transforms, isolated, in the account's own subnets.
    models
        The bucket that the account's models were registered in.
    rows
        The bucket that a batch's rows lie in, under `predict/`.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        kind: Literal["serverless", "batch"],
        federation: str,
        endpoint_name: str,
        models: s3.IBucket,
        rows: s3.IBucket,
        key: kms.IKey,
        network: Network,
    ) -> None:
        super().__init__(scope, "Serving")
        stack = cdk.Stack.of(self)
        self._is_batch = kind == "batch"
        role = ServingRole(self)
        role.allow_models(models, key)
        role.allow_image(published()[DEFAULT].uri(stack.region, gpu=False))
        group = "TransformJobs" if self._is_batch else f"Endpoints/{endpoint_name}"
        role.allow_logs(f"/aws/sagemaker/{group}")
        inside = None
        if self._is_batch:
            role.allow_rows(rows, models)
            inside = self._inside(role, network)
        version = cdk.CfnParameter(
            stack,
            "ModelVersion",
            type="String",
            allowed_pattern=VERSION,
            default="",
            description="The version of the registered model to serve, once it is approved; empty: none",
        )
        self._served = cdk.CfnCondition(
            self,
            "Served",
            expression=cdk.Fn.condition_not(cdk.Fn.condition_equals(version.value_as_string, "")),
        )
        self._served.override_logical_id("ModelIsServed")
        package = stack.format_arn(
            service="sagemaker",
            resource="model-package",
            resource_name=f"{model_group(federation)}/{version.value_as_string}",
        )
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.role_arn,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(model_package_name=package),
            enable_network_isolation=True if self._is_batch else None,
            vpc_config=inside,
        )
        self._only_served(model)
        # SageMaker looks at the files with the role, which must have its policy by then.
        model.node.add_dependency(role)
        if self._is_batch:
            self._tell("ServedModel", model.attr_model_name, "Name it in aws sagemaker create-transform-job")
        else:
            self._add_endpoint(model, endpoint_name, key)

    def _inside(self, role: ServingRole, network: Network) -> sagemaker.CfnModel.VpcConfigProperty:
        """Put the containers into the account's own subnets, from where SageMaker itself reaches S3."""
        group = ServingGroup(self, vpc=network.vpc)
        role.allow_network(subnet_ids=network.subnet_ids, group_id=group.security_group_id)
        return sagemaker.CfnModel.VpcConfigProperty(
            subnets=network.subnet_ids, security_group_ids=[group.security_group_id]
        )

    def _add_endpoint(self, model: sagemaker.CfnModel, name: str, key: kms.IKey) -> None:
        variant = sagemaker.CfnEndpointConfig.ProductionVariantProperty(
            model_name=model.attr_model_name,
            variant_name="model",
            initial_variant_weight=1,
            serverless_config=sagemaker.CfnEndpointConfig.ServerlessConfigProperty(
                max_concurrency=MOST_CALLS, memory_size_in_mb=MEMORY_MB
            ),
        )
        config = sagemaker.CfnEndpointConfig(
            self, "Config", production_variants=[variant], kms_key_id=key.key_arn
        )
        # Named; models and configurations are not: each new version is a new one of them, beside the old.
        endpoint = sagemaker.CfnEndpoint(
            self, "Endpoint", endpoint_name=name, endpoint_config_name=config.attr_endpoint_config_name
        )
        for resource in (config, endpoint):
            self._only_served(resource)
        self._tell("ServedEndpoint", name, "Name it in aws sagemaker-runtime invoke-endpoint")

    def _only_served(self, resource: cdk.CfnResource) -> None:
        resource.cfn_options.condition = self._served

    def _tell(self, name: str, value: str, description: str) -> None:
        output = cdk.CfnOutput(self, name, value=value, description=description, condition=self._served)
        # Named in the docs and read by people, hence without a hash.
        output.override_logical_id(name)
