"""The contract every layer is written against, and the two drivers that run it.

A layer is written once and runs under WSGI and ASGI alike. It is a generator that suspends only
through `Wait`, the one effect there is; `drive` performs the waits by blocking, `adrive` by
awaiting. Inward is ``response = yield from call_next(request)``: the code above it runs on the way
in, the code below it on the way out, and ``try``/``finally`` around it always runs.

Never block or sleep in a layer directly: under ASGI that stops the event loop for everyone. Hand
the work to `run`.
"""

import asyncio
import contextlib
import contextvars
import copy
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from types import FunctionType
from typing import Any, ParamSpec, TypeAlias, TypeVar

import msgspec

from ..counts import require_count
from ..errors import ConfigurationError
from .threads import Share, Threads

__all__ = [
    "Flow",
    "Handler",
    "Layer",
    "Wait",
    "Workers",
    "adrive",
    "checked_layers",
    "contained",
    "drive",
    "run",
    "run_coroutine",
    "stack",
    "wait_for",
]

P = ParamSpec("P")
T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")


class Wait(msgspec.Struct, eq=False):
    """Something that may block or be awaited.

    Attributes:
        sync: performs it by blocking and returns its result.
        aio: performs it on the running asyncio loop; it gives the same result or error as *sync*.
        within: performs it by blocking for so many seconds at most, and then raises TimeoutError;
            None where only *sync* can, for as long as it takes.
        bounded: whether it ends, on a loop, when the time of its request is over, see `Deadline`.
    """

    sync: Callable[[], Any]
    aio: Callable[[], Awaitable[Any]]
    within: Callable[[float], Any] | None = None
    bounded: bool = True


Flow: TypeAlias = Generator[Wait, Any, T]
"""What may wait, and returns a T: each `Wait` it yields comes back as its result."""

Handler: TypeAlias = Callable[[In], Flow[Out]]
"""Answers a request: with what the layers around it and the model make of it."""

Layer: TypeAlias = Callable[[In, Handler[In, Out]], Flow[Out]]
"""Is called with a request and the handler inside of it; it may refuse, change or note what goes in and comes out."""


def stack(layers: Iterable[Layer[In, Out]], handler: Handler[In, Out]) -> Handler[In, Out]:
    """Put *layers* around *handler*, the first one outermost.

    Raises:
        ConfigurationError: one of the layers cannot be called.
    """
    for layer in reversed(checked_layers(layers)):
        handler = _around(layer, handler)
    return handler


def checked_layers(layers: Iterable[Layer[In, Out]]) -> tuple[Layer[In, Out], ...]:
    """*layers*, none of which is something else.

    Raises:
        ConfigurationError: one of them cannot be called, or is a class where its instance is meant.
    """
    if not isinstance(layers, Iterable):
        raise ConfigurationError(f"layers={layers!r}: accepts a list of layers")
    chosen = tuple(layers)
    for layer in chosen:
        if not callable(layer) or isinstance(layer, type):
            raise ConfigurationError(f"layers: {layer!r}: accepts what is called with (request, call_next)")
    return chosen


def _around(layer: Layer[In, Out], call_next: Handler[In, Out]) -> Handler[In, Out]:
    # To find an object's own __call__ takes as long as to call it.
    own = isinstance(getattr(type(layer), "__call__", None), FunctionType)  # noqa: B004  of its class
    call: Layer[In, Out] = layer.__call__ if own else layer  # type: ignore[operator]

    def handler(request: In) -> Flow[Out]:
        return call(request, call_next)

    return handler


