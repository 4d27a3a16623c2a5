"""Tables that wait for the same model are scored in one call.

There is no timer: a batch is what has queued while the model was busy, or came in a few passes of the
event loop. Whoever finds the model free leads: a thread scores its own table and what has queued by
then, an event loop runs the batch itself where the model is light, and else hands it to a thread. At
the end of a batch the first of those that wait leads the next.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from queue import Empty
from typing import NamedTuple

from ..counts import require_count
from ..errors import Overloaded
from ..flow import Flow, Workers, contained
from ..flow.forks import renew_in_child
from ..flow.threads import MAX_WAITING
from ..schema import Table
from .pace import LIGHT, Pace
from .query import Prediction
from .tally import Tally
from .waiting import InLoop, InThread, Outcome, Waiting, settle_all, soon

__all__ = ["BatchInfo", "Batcher"]

_SMALL = 0.01
"""Of the time a thread has left: what it may spend on a call that it could not give up."""

_PASSES = 4
"""For how many passes of its event loop a batch waits at most: requests that have come are read in one, and
ask for their predictions in the next."""

_MOST = 256
"""How many requests a batch has at most: an event loop goes on with all of them in one pass."""


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
        tally: counts the calls. They are made because the model was ``idle`` for a thread, or for an
            event ``loop``; for what came while it was ``busy``, as far as it did not have more than
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
        self._waiting: deque[Waiting] = deque()
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

    def wait(self, table: Table) -> Outcome:
        """What comes of *table*."""
        return self._wait(InThread(table), None)

    def wait_within(self, table: Table, seconds: float) -> Outcome:
        """As `wait`, but that this thread, which has no time to lose, runs no model that may take much of it."""
        leads = self._light(len(table), max(LIGHT, seconds * _SMALL))
        return self._wait(InThread(table, leads=leads), seconds)

    def _wait(self, waiting: InThread, seconds: float | None) -> Outcome:
        if self._leads(waiting):
            if waiting.leads:
                self._run()
            else:
                self._submit(self._run, now=True)
        while waiting.outcome is None:
            try:
                # Woken to lead, or because there is an outcome.
                waiting.woken.get(timeout=seconds)
            except BaseException as error:
                self._give_up(waiting)
                if isinstance(error, Empty):
                    raise TimeoutError from None
                raise
            if waiting.outcome is None:
                self._run()
        return waiting.outcome

    def _give_up(self, waiting: InThread) -> None:
        with self._lock:
            waiting.given_up = True
        # It may have been told to lead just now: then nobody else will.
        if not waiting.woken.empty() and waiting.outcome is None:
            self._pass_on()

    def outcome(self, table: Table) -> Awaitable[Outcome]:
        """What will come of *table*, on the running event loop."""
        waiting = InLoop(table)
        if self._leads(waiting):
            with self._lock:
                loop = self._scheduled = self._only_loop()
            if loop is None:
                self._submit(self._run)
            else:
                # To wait for who may come is worth it for a call that takes long.
                seen = waiting.rows if self._light(waiting.rows) else 0
                loop.call_soon(self._run_scheduled, loop, seen)
        # As it is: a coroutine that awaits it would be resumed with each request.
        return waiting.future

    def _leads(self, waiting: Waiting) -> bool:
        """Let *waiting* wait, and tell whether it leads: because the model is free, or because the one
        who was to lead has not begun: another loop, which may be held up, or not run any more.
        """
        rows = waiting.rows
        with self._lock:
            if self._rows + rows > self._max_waiting:
                self._sweep()
            if (self._rows + rows > self._max_waiting and self._waiting) or self._hangs():
                self._shed += 1
                raise Overloaded
            self._waiting.append(waiting)
            self._rows += rows
            late = self._scheduled not in (None, waiting.loop)
            leads, self._busy = late or not self._busy, True
            if leads:
                self._scheduled = None
                self._reason = "loop" if isinstance(waiting, InLoop) else "idle"
        return leads

    def _sweep(self) -> None:
        """Forget who has given up. Who was to lead does so all the same."""
        self._waiting = deque(waiting for waiting in self._waiting if not waiting.gone())
        self._rows = sum(waiting.rows for waiting in self._waiting)

    def _hangs(self) -> bool:
        since, patience = self._since, self._workers.patience
        return since is not None and patience is not None and time.monotonic() - since > patience

    def _light(self, rows: int, limit: float = LIGHT) -> bool:
        return self._pace.is_light(rows, limit) if self._inline is None else self._inline

    def _only_loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of all who wait, if they have one: another's would hold up who is not on it."""
        loops = {waiting.loop for waiting in self._waiting}
        loop = loops.pop()
        return loop if loop is not None and not loops and loop.is_running() else None

    def _run_scheduled(self, loop: asyncio.AbstractEventLoop, seen: int, passes: int = _PASSES) -> None:
        """Run the next batch, but wait for another pass of *loop* while they bring more than the rows *seen*."""
        with self._lock:
            if self._scheduled is not loop:
                return
            rows = self._rows
            more = passes > 1 and seen < rows < self._max_rows
            if not more:
                self._scheduled = None
        if more:
            loop.call_soon(self._run_scheduled, loop, rows, passes - 1)
        elif self._light(min(rows, self._max_rows)):
            self._run(loop)
        else:
            self._submit(self._run)

    def _submit(self, run: Callable[[], None], batch: Sequence[Waiting] = (), *, now: bool = False) -> None:
        """Have a worker run *batch*, or the next one. Where there can be none, who waits is told so."""
        try:
            self._workers.submit(run, now=now)
        except Exception as error:
            with self._lock:
                refused = list(batch or self._waiting)
                if not batch:
                    self._waiting.clear()
                    self._rows = 0
            self._settle(refused, [error] * len(refused))

    def _run(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Score what waits, in this thread; *loop* is the event loop that runs in it."""
        batch = self._take()
        self._since = time.monotonic()
        try:
            outcomes: Sequence[Outcome] = self._call(batch, self._reason) if batch else []
        except Exception as error:
            if len(batch) > 1:
                self._isolate_beside(loop, batch)
                return
            outcomes = [error]
        except BaseException as error:
            self._settle(batch, [error] * len(batch), loop)
            raise
        self._inlined += bool(batch) and loop is not None
        self._settle(batch, outcomes, loop)

    def _take(self) -> list[Waiting]:
        """The first of those that wait, and as many as fit with it. Who has given up is left out."""
        batch, rows = list[Waiting](), 0
        with self._lock:
            while self._waiting and (
                not batch or (len(batch) < _MOST and rows + self._waiting[0].rows <= self._max_rows)
            ):
                first = self._waiting.popleft()
                self._rows -= first.rows
                if not first.gone():
                    batch.append(first)
                    rows += first.rows
            if self._waiting:
                self._reason = "full"
        return batch

    def _isolate_beside(self, loop: asyncio.AbstractEventLoop | None, batch: list[Waiting]) -> None:
        """Find the table at fault, which takes many calls: nothing for an event loop."""
        if loop is None:
            self._isolate(batch)
        else:
            self._submit(partial(self._isolate, batch), batch)

    def _isolate(self, batch: list[Waiting]) -> None:
        try:
            outcomes = self._halves(batch)
        except BaseException as error:
            self._settle(batch, [error] * len(batch))
            raise
        self._settle(batch, outcomes)

    def _halves(self, batch: list[Waiting]) -> list[Outcome]:
        middle = len(batch) // 2
        return [*self._outcomes(batch[:middle]), *self._outcomes(batch[middle:])]

    def _outcomes(self, batch: list[Waiting]) -> Sequence[Outcome]:
        """A prediction or an error for each table of *batch*."""
        try:
            return self._call(batch, "split")
        except Exception as error:
            return [error] if len(batch) == 1 else self._halves(batch)

    def _call(self, batch: list[Waiting], reason: str) -> list[Prediction]:
        sizes = [waiting.rows for waiting in batch]
        self._batches += 1
        try:
            joined = Table.joined([waiting.table for waiting in batch])
            whole, took = self._tally.timed(reason, len(joined), contained, self._score, joined)
            predictions = whole.parted(sizes)
        except BaseException:
            self._failed += 1
            raise
        self._pace.note(took, len(joined))
        self._requests += len(batch)
        return predictions

    def _settle(
        self,
        batch: list[Waiting],
        outcomes: Sequence[Outcome],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Tell everybody what came of it, and have the first of those that wait by now lead."""
        elsewhere: dict[asyncio.AbstractEventLoop, list[tuple[Waiting, Outcome]]] = {}
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if isinstance(waiting, InThread) or waiting.loop is loop:
                waiting.settle(outcome)
            else:
                elsewhere.setdefault(waiting.loop, []).append((waiting, outcome))
        for other, pairs in elsewhere.items():
            soon(other, partial(settle_all, pairs))
        self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            self._since = self._scheduled = None
            while self._waiting and self._waiting[0].gone():
                self._rows -= self._waiting.popleft().rows
            self._busy = bool(self._waiting)
            if not self._busy:
                return
            first, self._reason = self._waiting[0], "busy"
            if isinstance(first, InThread) and first.leads:
                # Under the lock: who gives up sees that it was told to.
                first.woken.put(None)
                return
            loop = self._scheduled = self._only_loop()
        if loop is not None and soon(loop, partial(self._run_scheduled, loop, 0)):
            return
        with self._lock:
            if self._scheduled is not loop:
                return
            self._scheduled = None
        self._submit(self._run, now=isinstance(first, InThread))


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
