"""Layers as generators, and the two drivers that run them.

A layer is written once and runs under WSGI and ASGI. It is a generator that yields a `Wait` for every
blocking operation. A driver performs the operation: `drive` blocks, and `adrive` awaits. A layer calls the
next handler with ``response = yield from call_next(request)``. Code above this line runs before the request
is handled, code below it afterwards, and ``try``/``finally`` around it works as usual.

Never block or sleep in a layer directly: under ASGI that stops the event loop for all requests. Use
`run` instead.
"""

import inspect
from collections.abc import Awaitable, Callable, Generator, Iterable
from types import FunctionType, MethodType
from typing import Any, TypeAlias, TypeVar

import msgspec

from ..errors import ConfigurationError

__all__ = ["Flow", "Handler", "Layer", "Wait", "adrive", "drive", "stack", "validate_layers"]

T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")


class Wait(msgspec.Struct, eq=False):
    """Operation that a flow waits for. `drive` performs it by blocking, and `adrive` by awaiting.

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
        ConfigurationError: A layer is not callable, or it is a class instead of an instance.
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
    # Copy the function with *call_next* as a default argument. A wrapper would cost each call an additional
    # frame, and a `functools.partial` a keyword argument.
    code, name = function.__code__, function.__name__
    bound = FunctionType(code, function.__globals__, name, (call_next,), function.__closure__)
    return bound if function is call else MethodType(bound, call.__self__)


def _takes_only(function: FunctionType, count: int) -> bool:
    """Return whether *function* has exactly *count* parameters, all of which can be passed by position."""
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
