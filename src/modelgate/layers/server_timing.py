"""An answer that tells where its time went, to who asks."""

from ..flow import Flow, Handler
from ..flow.timing import Timing
from ..http import Request, Response, answered
from ..http.negotiation import preference

__all__ = ["ServerTiming"]


class ServerTiming:
    """Tell a caller with an accepted key, who asks with ``Prefer: server-timing``, where the time went.

    The field ``Server-Timing`` names in milliseconds: ``auth``, the layers up to the key and the
    limits; ``checks``, reading the body and the rows; ``cache``, having the model, with ``hit`` or
    ``miss``; ``model``, waiting for it and scoring; ``encode``; and ``total``. An answer that was
    made without some of them lacks these.

    Args:
        everyone: whether no key is needed.
    """

    def __init__(self, *, everyone: bool = False) -> None:
        self._everyone = everyone

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        preferences = request.headers.get("prefer")
        if preferences is None or preference(preferences, "server-timing") is None:
            return call_next(request)
        return self._timed(request, call_next)

    def _timed(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        request.timing = timing = Timing(request.started)
        response = yield from answered(request, call_next)
        if request.principal is not None or self._everyone:
            query = request.query
            if response.status < 400 and query is not None:
                timing.mark("encode")
            response.headers.append(("server-timing", timing.field(query.cache_hit if query else None)))
        return response
