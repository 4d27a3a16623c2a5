"""Queue of the tables that wait for one model.

The queue chooses the next batch and its leader, but runs nothing. A waiter is a table together with the
thread or task that waits for its prediction. The leader scores the batch: a waiting thread, an event loop,
or a worker thread.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from threading import get_ident
from time import monotonic
from typing import TypeAlias

import msgspec

from .waiters import ThreadWaiter, Waiter

__all__ = ["BatchQueue", "BatchRun", "Leader"]

Leader: TypeAlias = ThreadWaiter | asyncio.AbstractEventLoop | None

_MAX_REQUESTS = 256
"""Largest number of requests in a batch. An event loop resumes all requests of a batch in one pass."""


class BatchQueue:
    """Queue of the waiters for one model, in order of arrival. Not thread-safe: callers must hold a lock.

    Args:
        max_rows: Maximum number of rows in a batch of several tables.
        max_waiting: Maximum number of rows in the queue.

    Attributes:
        waiters: Queued waiters. Some may already be done, that is, abandoned or resolved.
        rows: Number of rows in the tables of *waiters*.
    """

    def __init__(self, max_rows: int, max_waiting: int) -> None:
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self.waiters: deque[Waiter] = deque()
        self.rows = 0

    def add(self, waiter: Waiter) -> bool:
        """Append *waiter* and return True, or return False if the queue is full."""
        if self.rows + waiter.rows > self._max_waiting:
            self.sweep()
            if self.waiters and self.rows + waiter.rows > self._max_waiting:
                return False
        self.waiters.append(waiter)
        self.rows += waiter.rows
        return True

    def sweep(self, first: Iterable[Waiter] = ()) -> None:
        """Put the waiters *first* at the head of the queue, and remove all waiters that are done."""
        all_waiters = dict.fromkeys((*first, *self.waiters))
        self.waiters = deque(waiter for waiter in all_waiters if not waiter.is_done())
        self.rows = sum(waiter.rows for waiter in self.waiters)

    def move_batch(self, run: "BatchRun") -> None:
        """Move the next batch to *run*.

        The batch is the first waiter, and other waiters with the same key that fit into one call.
        """
        if len(self.waiters) == 1 and not self.waiters[0].is_done():
            first = self.waiters[0]
            # In this order: if a KeyboardInterrupt comes in between, the waiter is not lost.
            run.batch = (first,)
            self.waiters.popleft()
            self.rows -= first.rows
            return
        batch, rows = list[Waiter](), 0
        for waiter in self.waiters:
            if waiter.is_done() or (batch and waiter.key != batch[0].key):
                continue
            if batch and (len(batch) == _MAX_REQUESTS or rows + waiter.rows > self._max_rows):
                break
            batch.append(waiter)
            rows += waiter.rows
        # In this order: if a KeyboardInterrupt comes in between, no waiter is lost.
        run.batch = batch
        remaining = set(batch)
        while self.waiters and (self.waiters[0] in remaining or self.waiters[0].is_done()):
            first = self.waiters.popleft()
            remaining.discard(first)
            self.rows -= first.rows
        if remaining:
            # Waiters with other keys are between those of the batch.
            self.waiters = deque(waiter for waiter in self.waiters if waiter not in remaining)
            self.rows = sum(waiter.rows for waiter in self.waiters)

    def drop_done(self) -> None:
        """Remove waiters from the head of the queue as long as the first one is done."""
        while self.waiters and self.waiters[0].is_done():
            self.rows -= self.waiters.popleft().rows

    def choose_leader(self) -> Leader:
        """Return the leader of the next batch: a waiting thread, an event loop, or None for a worker thread.

        A waiting thread that may run the model is preferred. If there is none and all waiters belong to one
        event loop, this loop is returned.
        """
        loop = self.waiters[0].loop
        for waiter in self.waiters:
            if waiter.loop is not loop:
                loop = None
            if isinstance(waiter, ThreadWaiter) and waiter.can_lead and not waiter.is_done():
                return waiter
        return loop


class BatchRun(msgspec.Struct, eq=False):
    """Run of a batch: the next batch, or the batch being scored.

    Attributes:
        reason: Reason why the call is made, one of `model_metrics.REASONS`.
        thread: Waiting thread that is assigned to score the batch; None if there is none.
        loop: Event loop on which the call is scheduled; None if there is none.
        certain: Whether a thread is certain to begin the run. False for an event loop, which may be blocked,
            and for a job that may have to wait for a free worker thread.
        batch: Waiters to score. If it is empty, the waiters are taken from the queue when the run begins.
        ident: Identifier of the thread that has begun the run.
        started_at: Time at which the run began, on the clock of `time.monotonic`.
    """

    reason: str
    thread: ThreadWaiter | None = None
    loop: asyncio.AbstractEventLoop | None = None
    certain: bool = True
    batch: Sequence[Waiter] = ()
    ident: int | None = None
    started_at: float | None = None

    def begin(self) -> None:
        """Record that the run begins now in this thread."""
        self.certain, self.ident, self.started_at = True, get_ident(), monotonic()

    def is_stuck(self, hang_timeout: float | None) -> bool:
        """Return whether the run began more than *hang_timeout* seconds ago. None means no limit."""
        if self.started_at is None or hang_timeout is None:
            return False
        return monotonic() - self.started_at > hang_timeout
