"""Collect the metrics of a gate for Prometheus."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import getpid
from typing import TYPE_CHECKING

import msgspec

from ..context import RequestContext
from ..deployments import Deployments
from ..errors import NotFound
from ..flow import Flow, run
from ..http import Request, Response
from ..http.large_bodies import LargeBodies
from ..http.routing import Route, RouteSpec
from ..inference.model_metrics import (
    CALL_ROWS,
    CALL_SECONDS,
    CALLS,
    GAUGES,
    REASONS,
    ROWS,
    SECONDS,
    TRIGGERED,
)
from ..keys import Principal
from ..layers import Metrics
from ..layers._recent_requests import TrafficReport
from ..models.cache import CACHE_COUNTS, CACHE_EVENTS, CACHE_SIZE
from ..prometheus import (
    CONTENT_TYPE,
    Histogram,
    Kind,
    Labels,
    LocalValues,
    MetricFamily,
    MetricValues,
    Totals,
    current_values,
    render_metrics,
)

if TYPE_CHECKING:
    from ..monitoring.prometheus_collector import GateCollector

__all__ = ["MetricsEndpoint"]

_MODEL = ("deployment", "version", "role")
_PROCESS = "process"


class MetricsEndpoint:
    """Endpoint that collects and returns the metrics of a gate.

    Args:
        values: Storage of the metrics.
        requests: Metrics of the requests.
        deployments: Deployments, with the metrics of their models and their cache.
        large_bodies: Budgets for large bodies; see `BodyLimit`.
        hang_timeout: Number of seconds after which a model call counts as overdue; None for never.
        others: Function that returns additional metrics.
    """

    def __init__(
        self,
        values: MetricValues,
        requests: Metrics,
        deployments: Deployments,
        large_bodies: Sequence[LargeBodies],
        hang_timeout: float | None,
        others: Callable[[], Iterable[MetricFamily]],
    ) -> None:
        self._values = values
        self._requests = requests
        self._deployments = deployments
        self._large_bodies = large_bodies
        self._hang_timeout = hang_timeout
        self._others = others

    def route(self, *, open_to_all: bool) -> Route:
        """Return the route ``GET /metrics``."""
        return Route("GET", "/metrics", self._respond, is_public=open_to_all)

    def traffic_route(self) -> Route:
        """Return the route ``GET /deployments/{deployment}/traffic``."""
        spec = RouteSpec("Requests of the last hour", TrafficReport)
        return Route("GET", "/deployments/{deployment}/traffic", self._report, action="monitor", spec=spec)

    def _report(self, request: Request) -> Flow[Response]:
        context: RequestContext = request.context
        assert context.deployment is not None
        if context.deployment not in self._deployments:
            raise NotFound
        report = yield from run(self.traffic, context.deployment)
        return Response.json(msgspec.to_builtins(report))

    def traffic(self, deployment: str) -> TrafficReport:
        """Return a report of the prediction requests to a deployment in the last hour.

        This reads files if *metrics_dir* is set.
        """
        return self._requests.traffic(deployment, shared=not isinstance(self._values, LocalValues))

    def _respond(self, request: Request) -> Flow[Response]:
        yield from ()
        principal: Principal | None = request.context.principal
        if principal is not None:
            # The metrics cover every deployment, so the key must permit reading all of them.
            principal.require("*", "read")
        return Response(200, self.render().encode(), [("content-type", CONTENT_TYPE)])

    def render(self) -> str:
        """Return the metrics in the text format of Prometheus."""
        return render_metrics(self.families())

    def collector(self) -> "GateCollector":
        """Return a collector of these metrics for a registry of `prometheus_client`.

        Raises:
            ConfigurationError: `prometheus_client` is in multiprocess mode, but the gate has no
                *metrics_dir*.
        """
        from ..monitoring.prometheus_collector import GateCollector

        return GateCollector(self.families, self._values)

    def publish(self) -> None:
        """Store the gauges of this process, for other processes to read."""
        self._values.allocate(_PROCESS, ("", "", str(getpid())), gauge=True)[0] = 1
        self._requests.publish()
        self._deployments.cache.publish()
        for name, kind, _, value in _BODIES:
            cells = self._values.allocate(name, (), gauge=kind == "gauge")
            cells[0] = sum(map(value, self._large_bodies))
        for metrics in list(self._deployments.loader.model_metrics.values()):
            metrics.publish(self._hang_timeout)

    def families(self) -> Iterator[MetricFamily]:
        """Return the metrics of all processes that share them."""
        self.publish()
        totals = self._values.read()
        processes: dict[Labels, float] = {(pid,): value for (_, _, pid), [value] in totals[_PROCESS].items()}
        yield MetricFamily(
            "modelgate_process_info",
            "gauge",
            "Processes that these metrics come from.",
            ("pid",),
            processes,
        )
        yield from self._requests.families(totals)
        yield from self._model_metrics(totals)
        yield from _cache_metrics(totals)
        for name, kind, text, _ in _BODIES:
            yield MetricFamily(name, kind, text, (), {(): totals[name][()][0]})
        yield from self._others()

    def _model_metrics(self, totals: Totals) -> Iterator[MetricFamily]:
        def current(name: str) -> dict[Labels, list[float]]:
            return current_values(totals.get(name, {}), self._requests.deployments)

        calls, gauges = current(CALLS), current(GAUGES)
        yield MetricFamily(
            "modelgate_batches_total",
            "counter",
            "Model calls, by the reason for sending the batch.",
            (*_MODEL, "reason"),
            {
                (*labels, reason): count
                for labels, cells in calls.items()
                for reason, count in zip(REASONS, cells, strict=False)
            },
        )
        for name, stored, bounds, text in (
            ("modelgate_batch_rows", CALL_ROWS, ROWS, "Rows per model call."),
            ("modelgate_model_duration_seconds", CALL_SECONDS, SECONDS, "Duration of a model call."),
        ):
            histograms = {labels: Histogram(bounds, cells) for labels, cells in current(stored).items()}
            yield MetricFamily(name, "histogram", text, _MODEL, histograms)
        failures = {labels: cells[-1] for labels, cells in calls.items()}
        text = "Model calls that raised an error."
        yield MetricFamily("modelgate_model_failures_total", "counter", text, _MODEL, failures)
        triggered = {labels: rows for labels, [rows] in current(TRIGGERED).items()}
        if triggered:
            yield MetricFamily(
                "modelgate_humility_triggered_total",
                "counter",
                "Rows that triggered a humility rule.",
                (*_MODEL, "rule"),
                triggered,
            )
        for index, (name, text) in enumerate(_GAUGES):
            if name != "modelgate_model_calls_overdue" or self._hang_timeout is not None:
                numbers = {labels: cells[index] for labels, cells in gauges.items()}
                yield MetricFamily(name, "gauge", text, _MODEL, numbers)


_GAUGES = (
    ("modelgate_model_calls_running", "Model calls in progress."),
    ("modelgate_queue_rows", "Rows that are waiting for a model."),
    ("modelgate_model_calls_overdue", "Model calls in progress that have exceeded the deadline of requests."),
)


def _cache_metrics(totals: Totals) -> Iterator[MetricFamily]:
    texts = (
        "Requests for models that were in memory.",
        "Requests for models that were not in memory.",
        "Finished model loads, including failed ones.",
        "Failed model loads.",
        "Models evicted to make room for others.",
    )
    for event, text, count in zip(CACHE_EVENTS, texts, totals[CACHE_COUNTS][()], strict=True):
        yield MetricFamily(f"modelgate_model_cache_{event}_total", "counter", text, (), {(): count})
    models, size = totals[CACHE_SIZE][()]
    text = "Models in memory."
    yield MetricFamily("modelgate_model_cache_models", "gauge", text, (), {(): models})
    text = "Size of the files that the models in memory were loaded from."
    yield MetricFamily("modelgate_model_cache_bytes", "gauge", text, (), {(): size})


_BODIES: Sequence[tuple[str, Kind, str, Callable[[LargeBodies], int]]] = (
    (
        "modelgate_large_bodies_bytes",
        "gauge",
        "Size of the large bodies in progress, decompressed.",
        lambda bodies: bodies.bytes_in_progress,
    ),
    (
        "modelgate_large_bodies_waiting",
        "gauge",
        "Large bodies that wait until others are finished.",
        lambda bodies: bodies.waiting,
    ),
    (
        "modelgate_large_bodies_waits_total",
        "counter",
        "Large bodies that had to wait, including rejected ones.",
        lambda bodies: bodies.waits,
    ),
    (
        "modelgate_large_bodies_rejected_total",
        "counter",
        "Large bodies that were rejected because too many were waiting.",
        lambda bodies: bodies.rejected,
    ),
)
