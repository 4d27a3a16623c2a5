"""Every request has an id, and every answer tells it."""

import os
import re

from ..flow import Flow, Handler
from ..http import Request, Response, answered

__all__ = ["RequestId"]

# What may stand in a log line and a header field without a thought.
_USABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """Give each request the id its caller sent as ``X-Request-ID``, or a new one; answers carry it."""

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        told = request.headers.get("x-request-id")
        request.id = told if told is not None and _USABLE.fullmatch(told) else os.urandom(16).hex()
        response = yield from answered(request, call_next)
        response.set("x-request-id", request.id)
        return response
