"""What the model of a deployment has done."""

import threading
from bisect import bisect_left
from collections.abc import Callable
from time import perf_counter
from typing import ParamSpec, Protocol, TypeVar
from weakref import WeakSet

from ..flow.forks import renew_in_child
from ..metrics import Histogram

__all__ = ["Tally"]

P = ParamSpec("P")
T = TypeVar("T")

SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
)
REASONS = ("idle", "loop", "busy", "full", "large", "split", "unbatched")
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


class Queue(Protocol):
    """Where rows wait for a model."""

    @property
    def rows_waiting(self) -> int:
        """How many."""


class Tally:
    """Counts the calls of a model, and of those that take its place.

    Attributes:
        calls: how many were made, by the reason why each was made when it was, of `REASONS`.
        failed: how many raised an error.
        rows: how many rows each call had.
        seconds: how long each took.
        running: when those began that are under way, on the clock of `time.perf_counter`.
        queues: where rows wait for it.
    """

    def __init__(self) -> None:
        self.queues: WeakSet[Queue] = WeakSet()
        self._forget()
        renew_in_child(self, Tally._forget)

    def _forget(self) -> None:
        """Nothing was done: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self.calls = dict.fromkeys(REASONS, 0)
        self.failed = 0
        self.rows = Histogram(ROWS)
        self.seconds = Histogram(SECONDS)
        self.running: set[float] = set()

    def timed(
        self, reason: str, rows: int, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, float]:
        """The result of *call*, and how many seconds it took.

        It has the model look at *rows* rows, and is made now for a *reason*.
        """
        began = self.begin()
        try:
            result = call(*args, **kwargs)
        except BaseException:
            self.end(began, reason, rows, failed=True)
            raise
        return result, self.end(began, reason, rows)

    def begin(self) -> float:
        """A call begins: now."""
        began = perf_counter()
        self.running.add(began)
        return began

    def end(self, began: float, reason: str, rows: int, *, failed: bool = False) -> float:
        """The call that *began* then has ended; how many seconds it took."""
        took = perf_counter() - began
        with self._lock:
            # A child that was forked during it has forgotten it.
            self.running.discard(began)
            self.calls[reason] += 1
            self.failed += failed
            self.rows.counts[bisect_left(ROWS, rows)] += 1
            self.rows.sum += rows
            self.seconds.counts[bisect_left(SECONDS, took)] += 1
            self.seconds.sum += took
        return took

    @property
    def rows_waiting(self) -> int:
        """How many rows wait for the model."""
        return sum(queue.rows_waiting for queue in self.queues)

    def overdue(self, patience: float) -> int:
        """How many calls have run for longer than *patience* seconds."""
        since = perf_counter() - patience
        return sum(began < since for began in self.running.copy())
