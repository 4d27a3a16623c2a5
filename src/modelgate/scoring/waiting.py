"""Who waits for a batch: a thread, or a task of an event loop."""

import asyncio
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeAlias

from ..schema import Table
from .query import Prediction

__all__ = ["InLoop", "InThread", "Outcome", "Waiting", "settle_all", "soon"]

Outcome: TypeAlias = Prediction | BaseException


class InThread:
    """A table whose prediction a thread waits for.

    Args:
        table: the table.
        leads: whether the thread may run the model itself.

    Attributes:
        given_up: whether its time was over.
        outcome: what came of it, once something has.
        woken: has an item for each time the thread is woken.
    """

    __slots__ = ("given_up", "leads", "outcome", "rows", "table", "woken")
    loop = None

    def __init__(self, table: Table, *, leads: bool = True) -> None:
        self.table = table
        self.rows = len(table)
        self.leads = leads
        self.given_up = False
        self.outcome: Outcome | None = None
        self.woken: SimpleQueue[None] = SimpleQueue()

    def gone(self) -> bool:
        """Whether nobody waits any longer."""
        return self.given_up

    def settle(self, outcome: Outcome) -> None:
        """Tell it what came of its table."""
        self.outcome = outcome
        self.woken.put(None)


class InLoop:
    """A table whose prediction a task of an event loop waits for."""

    __slots__ = ("future", "loop", "rows", "table")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows = len(table)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Outcome] = self.loop.create_future()

    def gone(self) -> bool:
        """See `InThread`."""
        return self.future.cancelled() or self.loop.is_closed()

    def settle(self, outcome: Outcome) -> None:
        """See `InThread`."""
        if not self.future.done():
            self.future.set_result(outcome)


Waiting: TypeAlias = InThread | InLoop


def settle_all(pairs: Sequence[tuple[Waiting, Outcome]]) -> None:
    """Tell each what came of its table."""
    for waiting, outcome in pairs:
        waiting.settle(outcome)


def soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> bool:
    """Have *loop* call something; whether it is there to do so."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return False
    return True
