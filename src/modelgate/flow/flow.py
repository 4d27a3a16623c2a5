"""Layers as generators, and the two drivers that run them.

A layer is written once and runs under WSGI and ASGI. It is a generator that yields a `Wait` for
everything that blocks: `drive` performs the waits by blocking, `adrive` by awaiting. A layer calls
the next handler with ``response = yield from call_next(request)``. Code above this line runs before
the request is handled, code below it afterwards, and ``try``/``finally`` around it works as usual.

Never block or sleep in a layer directly: under ASGI that stops the event loop for all requests. Use
`run` instead.
"""

import asyncio
import contextvars
import copy
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from types import FunctionType, MethodType
from typing import Any, ParamSpec, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from ..errors import ConfigurationError
from ..validation import require_positive_int
from .fair_pool import FairThreadPool, PoolQuota
from .greenlets import call_in_os_thread, is_patched

__all__ = [
    "Flow",
    "Handler",
    "Layer",
    "Wait",
    "WorkerPool",
    "adrive",
    "drive",
    "in_main_thread",
    "isolate_error",
    "isolate_errors",
    "run",
    "run_coroutine",
    "run_long",
    "stack",
    "validate_layers",
]

P = ParamSpec("P")
T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")


class Wait(msgspec.Struct, eq=False):
    """Operation that a flow waits for: `drive` performs it by blocking, `adrive` by awaiting.

    Attributes:
        sync: Function that performs the operation by blocking and returns its result.
        aio: Function that returns an awaitable with the same result or error, for the running event loop.
        within: Function like *sync* with a timeout in seconds, after which it raises TimeoutError; None
            if the operation cannot time out.
        bounded: Whether the deadline of the request applies to the operation (see `Deadline`).
    """

    sync: Callable[[], Any]
    aio: Callable[[], Awaitable[Any]]
    within: Callable[[float], Any] | None = None
    bounded: bool = True


Flow: TypeAlias = Generator[Wait, Any, T]
"""Generator that yields waits, receives their results, and returns a value of type T."""

Handler: TypeAlias = Callable[[In], Flow[Out]]
"""Function of a request that returns the flow of its response."""

Layer: TypeAlias = Callable[[In, Handler[In, Out]], Flow[Out]]
"""Function of a request and the next handler. It may reject, change or log the request and the response."""


def stack(layers: Iterable[Layer[In, Out]], handler: Handler[In, Out]) -> Handler[In, Out]:
    """Return *handler* with *layers* around it, the first one outermost.

    Raises:
        ConfigurationError: One of the layers is not callable.
    """
    for layer in reversed(validate_layers(layers)):
        handler = _around(layer, handler)
    return handler


def validate_layers(layers: Iterable[Layer[In, Out]]) -> tuple[Layer[In, Out], ...]:
    """Return *layers* as a tuple.

    Raises:
        ConfigurationError: One of them is not callable, or is a class instead of an instance.
    """
    if not isinstance(layers, Iterable):
        raise ConfigurationError(f"layers must be a list of layers (got {layers!r})")
    checked = tuple(layers)
    for layer in checked:
        if not callable(layer) or isinstance(layer, type):
            raise ConfigurationError(
                f"layers must be functions of (request, call_next), or instances of layer classes"
                f" (got {layer!r})"
            )
    return checked


def _around(layer: Layer[In, Out], call_next: Handler[In, Out]) -> Handler[In, Out]:
    # Looking up __call__ takes as long as the call itself, so it is done once.
    call: Any = layer if isinstance(layer, FunctionType | MethodType) else layer.__call__  # type: ignore[operator]
    function = getattr(call, "__func__", call)
    if not isinstance(function, FunctionType) or not _takes_only(function, 2 if function is call else 3):
        return lambda request: layer(request, call_next)
    # A copy with *call_next* as a default. A wrapper would cost each call an additional frame, and a
    # `functools.partial` a keyword argument.
    code, name = function.__code__, function.__name__
    bound = FunctionType(code, function.__globals__, name, (call_next,), function.__closure__)
    return bound if function is call else MethodType(bound, call.__self__)


def _takes_only(function: FunctionType, count: int) -> bool:
    """Return whether *function* has *count* parameters, all of which can be passed by position."""
    code = function.__code__
    variadic = code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    return code.co_argcount == count and not code.co_kwonlyargcount and not variadic


def drive(flow: Flow[T]) -> T:
    """Run *flow*, blocking at each wait, and return its result. For WSGI, tests and scripts."""
    step: Callable[[Any], Wait] = flow.send
    value: Any = None
    try:
        while True:
            wait = step(value)
            try:
                step, value = flow.send, wait.sync()
            except BaseException as error:
                step, value = flow.throw, error
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except BaseException:
        # A signal handler may raise between two steps, while the flow is suspended.
        flow.close()
        # An error collector may store local variables, and a result may be a body with an API key.
        value = None
        raise


