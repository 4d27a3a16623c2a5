"""Tables that wait for the same model are scored in one call.

There is no timer: a batch is what has queued while the model was busy, or, for a model so light
that it runs on the event loop, what came in one pass of the loop. Whoever finds the model free
leads: a thread scores its own table and what has queued by then, an event loop hands the batch to a
thread or runs it itself. At the end of a batch the first of those that wait leads the next.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from ..counts import require_count
from ..errors import Overloaded
from ..flow import Flow, Workers, contained
from ..forks import renew_in_child
from ..schema import Table
from .query import Prediction
from .tally import Tally

__all__ = ["BatchInfo", "Batcher"]

LIGHT = 0.002
"""How long a model may take, in seconds, to run on the event loop."""

LIGHT_ROWS = 256
"""How many rows a batch on the event loop may have, whatever was measured."""

_FORGETTING = 0.9

Outcome: TypeAlias = Prediction | BaseException


class BatchInfo(NamedTuple):
    """What a `Batcher` has done.

    Args:
        requests: how many tables were scored.
        batches: in how many calls.
        inline: how many of these ran on an event loop.
        failed: how many calls failed, and were tried again in halves where they had several tables.
        shed: how many tables were refused because too many rows waited, or the model hung.
    """

    requests: int
    batches: int
    inline: int
    failed: int
    shed: int


class Batcher:
    """Scores tables, those that wait together in one call.

    When a call fails it is tried again in halves, so that only the table at fault fails: a table
    takes part in as many calls as its batch can be halved, and one.

    Args:
        score: gives the prediction of a table, row by row: no row's depends on the others.
        workers: the threads for event loops, and for threads that wait for so long at most; their
            `patience` is after how many seconds a call is given up as one that hangs, and whoever
            comes is refused until it returns.
        inline: whether to run on the event loop; None to choose by the time the model takes.
        max_rows: how many rows one call scores at most; a table of as many has a call of its own,
            and waits for none.
        max_waiting: how many rows may wait; beyond, `Overloaded`.
        tally: counts the calls. They are made because the model was ``idle``, or a pass of the event
            ``loop`` was over; for what came while it was ``busy``, as far as it did not have more than
            enough (``full``); for a ``large`` table alone; and for a part of what failed (``split``).

    Raises:
        ConfigurationError: an option is not a whole number from 1.
    """

    def __init__(
        self,
        score: Callable[[Table], Prediction],
        workers: Workers,
        *,
        inline: bool | None = None,
        max_rows: int = 1024,
        max_waiting: int = 65_536,
        tally: Tally | None = None,
    ) -> None:
        for name, value in (("max_rows", max_rows), ("max_waiting", max_waiting)):
            require_count(name, value)
        self._score = score
        self._workers = workers
        self._inline = inline
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._requests = self._batches = self._inlined = self._failed = self._shed = 0
        self._slowest: float | None = None
        self._light_rows = LIGHT_ROWS
        self._tally = tally or Tally()
        self._tally.queues.add(self)
        self._forget()
        renew_in_child(self, Batcher._forget)

    def _forget(self) -> None:
        """Nobody waits and nothing runs: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._busy = False
        self._reason = "idle"
        # Since when there is a call under way.
        self._since: float | None = None
        # The event loop that is to run the next batch, and has not begun.
        self._scheduled: asyncio.AbstractEventLoop | None = None

    def info(self) -> BatchInfo:
        """The counts so far."""
        return BatchInfo(self._requests, self._batches, self._inlined, self._failed, self._shed)

    def predict(self, table: Table) -> Flow[Prediction]:
        """The prediction for *table*.

        Raises:
            Overloaded: too many rows wait already, or the model hangs.
            Exception: what the model raised for this table.
        """
        if len(table) >= self._max_rows:
            return (yield from self._workers.run(self._score_large, table))
        outcome: Outcome = yield _Turn(self, table)  # type: ignore[misc]  # it has all that a Wait has
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    @property
    def rows_waiting(self) -> int:
        """How many rows wait."""
        return self._rows

    def _score_large(self, table: Table) -> Prediction:
        return self._tally.timed("large", len(table), partial(self._score, table))

    def wait_within(self, table: Table, seconds: float) -> Outcome | None:
        """As `wait`, but that this thread, which has no time to lose, runs no other model than a light one."""
        waiting = _InThread(table, leads=False)
        if self._leads(waiting):
            if self._light(table):
                self._run()
            else:
                self._workers.submit(self._run, now=True)
        if not waiting.woken.wait(seconds):
            waiting.given_up = True
            raise TimeoutError
        return waiting.outcome

    def wait(self, table: Table) -> Outcome:
        """What comes of *table*."""
        waiting = _InThread(table)
        if self._leads(waiting):
            waiting.woken.set()
        while waiting.outcome is None:
            # Woken to lead, or because there is an outcome.
            waiting.woken.wait()
            if waiting.outcome is None:
                waiting.woken.clear()
                self._run()
        return waiting.outcome

    def outcome(self, table: Table) -> "asyncio.Future[Outcome]":
        """What will come of *table*, on the running event loop."""
        waiting = _InLoop(table)
        if self._leads(waiting):
            if self._light(table):
                self._scheduled = waiting.loop
                waiting.loop.call_soon(self._run_scheduled, waiting.loop)
            else:
                self._workers.submit(self._run)
        # As it is: a coroutine that awaits it would be resumed with each request.
        return waiting.future

    def _leads(self, waiting: "_Waiting") -> bool:
        """Let *waiting* wait, and tell whether it leads: because the model is free, or because the one
        who was to lead has not begun: a loop that a thread may be holding up, or that does not run.
        """
        rows = len(waiting.table)
        with self._lock:
            if (self._rows + rows > self._max_waiting and self._waiting) or self._hangs():
                self._shed += 1
                raise Overloaded
            self._waiting.append(waiting)
            self._rows += rows
            late = self._scheduled is not None and not (
                isinstance(waiting, _InLoop) and self._scheduled.is_running()
            )
            leads, self._busy = late or not self._busy, True
            if leads:
                self._scheduled, self._reason = None, "idle"
        return leads

    def _hangs(self) -> bool:
        since, patience = self._since, self._workers.patience
        return since is not None and patience is not None and time.monotonic() - since > patience

    def _light(self, table: Table) -> bool:
        if self._inline is not None:
            return self._inline
        return self._slowest is not None and self._slowest < LIGHT and len(table) <= LIGHT_ROWS

    def _run_scheduled(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            mine = self._scheduled is loop
            if mine:
                self._scheduled, self._reason = None, "loop"
        if mine:
            self._run(loop)

    def _run(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Score what waits, in this thread; *loop* is the event loop that runs in it."""
        batch = self._take(self._max_rows if loop is None else self._light_rows)
        self._since = time.monotonic()
        try:
            outcomes: Sequence[Outcome] = self._call(batch, self._reason) if batch else []
        except Exception as error:
            if loop is not None and len(batch) > 1:
                # To find the table at fault takes many calls: nothing for an event loop.
                self._workers.submit(partial(self._isolate, batch))
                return
            outcomes = [error] if len(batch) == 1 else self._halves(batch)
        except BaseException as error:
            self._settle(batch, [error] * len(batch), loop)
            raise
        self._inlined += loop is not None
        self._settle(batch, outcomes, loop)

    def _take(self, most: int) -> "list[_Waiting]":
        """The first of those that wait, and as many as fit with it. Who has given up is left out."""
        batch, rows = list[_Waiting](), 0
        with self._lock:
            while self._waiting and (not batch or rows + len(self._waiting[0].table) <= most):
                first = self._waiting.popleft()
                self._rows -= len(first.table)
                if not first.gone():
                    batch.append(first)
                    rows += len(first.table)
            if self._waiting:
                self._reason = "full"
        return batch

    def _isolate(self, batch: "list[_Waiting]") -> None:
        self._settle(batch, self._halves(batch))

    def _halves(self, batch: "list[_Waiting]") -> list[Outcome]:
        middle = len(batch) // 2
        return [*self._outcomes(batch[:middle]), *self._outcomes(batch[middle:])]

    def _outcomes(self, batch: "list[_Waiting]") -> Sequence[Outcome]:
        """A prediction or an error for each table of *batch*."""
        try:
            return self._call(batch, "split")
        except Exception as error:
            return [error] if len(batch) == 1 else self._halves(batch)

    def _call(self, batch: "list[_Waiting]", reason: str) -> list[Prediction]:
        tables = [waiting.table for waiting in batch]
        rows = sum(map(len, tables))
        self._batches += 1
        start = time.perf_counter()
        try:
            scored = partial(contained, partial(self._score, Table.joined(tables)))
            whole = self._tally.timed(reason, rows, scored)
            predictions = whole.parted([len(table) for table in tables])
        except BaseException:
            self._failed += 1
            raise
        took = time.perf_counter() - start
        # The slowest call counts, and is forgotten bit by bit: one spike keeps the model off the loop.
        self._slowest = took if self._slowest is None else max(took, self._slowest * _FORGETTING)
        # As many as fit into the time on the loop, if each takes no longer than those of this call.
        self._light_rows = min(max(LIGHT_ROWS, int(LIGHT * rows / max(took, 1e-9))), self._max_rows)
        self._requests += len(tables)
        return predictions

    def _settle(
        self,
        batch: "list[_Waiting]",
        outcomes: Sequence[Outcome],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Tell everybody what came of it, and have the first of those that wait by now lead."""
        elsewhere: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, Outcome]]] = {}
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if isinstance(waiting, _InThread) or waiting.loop is loop:
                waiting.settle(outcome)
            else:
                elsewhere.setdefault(waiting.loop, []).append((waiting, outcome))
        for other, pairs in elsewhere.items():
            _soon(other, partial(_settle_all, pairs))
        self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            self._since = None
            while self._waiting and self._waiting[0].gone():
                self._rows -= len(self._waiting.popleft().table)
            first = self._waiting[0] if self._waiting else None
            self._busy, self._reason = first is not None, "busy"
            # Not on a loop where a thread waits too: it may be the loop's own, which then would never run.
            threads = any(isinstance(waiting, _InThread) for waiting in self._waiting)
            inline = isinstance(first, _InLoop) and not threads and self._light(first.table)
            self._scheduled = first.loop if isinstance(first, _InLoop) and inline else None
        if isinstance(first, _InThread) and first.leads:
            first.woken.set()
        elif isinstance(first, _InThread):
            self._workers.submit(self._run, now=True)
        elif first is not None and not (
            inline and _soon(first.loop, partial(self._run_scheduled, first.loop))
        ):
            self._scheduled = None
            self._workers.submit(self._run)


