"""Threads that several models share, so that none of them takes all there are."""

import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from ..errors import Overloaded
from .forks import renew_in_child

__all__ = ["MAX_WAITING", "Share", "Threads"]

MAX_WAITING = 65_536
"""How many rows may wait for a model."""

T = TypeVar("T")


class Threads:
    """At most *number* calls at once, those of several shares in turn.

    No thread starts before the first call. One that hangs keeps no program from ending, and a call
    that has run for longer than *patience* counts no longer: another thread takes its place.

    Args:
        number: how many calls may run at once; by default four more than there are cores, and 32 at most.
        patience: after how many seconds a call is overdue; None for never.
    """

    def __init__(self, number: int | None = None, patience: float | None = None) -> None:
        self.number = number or min(32, (os.cpu_count() or 1) + 4)
        self.patience = patience
        self._shares: weakref.WeakSet[Share] = weakref.WeakSet()
        self._forget()
        renew_in_child(self, Threads._forget)

    def _forget(self) -> None:
        """There is no thread: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self._begun: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        weakref.finalize(self, self._begun.put, None)
        self._idle = 0
        # In the order of their beginning, but for those that are overdue.
        self._running: dict[_Call, None] = {}
        # The shares that have calls waiting, the one whose turn it is first.
        self._turns: deque[Share] = deque()
        for share in self._shares:
            share.forget()

    def share(self) -> "Share":
        """A share of the threads, for one model."""
        share = Share(self)
        self._shares.add(share)
        return share

    def most(self) -> int:
        """How many calls of one share may run at once: where there are others, half of the threads."""
        return self.number if len(self._shares) == 1 else max(1, self.number // 2)

    def queue(self, call: "_Call") -> None:
        """Begin *call* when a thread is free, and it is its share's turn.

        Raises:
            Overloaded: with it more than `MAX_WAITING` rows of this share would wait.
        """
        with self._lock:
            self._queue(call)

    def _queue(self, call: "_Call") -> None:
        share = call.share
        # One without rows makes nobody's wait longer, and may be what those of others wait for.
        if call.rows and share.waiting and share.rows_waiting + call.rows > MAX_WAITING:
            raise Overloaded
        if not share.waiting:
            self._turns.append(share)
        share.waiting[call] = None
        share.rows_waiting += call.rows
        try:
            self._begin_next()
        except Overloaded:
            self._remove(call)
            raise

    def begin(self, call: "_Call") -> None:
        """Begin *call* now: for a thread that waits for it, and so adds none to those that work."""
        with self._lock:
            self._begin(call)

    def begin_within(self, call: "_Call") -> None:
        """As `begin`, but that *call* queues while as many run for nobody as may run at once.

        Raises:
            Overloaded: it cannot.
        """
        with self._lock:
            if call.share.left < self.most():
                self._begin(call)
            else:
                self._queue(call)

    def leave(self, call: "_Call") -> None:
        """Nobody waits for *call* any more."""
        if not call.cancel():
            with self._lock:
                if call in self._running and not call.left:
                    call.left = True
                    call.share.left += 1

    def remove(self, call: "_Call") -> None:
        """Have *call*, which is cancelled, wait no longer."""
        with self._lock:
            if call in call.share.waiting:
                self._remove(call)

    def _remove(self, call: "_Call") -> None:
        share = call.share
        del share.waiting[call]
        share.rows_waiting -= call.rows
        if not share.waiting:
            self._turns.remove(share)

    def find_overdue(self) -> None:
        """Count the calls no longer that have run for too long."""
        if self.patience is not None:
            with self._lock:
                self._find_overdue(self.patience)

    def _find_overdue(self, patience: float) -> None:
        since = time.monotonic() - patience
        while self._running and (call := next(iter(self._running))).began < since:
            self._end(call)
            call.share.overdue += 1

    def _end(self, call: "_Call") -> None:
        """*call* counts no longer."""
        del self._running[call]
        call.share.live -= 1
        call.share.left -= call.left

    def _begin_next(self) -> None:
        if self.patience is not None:
            self._find_overdue(self.patience)
        most, passed_over = self.most(), 0
        while passed_over < len(self._turns) and len(self._running) < self.number:
            passed_over = passed_over + 1 if self._turns[0].live >= most else 0
            if not passed_over:
                try:
                    self._have_thread()
                except Overloaded:
                    if not self._running:
                        raise
                    # The first of them that ends begins what waits.
                    return
            share = self._turns.popleft()
            if not passed_over:
                call, _ = share.waiting.popitem(last=False)
                share.rows_waiting -= call.rows
                self._begin(call)
            if share.waiting:
                self._turns.append(share)

    def _have_thread(self) -> None:
        """One is idle from now on. Raises `Overloaded` where the system gives no more."""
        if self._idle:
            return
        try:
            threading.Thread(target=_work, args=(self._begun,), name="modelgate", daemon=True).start()
        except RuntimeError as error:
            raise Overloaded from error
        self._idle += 1

    def _begin(self, call: "_Call") -> None:
        # Before anything is counted.
        self._have_thread()
        if not call.set_running_or_notify_cancel():
            return
        call.began = time.monotonic()
        self._running[call] = None
        call.share.live += 1
        self._begun.put(partial(self._run, call))
        self._idle -= 1

    def _run(self, call: "_Call") -> None:
        try:
            settle: Callable[[], None] = partial(call.set_result, call.function())
        except BaseException as error:
            settle = partial(call.set_exception, error)
        with self._lock:
            if call in self._running:
                self._end(call)
            else:
                call.share.overdue -= 1
            self._idle += 1
            self._begin_next()
        settle()


class Share:
    """One model's share of some `Threads`.

    Attributes:
        waiting: its calls that wait for a thread.
        rows_waiting: how many rows they have.
        live: how many run.
        left: how many of these run for nobody: who waited for them has given up.
        overdue: how many have run for so long that nobody waits for them any more.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self.forget()

    def forget(self) -> None:
        """Nothing waits and nothing runs: at the beginning, and in a forked child."""
        self.waiting: OrderedDict[_Call, None] = OrderedDict()
        self.rows_waiting = 0
        self.live = 0
        self.left = 0
        self.overdue = 0

    def submit(self, function: Callable[[], T], *, now: bool = False, rows: int = 0) -> Future[T]:
        """Have a thread call *function*; *now*, or when one is free.

        Args:
            function: what to call.
            now: for a thread that waits for it.
            rows: how many rows wait with it.

        Raises:
            Overloaded: too many rows wait.
        """
        call = _Call(self, function, rows)
        (self._threads.begin if now else self._threads.queue)(call)
        return call

    def result(self, function: Callable[[], T], seconds: float, rows: int = 0) -> T:
        """What *function* returns in a thread, which begins now unless too many run for nobody.

        Raises:
            TimeoutError: there is nothing after so many *seconds*.
            Overloaded: too many rows wait.
        """
        call = _Call(self, function, rows)
        self._threads.begin_within(call)
        try:
            return call.result(seconds)  # type: ignore[no-any-return]
        except TimeoutError:
            self._threads.leave(call)
            raise

    def remove(self, call: "_Call") -> None:
        """Have *call*, which is cancelled, wait no longer."""
        self._threads.remove(call)

    def refuse_overdue(self) -> None:
        """Raises `Overloaded` where as many calls are overdue as may run at once: the model hangs."""
        if self.live or self.overdue:
            self._threads.find_overdue()
            if self.overdue >= self._threads.most():
                raise Overloaded


class _Call(Future[Any]):
    """A call that a thread makes, and what came of it."""

    def __init__(self, share: Share, function: Callable[[], Any], rows: int) -> None:
        super().__init__()
        self.share = share
        self.function = function
        self.rows = rows
        self.began = 0.0
        self.left = False

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if cancelled:
            self.share.remove(self)
        return cancelled


def _work(begun: SimpleQueue[Callable[[], None] | None]) -> None:
    while (call := begun.get()) is not None:
        call()
        # What was called is not kept alive while there is nothing to do.
        del call
    # For the next thread.
    begun.put(None)
