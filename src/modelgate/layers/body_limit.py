"""A bound on the size of a body."""

from ..counts import require_count
from ..errors import BodyTooLarge
from ..flow import Flow, Handler
from ..http import Request, Response

__all__ = ["BodyLimit"]


class BodyLimit:
    """Refuse a body of more than *limit* bytes: before it is read where its length is told, and
    otherwise as soon as more arrives.

    Args:
        limit: in bytes; by default what the service whose wire format is spoken takes, and 1 MiB
            where it names no size.

    Raises:
        ConfigurationError: *limit* is not a whole number from 1.
    """

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None:
            require_count("limit", limit)
        self._limit = limit

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        limit = self._limit or request.wire.max_body
        if (request.content_length or 0) > limit or len(request.body_read or b"") > limit:
            raise BodyTooLarge(limit)
        # Behind another limit this one can only be the tighter of the two.
        if request.max_body is None or limit < request.max_body:
            request.max_body = limit
        return call_next(request)
