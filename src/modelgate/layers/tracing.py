"""Trace requests with OpenTelemetry."""

import time
from collections.abc import Container
from typing import TYPE_CHECKING

from ..context import RequestContext
from ..errors import ConfigurationError
from ..flow import Flow, Handler
from ..flow.timing import Timing
from ..http import Request, Response, call_encoding_errors

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["Tracing"]


class Tracing:
    """Record a span for each request, with a child span for each phase; see `ServerTiming` for the phases.

    The parent is the active span, for example from an instrumented framework, or else the span in the
    caller's ``traceparent`` header. The span is active while the request is answered, so that spans of your
    models become its children. The route is recorded; paths and keys are not.

    Requires the extra ``opentelemetry``, and an SDK that your app configures.

    Args:
        deployments: Names of the deployments. Other names in requests are not recorded.
        provider: Tracer provider; None for the global one.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """

    def __init__(self, deployments: Container[str] = (), provider: "TracerProvider | None" = None) -> None:
        try:
            from opentelemetry import context, propagate, trace
        except ImportError:
            raise ConfigurationError(
                'tracing needs OpenTelemetry: pip install "modelgate[opentelemetry]"'
            ) from None
        self._deployments = deployments
        self._context, self._propagate, self._trace = context, propagate, trace
        self._tracer = trace.get_tracer("modelgate", tracer_provider=provider)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        trace = self._trace
        parent, kind = self._context.get_current(), trace.SpanKind.INTERNAL
        if not trace.get_current_span(parent).get_span_context().is_valid:
            headers = {
                name: request.headers.get(name) for name in self._propagate.get_global_textmap().fields
            }
            sent = {name: value for name, value in headers.items() if value is not None}
            parent, kind = self._propagate.extract(sent, parent), trace.SpanKind.SERVER
        # Spans use the time since the epoch, phases use another clock.
        offset = time.time() - time.perf_counter()
        start = _nanoseconds(request.started + offset)
        span = self._tracer.start_span(request.method, parent, kind, start_time=start)
        return self._record(request, call_next, span, offset)

    def _record(
        self, request: Request, call_next: Handler[Request, Response], span: "Span", offset: float
    ) -> Flow[Response]:
        if span.is_recording():
            request.timing = Timing(request.started)
        current = self._trace.set_span_in_context(span)
        token = self._context.attach(current)
        response = None
        try:
            response = yield from call_encoding_errors(request, call_next)
            return response
        finally:
            self._context.detach(token)
            if span.is_recording():
                self._describe(span, request, response)
                self._record_phases(request, response, current, offset)
            span.end()

    def _describe(self, span: "Span", request: Request, response: Response | None) -> None:
        context: RequestContext = request.context
        query, route = context.query, context.route
        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "modelgate.request_id": request.id or "",
        }
        if route is not None:
            span.update_name(f"{request.method} {route.path}")
            attributes["http.route"] = route.path
        if response is not None:
            attributes["http.response.status_code"] = response.status
        if context.deployment is not None and context.deployment in self._deployments:
            attributes["modelgate.deployment"] = context.deployment
        if query is not None and query.predictor is not None:
            attributes["modelgate.model.version"] = query.predictor.version
        if query is not None and query.table is not None:
            attributes["modelgate.rows"] = len(query.table)
        if request.error_code is not None:
            attributes["error.type"] = request.error_code
        span.set_attributes(attributes)
        if response is not None and response.status >= 500:
            span.set_status(self._trace.StatusCode.ERROR, request.error_code)

    def _record_phases(
        self, request: Request, response: Response | None, parent: "Context", offset: float
    ) -> None:
        timing = request.timing
        assert timing is not None
        phases = timing.phases
        if response is not None and response.status < 400 and phases and phases[-1][0] == "model":
            timing.mark("encode")
        for phase, start, end in phases:
            child = self._tracer.start_span(phase, parent, start_time=_nanoseconds(start + offset))
            child.end(_nanoseconds(end + offset))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
