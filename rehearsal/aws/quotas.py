"""Service Quotas: what an account may have of something, and what AWS's support changes of it.

moto 5.2.5 has the defaults of VPC, from AWS's own answers, and lists none. SageMaker's are by instance type
and differ by account: those here are what accounts that are in use report; a new account may have 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moto.servicequotas.resources.default_quotas.vpc import VPC_DEFAULT_QUOTAS

from rehearsal.aws.errors import AwsError
from rehearsal.aws.protocol import Call

_TRAINING: Final = {
    "ml.m5.large for training job usage": 15,
    "ml.m5.large for spot training job usage": 10,
    "ml.m5.xlarge for training job usage": 30,
    "ml.m5.xlarge for spot training job usage": 10,
    "ml.g5.xlarge for training job usage": 1,
}
_DEFAULTS: Final[Mapping[str, Mapping[str, float]]] = {
    "sagemaker": _TRAINING,
    "vpc": {str(quota["QuotaName"]): float(str(quota["Value"])) for quota in VPC_DEFAULT_QUOTAS},
}


class Quotas:
    """The quotas of every account and Region."""

    def __init__(self) -> None:
        self._applied: dict[tuple[str, str, str], float] = {}

    def answer(self, call: Call) -> Mapping[str, Any]:
        """List a service's quotas as they are applied, or by default."""
        lists = {"ListServiceQuotas": True, "ListAWSDefaultServiceQuotas": False}
        if call.operation not in lists:
            raise AwsError("NotImplemented", f"The rehearsal has no servicequotas:{call.operation}.", 501)
        service, applied = call.parameters["ServiceCode"], lists[call.operation]
        if service not in _DEFAULTS:
            raise AwsError("NoSuchResourceException", f"The rehearsal has no quotas of {service}.")
        place = (call.principal.account, call.region)
        values = {
            name: self._applied.get((*place, name), value) if applied else value
            for name, value in _DEFAULTS[service].items()
        }
        return {"Quotas": [_quota(service, name, value) for name, value in values.items()]}

    def change(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Apply another value in an account, as AWS's support does; None gives the default back."""
        key = (asked["account"], asked["region"], asked["name"])
        if asked["value"] is None:
            self._applied.pop(key, None)
        else:
            self._applied[key] = float(asked["value"])
        return {}


def _quota(service: str, name: str, value: float) -> dict[str, Any]:
    return {"ServiceCode": service, "QuotaName": name, "Value": value, "Unit": "None", "Adjustable": True}
