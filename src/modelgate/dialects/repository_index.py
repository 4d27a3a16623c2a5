"""Index of the models of a gate, from the model repository extension of the Open Inference Protocol.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_model_repository.md. A gate has
only this part of the extension: its callers cannot load or unload models.
"""

from typing import Any

import msgspec

from ..codecs.json import decode_json
from ..context import RequestContext
from ..errors import AnswerableError, DeploymentUnavailable
from ..flow import Flow
from ..http import Request, Response
from ..http.body import read_body

__all__ = ["get_index"]


class _IndexRequest(msgspec.Struct, gc=False):
    ready: bool | None = None


_REQUEST = msgspec.json.Decoder(_IndexRequest)


def get_index(request: Request) -> Flow[Response]:
    """Return the name, version and state of each deployment that the key permits.

    Models that are not loaded yet are loaded. If the body is ``{"ready": true}``, deployments that are not
    ready are left out.
    """
    context: RequestContext = request.context
    raw = yield from read_body(request)
    only_ready = decode_json(raw, _REQUEST).ready if raw.strip() else False
    entries = []
    for name in context.readable_deployments():
        entry = yield from _describe(context, name)
        if entry["state"] == "READY" or not only_ready:
            entries.append(entry)
    return Response.json(entries)


def _describe(context: RequestContext, name: str) -> Flow[dict[str, Any]]:
    assert context.catalog is not None
    try:
        if not (yield from context.catalog.ready(name)):
            raise DeploymentUnavailable
        version = yield from context.catalog.version(name)
    except AnswerableError as error:
        return {"name": name, "state": "UNAVAILABLE", "reason": error.message}
    return {"name": name, "version": version, "state": "READY", "reason": ""}
