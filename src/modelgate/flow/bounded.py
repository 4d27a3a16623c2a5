"""A flow whose waits end when its time is over."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Generator
from time import perf_counter
from types import CoroutineType
from typing import Any, TypeVar

from ..errors import DeadlineExceeded
from .flow import Flow, Wait

__all__ = ["bounded"]

T = TypeVar("T")

_EARLY = 0.02
"""By how much a wait may end too early, by a clock as coarse as that of Windows."""


def bounded(
    flow: Flow[T], until: float, exceeded: Callable[[], DeadlineExceeded] = DeadlineExceeded
) -> Flow[T]:
    """*flow*, none of whose waits goes on beyond *until*; once it was told, it may wait on its way out.

    A wait under WSGI ends only where it can, see `Wait.within`; another one is not begun in time that
    is over.

    Args:
        flow: what to bound.
        until: on the clock of `time.perf_counter`.
        exceeded: makes what is raised in *flow*, where it waits.
    """
    step: Callable[[Any], Wait] = flow.send
    value: Any = None
    while True:
        try:
            wait = step(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if wait.bounded and until < math.inf:
            wait = _Bounded(wait, until)  # type: ignore[assignment]  # it has all that a Wait has
        try:
            step, value = flow.send, (yield wait)
        except _Over as over:
            # That of a flow within, which is bounded too, is told there.
            step, value = flow.throw, over
            if over.until == until:
                value, until = exceeded(), math.inf
        except BaseException as error:
            step, value = flow.throw, error


class _Over(Exception):
    """The time until a moment is over."""

    def __init__(self, until: float) -> None:
        self.until = until


class _Bounded:
    """A *wait* that ends when the time is over.

    On a loop it is cancelled, as `asyncio.timeout_at` would. But that takes as long as much of the
    gate's work on a request: here what does not suspend needs no timer, and the others share one.
    """

    __slots__ = ("_cancelling", "_over", "_task", "_wait", "until")
    bounded = True

    def __init__(self, wait: Wait, until: float) -> None:
        self._wait = wait
        self.until = until

    def sync(self) -> Any:
        return self.within(math.inf)

    def within(self, seconds: float) -> Any:
        left = self.until - perf_counter()
        if left <= 0:
            raise _Over(self.until)
        if self._wait.within is None:
            return self._wait.sync()
        try:
            return self._wait.within(min(left, seconds))
        except TimeoutError:
            # Of the wait itself, where it has a bound of its own.
            if perf_counter() < self.until - _EARLY:
                raise
            raise _Over(self.until) from None

    def aio(self) -> Awaitable[Any]:
        return self

    def __await__(self) -> Generator[Any, Any, Any]:
        if self.until <= perf_counter():
            raise _Over(self.until)
        awaited = self._wait.aio()
        steps = awaited.__await__() if isinstance(awaited, _PLAIN) else _awaited(awaited)
        try:
            signal = steps.send(None)
        except StopIteration as stop:
            return stop.value
        # It has suspended: what follows is `yield from`, and what it ends with where the time is over.
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling, self._over = task, task.cancelling(), False
        watch = _watch()
        watch.add(self)
        try:
            while True:
                try:
                    step, sent = steps.send, (yield signal)
                except BaseException as error:
                    step, sent = steps.throw, error
                signal = step(sent)
        except StopIteration as stop:
            return stop.value
        except asyncio.CancelledError:
            if self._over and task.cancelling() - 1 <= self._cancelling:
                raise _Over(self.until) from None
            raise
        finally:
            watch.waiting.discard(self)
            if self._over:
                task.uncancel()

    def end(self) -> None:
        """The time is over."""
        self._over = True
        self._task.cancel()


_PLAIN = (CoroutineType, asyncio.Future)
"""What is awaited by steps that can be sent to and thrown into; of others there may be any iterator."""


async def _awaited(awaited: Awaitable[Any]) -> Any:
    return await awaited


class _Watch:
    """Ends what waits on one event loop, each when its time is over."""

    def __init__(self) -> None:
        self.waiting: set[_Bounded] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._at = math.inf

    def add(self, wait: _Bounded) -> None:
        self.waiting.add(wait)
        if wait.until < self._at:
            self._wake(wait.until)

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = asyncio.get_running_loop().call_later(at - perf_counter(), self._look)

    def _look(self) -> None:
        now = perf_counter()
        for wait in [wait for wait in self.waiting if wait.until <= now]:
            self.waiting.discard(wait)
            wait.end()
        self._timer, self._at = None, math.inf
        # Most of those that came in the meantime have gone, and nobody has turned the timer off.
        if self.waiting:
            self._wake(min(wait.until for wait in self.waiting))


_watches: dict[asyncio.AbstractEventLoop, _Watch] = {}


def _watch() -> _Watch:
    loop = asyncio.get_running_loop()
    watch = _watches.get(loop)
    if watch is None:
        for other in list(_watches):
            if other.is_closed():
                _watches.pop(other, None)
        watch = _watches[loop] = _Watch()
    return watch
