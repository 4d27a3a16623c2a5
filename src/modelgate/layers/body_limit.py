"""Limits on the size and memory of request bodies."""

from ..codecs.compression import MAX_EXPANSION
from ..errors import BodyTooLarge
from ..flow import Flow, Handler
from ..http import Request, Response, WireFormat
from ..http.large_bodies import LargeBodies
from ..validation import require_positive_int

__all__ = ["BodyLimit"]


class BodyLimit:
    """Reject bodies larger than *limit* bytes, and bound the memory that large bodies take.

    A body is rejected before it is read if the request has a ``Content-Length``, and otherwise while it is
    read. The limit also applies after decompression.

    A body of more than 64 KiB after decompression is large. If large bodies in progress have more than *budget*
    bytes, further ones wait in the order of arrival, until their deadline. Small bodies do not wait. A body is in
    progress until its response has been sent, but at most 30 seconds after the response is ready.

    Args:
        limit: Maximum size in bytes. None for the limit of the service whose wire format the request uses,
            or 1 MiB if the documentation of the service names no limit.
        max_expansion: Maximum size after decompression, as a multiple of the size as sent. It does not apply up
            to 256 KiB.
        budget: Maximum size of all large bodies in progress at once, in bytes after decompression. A larger
            body waits until it is the only one. If the bodies that wait have more than four times as many bytes,
            further ones get 503.

    Attributes:
        large_bodies: Large bodies in progress and waiting.

    Raises:
        ConfigurationError: An option is not a positive integer.
    """

    def __init__(
        self, limit: int | None = None, *, max_expansion: int = MAX_EXPANSION, budget: int = 16 * 1024 * 1024
    ) -> None:
        for name, value in (("limit", limit), ("max_expansion", max_expansion), ("budget", budget)):
            if name != "limit" or value is not None:
                require_positive_int(name, value)
        self._limit = limit
        self.large_bodies = LargeBodies(budget, max_expansion)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        limit = self.limit_of(request.wire)
        length, body = request.content_length, request.body_read
        if (length is not None and length > limit) or (body is not None and len(body) > limit):
            raise BodyTooLarge(limit)
        # An outer limit may already have set a lower maximum.
        if request.max_body is None or limit < request.max_body:
            request.max_body = limit
        if request.large_bodies is None:
            request.large_bodies = self.large_bodies
        return call_next(request)

    def limit_of(self, wire: WireFormat) -> int:
        """Return the largest size of a body in the format *wire*."""
        return self._limit or wire.max_body
