"""Batch waiters, for a blocked thread and for a task of an event loop."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextvars import Context, copy_context
from functools import partial
from queue import SimpleQueue
from typing import ClassVar, TypeAlias

import msgspec

from ...schema import Table
from ..prediction import Prediction

__all__ = ["LoopWaiter", "Result", "ThreadWaiter", "Waiter", "call_soon", "resolve_all"]

Result: TypeAlias = Prediction | BaseException


class ThreadWaiter(msgspec.Struct, eq=False):
    """Thread that waits for the prediction of a table.

    Attributes:
        table: Rows to score.
        rows: Number of rows.
        key: Batch key: only tables with equal keys are scored in one call.
        can_lead: Whether the thread may run the model itself.
        context: Copy of the caller's context variables.
        in_worker: Whether the thread may belong to a worker pool; always True.
        abandoned: Whether the thread has stopped waiting.
        result: Prediction or error; None until there is one.
        wakeups: Queue on which the thread sleeps. An item wakes it.
    """

    table: Table
    rows: int
    key: Hashable = None
    can_lead: bool = True
    context: Context = msgspec.field(default_factory=copy_context)
    abandoned: bool = False
    result: Result | None = None
    wakeups: SimpleQueue[None] = msgspec.field(default_factory=SimpleQueue)

    loop: ClassVar[None] = None
    in_worker: ClassVar[bool] = True

    def is_done(self) -> bool:
        """Return whether the table no longer needs a prediction."""
        return self.abandoned or self.result is not None

    def resolve(self, result: Result) -> None:
        """Set the result and wake the thread."""
        self.result = result
        self.wakeups.put(None)


class LoopWaiter(msgspec.Struct, eq=False):
    """Task of an event loop that awaits the prediction of a table.

    Args:
        table: Rows to score.
        key: Batch key: only tables with equal keys are scored in one call.

    Attributes:
        table: Rows to score.
        rows: Number of rows.
        key: Batch key, as for `ThreadWaiter`.
        loop: The event loop.
        future: Future whose result is the prediction or the error.
        in_worker: Whether the loop runs in a worker thread.
        context: Copy of the caller's context variables.
    """

    table: Table
    rows: int
    key: Hashable
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Result]
    in_worker: bool
    context: Context = msgspec.field(default_factory=copy_context)

    def is_done(self) -> bool:
        """Return whether the table no longer needs a prediction."""
        return self.future.done() or self.loop.is_closed()

    def resolve(self, result: Result) -> None:
        """Set the result of the future. Do nothing if the task was cancelled or the future has a result."""
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
    if len(batch) == 1 and (batch[0].loop is None or batch[0].loop is loop):
        batch[0].resolve(results[0])
        return
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
    """Schedule *call* on *loop* from any thread. Return False if the loop is closed."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return False
    return True
