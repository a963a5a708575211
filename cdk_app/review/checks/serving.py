"""A served model: of the account's own registry, isolated or serverless, and its answers copied nowhere."""

from __future__ import annotations

from cdk_app.review.reading.parts import Parts
from cdk_app.review.reading.template import Resource
from runtime.contract import model_group


class Serving:
    """The models and endpoints of a client's stack."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._template = parts, parts.template

    def check(self) -> None:
        """Object to a model that is not the account's own, or that could tell somebody what it scores."""
        models = self._template.of_kind("SageMaker::Model")
        configs = self._template.of_kind("SageMaker::EndpointConfig")
        served = {
            variant.get("ModelName")
            for config in configs
            for variant in config.properties.get("ProductionVariants", [])
        }
        for model in models:
            self._check_model(model, serverless=self._template.reference(model.name) in served)
        names = {self._template.reference(model.name) for model in models}
        for config in configs:
            self._check_config(config, names)
        ours = {self._template.reference(config.name) for config in configs}
        for endpoint in self._template.of_kind("SageMaker::Endpoint"):
            if endpoint.properties.get("EndpointConfigName") not in ours:
                self._object(endpoint, "It serves by a configuration that is not in this template.")

    def _check_model(self, model: Resource, *, serverless: bool) -> None:
        container = model.properties.get("PrimaryContainer")
        package = container.get("ModelPackageName") if isinstance(container, dict) else None
        values = self._parts.values
        group = model_group(str(values.get("federation")))
        place = f"{self._template.region}:{self._template.account}:model-package/{group}"
        own, version = (
            f"arn:{self._template.partition}:sagemaker:{place}",
            self._template.symbol("parameter ModelVersion"),
        )
        if container != {"ModelPackageName": package} or package != f"{own}/{version}":
            self._object(model, f"It is not a version of the account's own {group}, named at deployment.")
        network = model.properties.get("VpcConfig")
        if serverless:  # which takes neither
            return
        if model.properties.get("EnableNetworkIsolation") is not True:
            self._object(model, "Its container is not isolated from the network.")
        if not isinstance(network, dict) or set(network.get("Subnets", [])) - set(values.get("subnet", [])):
            self._object(model, "It is not in the subnets of the training job.")

    def _check_config(self, config: Resource, models: set[str]) -> None:
        for variant in config.properties.get("ProductionVariants", []):
            known = {"InitialVariantWeight", "ModelName", "ServerlessConfig", "VariantName"}
            if set(variant) != known or variant.get("ModelName") not in models:
                self._object(config, "It serves otherwise than serverless, or a model not in this template.")
        if config.properties.get("KmsKeyId") != self._parts.values.get("data_key"):
            self._object(config, "What it stores is not encrypted with the data key.")

    def _object(self, resource: Resource, what: str) -> None:
        self._template.object(resource.name, what)
