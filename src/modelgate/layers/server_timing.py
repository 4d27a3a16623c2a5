"""``Server-Timing`` header with the duration of each step of a request."""

from ..context import RequestContext
from ..flow import Flow, Handler
from ..flow.timing import Timing
from ..http import Request, Response, call_encoding_errors
from ..http.negotiation import parse_prefer

__all__ = ["ServerTiming"]


class ServerTiming:
    """Add ``Server-Timing`` to responses for callers with a valid key and ``Prefer: server-timing``.

    The header has the milliseconds of each step: ``auth`` (the layers up to the key and the limits),
    ``checks`` (reading the body and validating the rows), ``cache`` (getting the model, with ``hit`` or
    ``miss``), ``model`` (waiting for the model and scoring), ``encode`` and ``total``. Steps that were
    skipped are omitted.

    Args:
        everyone: Whether callers without a key get the header, too, if they send ``Prefer: server-timing``.
    """

    def __init__(self, *, everyone: bool = False) -> None:
        self._everyone = everyone

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        preferences = request.headers.get("prefer")
        if preferences is None or parse_prefer(preferences, "server-timing") is None:
            return call_next(request)
        return self._measure(request, call_next)

    def _measure(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        # `Tracing` measures the same phases.
        request.timing = timing = request.timing or Timing(request.started)
        response = yield from call_encoding_errors(request, call_next)
        context: RequestContext = request.context
        if context.principal is not None or self._everyone:
            query = context.query
            if response.status < 400 and query is not None:
                timing.mark("encode")
            response.headers.append(("server-timing", timing.field(query.cache_hit if query else None)))
        return response
