"""Batch waiters: one for a blocked thread, one for a task of an event loop."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias

from ...flow.fair_pool import is_in_worker
from ...schema import Table
from ..prediction import Prediction

__all__ = ["LoopWaiter", "Result", "ThreadWaiter", "Waiter", "call_soon", "resolve_all"]

Result: TypeAlias = Prediction | BaseException


class ThreadWaiter:
    """A table, and the thread that waits for its prediction.

    Args:
        table: Rows to score.
        key: Batch key: only tables with equal keys are scored in one call.
        can_lead: Whether the thread may run the model itself.

    Attributes:
        context: Copy of the caller's context variables.
        in_worker: True, because the thread may be a worker thread.
        abandoned: Whether the thread has stopped waiting.
        result: The prediction or the error; None until there is one.
        wakeups: Queue on which the thread sleeps. An item wakes it.
    """

    __slots__ = ("abandoned", "can_lead", "context", "key", "result", "rows", "table", "wakeups")
    loop = None
    in_worker = True

    def __init__(self, table: Table, key: Hashable = None, *, can_lead: bool = True) -> None:
        self.table = table
        self.key = key
        self.rows = len(table.numbers)
        self.can_lead = can_lead
        self.context = copy_context()
        self.abandoned = False
        self.result: Result | None = None
        self.wakeups: SimpleQueue[None] = SimpleQueue()

    def is_done(self) -> bool:
        """Return whether the table no longer needs a prediction."""
        return self.abandoned or self.result is not None

    def resolve(self, result: Result) -> None:
        """Set the result and wake the thread."""
        self.result = result
        self.wakeups.put(None)


class LoopWaiter:
    """A table, and the future through which a task of an event loop waits for its prediction.

    Args:
        table: Rows to score.
        key: Batch key: only tables with equal keys are scored in one call.

    Attributes:
        context: Copy of the caller's context variables.
        future: Receives the prediction or the error as its result.
        in_worker: Whether the loop runs in a worker thread.
    """

    __slots__ = ("context", "future", "in_worker", "key", "loop", "rows", "table")

    def __init__(self, table: Table, key: Hashable = None) -> None:
        self.table = table
        self.key = key
        self.rows = len(table.numbers)
        self.context = copy_context()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Result] = self.loop.create_future()
        self.in_worker = is_in_worker()

    def is_done(self) -> bool:
        """Return whether the table no longer needs a prediction."""
        return self.future.done() or self.loop.is_closed()

    def resolve(self, result: Result) -> None:
        """Set the result of the future, unless it is done, for example because the task was cancelled."""
        if not self.future.done():
            self.future.set_result(result)


Waiter: TypeAlias = ThreadWaiter | LoopWaiter


def resolve_all(
    batch: Sequence[Waiter], results: Sequence[Result], loop: asyncio.AbstractEventLoop | None
) -> None:
    """Resolve each waiter of *batch* with its result.

    Args:
        batch: Waiters to resolve.
        results: One result for each waiter.
        loop: Event loop that runs in this thread; None if there is none. Waiters of other loops are
            resolved in those loops.
    """
    other_loops: dict[asyncio.AbstractEventLoop, list[tuple[Waiter, Result]]] = {}
    for waiter, result in zip(batch, results, strict=True):
        if waiter.loop is None or waiter.loop is loop:
            waiter.resolve(result)
        else:
            other_loops.setdefault(waiter.loop, []).append((waiter, result))
    for other_loop, pairs in other_loops.items():
        call_soon(other_loop, partial(_resolve_pairs, pairs))


def _resolve_pairs(pairs: Iterable[tuple[Waiter, Result]]) -> None:
    for waiter, result in pairs:
        waiter.resolve(result)


def call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> bool:
    """Schedule *call* on *loop* from any thread; return False if the loop is closed."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return False
    return True