async def adrive(flow: Flow[T], value: Any = None) -> T:
    """Run *flow*, awaiting each wait, and return its result. For ASGI.

    Args:
        flow: Flow to run.
        value: Result to resume a suspended *flow* with. If it is an exception, it is raised inside the flow.
    """
    step: Callable[[Any], Wait] = flow.throw if isinstance(value, BaseException) else flow.send
    try:
        while True:
            wait = step(value)
            try:
                step, value = flow.send, await wait.aio()
            except BaseException as error:
                step, value = flow.throw, error
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except BaseException:
        # See `drive`.
        flow.close()
        value = None
        raise


class WorkerPool:
    """Thread pool for blocking calls under ASGI, separate from the thread pool of the host application.

    Threads start on demand. Forked children start their own, as threads do not survive a fork
    (``gunicorn --preload``).

    Args:
        threads: Number of calls that run at once. Default: number of cores + 4, at most 32.
        hang_timeout: Seconds after which a call is stuck; None for never. A stuck thread is replaced, and
            a model with too many stuck calls rejects further calls. If *hang_timeout* is set and a WSGI
            request has a deadline, the request's calls also run in these threads, because a thread cannot
            cancel its own call.
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
        """Call *function* in the caller's thread under WSGI, in a thread of the pool under ASGI.

        The call has the caller's context variables. It is dropped if the request is cancelled while the
        call is queued.

        Raises:
            Overloaded: Too many calls in this share of the pool do not finish.
        """
        return (yield self.wait(partial(isolate_errors, function, *args, **kwargs)))  # type: ignore[no-any-return]

    def wait(self, call: Callable[[], Any], *, inline_ok: bool = False, rows: int = 0) -> Wait:
        """Return a `Wait` that makes *call* (see `run`).

        Args:
            call: Function without arguments that raises only isolated errors (see `isolate_error`).
            inline_ok: Whether a request under WSGI makes the call in its own thread even if it has a
                deadline.
            rows: Number of rows that count as queued until the call starts.

        Raises:
            Overloaded: Too many calls in this share of the pool do not finish.
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
        """Set whether this share counts when the threads are divided. False for a replaced model."""
        self._share.set_serving(serving)

    @property
    def rows_waiting(self) -> int:
        """Number of rows in queued calls."""
        return self._share.rows_waiting

    def submit(self, call: Callable[[], None], *, immediate: bool = False) -> None:
        """Start *call* in a thread of the pool, without waiting for it.

        Args:
            call: Function to call. It must not raise.
            immediate: Whether the call starts immediately, in an additional thread if none is free. For
                callers whose own thread blocks until the call returns.
        """
        self._share.submit(call, immediate=immediate)


def isolate_errors(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of *call*, and convert its exceptions by `isolate_error`."""
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        raise isolate_error(error)  # noqa: B904  it is the same error, or has it as its cause


def isolate_error(error: BaseException) -> Exception:
    """Return *error*, or a RuntimeError if *error* would affect more than the failed call.

    SystemExit and panics of extension modules would end a worker, CancelledError would look like the
    cancellation of the request, and a Future cannot have StopIteration as its exception.

    Raises:
        KeyboardInterrupt: *error* is a KeyboardInterrupt in the main thread, possibly from Ctrl-C.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    if isinstance(error, KeyboardInterrupt) and in_main_thread():
        raise error
    isolated = RuntimeError(f"the call raised {type(error).__name__}")
    isolated.__cause__ = error
    return isolated


def in_main_thread() -> bool:
    """Return True in the main thread, the only one in which signal handlers run."""
    return threading.get_ident() == threading.main_thread().ident


def run_coroutine(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a new event loop, and return its result."""
    if is_patched():
        # asyncio has one running loop per OS thread, which all greenlets of the thread share.
        return call_in_os_thread(partial(contextvars.copy_context().run, lambda: asyncio.run(function())))
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(function())
    # In a notebook or an async test a loop runs already, and event loops cannot be nested.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, lambda: asyncio.run(function())).result()


_workers = WorkerPool(hang_timeout=60)
_functions: WeakKeyDictionary[Any, WorkerPool] = WeakKeyDictionary()
"""Share of the threads for each function, by its code object. One that hangs does not block the others."""


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
    """Call *function* in the caller's thread under WSGI, in another thread under ASGI.

    The call has the caller's context variables. It is dropped if the request is cancelled while the
    call is queued.

    Raises:
        Overloaded: Half of the threads are stuck in calls of *function*, each for more than a minute.

    Example:
        def add_greeting(request, call_next):
            response = yield from call_next(request)
            response.set("x-greeting", (yield from run(fetch_greeting)))
            return response
    """
    call = partial(isolate_errors, function, *args, **kwargs)
    return (yield _pool_for(function).wait(call, inline_ok=True))  # type: ignore[no-any-return]


def run_long(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
    """Like `run`, but also in another thread under WSGI if the request has a deadline, which then ends the wait.

    The call itself ends early if it uses `modelgate.cancellation.stop_if_abandoned`.
    """
    return (yield _pool_for(function).wait(partial(isolate_errors, function, *args, **kwargs)))  # type: ignore[no-any-return]


def _pool_for(function: Callable[..., Any]) -> WorkerPool:
    key = getattr(function, "__code__", None) or type(function)
    workers = _functions.get(key)
    if workers is None:
        workers = _functions[key] = _workers.share()
    return workers
