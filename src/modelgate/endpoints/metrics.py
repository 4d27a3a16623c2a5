"""Metrics of a gate for Prometheus."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import getpid
from typing import Any

from ..flow import Flow
from ..http import Request, Response
from ..http.large_bodies import LargeBodies
from ..http.routing import Route
from ..inference.model_metrics import ModelMetrics
from ..keys import Principal
from ..layers import Metrics
from ..models import ModelCache
from ..prometheus import CONTENT_TYPE, Histogram, Kind, Labels, MetricFamily, render_metrics

__all__ = ["MetricsEndpoint"]


class MetricsEndpoint:
    """Endpoint that collects and returns the metrics of a gate.

    Args:
        requests: Metrics of the requests.
        models: Metrics of the models, by deployment.
        cache: Model cache.
        large_bodies: Large bodies, see `BodyLimit`.
        hang_timeout: Number of seconds after which a model call counts as overdue; None for never.
    """

    def __init__(
        self,
        requests: Metrics,
        models: Mapping[str, ModelMetrics],
        cache: ModelCache[Any],
        large_bodies: Sequence[LargeBodies],
        hang_timeout: float | None,
    ) -> None:
        self._requests = requests
        self._models = models
        self._cache = cache
        self._large_bodies = large_bodies
        self._hang_timeout = hang_timeout

    def route(self, *, open_to_all: bool) -> Route:
        """Return the route ``GET /metrics``."""
        return Route("GET", "/metrics", self._respond, is_public=open_to_all)

    def _respond(self, request: Request) -> Flow[Response]:
        yield from ()
        principal: Principal | None = request.context.principal
        if principal is not None:
            # The metrics cover every deployment, so the key must permit reading all of them.
            principal.require("*", "read")
        return Response(200, self.render().encode(), [("content-type", CONTENT_TYPE)])

    def render(self) -> str:
        """Return the metrics of this process in the text format of Prometheus."""
        return render_metrics(
            [
                *self._process_metrics(),
                *self._requests.families(),
                *self._model_metrics(),
                *self._cache_metrics(),
                *self._body_metrics(),
            ]
        )

    def _process_metrics(self) -> Iterator[MetricFamily]:
        pid: dict[Labels, int] = {(str(getpid()),): 1}
        yield MetricFamily(
            "modelgate_process_info", "gauge", "The process that reports these metrics.", ("pid",), pid
        )

    def _model_metrics(self) -> Iterator[MetricFamily]:
        models = list(self._models.items())
        yield MetricFamily(
            "modelgate_batches_total",
            "counter",
            "Model calls, by the reason for sending the batch.",
            ("deployment", "reason"),
            {(name, why): count for name, metrics in models for why, count in metrics.calls.items()},
        )
        for metric, kind, text, value in _MODEL_METRICS:
            values: dict[Labels, float | Histogram] = {(name,): value(metrics) for name, metrics in models}
            yield MetricFamily(metric, kind, text, ("deployment",), values)
        triggered: dict[Labels, int] = {
            (name, rule): rows for name, metrics in models for rule, rows in list(metrics.humility.items())
        }
        if triggered:
            yield MetricFamily(
                "modelgate_humility_triggered_total",
                "counter",
                "Rows that triggered a humility rule.",
                ("deployment", "rule"),
                triggered,
            )
        if self._hang_timeout is not None:
            overdue: dict[Labels, int] = {
                (name,): metrics.count_stuck(self._hang_timeout) for name, metrics in models
            }
            text = "Model calls in progress that have exceeded the deadline of requests."
            yield MetricFamily("modelgate_model_calls_overdue", "gauge", text, ("deployment",), overdue)

    def _cache_metrics(self) -> Iterator[MetricFamily]:
        cache, info = self._cache, self._cache.cache_info()
        counts = {
            "hits": (info.hits, "Requests for models that were in memory."),
            "misses": (info.misses, "Requests for models that were not in memory."),
            "loads": (cache.loads, "Finished model loads, including failed ones."),
            "load_failures": (cache.failures, "Failed model loads."),
            "evictions": (cache.evictions, "Models evicted to make room for others."),
        }
        for name, (count, text) in counts.items():
            yield MetricFamily(f"modelgate_model_cache_{name}_total", "counter", text, (), {(): count})
        gauges = {
            "models": (info.currsize, "Models in memory."),
            "bytes": (info.currbytes, "Size of the files that the models in memory were loaded from."),
        }
        for name, (value, text) in gauges.items():
            yield MetricFamily(f"modelgate_model_cache_{name}", "gauge", text, (), {(): value})

    def _body_metrics(self) -> Iterator[MetricFamily]:
        bodies = self._large_bodies
        for name, kind, text, value in _BODY_METRICS:
            yield MetricFamily(name, kind, text, (), {(): sum(map(value, bodies))})


_BODY_METRICS: Sequence[tuple[str, Kind, str, Callable[[LargeBodies], int]]] = (
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

_MODEL_METRICS: Sequence[tuple[str, Kind, str, Callable[[ModelMetrics], float | Histogram]]] = (
    ("modelgate_batch_rows", "histogram", "Rows per model call.", lambda metrics: metrics.rows),
    (
        "modelgate_model_duration_seconds",
        "histogram",
        "Duration of a model call.",
        lambda metrics: metrics.seconds,
    ),
    (
        "modelgate_model_failures_total",
        "counter",
        "Model calls that raised an error.",
        lambda metrics: metrics.failed,
    ),
    (
        "modelgate_model_calls_running",
        "gauge",
        "Model calls in progress.",
        lambda metrics: len(metrics.running),
    ),
    (
        "modelgate_queue_rows",
        "gauge",
        "Rows that are waiting for a model.",
        lambda metrics: metrics.rows_waiting,
    ),
)
