"""Tables that wait for the same model are scored in one call.

There is no timer: a batch is what has queued while the model was busy, or came within a few passes of the
event loop.

While tables wait there is a `Run`, the next batch or the one under way, and somebody to score it: a thread that waits
for its own table, the event loop if all callers are on it, or else a worker thread. The loop may be blocked, and all
workers may wait for this very batch. So until the run begins, a thread that comes takes it over. When a run ends, even
by an interruption, the tables that it leaves unanswered wait again, and the next run is assigned.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from queue import Empty
from typing import NamedTuple

from ..counts import require_count
from ..errors import Overloaded
from ..flow import Flow, Workers, contained
from ..flow.forks import renew_in_child
from ..flow.threads import MAX_WAITING
from ..schema import Table
from .calls import Calls, in_call
from .pace import LIGHT
from .query import Prediction
from .tally import Tally
from .waiting import InLoop, InThread, Outcome, Queue, Run, Waiting, settle_all, soon

__all__ = ["BatchInfo", "Batcher"]

_SMALL = 0.01
"""Of the time a thread has left: what it may spend on a call that it could not give up."""

_PASSES = 4
"""For how many passes of its event loop a batch waits at most: requests that have come are read in one, and
ask for their predictions in the next."""


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
        key: returns a key of a table: one call scores tables of equal keys only. None if all may be joined.
        tally: counts the calls. They are made because the model was ``idle`` for a thread, or for an
            event ``loop``; for what came while it was ``busy``, as far as it did not have more than
            enough (``full``); for a ``large`` table alone; for a part of what failed (``split``); and for
            a table that the model itself has scored while it predicts (``unbatched``).

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
        key: Callable[[Table], Hashable] | None = None,
        tally: Tally | None = None,
    ) -> None:
        for name, value in (("max_rows", max_rows), ("max_waiting", max_waiting)):
            require_count(name, value)
        self._score = score
        self._workers = workers
        self._inline = inline
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._key = key
        self._tally = tally or Tally()
        self._calls = Calls(score, self._tally)
        self._inlined = self._shed = 0
        self._tally.queues.add(self)
        self._forget()
        renew_in_child(self, Batcher._forget)

    def _forget(self) -> None:
        """Nobody waits and nothing runs: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self._queue = Queue(self._max_rows, self._max_waiting)
        # Replaced under the lock, and only once whoever is to score the batch has been told.
        self._run: Run | None = None

    def info(self) -> BatchInfo:
        """The counts so far."""
        calls = self._calls
        return BatchInfo(calls.requests, calls.made, self._inlined, calls.failed, self._shed)

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
            self._queue.sweep()
            return self._queue.rows

    def _score_large(self, table: Table) -> Prediction:
        return self._tally.timed("large", len(table), self._score, table)[0]

    def wait(self, table: Table) -> Outcome:
        """What comes of *table*."""
        return self._wait(InThread(table, self._key_of(table)), None)

    def wait_within(self, table: Table, seconds: float) -> Outcome:
        """As `wait`, but that this thread, which has no time to lose, runs no model that may take much of it."""
        leads = self._light(len(table), max(LIGHT, seconds * _SMALL))
        return self._wait(InThread(table, self._key_of(table), leads=leads), time.monotonic() + seconds)

    def _wait(self, waiting: InThread, until: float | None) -> Outcome:
        try:
            try:
                if self._runs_here() or not self._enter(waiting):
                    return self._calls.outcomes([waiting], "unbatched", waiting)[0]
                return self._outcome(waiting, until)
            except BaseException:
                self._leave(waiting)
                raise
        except BaseException:
            # An interruption may have ended the first `_leave` before it did anything.
            self._leave(waiting)
            raise

    def _outcome(self, waiting: InThread, until: float | None) -> Outcome:
        run = self._run
        while True:
            if run is not None and run.thread is waiting:
                self._lead(run)
            elif waiting.outcome is not None:
                return waiting.outcome
            else:
                try:
                    waiting.woken.get(timeout=None if until is None else max(until - time.monotonic(), 0))
                except Empty:
                    raise TimeoutError from None
            with self._lock:
                # The thread that wakes this one to lead sets `_run` afterwards, and holds the lock until then.
                run = self._run

    def _leave(self, waiting: InThread) -> None:
        """*waiting* has stopped waiting: a run that it was to score is another's."""
        waiting.given_up = True
        with self._lock:
            run = self._run
        if run is not None and run.thread is waiting:
            self._end(run)

    def outcome(self, table: Table) -> Awaitable[Outcome]:
        """What will come of *table*, on the running event loop."""
        waiting = InLoop(table, self._key_of(table))
        try:
            if self._runs_here() or not self._enter(waiting):
                waiting.settle(self._calls.outcomes([waiting], "unbatched")[0])
        except BaseException:
            waiting.future.cancel()
            raise
        # As it is: a coroutine that awaits it would be resumed with each request.
        return waiting.future

    def _key_of(self, table: Table) -> Hashable:
        return None if self._key is None else self._key(table)

    def _runs_here(self) -> bool:
        """Return whether the model runs in this very thread, and asks its own deployment."""
        run = self._run
        return run is not None and run.ident == threading.get_ident()

    def _enter(self, waiting: Waiting) -> bool:
        """Let *waiting* wait, and assign the next run if nobody is sure to begin it.

        Returns:
            Whether it waits. A thread that makes a call itself does not wait for a run that has begun:
            the model of that run may wait for this thread's.
        """
        with self._lock:
            run = self._run
            if run is None and not self._queue.waiting and isinstance(waiting, InThread) and waiting.leads:
                run = self._run = Run("idle", thread=waiting, batch=(waiting,))
                run.begin()
                return True
            hangs = run is not None and self._hangs(run)
            if run is not None and run.since is not None and not hangs and in_call():
                return False
            if hangs or not self._queue.add(waiting):
                self._shed += 1
                raise Overloaded
            if run is not None and run.sure:
                return True
            if isinstance(waiting, InThread):
                if waiting.leads:
                    self._run = Run("idle", thread=waiting)
                else:
                    self._submit("idle")
            elif run is None or (run.loop is not waiting.loop and (run.loop or waiting.in_worker)):
                # Waiting for further requests pays for a call that takes long.
                seen = waiting.rows if self._light(waiting.rows) else 0
                self._assign("loop", waiting.loop, seen)
            return True

    def _hangs(self, run: Run) -> bool:
        since, patience = run.since, self._workers.patience
        return since is not None and patience is not None and time.monotonic() - since > patience

    def _light(self, rows: int, limit: float = LIGHT) -> bool:
        return self._calls.pace.is_light(rows, limit) if self._inline is None else self._inline

    def _assign(self, reason: str, here: asyncio.AbstractEventLoop | None = None, seen: int = 0) -> None:
        """Assign the next run, under the lock: to a waiting thread, the event loop of all, or a worker.

        Args:
            reason: why it will be scored.
            here: the event loop that runs in this thread.
            seen: see `_run_scheduled`.
        """
        queue = self._queue.waiting
        loop = queue[0].loop
        for waiting in queue:
            if waiting.loop is not loop:
                loop = None
            if waiting.loop is None and waiting.leads and not waiting.gone():
                waiting.woken.put(None)
                self._run = Run(reason, thread=waiting)
                return
        if loop is not None and loop.is_running():
            run = Run(reason, loop=loop, sure=False)
            if loop is here:
                loop.call_soon(self._run_scheduled, run, loop, seen)
                self._run = run
                return
            if soon(loop, partial(self._run_scheduled, run, loop, seen)):
                self._run = run
                return
        self._submit(reason)

    def _run_scheduled(
        self, run: Run, loop: asyncio.AbstractEventLoop, seen: int, passes: int = _PASSES
    ) -> None:
        """Score the next batch, but wait for another pass of *loop* while they bring more than the rows *seen*."""
        try:
            with self._lock:
                rows = self._queue.rows
                if self._run is not run:
                    return
            if passes > 1 and seen < rows < self._max_rows:
                loop.call_soon(self._run_scheduled, run, loop, rows, passes - 1)
            elif self._light(min(rows, self._max_rows)):
                self._lead(run, loop)
            else:
                with self._lock:
                    if self._run is run:
                        self._submit(run.reason)
        except BaseException:
            self._end(run)
            raise

    def _submit(self, reason: str, batch: Sequence[Waiting] = ()) -> None:
        """Have a worker score *batch*, or the next one, under the lock. If there is none, reject the tables."""
        # A waiting thread may be one of the workers: if all of them were, no other would become free.
        now = bool(batch) or any(waiting.in_worker for waiting in self._queue.waiting)
        run = Run(reason, sure=now, batch=batch)
        try:
            self._workers.submit(partial(self._lead, run), now=now)
        except (Overloaded, RuntimeError) as error:
            for waiting in batch or self._queue.waiting:
                rejected = Overloaded()
                rejected.__cause__ = error
                if waiting.loop is None:
                    waiting.settle(rejected)
                else:
                    soon(waiting.loop, partial(waiting.settle, rejected))
            if not batch:
                self._queue = Queue(self._max_rows, self._max_waiting)
                self._run = None
        else:
            self._run = run

    def _lead(self, run: Run, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Score the batch of *run* in this thread, unless another has taken it over.

        Args:
            run: the run.
            loop: the event loop that runs in this thread.
        """
        try:
            if run.since is not None or self._begin(run):
                self._score_batch(run, loop)
            self._end(run, loop)
        except BaseException:
            # Only an interruption comes here; it is for this thread alone.
            self._end(run, loop)
            raise

    def _begin(self, run: Run) -> bool:
        with self._lock:
            if self._run is not run:
                return False
            run.begin()
            if not run.batch:
                # In this order: an interruption in between leaves the tables in both.
                run.batch = self._queue.batch()
                self._queue.remove(run.batch)
                if self._queue.waiting:
                    run.reason = "full"
            return bool(run.batch)

    def _score_batch(self, run: Run, loop: asyncio.AbstractEventLoop | None) -> None:
        batch = run.batch
        if run.reason == "split":
            outcomes: Sequence[Outcome] = self._calls.halves(batch)
        else:
            try:
                outcomes = self._calls.predictions(batch, run.reason, run.thread)
            except Exception as error:
                if len(batch) == 1:
                    outcomes = [error]
                elif loop is None:
                    outcomes = self._calls.halves(batch)
                else:
                    # To find the table at fault takes many calls: nothing for an event loop.
                    with self._lock:
                        self._submit("split", batch)
                    run.batch = ()
                    return
        self._inlined += loop is not None
        self._settle(batch, outcomes, loop)
        run.batch = ()

    def _end(self, run: Run, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Assign the next run, if *run* is still the one under way; it may be called twice."""
        if self._run is not run:
            return
        with self._lock:
            if self._run is not run:
                return
            if run.batch:
                self._queue.sweep(run.batch)
                for waiting in run.batch:
                    if isinstance(waiting, InThread):
                        # The interruption may have come after its outcome and before it was woken.
                        waiting.woken.put(None)
            while self._queue.waiting and self._queue.waiting[0].gone():
                self._queue.remove([self._queue.waiting[0]])
            if self._queue.waiting:
                self._assign("busy", loop)
            else:
                self._run = None

    def _settle(
        self, batch: Sequence[Waiting], outcomes: Sequence[Outcome], loop: asyncio.AbstractEventLoop | None
    ) -> None:
        elsewhere: dict[asyncio.AbstractEventLoop, list[tuple[Waiting, Outcome]]] = {}
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.loop is None or waiting.loop is loop:
                waiting.settle(outcome)
            else:
                elsewhere.setdefault(waiting.loop, []).append((waiting, outcome))
        for other, pairs in elsewhere.items():
            soon(other, partial(settle_all, pairs))


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
