"""Every request has an id, and every answer tells it."""

import os
import re

from ..flow import Flow, Handler
from ..http import Request, Response, answered
from ..keys.generate import resembles_key

__all__ = ["RequestId"]

# What may stand in a log line and a header field without a thought.
_USABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """Give each request the id its caller sent as ``X-Request-ID``, or a new one; answers carry it."""

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        told = request.headers.get("x-request-id")
        request.id = told if told is not None and _is_usable(told) else os.urandom(16).hex()
        response = yield from answered(request, call_next)
        response.set("x-request-id", request.id)
        return response


def _is_usable(told: str) -> bool:
    # Ids go to logs, where no key may stand, wherever it was sent.
    return _USABLE.fullmatch(told) is not None and not resembles_key(told)
