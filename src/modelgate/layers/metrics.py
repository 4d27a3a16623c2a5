"""Counts of what was asked, and what became of it."""

import asyncio
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterator
from time import perf_counter

from ..errors import AnswerableError, ServingError
from ..flow import Flow, Handler
from ..flow.forks import renew_in_child
from ..http import Request, Response
from ..metrics import Family, Histogram, Labels

__all__ = ["Metrics"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class _Answers(Histogram):
    """The answers of one kind: how long they took, and the rows whose predictions they gave."""

    __slots__ = ("rows",)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(bounds)
        self.rows = 0


class Metrics:
    """Count requests, their time, rows and errors, in this process; `families` tells them.

    Nothing a caller sends becomes a label: a name that is none of *deployments* is empty there, and
    so is that of a request that names none.

    Args:
        deployments: the names there are.
    """

    def __init__(self, deployments: Container[str] = ()) -> None:
        self._deployments = deployments
        self._forget()
        renew_in_child(self, Metrics._forget)

    def _forget(self) -> None:
        """Nothing was asked: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self._under_way: set[Request] = set()
        self._answers: dict[tuple[str, str, int | None], _Answers] = {}
        self._errors: Counter[Labels] = Counter()

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        status = None
        self._under_way.add(request)
        try:
            response = yield from call_next(request)
            status = response.status
            return response
        except AnswerableError as error:
            request.error_code, status = error.code, error.status
            raise
        except BaseException as error:
            # An app that raises is answered 500 by the server.
            if not isinstance(error, asyncio.CancelledError | GeneratorExit):
                request.error_code, status = ServingError.code, ServingError.status
            raise
        finally:
            self._count(request, status)

    def _count(self, request: Request, status: int | None) -> None:
        took = perf_counter() - request.started
        name = request.deployment
        if name is None or name not in self._deployments:
            name = ""
        key = name, getattr(request.wire, "name", ""), status
        table = request.query.table if request.query is not None else None
        with self._lock:
            # A child that was forked during it has forgotten it.
            self._under_way.discard(request)
            answers = self._answers.get(key)
            if answers is None:
                answers = self._answers[key] = _Answers(SECONDS)
            answers.counts[bisect_left(SECONDS, took)] += 1
            answers.sum += took
            if request.error_code is not None:
                self._errors[name, request.error_code] += 1
            elif table is not None and status is not None:
                answers.rows += len(table)

    def families(self) -> Iterator[Family]:
        """What was counted so far."""
        with self._lock:
            answers = {key: told.copy() for key, told in self._answers.items()}
            rows, errors = Counter[Labels](), dict(self._errors)
            for (name, *_), told in self._answers.items():
                rows[name,] += told.rows
        requests: dict[Labels, int] = {
            (*names, _code(status)): told.count for (*names, status), told in answers.items()
        }
        yield Family(
            "modelgate_requests_total",
            "counter",
            "Requests answered; cancelled are those whose caller left.",
            ("deployment", "dialect", "code"),
            requests,
        )
        yield Family(
            "modelgate_request_duration_seconds",
            "histogram",
            "From a request's arrival to its answer, by the class of its status.",
            ("deployment", "class"),
            _by_class(answers),
        )
        yield Family(
            "modelgate_requests_in_flight",
            "gauge",
            "Requests that wait for their answer.",
            (),
            {(): len(self._under_way)},
        )
        yield Family(
            "modelgate_errors_total",
            "counter",
            "Requests refused or failed, by the code of the error.",
            ("deployment", "reason"),
            errors,
        )
        yield Family(
            "modelgate_rows_total", "counter", "Rows whose predictions were answered.", ("deployment",), rows
        )


def _code(status: int | None) -> str:
    return "cancelled" if status is None else str(status)


def _by_class(answers: dict[tuple[str, str, int | None], Histogram]) -> dict[Labels, Histogram]:
    classes: dict[Labels, Histogram] = {}
    for (deployment, _, status), told in answers.items():
        key = deployment, "cancelled" if status is None else f"{status // 100}xx"
        classes.setdefault(key, Histogram(SECONDS)).add(told)
    return classes
