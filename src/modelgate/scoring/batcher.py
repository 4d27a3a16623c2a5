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
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeAlias

from ..counts import require_count
from ..errors import Overloaded
from ..flow import Flow, Workers, contained
from ..flow.forks import renew_in_child
from ..flow.threads import MAX_WAITING
from ..schema import Table
from .pace import LIGHT, LIGHT_ROWS, Pace
from .query import Prediction
from .tally import Tally

__all__ = ["BatchInfo", "Batcher"]

_SMALL = 0.01
"""Of the time a thread has left: what it may spend on a call that it could not give up."""

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
        max_waiting: int = MAX_WAITING,
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
        self._pace = Pace()
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
            call = partial(contained, self._score_large, table)
            return (yield self._workers.wait(call, rows=len(table)))  # type: ignore[no-any-return]
        outcome: Outcome = yield _Turn(self, table)  # type: ignore[misc]  # it has all that a Wait has
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    @property
    def rows_waiting(self) -> int:
        """How many rows wait."""
        with self._lock:
            self._sweep()
            return self._rows

    def _score_large(self, table: Table) -> Prediction:
        return self._tally.timed("large", len(table), self._score, table)[0]

    def wait_within(self, table: Table, seconds: float) -> Outcome:
        """As `wait`, but that this thread, which has no time to lose, runs no model that may take much of it."""
        waiting = _InThread(table, leads=self._light(len(table), max(LIGHT, seconds * _SMALL)))
        if self._leads(waiting):
            if waiting.leads:
                self._run()
            else:
                self._workers.submit(self._run, now=True)
        while waiting.outcome is None:
            try:
                waiting.woken.get(timeout=seconds)
            except Empty:
                self._give_up(waiting)
                raise TimeoutError from None
            if waiting.outcome is None:
                self._run()
        return waiting.outcome

    def _give_up(self, waiting: "_InThread") -> None:
        with self._lock:
            waiting.given_up = True
        # It may have been told to lead just now: then nobody else will.
        if not waiting.woken.empty() and waiting.outcome is None:
            self._run()

    def wait(self, table: Table) -> Outcome:
        """What comes of *table*."""
        waiting = _InThread(table)
        if self._leads(waiting):
            self._run()
        while waiting.outcome is None:
            # Woken to lead, or because there is an outcome.
            waiting.woken.get()
            if waiting.outcome is None:
                self._run()
        return waiting.outcome

    def outcome(self, table: Table) -> Awaitable[Outcome]:
        """What will come of *table*, on the running event loop."""
        waiting = _InLoop(table)
        if self._leads(waiting):
            if self._light(len(table)):
                self._scheduled = waiting.loop
                return self._lead(waiting)
            self._workers.submit(self._run)
        # As it is: a coroutine that awaits it would be resumed with each request.
        return waiting.future

    async def _lead(self, waiting: "_InLoop") -> Outcome:
        try:
            # What else comes in this pass of the loop comes first.
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            waiting.future.cancel()
            raise
        finally:
            self._run_scheduled(waiting.loop)
        return await waiting.future

    def _leads(self, waiting: "_Waiting") -> bool:
        """Let *waiting* wait, and tell whether it leads: because the model is free, or because the one
        who was to lead has not begun: a loop that a thread may be holding up, or that does not run.
        """
        rows = len(waiting.table)
        with self._lock:
            if self._rows + rows > self._max_waiting:
                self._sweep()
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

    def _sweep(self) -> None:
        """Forget who has given up. Who was to lead does so all the same."""
        self._waiting = deque(waiting for waiting in self._waiting if not waiting.gone())
        self._rows = sum(len(waiting.table) for waiting in self._waiting)

    def _hangs(self) -> bool:
        since, patience = self._since, self._workers.patience
        return since is not None and patience is not None and time.monotonic() - since > patience

    def _light(self, rows: int, limit: float = LIGHT) -> bool:
        return self._pace.is_light(rows, limit) if self._inline is None else self._inline

    def _run_scheduled(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            mine = self._scheduled is loop
            if mine:
                self._scheduled, self._reason = None, "loop"
        if not mine:
            return
        if self._light(min(self._rows, LIGHT_ROWS)):
            self._run(loop)
        else:
            # One waits that is light, but with it too many for what is known of larger calls.
            self._workers.submit(self._run)

    def _run(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Score what waits, in this thread; *loop* is the event loop that runs in it."""
        batch = self._take(self._max_rows if loop is None else LIGHT_ROWS)
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
        sizes = [len(table) for table in tables]
        self._batches += 1
        try:
            joined = Table.joined(tables)
            whole, took = self._tally.timed(reason, len(joined), contained, self._score, joined)
            predictions = whole.parted(sizes)
        except BaseException:
            self._failed += 1
            raise
        self._pace.note(took, len(joined))
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
        inline = False
        with self._lock:
            self._since = self._scheduled = None
            while self._waiting and self._waiting[0].gone():
                self._rows -= len(self._waiting.popleft().table)
            self._busy = bool(self._waiting)
            if not self._busy:
                return
            first, self._reason = self._waiting[0], "busy"
            if isinstance(first, _InThread):
                if first.leads:
                    # Under the lock: who gives up sees that it was told to.
                    first.woken.put(None)
                    return
            # Not on a loop where a thread waits too: it may be the loop's own, which then would never run.
            elif self._light(len(first.table)) and not any(
                isinstance(one, _InThread) for one in self._waiting
            ):
                inline, self._scheduled = True, first.loop
        if isinstance(first, _InThread):
            self._workers.submit(self._run, now=True)
        elif not (inline and _soon(first.loop, partial(self._run_scheduled, first.loop))):
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

    def aio(self) -> Awaitable[Outcome]:
        return self._batcher.outcome(self._table)

    def within(self, seconds: float) -> Outcome:
        return self._batcher.wait_within(self._table, seconds)


class _InThread:
    """A table whose prediction a thread waits for; *woken* has an item for each time it is woken."""

    __slots__ = ("given_up", "leads", "outcome", "table", "woken")

    def __init__(self, table: Table, *, leads: bool = True) -> None:
        self.table = table
        self.leads = leads
        self.given_up = False
        self.outcome: Outcome | None = None
        self.woken: SimpleQueue[None] = SimpleQueue()

    def gone(self) -> bool:
        return self.given_up

    def settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.woken.put(None)


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
