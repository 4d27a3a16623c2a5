"""Thread pool that models share fairly, and that detects calls that hang.

Every blocking call that may hang runs in such a pool: predictions, model loads, key look-ups, stores.
A thread cannot be stopped, so a call that exceeds its timeout continues in its thread, and the pool limits
the number of such calls. There are two ways to wait:

- `PoolQuota.run_with_timeout` blocks the caller until its own call returns or times out;
- `PoolQuota.submit` returns a future, for which flows wait with `modelgate.flow.wait_for`. Several callers
  can wait for the same call, each with its own timeout.

Coroutines do not need the pool, because they can be cancelled.
"""

import contextlib
import math
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from ..cancellation import current_call
from ..errors import Overloaded
from .fork_safety import reset_after_fork
from .greenlets import warn_if_patched_late

__all__ = ["MAX_WAITING", "FairThreadPool", "PoolQuota", "this_thread"]

MAX_WAITING = 65_536
"""Largest number of rows in the queue of one quota."""

_LARGE_ROWS = 128
"""Number of rows from which a job is large."""

_SLOW = 1.0
"""Number of seconds after which any job is slow."""

_SLOW_PART = 30
"""A job is also slow after *hang_timeout* divided by this. With 30, if 40 quotas hang at once, each with
half of the threads, other quotas get threads again after two thirds of *hang_timeout*."""

T = TypeVar("T")


