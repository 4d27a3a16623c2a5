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

    If the request has a ``Content-Length``, a body that is too large is rejected before it is read, otherwise
    while it is read. The limit also applies after decompression.

    A body is large if it has more than 64 KiB after decompression. While the large bodies in progress use up
    *budget*, further large bodies wait in the order of arrival, until their deadline. Small bodies never
    wait. A body is in progress until its response has been sent, but at most until 30 seconds after the
    response is ready.

    Args:
        limit: Maximum size in bytes. None for the documented limit of the service whose wire format the
            request uses, or 1 MiB if that service documents none.
        max_expansion: Maximum size after decompression, as a multiple of the compressed size. It does not
            apply to sizes up to 256 KiB.
        budget: Maximum total size of the large bodies in progress, in bytes after decompression. A body
            larger than *budget* waits until no other large body is in progress. If the waiting bodies exceed
            four times *budget*, further large bodies get 503.

    Attributes:
        large_bodies: The large bodies that are in progress or waiting.

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
        """Return the maximum body size for the wire format *wire*."""
        return self._limit or wire.max_body
