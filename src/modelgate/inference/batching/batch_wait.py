"""Wait for the result of a table that is scored in a batch."""

from collections.abc import Awaitable
from typing import Protocol

from ...schema import Table
from .waiters import Result

__all__ = ["BatchWait"]


class TableQueue(Protocol):
    """Queue of tables to score; see `Batcher`."""

    def wait(self, table: Table) -> Result:
        """Block until *table* is scored, and return its result."""

    def wait_with_timeout(self, table: Table, seconds: float) -> Result:
        """Like `wait`, but for at most *seconds*."""

    def wait_async(self, table: Table) -> Awaitable[Result]:
        """Return a future of the result of *table*."""


class BatchWait:
    """`Wait` for the result of a table.

    This single object costs the garbage collector less than the seven objects of a `Wait` with callables.
    """

    __slots__ = ("_queue", "_table")
    bounded = True

    def __init__(self, queue: TableQueue, table: Table) -> None:
        self._queue = queue
        self._table = table

    def sync(self) -> Result:
        return self._queue.wait(self._table)

    def aio(self) -> Awaitable[Result]:
        return self._queue.wait_async(self._table)

    def within(self, seconds: float) -> Result:
        return self._queue.wait_with_timeout(self._table, seconds)
