"""Limit on the size of request bodies."""

from ..errors import BodyTooLarge
from ..flow import Flow, Handler
from ..http import Request, Response
from ..validation import require_positive_int

__all__ = ["BodyLimit"]


class BodyLimit:
    """Reject bodies larger than *limit* bytes.

    A body is rejected before it is read if the request has a ``Content-Length``, and otherwise while it is
    read.

    Args:
        limit: Maximum size in bytes. None for the limit of the service whose wire format the request uses,
            or 1 MiB if the documentation of the service names no limit.

    Raises:
        ConfigurationError: *limit* is not a positive integer.
    """

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None:
            require_positive_int("limit", limit)
        self._limit = limit

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        limit = self._limit or request.wire.max_body
        length, body = request.content_length, request.body_read
        if (length is not None and length > limit) or (body is not None and len(body) > limit):
            raise BodyTooLarge(limit)
        # An outer limit may already have set a lower maximum.
        if request.max_body is None or limit < request.max_body:
            request.max_body = limit
        return call_next(request)
