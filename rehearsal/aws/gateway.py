"""The one door of the emulated AWS: who calls, may they, and which of the services answers."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from rehearsal.aws import parameters
from rehearsal.aws.actions import needs
from rehearsal.aws.authorization import Authorization
from rehearsal.aws.errors import AwsError
from rehearsal.aws.principals import Principals
from rehearsal.aws.privatelink import is_of_a_customer
from rehearsal.aws.protocol import Call, Environ, check, read, write

log = logging.getLogger("rehearsal.aws")

Service = Callable[[Call], Mapping[str, Any]]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
Routes = Mapping[tuple[str, str], Service]


class Gateway:
    """A WSGI application in front of moto.

    Parameters
    ----------
    moto
        Answers whatever is not ours.
    routes
        Ours: by service and operation, or by service and `*`.
    control
        Answers the rehearsal's own requests (`/rehearsal/...`), which are no AWS API.
    """

    def __init__(
        self,
        moto: Application,
        routes: Routes,
        principals: Principals,
        authorization: Authorization,
        control: Application,
    ) -> None:
        self._moto, self._routes, self._control = moto, routes, control
        self._principals, self._authorization = principals, authorization

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request."""
        if environ["PATH_INFO"].startswith("/rehearsal/"):
            return self._control(environ, start_response)
        call = None
        try:
            call = read(environ, self._principals)
            for need in () if call.principal.is_service else needs(call):
                self._authorization.check(call.principal, need.request, resource_account=need.account)
            check(environ, call)
            service = self._routes.get((call.service, call.operation)) or self._routes.get(
                (call.service, "*")
            )
            if service is None or (call.operation == "CreateVpcEndpoint" and not is_of_a_customer(call)):
                environ["HTTP_X_MOTO_ACCOUNT_ID"] = call.principal.account
                return self._moto(environ, start_response)
            parameters.check(call)
            return self._answer(environ, start_response, call, service(call))
        except AwsError as error:
            log.info("%s -> %s", f"{call.service}:{call.operation}" if call else environ["PATH_INFO"], error)
            return self._answer(environ, start_response, call, error)
        except ClientError as error:  # of a call that a service of ours made itself
            said = error.response["Error"]
            return self._answer(environ, start_response, call, AwsError(said["Code"], said["Message"]))
        except Exception as error:
            log.exception("%s", call)
            failure = AwsError("InternalFailure", f"The rehearsal broke: {error!r}", 500)
            return self._answer(environ, start_response, call, failure)

    @staticmethod
    def _answer(
        environ: Environ, start_response: StartResponse, call: Call | None, result: Any
    ) -> Iterable[bytes]:
        if call is None or call.service == "s3":  # else the call's parameters were read from it
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        operation = call.operation if call and call.service != "s3" else None
        kind = environ.get("CONTENT_TYPE", "")
        status, headers, body = write(_service(environ, call), operation, result, kind)
        headers |= {"Content-Length": str(len(body)), "x-amzn-RequestId": str(uuid.uuid4())}
        start_response(f"{status} -", list(headers.items()))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _service(environ: Environ, call: Call | None) -> str:
    if call:
        return call.service
    scope = environ.get("HTTP_AUTHORIZATION", "").split(", ")[0].split("/")
    return scope[3] if len(scope) > 3 else "sts"
