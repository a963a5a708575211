"""Reads AWS's wire protocols: which operation of which service is called, by whom, with what parameters.

botocore's service models describe every protocol; moto has the parsers and serialisers for them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from cdk_app.regions import partition
from rehearsal.aws import models
from rehearsal.aws.errors import AwsError
from rehearsal.aws.principals import Principal, Principals

_SCOPE: Final = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_MODELS: Final = {
    "states": "stepfunctions",
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "elasticloadbalancing": "elbv2",
}
"""Services whose signing name is not botocore's."""
_LARGEST_CONFIGURATION: Final = 1_000_000
"""More bytes than any configuration of a bucket has: what is larger is an object."""

Environ = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One API call."""

    service: str
    operation: str
    parameters: Mapping[str, Any]
    region: str
    principal: Principal


def read(environ: Environ, principals: Principals) -> Call:
    """Return the call that an HTTP request makes; the request's body can be read again afterwards."""
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if scope is None:
        raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    access_key, region, service = scope.groups()
    principal = principals.identify(access_key, environ.get("HTTP_X_AMZ_SECURITY_TOKEN"), partition(region))
    if service == "s3":
        operation, parameters = _read_s3(environ)
    else:
        operation, parameters = _read_modelled(environ, service)
    return Call(service, operation, parameters, region, principal)


def check(environ: Environ, call: Call) -> None:
    """Refuse a call that its API's model does not allow, with names that the API does not have among them."""
    if call.service != "s3":
        model = get_service_model(_MODELS.get(call.service, call.service)).operation_model(call.operation)
        models.check(model, call.parameters)
        if unknown := models.unknown(model, call.parameters, _body(environ)):
            raise AwsError("ValidationException", f"{call.operation} has no {unknown}")
        return
    big = call.parameters["Key"] or int(environ.get("CONTENT_LENGTH") or 0) > _LARGEST_CONFIGURATION
    name, parsed = _read_modelled(environ, "s3", b"" if big else None)
    models.check(get_service_model("s3").operation_model(name), parsed, partly=bool(big))


def _body(environ: Environ) -> bytes:
    """Return a request's body, which can be read again."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _read_modelled(
    environ: Environ, service: str, body: bytes | None = None
) -> tuple[str, Mapping[str, Any]]:
    body = _body(environ) if body is None else body
    request = Request(environ.copy())
    request.environ["wsgi.input"] = io.BytesIO(body)
    model = get_service_model(_MODELS.get(service, service))
    uri: Mapping[str, Any] = {}
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        name = target.rpartition(".")[2]
    elif b"Action=" in body:
        name = request.form["Action"]
    else:
        matched, uri = get_service_router(model.service_name).match(request)
        name = matched.name
    parser = PROTOCOL_PARSERS[determine_request_protocol(model, request.content_type)](
        model.operation_model(name)
    )
    parsed = parser.parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": body,
            "url_path": request.path,
            "url_params": dict(uri),
        }
    )
    return name, parsed or {}


def _read_s3(environ: Environ) -> tuple[str, Mapping[str, Any]]:
    """Tell S3's operations apart as far as IAM does: by method, object or bucket, and sub-resource."""
    bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    pairs = (pair.partition("=") for pair in environ.get("QUERY_STRING", "").split("&"))
    query = {name: unquote(value) for name, _, value in pairs}
    found = {
        "Bucket": bucket,
        "Key": key,
        "Query": query,
        "IfNoneMatch": environ.get("HTTP_IF_NONE_MATCH"),
        "CopySource": unquote(environ.get("HTTP_X_AMZ_COPY_SOURCE", "")).lstrip("/"),
    }
    return environ["REQUEST_METHOD"], found


def write(
    call_service: str, operation: str | None, result: Any, content_type: str
) -> tuple[int, dict[str, str], bytes]:
    """Return an answer (or an AwsError) as the service writes it for a request: status, headers, body."""
    model = get_service_model(_MODELS.get(call_service, call_service))
    modelled = model.operation_model(operation or model.operation_names[0])
    protocol = determine_request_protocol(model, content_type)
    answer = get_serializer_class(model.service_name, protocol)(operation_model=modelled).serialize(result)
    body = answer["body"]
    status = result.status if isinstance(result, AwsError) else int(answer["status_code"])
    headers = {str(name): str(value) for name, value in answer["headers"].items()}
    return status, headers, body.encode() if isinstance(body, str) else bytes(body or b"")
