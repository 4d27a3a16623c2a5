"""Metrics of requests and their outcomes."""

import asyncio
import threading
from bisect import bisect_left
from collections.abc import Container, Iterator
from time import perf_counter
from typing import TypeAlias

from ..context import RequestContext
from ..errors import AnswerableError, ServingError
from ..flow import Flow, Handler
from ..flow.fork_safety import reset_after_fork
from ..flow.timing import Timing
from ..http import Request, Response
from ..prometheus import (
    Cells,
    Histogram,
    Labels,
    LocalValues,
    MetricFamily,
    MetricValues,
    Totals,
    current_values,
)
from ._recent_requests import RecentRequests, Ring, TrafficReport

__all__ = ["Metrics"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = len(SECONDS) + 2
"""Index of the number of predicted rows among the values of a series. The values begin with the buckets and
the sum of the durations."""

_MEASURE_INTERVAL = 1.0
"""Seconds between two requests whose phases are measured although their callers do not request this."""

_RESPONSES, _ERRORS, _IN_FLIGHT = "responses", "errors", "requests_in_flight"

_Key: TypeAlias = tuple[str, str, str, int | None]


class Metrics:
    """Layer that counts requests, their durations, rows and errors. `families` returns the counts.

    Text from callers never becomes a label: the label ``deployment`` is empty if the request names
    none of *deployments*.

    Args:
        deployments: Names of the deployments.
        values: Storage of the counts; None for the memory of this process.

    Attributes:
        begin: Function that counts a request as in flight.
        discard: Function that removes a request from those in flight without counting it. Safe to call twice.
    """

    def __init__(self, deployments: Container[str] = (), values: MetricValues | None = None) -> None:
        self.deployments = deployments
        self._values = values or LocalValues()
        self._recent = RecentRequests(self._values, SECONDS)
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start without counts. Run again in a forked child, because each process counts its own requests."""
        # Reentrant: garbage collection may end a request while this thread holds the lock.
        self._lock = threading.RLock()
        self._under_way: set[Request] = set()
        self.begin, self.discard = self._under_way.add, self._under_way.discard
        self._responses: dict[_Key, tuple[Cells, Ring | None]] = {}
        self._errors: dict[Labels, Cells] = {}
        self._rings: dict[tuple[str, str], Ring] = {}
        self._next_measured = 0.0

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        status = None
        try:
            try:
                self.begin(request)
                if self.measures_next(request):
                    self._next_measured = request.started + _MEASURE_INTERVAL
                    request.timing = request.timing or Timing(request.started)
                response = yield from call_next(request)
                status = response.status
                return response
            except AnswerableError as error:
                request.error_code, status = error.code, error.status
                raise
            except BaseException as error:
                # The server responds with 500 if the app raises an error.
                if not isinstance(error, asyncio.CancelledError | GeneratorExit):
                    request.error_code, status = ServingError.code, ServingError.status
                raise
            finally:
                self.end(request, status)
        except BaseException:
            # `end` may have been interrupted before it did anything.
            self.discard(request)
            raise

    def measures_next(self, request: Request) -> bool:
        """Return whether to measure the phases of *request*. One request a second is measured."""
        return request.started >= self._next_measured

    def end(self, request: Request, status: int | None) -> None:
        """Count *request* as answered with *status*, or as cancelled if *status* is None."""
        now = perf_counter()
        elapsed = now - request.started
        context: RequestContext = request.context
        name, query, version = context.deployment, context.query, ""
        if name is None or name not in self.deployments:
            name = ""
        elif query is not None and query.predictor is not None:
            version = query.predictor.version
        key = name, version, getattr(request.wire, "name", ""), status
        with self._lock:
            # Not `remove`: in a forked child the request is not in the set.
            self._under_way.discard(request)
            cells, ring = self._responses.get(key) or self._allocate(key)
            bucket = bisect_left(SECONDS, elapsed)
            cells[bucket] += 1
            cells[_ROWS - 1] += elapsed
            if ring is not None and (context.route is None or context.route.handler is None):
                ring.count(now, status, bucket, request.timing)
            if request.error_code is not None:
                self._count_error((name, version, request.error_code))
            elif query is not None and query.table is not None and status is not None:
                cells[_ROWS] += query.table.row_count

    def _allocate(self, key: _Key) -> tuple[Cells, Ring | None]:
        self._discard_removed()
        name, version, dialect, status = key
        labels = name, version, dialect, "cancelled" if status is None else str(status)
        cells, ring = self._values.allocate(_RESPONSES, labels, _ROWS + 1), self._rings.get((name, version))
        if ring is None and name:
            ring = self._rings[name, version] = self._recent.allocate(name, version)
        self._responses[key] = cells, ring
        return cells, ring

    def _count_error(self, labels: Labels) -> None:
        cells = self._errors.get(labels)
        if cells is None:
            cells = self._errors[labels] = self._values.allocate(_ERRORS, labels)
        cells[0] += 1

    def _discard_removed(self) -> None:
        """Discard the counts of deployments that no longer exist."""
        self._values.discard(self.deployments)
        known = self.deployments
        responses, errors = list(self._responses.items()), list(self._errors.items())
        self._rings = {key: ring for key, ring in list(self._rings.items()) if key[0] in known}
        self._responses = {key: value for key, value in responses if not key[0] or key[0] in known}
        self._errors = {labels: cells for labels, cells in errors if not labels[0] or labels[0] in known}

    def publish(self) -> None:
        """Store the number of requests in flight, for other processes to read."""
        self._values.allocate(_IN_FLIGHT, (), gauge=True)[0] = len(self._under_way)

    def traffic(self, deployment: str, *, shared: bool = False) -> TrafficReport:
        """Return a report of the prediction requests to a deployment in the last hour.

        Args:
            deployment: Deployment name.
            shared: Whether the storage contains the counts of several processes.
        """
        return self._recent.report(deployment, shared=shared)

    def families(self, totals: Totals | None = None) -> Iterator[MetricFamily]:
        """Return the metrics of this layer.

        Args:
            totals: Stored values; None to read them.
        """
        if totals is None:
            self.publish()
            totals = self._values.read()
        responses = current_values(totals.get(_RESPONSES, {}), self.deployments)
        rows: dict[Labels, float] = {}
        durations: dict[Labels, Histogram] = {}
        requests: dict[Labels, float] = {}
        for (deployment, version, dialect, code), cells in responses.items():
            histogram = Histogram(SECONDS, cells[:_ROWS])
            requests[deployment, version, dialect, code] = histogram.count
            status_class = code if code == "cancelled" else f"{code[0]}xx"
            durations.setdefault((deployment, version, status_class), Histogram(SECONDS)).add(histogram)
            rows[deployment, version] = rows.get((deployment, version), 0) + cells[_ROWS]
        yield MetricFamily(
            "modelgate_requests_total",
            "counter",
            "Responses sent; code is cancelled if the caller disconnected first.",
            ("deployment", "version", "dialect", "code"),
            requests,
        )
        yield MetricFamily(
            "modelgate_request_duration_seconds",
            "histogram",
            "Time from a request's arrival to its response, by class of status.",
            ("deployment", "version", "class"),
            durations,
        )
        yield MetricFamily(
            "modelgate_requests_in_flight",
            "gauge",
            "Requests without a response yet.",
            (),
            {(): totals.get(_IN_FLIGHT, {}).get((), [0.0])[0]},
        )
        yield MetricFamily(
            "modelgate_errors_total",
            "counter",
            "Requests that were rejected or failed, by error code.",
            ("deployment", "version", "reason"),
            {
                labels: count
                for labels, [count] in current_values(totals.get(_ERRORS, {}), self.deployments).items()
            },
        )
        yield MetricFamily(
            "modelgate_rows_total",
            "counter",
            "Rows with predictions in responses.",
            ("deployment", "version"),
            rows,
        )
