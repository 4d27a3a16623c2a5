"""Tables that wait for a batch, each for a thread or for a task of an event loop; their queue, and batches."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextvars import copy_context
from queue import SimpleQueue
from threading import get_ident
from time import monotonic
from typing import TypeAlias

from ..flow.threads import in_worker
from ..schema import Table
from .query import Prediction

__all__ = ["InLoop", "InThread", "Outcome", "Queue", "Run", "Waiting", "settle_all", "soon"]

Outcome: TypeAlias = Prediction | BaseException

_MOST = 256
"""The largest number of requests in a batch: an event loop resumes all of them in one pass."""


class InThread:
    """A table whose prediction a thread waits for.

    Args:
        table: the table.
        key: tables of the same key may be scored in one call.
        leads: whether the thread may run the model itself.

    Attributes:
        context: a copy of the caller's context variables.
        in_worker: whether the thread may be a worker thread.
        given_up: whether the thread has stopped waiting.
        outcome: the prediction or the error; None until there is one.
        woken: receives an item for each time the thread is woken.
    """

    __slots__ = ("context", "given_up", "key", "leads", "outcome", "rows", "table", "woken")
    loop = None
    in_worker = True

    def __init__(self, table: Table, key: Hashable = None, *, leads: bool = True) -> None:
        self.table = table
        self.key = key
        self.rows = len(table)
        self.leads = leads
        self.context = copy_context()
        self.given_up = False
        self.outcome: Outcome | None = None
        self.woken: SimpleQueue[None] = SimpleQueue()

    def gone(self) -> bool:
        """Return whether the table no longer needs a prediction."""
        return self.given_up or self.outcome is not None

    def settle(self, outcome: Outcome) -> None:
        """Set the outcome and wake the thread."""
        self.outcome = outcome
        self.woken.put(None)


class InLoop:
    """A table whose prediction a task of an event loop waits for.

    Attributes:
        context: a copy of the caller's context variables.
        future: receives the prediction or the error as its result.
        in_worker: whether the loop runs in a worker thread.
    """

    __slots__ = ("context", "future", "in_worker", "key", "loop", "rows", "table")

    def __init__(self, table: Table, key: Hashable = None) -> None:
        self.table = table
        self.key = key
        self.rows = len(table)
        self.context = copy_context()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Outcome] = self.loop.create_future()
        self.in_worker = in_worker()

    def gone(self) -> bool:
        """See `InThread.gone`."""
        return self.future.done() or self.loop.is_closed()

    def settle(self, outcome: Outcome) -> None:
        """See `InThread.settle`."""
        if not self.future.done():
            self.future.set_result(outcome)


Waiting: TypeAlias = InThread | InLoop


class Queue:
    """Tables that wait, in the order in which they came. Callers hold a lock.

    Args:
        max_rows: the largest number of rows in a batch of several tables.
        max_waiting: the largest number of rows that wait.

    Attributes:
        waiting: the tables.
        rows: their number of rows.
    """

    def __init__(self, max_rows: int, max_waiting: int) -> None:
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self.waiting: deque[Waiting] = deque()
        self.rows = 0

    def add(self, waiting: Waiting) -> bool:
        """Append *waiting*; return False if too many rows wait already."""
        if self.rows + waiting.rows > self._max_waiting:
            self.sweep()
            if self.waiting and self.rows + waiting.rows > self._max_waiting:
                return False
        self.waiting.append(waiting)
        self.rows += waiting.rows
        return True

    def sweep(self, first: Iterable[Waiting] = ()) -> None:
        """Put *first* at the head, and remove the tables that no longer need a prediction."""
        every = dict.fromkeys((*first, *self.waiting))
        self.waiting = deque(waiting for waiting in every if not waiting.gone())
        self.rows = sum(waiting.rows for waiting in self.waiting)

    def batch(self) -> list[Waiting]:
        """Return the first table that waits and those of its key that fit with it; they stay in the queue."""
        batch, rows = list[Waiting](), 0
        for waiting in self.waiting:
            if waiting.gone() or (batch and waiting.key != batch[0].key):
                continue
            if batch and (len(batch) == _MOST or rows + waiting.rows > self._max_rows):
                break
            batch.append(waiting)
            rows += waiting.rows
        return batch

    def remove(self, batch: Sequence[Waiting]) -> None:
        """Remove *batch*, and the tables at the head that no longer need a prediction."""
        left = set(batch)
        while self.waiting and (self.waiting[0] in left or self.waiting[0].gone()):
            first = self.waiting.popleft()
            left.discard(first)
            self.rows -= first.rows
        if left:
            # Tables of other keys stand between them.
            self.waiting = deque(waiting for waiting in self.waiting if waiting not in left)
            self.rows = sum(waiting.rows for waiting in self.waiting)


class Run:
    """The next batch, or the one under way.

    Args:
        reason: why it is scored when it is, one of `tally.REASONS`.
        thread: the waiting thread that scores it, if one does.
        loop: the event loop that is scheduled to score it, if one is.
        sure: whether a thread is certain to begin it.
        batch: its tables; by default those that wait when it begins.

    Attributes:
        ident: identifies the thread that has begun it.
        since: when it began.
    """

    __slots__ = ("batch", "ident", "loop", "reason", "since", "sure", "thread")

    def __init__(
        self,
        reason: str,
        *,
        thread: InThread | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        sure: bool = True,
        batch: Sequence[Waiting] = (),
    ) -> None:
        self.reason = reason
        self.thread = thread
        self.loop = loop
        self.sure = sure
        self.batch = batch
        self.ident: int | None = None
        self.since: float | None = None

    def begin(self) -> None:
        """It is this thread that scores the batch, from now on."""
        self.sure, self.ident, self.since = True, get_ident(), monotonic()


def settle_all(pairs: Iterable[tuple[Waiting, Outcome]]) -> None:
    """Set the outcome of each table."""
    for waiting, outcome in pairs:
        waiting.settle(outcome)


def soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> bool:
    """Schedule *call* on *loop* from any thread; return False if the loop is closed."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return False
    return True
