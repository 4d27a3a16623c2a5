"""Run blocking calls: in the calling thread under WSGI, and in a thread pool under ASGI."""

import asyncio
import contextvars
import copy
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from ..validation import require_positive_int
from .fair_pool import FairThreadPool, PoolQuota
from .flow import Flow, Wait
from .isolation import isolate_errors

__all__ = ["WorkerPool", "run", "run_long"]

P = ParamSpec("P")
T = TypeVar("T")


class WorkerPool:
    """Thread pool for blocking calls under ASGI, separate from the thread pool of the host application.

    Threads start on demand. Forked children start their own, as threads do not survive a fork
    (``gunicorn --preload``).

    Args:
        threads: Number of calls that run at once. Default: number of cores + 4, at most 32.
        hang_timeout: Seconds after which a call is stuck; None for never. A stuck thread is replaced, and a
            model with too many stuck calls rejects further calls. If *hang_timeout* is set, WSGI requests
            that have a deadline also use these threads, because a thread cannot cancel its own call.
    """

    def __init__(self, threads: int | None = None, *, hang_timeout: float | None = None) -> None:
        if threads is not None:
            require_positive_int("threads", threads)
        self.hang_timeout = hang_timeout
        self._threads = FairThreadPool(threads, hang_timeout)

    def share(self) -> "WorkerPool":
        """Return a pool that shares these threads, for one of several models.

        Queued calls of different shares start in turn. If there are several shares, each uses at most half of
        the threads.
        """
        share = copy.copy(self)
        share._share = self._threads.share()
        return share

    @cached_property
    def _share(self) -> PoolQuota:
        return self._threads.share()

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        """Call *function* in the calling thread under WSGI, or in a thread of the pool under ASGI.

        The call has the caller's context variables. It is dropped if the request is cancelled while the
        call is queued.

        Raises:
            Overloaded: Too many calls in this share of the pool are stuck.
        """
        return (yield self.wait(partial(isolate_errors, function, *args, **kwargs)))  # type: ignore[no-any-return]

    def wait(self, call: Callable[[], Any], *, inline_ok: bool = False, rows: int = 0) -> Wait:
        """Return a `Wait` that performs *call*; see `run`.

        Args:
            call: Function without arguments that raises only isolated errors (see `isolate_error`).
            inline_ok: Whether a WSGI request makes the call in its own thread even if the request has a
                deadline.
            rows: Number of rows to predict, which count as queued until the call starts.

        Raises:
            Overloaded: Too many calls in this share of the pool are stuck.
        """
        if self.hang_timeout is not None:
            self._share.raise_if_stuck()
        within = None if inline_ok or self.hang_timeout is None else partial(self._call_within, call, rows)
        return Wait(call, partial(self._call, call, rows), within)

    async def _call(self, call: Callable[[], T], rows: int) -> T:
        context = contextvars.copy_context()
        return await asyncio.wrap_future(self._share.submit(partial(context.run, call), rows=rows))

    def _call_within(self, call: Callable[[], T], rows: int, seconds: float) -> T:
        context = contextvars.copy_context()
        return self._share.run_with_timeout(partial(context.run, call), seconds, rows)

    def set_serving(self, serving: bool) -> None:
        """Set whether this share counts when the threads are divided.

        Pass False for a model that was replaced.
        """
        self._share.set_serving(serving)

    @property
    def rows_waiting(self) -> int:
        """Number of rows in queued calls."""
        return self._share.rows_waiting

    def submit(self, call: Callable[[], None], *, immediate: bool = False) -> None:
        """Start *call* in a thread of the pool, without waiting for it.

        Args:
            call: Function to call. It must not raise.
            immediate: Whether to start the call immediately, in an additional thread if none is free. Use
                this if the calling thread blocks until the call returns.
        """
        self._share.submit(call, immediate=immediate)


_workers = WorkerPool(hang_timeout=60)
_functions: WeakKeyDictionary[Any, WorkerPool] = WeakKeyDictionary()
"""Share of the threads for each function, by code object. A function that hangs does not block the others."""


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
    """Call *function* in the calling thread under WSGI, or in another thread under ASGI.

    The call has the caller's context variables. It is dropped if the request is cancelled while the
    call is queued.

    Raises:
        Overloaded: Too many calls of *function* are stuck, that is, have been running for over a minute.

    Example:
        def add_greeting(request, call_next):
            response = yield from call_next(request)
            response.set("x-greeting", (yield from run(fetch_greeting)))
            return response
    """
    call = partial(isolate_errors, function, *args, **kwargs)
    return (yield _pool_for(function).wait(call, inline_ok=True))  # type: ignore[no-any-return]


def run_long(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
    """Like `run`, but if the request has a deadline, use another thread under WSGI, too.

    The wait then ends at the deadline. The call itself ends early if it uses
    `modelgate.cancellation.stop_if_abandoned`.
    """
    return (yield _pool_for(function).wait(partial(isolate_errors, function, *args, **kwargs)))  # type: ignore[no-any-return]


def _pool_for(function: Callable[..., Any]) -> WorkerPool:
    key = getattr(function, "__code__", None) or type(function)
    workers = _functions.get(key)
    if workers is None:
        workers = _functions[key] = _workers.share()
    return workers
