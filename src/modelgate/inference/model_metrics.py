"""Counters of a deployment's model calls, and estimates of how long they take."""

import threading
from bisect import bisect_left
from collections.abc import Callable
from time import perf_counter
from typing import ParamSpec, Protocol, TypeVar
from weakref import WeakSet

from ..cancellation import CallAbandoned
from ..flow import isolate_error
from ..flow.fork_safety import reset_after_fork
from ..prometheus import Histogram

__all__ = ["LIGHT", "LIGHT_ROWS", "LatencyEstimator", "ModelMetrics"]

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
"""Reasons why a model is called.

- ``idle``: a thread requested a prediction, and the model was idle.
- ``loop``: a task of an event loop requested a prediction, and the model was idle.
- ``busy``: the tables were queued while the model was busy.
- ``full``: more tables were queued than fit into one call.
- ``large``: a table is so large that it is scored alone.
- ``split``: a call for more tables failed.
- ``unbatched``: the call is not batched, for example because the model itself requested it.
"""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)

LIGHT = 0.002
"""Duration in seconds below which a call is light: fast enough to run on the event loop."""

LIGHT_ROWS = 1024
"""Largest number of rows in a light call."""

_DECAY, _LARGEST_DECAY = 0.9, 0.99


class WaitingRows(Protocol):
    """Object with a queue of rows that wait for a model."""

    @property
    def rows_waiting(self) -> int:
        """Number of rows in the queue."""


class ModelMetrics:
    """Counters of the calls of a deployment's model. Replacing the model does not reset them.

    Attributes:
        calls: Number of calls by reason, one of `REASONS`.
        failed: Number of calls that raised an error.
        rows: Histogram of the number of rows per call.
        seconds: Histogram of the duration of the calls.
        running: Start times of the calls in progress, on the clock of `time.perf_counter`.
        queues: Queues in which rows wait for the model.
        humility: Number of rows that have triggered each humility rule, by the rule's name.
    """

    def __init__(self) -> None:
        self.queues: WeakSet[WaitingRows] = WeakSet()
        self.humility: dict[str, int] = {}
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Set all counters to zero. Also called in forked children, which count only their own calls."""
        # Reentrant: garbage collection under the lock may close a request, which acquires the lock too.
        self._lock = threading.RLock()
        self.calls = dict.fromkeys(REASONS, 0)
        self.failed = 0
        self.rows = Histogram(ROWS)
        self.seconds = Histogram(SECONDS)
        self.running: set[float] = set()
        self.humility = dict.fromkeys(self.humility, 0)

    def measure(
        self, reason: str, rows: int, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, float]:
        """Call *call*, record the call, and return its result and its duration in seconds.

        Errors of *call* are converted by `isolate_error`.

        Args:
            reason: Reason why the call is made, one of `REASONS`.
            rows: Number of rows to score.
            call: Function to call.
            args: Positional arguments of *call*.
            kwargs: Keyword arguments of *call*.
        """
        started_at, failed = perf_counter(), True
        try:
            try:
                self.running.add(started_at)
                result = call(*args, **kwargs)
                failed = False
            except CallAbandoned:
                failed = False
                raise
            finally:
                elapsed = self.end(started_at, reason, rows, failed=failed)
        except BaseException as error:
            # A KeyboardInterrupt may have ended `end` before it did anything.
            self.running.discard(started_at)
            raise isolate_error(error)  # noqa: B904  it is the same error, or has it as its cause
        return result, elapsed

    def end(self, started_at: float, reason: str, rows: int, *, failed: bool = False) -> float:
        """Record the end of the call that began at *started_at*, and return its duration in seconds."""
        elapsed = perf_counter() - started_at
        with self._lock:
            # Not `remove`, which could fail: in a child forked during the call, *running* is empty.
            self.running.discard(started_at)
            self.calls[reason] += 1
            self.failed += failed
            self.rows.counts[bisect_left(ROWS, rows)] += 1
            self.rows.sum += rows
            self.seconds.counts[bisect_left(SECONDS, elapsed)] += 1
            self.seconds.sum += elapsed
        return elapsed

    def count_triggered(self, rule: str, rows: int) -> None:
        """Record that *rows* rows have triggered the humility rule named *rule*."""
        with self._lock:
            self.humility[rule] = self.humility.get(rule, 0) + rows

    @property
    def rows_waiting(self) -> int:
        """Number of rows that wait for the model."""
        return sum(queue.rows_waiting for queue in self.queues)

    def count_stuck(self, hang_timeout: float) -> int:
        """Return the number of calls that have been running for more than *hang_timeout* seconds."""
        before = perf_counter() - hang_timeout
        return sum(started_at < before for started_at in self.running.copy())


class LatencyEstimator:
    """Estimate of how long the calls of a model take.

    A call is expected to take the longer of two times:

    - The duration of the slowest call, reduced by 10 % for each faster call after it. So for a while after
      one slow call, all calls are expected to be slow.
    - The number of rows times the duration per row of the largest recent call. This duration includes the
      fixed cost of a call, so larger calls are expected to take longer than they do, which is safe.
    """

    def __init__(self) -> None:
        self._slowest: float | None = None
        self._largest: float = 0
        self._per_row: float = 0

    def record(self, elapsed: float, rows: int) -> None:
        """Record that a call with *rows* rows took *elapsed* seconds."""
        self._slowest = elapsed if self._slowest is None else max(elapsed, self._slowest * _DECAY)
        if rows < self._largest:
            # A smaller call does not count for the duration per row, as its fixed cost weighs more.
            self._largest *= _LARGEST_DECAY
            return
        per_row = elapsed / rows
        self._per_row = per_row if rows > self._largest else max(per_row, self._per_row * _DECAY)
        self._largest = rows

    def is_light(self, rows: int, limit: float = LIGHT) -> bool:
        """Return whether a call with *rows* rows is expected to take less than *limit* seconds.

        Always False before the first call is recorded.
        """
        if self._slowest is None or rows > LIGHT_ROWS:
            return False
        return self._slowest < limit and rows * self._per_row < limit
