"""Threads for calls that may hang."""

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeAlias, TypeVar

__all__ = ["DaemonThreads"]

P = ParamSpec("P")
T = TypeVar("T")
_Job: TypeAlias = tuple[Future[Any], Callable[[], Any]]


class DaemonThreads:
    """A few threads. Unlike those of `ThreadPoolExecutor`, one that hangs keeps no program from ending.

    Args:
        number: how many, at most.
        name: what they are called.
    """

    def __init__(self, number: int, name: str) -> None:
        self._number, self._name = number, name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False
        weakref.finalize(self, self._jobs.put, None)

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have one of the threads call *function*.

        Raises:
            RuntimeError: they were shut down.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads were shut down")
            self._jobs.put((future, partial(function, *args, **kwargs)))
            if len(self._threads) < self._number:
                thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True)
                thread.start()
                self._threads.append(thread)
        return future

    def shutdown(self, timeout: float = 5.0) -> None:
        """Take no more calls, and wait for those under way, for *timeout* seconds at most."""
        with self._lock:
            self._closed = True
        self._jobs.put(None)
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        future, call = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
        # What was called is not kept alive while there is nothing to do.
        del job, future, call
    # For the next thread.
    jobs.put(None)