class FairThreadPool:
    """Thread pool that runs at most *number* jobs at once, with a quota for each model.

    Quotas take turns. Immediate jobs (see `PoolQuota.submit`) start even if more than *number* jobs then run.
    Threads start on demand and are daemons, so hanging calls do not prevent an exit.

    A job is slow after a second, or after a thirtieth of *hang_timeout* if that is less. For a quota without
    slow jobs, the slow jobs of other quotas do not count towards *number*. So it gets threads even if other
    quotas hang. After *hang_timeout* a job is stuck and no longer counts.

    Args:
        number: Number of jobs that run at once. Default: number of cores + 4, at most 32.
        hang_timeout: Seconds after which a job is stuck; None for never.

    Attributes:
        serving: Quotas among which the threads are divided.
    """

    def __init__(self, number: int | None = None, hang_timeout: float | None = None) -> None:
        warn_if_patched_late()
        self.number = number or min(32, (os.cpu_count() or 1) + 4)
        self.hang_timeout = hang_timeout
        self._slow_after = _SLOW if hang_timeout is None else min(_SLOW, hang_timeout / _SLOW_PART)
        self.serving: weakref.WeakSet[PoolQuota] = weakref.WeakSet()
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Initialize the pool with no threads and no jobs."""
        self._lock = threading.Lock()
        self._started: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Do not stop the threads at exit: hooks that were registered earlier run later and may still submit
        # jobs.
        weakref.finalize(self, self._started.put, None).atexit = False
        self._idle = 0
        # Running jobs in the order of their start. Stuck jobs are in neither dict.
        self._fresh: dict[_Job, None] = {}
        self._slow: dict[_Job, None] = {}
        # Quotas with queued jobs, the next one first.
        self._turns: deque[PoolQuota] = deque()
        self._polling = False

    def share(self) -> "PoolQuota":
        """Return a new quota of the threads, for one model."""
        quota = PoolQuota(self)
        quota.set_serving(True)
        return quota

    def max_running_per_quota(self) -> int:
        """Return the limit of running jobs per quota: *number*, or half of it if there are several quotas."""
        return self.number if len(self.serving) <= 1 else max(1, self.number // 2)

    def submit(self, job: "_Job", immediate: bool) -> None:
        """Start *job* now if *immediate* is True. Otherwise, queue it until a thread is free for its quota.

        Raises:
            Overloaded: The job's quota has too many rows in the queue, or the system cannot start a thread.
        """
        with self._lock:
            (self._start if immediate else self._enqueue)(job)

    def abandon(self, job: "_Job") -> None:
        """Cancel *job*, or count it as abandoned if it is running."""
        if not job.cancel():
            with self._lock:
                if (job in self._fresh or job in self._slow) and not job.abandoned:
                    job.abandoned = True
                    job.quota.abandoned += 1

    def remove(self, job: "_Job") -> None:
        """Remove *job* from the queue if it is queued."""
        with self._lock:
            if job in job.queue:
                self._dequeue(job)

    def find_stuck(self) -> None:
        """Update which running jobs count as slow or stuck."""
        with self._lock:
            self._age()

    def _enqueue(self, job: "_Job") -> None:
        quota = job.quota
        # Always queue jobs without rows: the limit counts rows, and queued predictions may wait for them.
        if job.rows and quota.waiting and quota.rows_waiting + job.rows > MAX_WAITING:
            raise Overloaded
        job.queue[job] = None
        quota.rows_waiting += job.rows
        if quota not in self._turns:
            self._turns.append(quota)
        try:
            self._start_queued()
        except Overloaded:
            self._dequeue(job)
            raise

    def _dequeue(self, job: "_Job") -> None:
        quota = job.quota
        del job.queue[job]
        quota.rows_waiting -= job.rows
        if not quota.waiting and quota in self._turns:
            self._turns.remove(quota)

    def _start_queued(self) -> None:
        """Start queued jobs while threads are free. The quotas take turns, one job each."""
        self._age()
        limit, skipped = self.max_running_per_quota(), 0
        while skipped < len(self._turns) and len(self._fresh) < self.number:
            quota = self._turns[0]
            job = self._next_job(quota, limit)
            if job is None:
                skipped += bool(quota.waiting)
            else:
                try:
                    self._start(job)
                except Overloaded:
                    if not (self._fresh or self._slow):
                        raise
                    # The next job starts when a running one ends.
                    return
                skipped = 0
            if quota.waiting:
                self._turns.rotate(-1)
            else:
                self._turns.popleft()
        if self._turns and not self._polling:
            self._start_polling()

    def _next_job(self, quota: "PoolQuota", limit: int) -> "_Job | None":
        """Return the queued job of *quota* that may start now, or None."""
        is_full = len(self._fresh) + len(self._slow) >= self.number
        if quota.running >= limit or (quota.slow and is_full):
            return None
        large_may_start = quota.large and quota.running_large < max(1, limit - 1)
        if large_may_start and (quota.is_large_next or not quota.small):
            return next(iter(quota.large))
        return next(iter(quota.small), None)

    def _start_polling(self) -> None:
        """Start a thread that regularly checks for jobs that became slow, so that queued jobs can start."""
        thread = threading.Thread(target=self._poll, name="modelgate queue", daemon=True)
        # If the system cannot start a thread, queued jobs start when the next job is submitted or ends.
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._polling = True

    def _poll(self) -> None:
        queued = True
        while queued:
            time.sleep(self._slow_after)
            with self._lock:
                with contextlib.suppress(Overloaded):
                    self._start_queued()
                queued = self._polling = bool(self._turns)

    def _start(self, job: "_Job") -> None:
        # Call this before anything changes, because it may raise.
        self._ensure_idle_thread()
        run, now = partial(self._run, job), time.monotonic()
        # A signal handler may raise after a Python call or in a loop. The lines up to `put` contain neither,
        # so they are not interrupted.
        quota, job.started_at = job.quota, now
        if job in job.queue:
            del job.queue[job]
            quota.rows_waiting -= job.rows
        self._fresh[job] = None
        quota.running += 1
        quota.running_large += job.is_large
        quota.is_large_next = not job.is_large
        self._idle -= 1
        self._started.put(run)

    def _ensure_idle_thread(self) -> None:
        """Start a thread if none is idle. Raises `Overloaded` if the system cannot start one."""
        if self._idle:
            return
        # Check again, because gunicorn --preload patches after the fork.
        warn_if_patched_late()
        try:
            threading.Thread(target=_work, args=(self._started,), name="modelgate", daemon=True).start()
        except RuntimeError as error:
            raise Overloaded from error
        self._idle += 1

    def _run(self, job: "_Job") -> None:
        settle: Callable[[], None] | None = None
        if job.set_running_or_notify_cancel():
            try:
                current_call.call = job
                settle = partial(job.set_result, job.function())
            except BaseException as error:
                settle = partial(job.set_exception, error)
            finally:
                current_call.call = None
        with self._lock:
            if job in self._fresh or job in self._slow:
                self._end(job)
            else:
                job.quota.stuck -= 1
            self._idle += 1
            self._start_queued()
        if settle is not None:
            settle()

    def _age(self) -> None:
        """Mark running jobs that have become slow or stuck."""
        now = time.monotonic()
        while self._fresh and (job := next(iter(self._fresh))).started_at < now - self._slow_after:
            del self._fresh[job]
            self._slow[job] = None
            job.quota.slow += 1
        if self.hang_timeout is not None:
            while self._slow and (job := next(iter(self._slow))).started_at < now - self.hang_timeout:
                self._end(job, stuck=1)

    def _end(self, job: "_Job", stuck: int = 0) -> None:
        """Stop counting *job* as running. If *stuck* is 1, count it as stuck instead."""
        if job in self._slow:
            del self._slow[job]
            job.quota.slow -= 1
        else:
            del self._fresh[job]
        job.quota.running -= 1
        job.quota.running_large -= job.is_large
        job.quota.abandoned -= job.abandoned
        job.quota.stuck += stuck


class PoolQuota:
    """Quota of one model in a thread pool.

    Attributes:
        threads: The pool.
        small, large: Queued jobs with fewer than 128 rows, and the other queued jobs.
        is_large_next: Whether a large job starts next. Small and large jobs alternate.
        rows_waiting: Number of rows in the queued jobs.
        running: Number of running jobs that are not stuck.
        running_large: Number of running large jobs.
        slow: Number of running jobs that are slow.
        abandoned: Number of running jobs whose caller no longer waits.
        stuck: Number of jobs that have run for longer than the *hang_timeout* of the pool.
    """

    def __init__(self, threads: FairThreadPool) -> None:
        self.threads = threads
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Initialize the quota with no jobs."""
        self.small: OrderedDict[_Job, None] = OrderedDict()
        self.large: OrderedDict[_Job, None] = OrderedDict()
        self.is_large_next = False
        self.rows_waiting = self.running = self.running_large = self.slow = self.abandoned = self.stuck = 0

    @property
    def waiting(self) -> int:
        """Number of queued jobs."""
        return len(self.small) + len(self.large)

    def submit(self, function: Callable[[], T], *, immediate: bool = False, rows: int = 0) -> Future[T]:
        """Call *function* in a thread of the pool, and return a future of the result.

        Args:
            function: Function to call.
            immediate: Whether to start the call immediately, in an additional thread if none is free. Use
                this if the calling thread blocks until the call returns.
            rows: Number of rows to predict, which count as queued until the call starts.

        Raises:
            Overloaded: This quota has too many rows in the queue, or the system cannot start a thread.
        """
        job = _Job(self, function, rows)
        self.threads.submit(job, immediate)
        return job

    def run_with_timeout(self, function: Callable[[], T], timeout: float, rows: int = 0) -> T:
        """Call *function* in a thread of the pool, and return its result.

        The call starts immediately, unless abandoned calls occupy the whole quota. In this case it is queued.

        Raises:
            TimeoutError: The call takes longer than *timeout* seconds. It continues as an abandoned call.
            Overloaded: This quota has too many stuck calls or too many rows in the queue, or the system
                cannot start a thread.
        """
        self.raise_if_stuck()
        job = _Job(self, function, rows)
        try:
            self.threads.submit(job, self.abandoned < self.threads.max_running_per_quota())
            return job.result(timeout)  # type: ignore[no-any-return]
        except BaseException:
            self.threads.abandon(job)
            raise

    def raise_if_stuck(self) -> None:
        """Raise `Overloaded` if the number of stuck calls has reached the maximum number of running calls."""
        if self.running or self.stuck:
            self.threads.find_stuck()
            if self.stuck >= self.threads.max_running_per_quota():
                raise Overloaded

    def set_serving(self, serving: bool) -> None:
        """Set whether this quota counts when the threads are divided among the quotas."""
        quotas = self.threads.serving
        (quotas.add if serving else quotas.discard)(self)


class _Job(Future[Any]):
    """Call that runs in a thread of the pool, with the future of its result."""

    def __init__(self, quota: PoolQuota, function: Callable[[], Any], rows: int) -> None:
        super().__init__()
        self.quota = quota
        self.function = function
        self.rows = rows
        self.is_large = rows >= _LARGE_ROWS
        self.queue = quota.large if self.is_large else quota.small
        self.started_at = math.inf
        self.abandoned = False
        self.stop_requested = False

    def cancel(self) -> bool:
        # The call may be running: let it stop by itself; see `modelgate.cancellation`.
        self.stop_requested = True
        cancelled = self.started_at == math.inf and super().cancel()
        if cancelled:
            self.quota.threads.remove(self)
        return cancelled


class _Thread(threading.local):
    """State of the current thread.

    Attributes:
        in_worker: Whether the thread belongs to a pool.
    """

    in_worker = False


this_thread = _Thread()


def _work(started: SimpleQueue[Callable[[], None] | None]) -> None:
    this_thread.in_worker = True
    while (run := started.get()) is not None:
        run()
        # Release the arguments of the last call while the thread is idle.
        del run
    # Stop the next thread.
    started.put(None)
