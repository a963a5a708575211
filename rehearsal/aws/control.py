"""What a rehearsal asks of its AWS beside the APIs: an account's keys, a notebook's credentials.

On AWS a person has the first from IAM and a notebook the second from its instance; here the emulator gives
them out, on this machine's loopback only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moto.sagemaker.models import sagemaker_backends

from cdk_app.regions import partition
from rehearsal.aws.authorization import Authorization
from rehearsal.aws.errors import AwsError
from rehearsal.aws.principals import Credentials, Principals
from rehearsal.aws.protocol import Environ


class Control:
    """A WSGI application of a few JSON requests."""

    def __init__(self, principals: Principals, authorization: Authorization) -> None:
        self._principals, self._authorization = principals, authorization
        self._requests: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "administrator": lambda asked: _keys(principals.administrator(asked["account"])),
            "notebook": self._notebook,
        }

    def add(self, name: str, answer: Callable[[Mapping[str, Any]], Any]) -> None:
        """Add a request."""
        self._requests[name] = answer

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        name = environ["PATH_INFO"].rpartition("/")[2]
        try:
            answer, status = self._requests[name](json.loads(body or b"{}")), "200 OK"
        except (AwsError, KeyError) as error:
            answer, status = {"error": str(error)}, "400 Bad Request"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(answer, default=str).encode()]

    def _notebook(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Give out a notebook instance's role, if that role trusts SageMaker for that very instance."""
        backend = sagemaker_backends[asked["account"]][asked["region"]]
        notebook = backend.notebook_instances[asked["name"]]
        place = f"{asked['region']}:{asked['account']}"
        arn = f"arn:{partition(asked['region'])}:sagemaker:{place}:notebook-instance/{asked['name']}"
        self._authorization.check_service("sagemaker.amazonaws.com", notebook.role_arn, asked["account"], arn)
        return _keys(self._principals.session(notebook.role_arn, "SageMaker", 6 * 3600)[1])


def _keys(made: Credentials) -> dict[str, Any]:
    return {
        "aws_access_key_id": made.access_key,
        "aws_secret_access_key": made.secret_key,
        **({"aws_session_token": made.token} if made.token else {}),
    }