def drive(flow: Flow[T]) -> T:
    """Run *flow* to its result, blocking wherever it waits: for WSGI, tests and scripts."""
    step: Callable[[Any], Wait] = flow.send
    value: Any = None
    while True:
        try:
            wait = step(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            step, value = flow.send, wait.sync()
        except BaseException as error:
            step, value = flow.throw, error


async def adrive(flow: Flow[T], value: Any = None) -> T:
    """Run *flow* to its result, awaiting wherever it waits: for ASGI.

    Args:
        value: what a flow that already waits is sent first; an exception is thrown into it.
    """
    step: Callable[[Any], Wait] = flow.throw if isinstance(value, BaseException) else flow.send
    while True:
        try:
            wait = step(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            step, value = flow.send, await wait.aio()
        except BaseException as error:
            step, value = flow.throw, error


class Workers:
    """Threads for blocking work under ASGI, apart from the host application's own.

    No thread starts before the first use, and a forked child starts its own: threads do not
    survive ``fork``, so a pool made by ``gunicorn --preload`` would never answer.

    Args:
        threads: how many calls may run at once; by default four more than there are cores, and 32 at
            most.
        patience: after how many seconds a call is overdue: nobody waits for it any longer. Its thread
            is replaced, and a share in which too many are overdue refuses more. Under WSGI too calls
            then run in these threads, as many as there are callers, where a request has a deadline:
            nobody could give up a call of its own thread. None for never.
    """

    def __init__(self, threads: int | None = None, *, patience: float | None = None) -> None:
        if threads is not None:
            require_count("threads", threads)
        self.patience = patience
        self._threads = Threads(threads, patience)

    def share(self) -> "Workers":
        """The same threads, for one of several models that share them fairly.

        The calls that wait are made in turn, and while there are other shares no more than half of
        the threads, or one, work for any of them at once.
        """
        share = copy.copy(self)
        share._share = self._threads.share()
        return share

    @cached_property
    def _share(self) -> Share:
        return self._threads.share()

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        """Call *function*: here under WSGI, in one of the threads under ASGI.

        The call sees the caller's context variables. A call whose request is cancelled while it
        still queues is never made.

        Raises:
            Overloaded: too many calls of this share are overdue.
        """
        return (yield self.wait(partial(contained, function, *args, **kwargs)))  # type: ignore[no-any-return]

    def wait(self, call: Callable[[], Any], *, light: bool = False, rows: int = 0) -> Wait:
        """What `run` waits for, of a *call* that is `contained`, and of so many *rows*.

        A *light* one is made here under WSGI also where a request has a deadline.
        """
        if self.patience is not None:
            self._share.refuse_overdue()
        within = None if light or self.patience is None else partial(self._call_within, call, rows)
        return Wait(call, partial(self._call, call, rows), within)

    async def _call(self, call: Callable[[], T], rows: int) -> T:
        context = contextvars.copy_context()
        return await asyncio.wrap_future(self._share.submit(partial(context.run, call), rows=rows))

    def _call_within(self, call: Callable[[], T], rows: int, seconds: float) -> T:
        context = contextvars.copy_context()
        return self._share.result(partial(context.run, call), seconds, rows)

    @property
    def rows_waiting(self) -> int:
        """How many rows wait for a thread."""
        return self._share.rows_waiting

    def submit(self, call: Callable[[], None], *, now: bool = False) -> None:
        """Have one of the threads make a *call* that nobody waits for, and that raises nothing.

        Args:
            call: what to call.
            now: not only when one is free: for a thread that waits for what comes of it.
        """
        self._share.submit(call, now=now)


def contained(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a *call*, which may raise what is no `Exception` without taking more than itself down.

    A panic of an extension module, SystemExit or CancelledError would otherwise end a worker, or
    pass for the cancellation of the request; StopIteration cannot be carried by a Future.

    Raises:
        RuntimeError: it raised such a thing, which is the cause.
    """
    try:
        return call(*args, **kwargs)
    except KeyboardInterrupt:
        raise
    except StopIteration as error:
        raise RuntimeError("the call raised StopIteration") from error
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"the call raised {type(error).__name__}") from error


def run_coroutine(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its result where nothing can be awaited, in an event loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(function())
    # Called from a coroutine, whose loop cannot run another one inside: a notebook, an async test.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, lambda: asyncio.run(function())).result()


_workers = Workers()
run = _workers.run


def wait_for(future: Future[T], timeout: float | None = None) -> Flow[T]:
    """Wait for the result of a *future* that some thread is working on.

    A caller's cancellation is its own: the future, and whoever else waits for it, are untouched.

    Raises:
        TimeoutError: there is none after *timeout* seconds.
    """
    return (  # type: ignore[no-any-return]
        yield Wait(
            sync=partial(future.result, timeout),
            aio=partial(_settled, future, timeout),
            within=lambda seconds: future.result(seconds if timeout is None else min(seconds, timeout)),
        )
    )


async def _settled(future: Future[T], timeout: float | None) -> T:
    loop = asyncio.get_running_loop()
    settled = loop.create_future()

    def wake() -> None:
        if not settled.done():
            settled.set_result(None)

    def wake_loop(_: Future[T]) -> None:
        # The loop of a caller who gave up may be closed by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(wake_loop)
    async with asyncio.timeout(timeout):
        await settled
    return future.result()
