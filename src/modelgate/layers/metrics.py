"""Metrics of requests and their outcomes."""

import asyncio
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterator
from time import perf_counter

from ..context import RequestContext
from ..errors import AnswerableError, ServingError
from ..flow import Flow, Handler
from ..flow.fork_safety import reset_after_fork
from ..http import Request, Response
from ..prometheus import Histogram, Labels, MetricFamily

__all__ = ["Metrics"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class _ResponseStats(Histogram):
    """Durations of the responses with one set of labels, and the total number of rows with predictions."""

    __slots__ = ("rows",)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(bounds)
        self.rows = 0


class Metrics:
    """Count requests, their durations, rows and errors in this process. `families` returns the counts.

    Text from callers never becomes a label: the label ``deployment`` is empty if the request names
    none of *deployments*.

    Args:
        deployments: Names of the deployments.
    """

    def __init__(self, deployments: Container[str] = ()) -> None:
        self._deployments = deployments
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Set all counts to zero, at the start and in forked children: each process has its own counts."""
        # Reentrant: garbage collection may end a request while this thread holds the lock.
        self._lock = threading.RLock()
        self._under_way: set[Request] = set()
        self._responses: dict[tuple[str, str, int | None], _ResponseStats] = {}
        self._errors: Counter[Labels] = Counter()

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        status = None
        try:
            try:
                self._under_way.add(request)
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
                self._count(request, status)
        except BaseException:
            # `_count` may have been interrupted before it did anything.
            self._under_way.discard(request)
            raise

    def _count(self, request: Request, status: int | None) -> None:
        elapsed = perf_counter() - request.started
        context: RequestContext = request.context
        name = context.deployment
        if name is None or name not in self._deployments:
            name = ""
        key = name, getattr(request.wire, "name", ""), status
        table = context.query.table if context.query is not None else None
        with self._lock:
            # Not `remove`: in a forked child the request is not in the set.
            self._under_way.discard(request)
            stats = self._responses.get(key)
            if stats is None:
                self._discard_removed()
                stats = self._responses[key] = _ResponseStats(SECONDS)
            stats.counts[bisect_left(SECONDS, elapsed)] += 1
            stats.sum += elapsed
            if request.error_code is not None:
                self._errors[name, request.error_code] += 1
            elif table is not None and status is not None:
                stats.rows += len(table.numbers)

    def _discard_removed(self) -> None:
        """Discard the counts of deployments that no longer exist."""
        names = {name for name, *_ in [*self._responses, *self._errors] if name}
        removed = {name for name in names if name not in self._deployments}
        if removed:
            responses, errors = list(self._responses.items()), list(self._errors.items())
            self._responses = {key: stats for key, stats in responses if key[0] not in removed}
            self._errors = Counter({key: count for key, count in errors if key[0] not in removed})

    def families(self) -> Iterator[MetricFamily]:
        """Return the metrics of this layer."""
        with self._lock:
            self._discard_removed()
            originals = list(self._responses.items())
            responses = {key: stats.copy() for key, stats in originals}
            rows, errors = Counter[Labels](), dict(self._errors)
            for (name, *_), stats in originals:
                rows[name,] += stats.rows
        requests: dict[Labels, int] = {
            (*names, "cancelled" if status is None else str(status)): stats.count
            for (*names, status), stats in responses.items()
        }
        yield MetricFamily(
            "modelgate_requests_total",
            "counter",
            "Responses sent; code is cancelled if the caller disconnected first.",
            ("deployment", "dialect", "code"),
            requests,
        )
        yield MetricFamily(
            "modelgate_request_duration_seconds",
            "histogram",
            "Time from a request's arrival to its response, by class of status.",
            ("deployment", "class"),
            _merge_by_class(responses),
        )
        yield MetricFamily(
            "modelgate_requests_in_flight",
            "gauge",
            "Requests without a response yet.",
            (),
            {(): len(self._under_way)},
        )
        yield MetricFamily(
            "modelgate_errors_total",
            "counter",
            "Requests that were rejected or failed, by error code.",
            ("deployment", "reason"),
            errors,
        )
        yield MetricFamily(
            "modelgate_rows_total", "counter", "Rows with predictions in responses.", ("deployment",), rows
        )


def _merge_by_class(responses: dict[tuple[str, str, int | None], Histogram]) -> dict[Labels, Histogram]:
    classes: dict[Labels, Histogram] = {}
    for (deployment, _, status), stats in responses.items():
        key = deployment, "cancelled" if status is None else f"{status // 100}xx"
        classes.setdefault(key, Histogram(SECONDS)).add(stats)
    return classes
