"""Count a deployment's model calls, and estimate their duration."""

import threading
from bisect import bisect_left
from collections.abc import Callable
from time import perf_counter
from typing import Protocol, TypeVar, TypeVarTuple, Unpack
from weakref import WeakSet

from ..cancellation import CallAbandoned
from ..flow import isolate_error
from ..flow.fork_safety import reset_after_fork
from ..prometheus import Cells, Histogram, Labels, LocalValues, MetricValues

__all__ = ["LIGHT", "LIGHT_ROWS", "LatencyEstimator", "ModelMetrics"]

Ts = TypeVarTuple("Ts")
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
- ``split``: the call for a batch failed, so each half of the batch is scored separately.
- ``unbatched``: the call is not batched, for example because it takes less time than a wait, or because the
  model itself requested it.
"""
_INDEX = {name: index for index, name in enumerate((*REASONS, "failed"))}
CALLS, CALL_ROWS, CALL_SECONDS, GAUGES, TRIGGERED = (
    "model_calls",
    "model_call_rows",
    "model_call_seconds",
    "model_gauges",
    "humility_triggered",
)
"""Names under which the values are stored; see `MetricValues`."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)

LIGHT = 0.002
"""Duration in seconds below which a call is light: fast enough to run on the event loop."""

LIGHT_ROWS = 1024
"""Largest number of rows in a light call."""

_DECAY, _LARGEST_DECAY = 0.9, 0.99


class WaitingRows(Protocol):
    """Protocol of objects with a queue of rows that wait for a model."""

    @property
    def rows_waiting(self) -> int:
        """Number of rows in the queue."""


class ModelMetrics:
    """Counters of a model's calls. Loading the model again does not reset them.

    Args:
        labels: Deployment, version of the model, and its role: ``serving`` or ``shadow``.
        values: Storage of the counters; None for the memory of this process.

    Attributes:
        rows: Histogram of the number of rows per call.
        seconds: Histogram of the duration of the calls.
        running: Start times of the calls in progress, on the clock of `time.perf_counter`.
        queues: Queues in which rows wait for the model.
    """

    def __init__(self, labels: Labels = ("", "", "serving"), values: MetricValues | None = None) -> None:
        self.labels = labels
        self.queues: WeakSet[WaitingRows] = WeakSet()
        self._values = values or LocalValues()
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Allocate the counters. Also called in forked children, which count only their own calls."""
        # Reentrant: garbage collection under the lock may close a request, which acquires the lock too.
        self._lock = threading.RLock()
        allocate = self._values.allocate
        self._calls = allocate(CALLS, self.labels, len(_INDEX))
        self.rows = Histogram(ROWS, allocate(CALL_ROWS, self.labels, len(ROWS) + 2))
        self.seconds = Histogram(SECONDS, allocate(CALL_SECONDS, self.labels, len(SECONDS) + 2))
        self._humility: dict[str, Cells] = {}
        self.running: set[float] = set()

    def measure(self, reason: str, rows: int, call: Callable[[Unpack[Ts]], T], *args: *Ts) -> tuple[T, float]:
        """Call *call*, record the call, and return its result and its duration in seconds.

        Errors of *call* are converted by `isolate_error`.

        Args:
            reason: Reason why the call is made, one of `REASONS`.
            rows: Number of rows to score.
            call: Function to call.
            args: Arguments of *call*.
        """
        started_at, failed = perf_counter(), True
        try:
            try:
                self.running.add(started_at)
                result = call(*args)
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
            self._calls[_INDEX[reason]] += 1
            if failed:
                self._calls[_INDEX["failed"]] += 1
            # The code of `Histogram.observe`: calling it twice would double the time of this method.
            cells = self.rows.cells
            cells[bisect_left(ROWS, rows)] += 1
            cells[-1] += rows
            cells = self.seconds.cells
            cells[bisect_left(SECONDS, elapsed)] += 1
            cells[-1] += elapsed
        return elapsed

    @property
    def calls(self) -> dict[str, int]:
        """Number of calls in this process by reason, one of `REASONS`."""
        return {reason: int(self._calls[_INDEX[reason]]) for reason in REASONS}

    @property
    def failed(self) -> int:
        """Number of calls in this process that raised an error."""
        return int(self._calls[_INDEX["failed"]])

    def count_triggered(self, rule: str, rows: int) -> None:
        """Record that *rows* rows have triggered the humility rule named *rule*."""
        with self._lock:
            cells = self._humility.get(rule)
            if cells is None:
                cells = self._humility[rule] = self._values.allocate(TRIGGERED, (*self.labels, rule))
            cells[0] += rows

    def publish(self, hang_timeout: float | None) -> None:
        """Store the numbers of running calls, waiting rows and stuck calls, for other processes to read."""
        cells = self._values.allocate(GAUGES, self.labels, 3, gauge=True)
        stuck = 0 if hang_timeout is None else self.count_stuck(hang_timeout)
        cells[0], cells[1], cells[2] = len(self.running), self.rows_waiting, stuck

    @property
    def rows_waiting(self) -> int:
        """Number of rows that wait for the model."""
        return sum(queue.rows_waiting for queue in self.queues)

    def count_stuck(self, hang_timeout: float) -> int:
        """Return the number of calls that have been running for more than *hang_timeout* seconds."""
        before = perf_counter() - hang_timeout
        return sum(started_at < before for started_at in self.running.copy())


class LatencyEstimator:
    """Estimator for the duration of a model's calls.

    Two durations are recorded:

    - The duration of the slowest call, reduced by 10 % for each faster call after it. So for a while after
      one slow call, all calls are expected to be slow.
    - The duration per row of the largest recent call. It includes the fixed cost of a call, so larger calls
      are expected to take longer than they do, which is safe. For a smaller call, this duration would include
      too little of the fixed cost. A smaller call is therefore compared with the whole recorded call, or with
      the slowest call plus this duration for each further row.
    """

    def __init__(self) -> None:
        self._slowest: float | None = None
        self._largest: float = 0
        self._per_row: float = 0
        self._rows = 0

    def record(self, elapsed: float, rows: int) -> None:
        """Record that a call with *rows* rows took *elapsed* seconds."""
        self._slowest = elapsed if self._slowest is None else max(elapsed, self._slowest * _DECAY)
        if rows < self._largest:
            # A smaller call does not count for the duration per row, as its fixed cost weighs more.
            self._largest *= _LARGEST_DECAY
            return
        per_row = elapsed / rows
        self._per_row = per_row if rows > self._largest else max(per_row, self._per_row * _DECAY)
        self._largest = self._rows = rows

    def is_light(self, rows: int, limit: float = LIGHT) -> bool:
        """Return whether a call with *rows* rows is expected to take less than *limit* seconds.

        The result is False until a call has been recorded.
        """
        if self._slowest is None or rows > LIGHT_ROWS:
            return False
        return self._slowest < limit and (
            max(rows, self._rows) * self._per_row < limit
            or self._slowest + (rows - 1) * self._per_row < limit
        )
