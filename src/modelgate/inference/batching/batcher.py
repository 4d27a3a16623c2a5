"""Batcher, which scores the requests that wait for the same model in one call.

There is no timer. A batch consists of the requests that were queued while the model was busy, or that
arrived within a few passes of the event loop. A request does not wait for others if it is expected to be scored
in less time than a wait takes.

While tables wait, there is a `BatchRun`, which is the next batch or the batch being scored. The leader of a
run is the thread that scores its batch. The first choice is a thread that waits for its own table, the second
the thread of the event loop, if all waiting requests belong to one loop, and the last a worker thread. The
event loop may be blocked, and all workers may be waiting for this same batch. So if another thread arrives
before the loop or the worker begins the run, that thread becomes the leader. When a run ends, even by a
KeyboardInterrupt, the tables without a result are queued again, and the next run gets a leader.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from queue import Empty

from ...errors import Overloaded
from ...flow import Flow, WorkerPool
from ...flow.fair_pool import MAX_WAITING, this_thread
from ...flow.fork_safety import reset_after_fork
from ...schema import Table
from ...validation import require_positive_int
from ..model_metrics import LIGHT, ModelMetrics
from ..prediction import Prediction
from .batch_wait import BatchWait
from .calls import BatchInfo, ModelCalls, is_in_call
from .queue import BatchQueue, BatchRun, Leader
from .waiters import LoopWaiter, Result, ThreadWaiter, Waiter, call_soon, resolve_all

__all__ = ["Batcher"]

_UNCANCELLABLE_PART = 0.01
"""Fraction of its timeout that a waiting thread may spend on a model call, which cannot be cancelled."""

_BRIEF = 0.00005
"""Duration of a call in seconds. Below it, batching costs a lone request more than the call itself: a lone
request takes 1.7 times as much CPU with batching, and one of 64 concurrent requests 0.94 times as much."""

_MAX_PASSES = 4
"""Largest number of passes of the event loop for which a batch waits for more requests. A request is read in
one pass, and waits for its prediction in the next."""


class Batcher:
    """Batcher for one model. Tables that wait at the same time are scored in one call of the model.

    If a call for several tables fails, each half of the tables is scored in a separate call, and so on. So
    only the table that causes the error fails, after about log2(tables) failed calls.

    Args:
        score: Returns the prediction for a table. The prediction for a row must not depend on other rows.
        workers: Threads that call *score* for event loops, and for threads that wait with a timeout. While a
            call takes longer than ``workers.hang_timeout``, new tables are rejected.
        inline: Whether to call *score* on the event loop; None if this depends on the latency of the calls.
        max_rows: Maximum number of rows in a call for several tables. A table with at least as many rows is
            scored alone, without waiting.
        max_waiting: Maximum number of rows in the queue. Further tables are rejected with `Overloaded`.
        key: Function that returns the batch key of a table; None if all tables may be scored together. Only
            tables with equal keys are scored in one call.
        metrics: Counters of the calls by reason (see `model_metrics.REASONS`); None for new ones.

    Raises:
        ConfigurationError: An option is not a positive integer.
    """

    def __init__(
        self,
        score: Callable[[Table], Prediction],
        workers: WorkerPool,
        *,
        inline: bool | None = None,
        max_rows: int = 1024,
        max_waiting: int = MAX_WAITING,
        key: Callable[[Table], Hashable] | None = None,
        metrics: ModelMetrics | None = None,
    ) -> None:
        for name, value in (("max_rows", max_rows), ("max_waiting", max_waiting)):
            require_positive_int(name, value)
        self._score = score
        self._workers = workers
        self._inline = inline
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._key = key
        self._metrics = metrics or ModelMetrics()
        self._calls = ModelCalls(score, self._metrics)
        self._inlined = self._rejected = 0
        self._metrics.queues.add(self)
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start with an empty queue and no run."""
        self._lock = threading.Lock()
        self._queue = BatchQueue(self._max_rows, self._max_waiting)
        # A run is assigned under the lock, and only after its leader has been woken or scheduled.
        self._run: BatchRun | None = None

    def info(self) -> BatchInfo:
        """Return the counters of the batcher."""
        calls = self._calls
        return BatchInfo(calls.requests, calls.batches, self._inlined, calls.failed, self._rejected)

    def predict(self, table: Table) -> Flow[Prediction]:
        """Return the prediction for *table*.

        Raises:
            Overloaded: The queue is full, or a call of the model is stuck.
            Exception: The error that the model raised for this table.
        """
        rows = table.row_count
        if rows >= self._max_rows:
            return (yield self._workers.wait(partial(self._score_large, table), rows=rows))  # type: ignore[no-any-return]
        result: Result = yield BatchWait(self, table)  # type: ignore[misc]  # has the attributes of a Wait
        if isinstance(result, BaseException):
            raise result
        return result

    def predict_now(self, table: Table) -> Prediction | None:
        """Call the model and return the prediction for *table*, or return None if *table* should wait.

        The model is called if the call is expected to take less time than a wait, and no other call runs.

        Raises:
            Exception: The error that the model raised.
        """
        rows = table.row_count
        # If a call is running, it may hang. Then the event loop, or another thread, must not begin the next one.
        if self._inline is None and not self._metrics.running and self._calls.latency.is_light(rows, _BRIEF):
            return self._calls.score_now(table, rows)
        return None

    @property
    def rows_waiting(self) -> int:
        """Number of rows in the queue."""
        with self._lock:
            self._queue.sweep()
            return self._queue.rows

    def _score_large(self, table: Table) -> Prediction:
        return self._metrics.measure("large", len(table), self._score, table)[0]

    def wait(self, table: Table) -> Result:
        """Block until *table* is scored, and return its result."""
        return self._wait(ThreadWaiter(table, table.row_count, self._key_of(table)), None)

    def wait_with_timeout(self, table: Table, seconds: float) -> Result:
        """Like `wait`, but for at most *seconds*. Slow models are called by a worker thread.

        Raises:
            TimeoutError: The table was not scored within *seconds*.
        """
        deadline, rows = time.monotonic() + seconds, table.row_count
        can_lead = self._is_light(rows, max(LIGHT, seconds * _UNCANCELLABLE_PART))
        return self._wait(ThreadWaiter(table, rows, self._key_of(table), can_lead), deadline)

    def _wait(self, waiter: ThreadWaiter, deadline: float | None) -> Result:
        try:
            try:
                if self._is_reentrant() or not self._enqueue(waiter):
                    return self._calls.score([waiter], "unbatched", waiter)[0]
                return self._wait_for_result(waiter, deadline)
            except BaseException:
                self._abandon(waiter)
                raise
        except BaseException:
            # A KeyboardInterrupt may have ended the first `_abandon` before it did anything.
            self._abandon(waiter)
            raise

    def _wait_for_result(self, waiter: ThreadWaiter, deadline: float | None) -> Result:
        run = self._run
        while True:
            if run is not None and run.thread is waiter:
                self._lead(run)
            elif waiter.result is not None:
                return waiter.result
            else:
                try:
                    timeout = None if deadline is None else max(deadline - time.monotonic(), 0)
                    waiter.wakeups.get(timeout=timeout)
                except Empty:
                    raise TimeoutError from None
            with self._lock:
                # A thread that makes this one the leader wakes it, and then sets `_run` under the same lock.
                run = self._run

    def _abandon(self, waiter: ThreadWaiter) -> None:
        """Mark *waiter* as abandoned. If it was the leader of the run, assign the run to another leader."""
        waiter.abandoned = True
        with self._lock:
            run = self._run
        if run is not None and run.thread is waiter:
            self._end(run)

    def wait_async(self, table: Table) -> Awaitable[Result]:
        """Queue *table*, and return an asyncio future for the result."""
        rows, key, loop = table.row_count, self._key_of(table), asyncio.get_running_loop()
        waiter = LoopWaiter(table, rows, key, loop, loop.create_future(), this_thread.in_worker)
        try:
            if self._is_reentrant() or not self._enqueue(waiter):
                waiter.resolve(self._calls.score([waiter], "unbatched")[0])
        except BaseException:
            waiter.future.cancel()
            raise
        # Return the future itself: wrapping it in a coroutine would cost one resume per request.
        return waiter.future

    def _key_of(self, table: Table) -> Hashable:
        return None if self._key is None else self._key(table)

    def _is_reentrant(self) -> bool:
        """Return whether the model makes this call, that is, this thread is scoring the current batch."""
        run = self._run
        return run is not None and run.ident == threading.get_ident()

    def _enqueue(self, waiter: Waiter) -> bool:
        """Queue *waiter*. If no thread is certain to score the next batch, assign a thread or an event loop.

        Returns:
            True if *waiter* is queued. False if it must be scored alone and at once: this thread is scoring a
            batch of another model, and another thread is scoring a batch of this model. If the two threads
            waited for each other, neither would end.

        Raises:
            Overloaded: The queue is full, or a call of the model is stuck.
        """
        with self._lock:
            run = self._run
            if (
                run is None
                and not self._queue.waiters
                and isinstance(waiter, ThreadWaiter)
                and waiter.can_lead
            ):
                ident, now = threading.get_ident(), time.monotonic()
                self._run = BatchRun("idle", waiter, batch=(waiter,), ident=ident, started_at=now)
                return True
            stuck = run is not None and run.is_stuck(self._workers.hang_timeout)
            if run is not None and run.started_at is not None and not stuck and is_in_call():
                return False
            if stuck or not self._queue.add(waiter):
                self._rejected += 1
                raise Overloaded
            if run is not None and run.certain:
                return True
            if isinstance(waiter, ThreadWaiter):
                if waiter.can_lead:
                    self._run = BatchRun("idle", thread=waiter)
                else:
                    self._submit("idle")
            elif run is None or (run.loop is not waiter.loop and (run.loop or waiter.in_worker)):
                self._assign(self._queue.choose_leader(), "loop", waiter.loop, waiter.rows)
            return True

    def _is_light(self, rows: int, limit: float = LIGHT) -> bool:
        return self._calls.latency.is_light(rows, limit) if self._inline is None else self._inline

    def _assign(
        self, leader: Leader, reason: str, loop: asyncio.AbstractEventLoop | None, rows_seen: int = 0
    ) -> None:
        """Let *leader* score the next batch. If it is None or a stopped event loop, let a worker thread do it.

        The lock must be held.

        Args:
            leader: Waiting thread or event loop from `BatchQueue.choose_leader`; None for a worker thread.
            reason: Reason why the batch will be scored.
            loop: Event loop that runs in this thread.
            rows_seen: See `_run_scheduled`.
        """
        if isinstance(leader, ThreadWaiter):
            leader.wakeups.put(None)
            self._run = BatchRun(reason, thread=leader)
            return
        if leader is not None and leader.is_running():
            run = BatchRun(reason, loop=leader, certain=False)
            call = partial(self._run_scheduled, run, leader, rows_seen)
            if leader is loop:
                leader.call_soon(call)
            if leader is loop or call_soon(leader, call):
                self._run = run
                return
        self._submit(reason)

    def _run_scheduled(
        self, run: BatchRun, loop: asyncio.AbstractEventLoop, rows_seen: int, passes: int = _MAX_PASSES
    ) -> None:
        """Score the next batch on *loop*, or in a worker if the call is expected to take long.

        While each pass of the loop adds rows, the batch waits for the next pass. If the call is expensive
        enough to be worth batching, the batch waits for at least one pass.

        Args:
            run: Run of the next batch. Nothing is scored if another run has replaced it.
            loop: Event loop of this thread.
            rows_seen: Number of rows that were waiting in the last pass.
            passes: Maximum number of further passes to wait for.
        """
        try:
            with self._lock:
                rows = self._queue.rows
                if self._run is not run:
                    return
            light = self._is_light(min(rows, self._max_rows))
            put_off = rows > rows_seen or (passes == _MAX_PASSES and not light)
            if put_off and passes > 1 and rows < self._max_rows:
                loop.call_soon(self._run_scheduled, run, loop, rows, passes - 1)
            elif light:
                self._lead(run, loop)
            else:
                with self._lock:
                    if self._run is run:
                        self._submit(run.reason)
        except BaseException:
            self._end(run)
            raise

    def _submit(self, reason: str, batch: Sequence[Waiter] = ()) -> None:
        """Let a worker thread score *batch*. If *batch* is empty, it scores the next batch of the queue.

        If no thread can be started, reject the waiters in *batch*, or all waiters in the queue if *batch* is
        empty. The lock must be held.
        """
        # If all workers wait for this batch, none becomes free: do not wait for one.
        immediate = bool(batch) or any(waiter.in_worker for waiter in self._queue.waiters)
        run = BatchRun(reason, certain=immediate, batch=batch)
        try:
            self._workers.submit(partial(self._lead, run), immediate=immediate)
        except (Overloaded, RuntimeError) as error:
            rejected = {waiter: Overloaded() for waiter in batch or self._queue.waiters}
            for overloaded in rejected.values():
                overloaded.__cause__ = error
            resolve_all([*rejected], [*rejected.values()], None)
            if not batch:
                self._queue = BatchQueue(self._max_rows, self._max_waiting)
                self._run = None
        else:
            self._run = run

    def _lead(self, run: BatchRun, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Score the batch of *run* in this thread, whose event loop is *loop*, unless *run* was replaced."""
        try:
            if run.started_at is not None or self._begin(run):
                self._score_batch(run, loop)
            self._end(run, loop)
        except BaseException:
            # Only an exception such as KeyboardInterrupt gets here: end the run, and raise it in this thread.
            self._end(run, loop)
            raise

    def _begin(self, run: BatchRun) -> bool:
        with self._lock:
            if self._run is not run:
                return False
            run.begin()
            if not run.batch:
                self._queue.move_batch(run)
                if self._queue.waiters:
                    run.reason = "full"
            return bool(run.batch)

    def _score_batch(self, run: BatchRun, loop: asyncio.AbstractEventLoop | None) -> None:
        batch = run.batch
        results = None if run.reason == "split" else self._calls.try_score(batch, run.reason, run.thread)
        if results is None and loop is not None:
            # Finding the table that causes the error takes many calls: too long for an event loop.
            with self._lock:
                self._submit("split", batch)
        else:
            self._inlined += loop is not None
            resolve_all(batch, results or self._calls.score_halves(batch), loop)
        run.batch = ()

    def _end(self, run: BatchRun, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """End *run*, and assign the next run if tables are waiting. A second call has no effect."""
        if self._run is not run:
            return
        with self._lock:
            if self._run is not run:
                return
            if run.batch:
                self._queue.sweep(run.batch)
                for waiter in run.batch:
                    if isinstance(waiter, ThreadWaiter):
                        # A KeyboardInterrupt may have come after the result was set, but before the waiter
                        # was woken.
                        waiter.wakeups.put(None)
            self._queue.drop_done()
            if self._queue.waiters:
                self._assign(self._queue.choose_leader(), "busy", loop)
            else:
                self._run = None