class _Turn:
    """A `Wait` for what comes of a table. What waits is what the garbage collector looks through, again and
    again: this is one object where a `Wait` and what it calls are seven.
    """

    __slots__ = ("_batcher", "_table")
    bounded = True

    def __init__(self, batcher: Batcher, table: Table) -> None:
        self._batcher = batcher
        self._table = table

    def sync(self) -> Outcome:
        return self._batcher.wait(self._table)

    def aio(self) -> "asyncio.Future[Outcome]":
        return self._batcher.outcome(self._table)

    def within(self, seconds: float) -> Outcome | None:
        return self._batcher.wait_within(self._table, seconds)


class _InThread:
    """A table whose prediction a thread waits for."""

    __slots__ = ("given_up", "leads", "outcome", "table", "woken")

    def __init__(self, table: Table, *, leads: bool = True) -> None:
        self.table = table
        self.leads = leads
        self.given_up = False
        self.outcome: Outcome | None = None
        self.woken = threading.Event()

    def gone(self) -> bool:
        return self.given_up

    def settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.woken.set()


class _InLoop:
    """A table whose prediction a task of an event loop waits for."""

    __slots__ = ("future", "loop", "table")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Outcome] = self.loop.create_future()

    def gone(self) -> bool:
        return self.future.cancelled() or self.loop.is_closed()

    def settle(self, outcome: Outcome) -> None:
        if not self.future.done():
            self.future.set_result(outcome)


_Waiting: TypeAlias = _InThread | _InLoop


def _settle_all(pairs: Sequence[tuple[_Waiting, Outcome]]) -> None:
    for waiting, outcome in pairs:
        waiting.settle(outcome)


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> bool:
    """Have *loop* call something; whether it is there to do so."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return False
    return True
