"""Threads that several models share, so that none of them takes all there are."""

import contextlib
import math
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

__all__ = ["MAX_WAITING", "Share", "Threads", "in_worker"]

MAX_WAITING = 65_536
"""How many rows may wait for a model."""

_SLOW = 1.0
"""After how many seconds a call is slow, at most."""

_SLOW_PART = 30
"""A call is slow after this part of the patience: 40 shares that hang at once then have given up their
threads in two thirds of it, though each of them may take half of the threads."""

T = TypeVar("T")


class Threads:
    """Run at most *number* calls at once, those of several shares in turn.

    No thread starts before the first call. One that hangs keeps no program from ending.

    A call that runs for a second, or for a thirtieth of *patience*, is slow. It leaves its place to the
    shares that have no slow call, so that shares which hang together never take the last thread. A call
    that runs for longer than *patience* is overdue and leaves its place to all shares. There are at most
    *number* threads, and *number* more for each share that hangs.

    Args:
        number: how many calls may run at once; by default four more than there are cores, and 32 at most.
        patience: after how many seconds a call is overdue; None for never.
    """

    def __init__(self, number: int | None = None, patience: float | None = None) -> None:
        self.number = number or min(32, (os.cpu_count() or 1) + 4)
        self.patience = patience
        self._slow_after = _SLOW if patience is None else min(_SLOW, patience / _SLOW_PART)
        self._shares: weakref.WeakSet[Share] = weakref.WeakSet()
        self._serving: weakref.WeakSet[Share] = weakref.WeakSet()
        self._forget()
        renew_in_child(self, Threads._forget)

    def _forget(self) -> None:
        """There is no thread: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self._begun: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Not at exit: a hook registered earlier runs later, and may still submit a call.
        weakref.finalize(self, self._begun.put, None).atexit = False
        self._idle = 0
        # Each in the order of their beginning; overdue calls are in neither.
        self._fresh: dict[_Call, None] = {}
        self._slow: dict[_Call, None] = {}
        self._watched = False
        # The shares that have calls waiting, the one whose turn it is first.
        self._turns: deque[Share] = deque()
        for share in self._shares:
            share.forget()

    def share(self) -> "Share":
        """A share of the threads, for one model."""
        share = Share(self)
        self._shares.add(share)
        self._serving.add(share)
        return share

    def set_serving(self, share: "Share", serving: bool) -> None:
        """Count *share* among those that others leave threads to, or no longer."""
        (self._serving.add if serving else self._serving.discard)(share)

    def most(self) -> int:
        """Return how many calls of one share may run at once: half of the threads where several serve."""
        return self.number if len(self._serving) <= 1 else max(1, self.number // 2)

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
        share.waiting[call] = None
        share.rows_waiting += call.rows
        if share not in self._turns:
            self._turns.append(share)
        first = next(iter(share.waiting))
        if first.rows and not call.rows:
            # A batch, for which many may wait: of the large tables only the first goes before it.
            share.waiting.move_to_end(call, last=False)
            share.waiting.move_to_end(first, last=False)
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
                if (call in self._fresh or call in self._slow) and not call.left:
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
        if not share.waiting and share in self._turns:
            self._turns.remove(share)

    def find_overdue(self) -> None:
        """Count the calls no longer that have run for too long."""
        with self._lock:
            self._age()

    def _age(self) -> None:
        """Find the calls that have become slow or overdue."""
        now = time.monotonic()
        while self._fresh and (call := next(iter(self._fresh))).began < now - self._slow_after:
            del self._fresh[call]
            self._slow[call] = None
            call.share.slow += 1
        if self.patience is not None:
            while self._slow and (call := next(iter(self._slow))).began < now - self.patience:
                self._end(call, overdue=1)

    def _end(self, call: "_Call", overdue: int = 0) -> None:
        """*call* counts no longer, unless as *overdue*."""
        if call in self._slow:
            del self._slow[call]
            call.share.slow -= 1
        else:
            del self._fresh[call]
        call.share.live -= 1
        call.share.left -= call.left
        call.share.overdue += overdue

    def _begin_next(self) -> None:
        self._age()
        most, passed_over = self.most(), 0
        while passed_over < len(self._turns) and len(self._fresh) < self.number:
            share = self._turns[0]
            if share.waiting and self._may_begin(share, most):
                try:
                    self._begin(next(iter(share.waiting)))
                except Overloaded:
                    if not (self._fresh or self._slow):
                        raise
                    # The first of them that ends begins what waits.
                    return
                passed_over = 0
            elif share.waiting:
                passed_over += 1
            if share.waiting:
                self._turns.rotate(-1)
            else:
                self._turns.popleft()
        if self._turns and not self._watched:
            self._watch()

    def _may_begin(self, share: "Share", most: int) -> bool:
        return share.live < most and (not share.slow or len(self._fresh) + len(self._slow) < self.number)

    def _watch(self) -> None:
        """Begin waiting calls when others become slow, which no event announces."""
        thread = threading.Thread(target=self._begin_waiting, name="modelgate queue", daemon=True)
        # Without that thread they begin when the next call comes or ends.
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._watched = True

    def _begin_waiting(self) -> None:
        waiting = True
        while waiting:
            time.sleep(self._slow_after)
            with self._lock:
                with contextlib.suppress(Overloaded):
                    self._begin_next()
                waiting = self._watched = bool(self._turns)

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
        run, now = partial(self._run, call), time.monotonic()
        # A signal handler, which may raise, runs after a Python call or in a loop: not until `put` is done.
        share, call.began = call.share, now
        if call in share.waiting:
            del share.waiting[call]
            share.rows_waiting -= call.rows
        self._fresh[call] = None
        share.live += 1
        self._idle -= 1
        self._begun.put(run)

    def _run(self, call: "_Call") -> None:
        settle: Callable[[], None] | None = None
        if call.set_running_or_notify_cancel():
            try:
                settle = partial(call.set_result, call.function())
            except BaseException as error:
                settle = partial(call.set_exception, error)
        with self._lock:
            if call in self._fresh or call in self._slow:
                self._end(call)
            else:
                call.share.overdue -= 1
            self._idle += 1
            self._begin_next()
        if settle is not None:
            settle()


class Share:
    """One model's share of some `Threads`.

    Attributes:
        waiting: its calls that wait for a thread.
        rows_waiting: how many rows they have.
        live: how many run.
        slow: how many of these are slow.
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
        self.slow = 0
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
        try:
            self._threads.begin_within(call)
            return call.result(seconds)  # type: ignore[no-any-return]
        except BaseException:
            self._threads.leave(call)
            raise

    def set_serving(self, serving: bool) -> None:
        """See `Threads.set_serving`."""
        self._threads.set_serving(self, serving)

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
        self.began = math.inf
        self.left = False

    def cancel(self) -> bool:
        cancelled = self.began == math.inf and super().cancel()
        if cancelled:
            self.share.remove(self)
        return cancelled


class _Thread(threading.local):
    in_worker = False


_thread = _Thread()


def in_worker() -> bool:
    """Return whether this is a thread of some `Threads`."""
    return _thread.in_worker


def _work(begun: SimpleQueue[Callable[[], None] | None]) -> None:
    _thread.in_worker = True
    while (call := begun.get()) is not None:
        call()
        # What was called is not kept alive while there is nothing to do.
        del call
    # For the next thread.
    begun.put(None)
