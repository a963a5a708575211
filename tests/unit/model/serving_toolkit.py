"""Answers requests as the container's worker does: run where nothing of this project can be imported.

Its arguments are the model's folder; on stdin is a JSON list of [content type, accept, body].
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from sagemaker_inference.default_handler_service import DefaultHandlerService


class Context:
    """What the model server tells of a request, and is told of its answer."""

    def __init__(self, folder: str) -> None:
        self.system_properties = {"model_dir": folder}
        self.request_processor = [self]
        self.properties: dict[str, str] = {}
        self.status, self.kind = 200, ""

    def get_request_properties(self) -> dict[str, str]:
        return self.properties

    def set_response_content_type(self, _: int, kind: str) -> None:
        self.kind = kind

    def set_response_status(self, code: int, phrase: str) -> None:  # noqa: ARG002
        self.status = code


def main() -> None:
    service, answers = DefaultHandlerService(), []
    first = Context(sys.argv[1])
    service.initialize(first)
    for kind, accept, body in json.load(sys.stdin):
        context = Context(sys.argv[1])
        context.properties = {"Content-Type": kind, "Accept": accept}
        (answer,) = service.handle([{"body": base64.b64decode(body)}], context)
        answers.append({"status": context.status, "kind": context.kind, "answer": answer})
    ours: list[Any] = [name for name in sys.modules if name.partition(".")[0] in ("runtime", "cdk_app")]
    json.dump({"answers": answers, "ours": ours}, sys.stdout)


if __name__ == "__main__":
    main()
