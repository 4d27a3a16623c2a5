"""Wait in a flow for a future that another thread sets."""

import asyncio
import contextlib
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from .flow import Flow, Wait

__all__ = ["wait_for"]

T = TypeVar("T")


def wait_for(future: Future[T], timeout: float | None = None) -> Flow[T]:
    """Wait for the result of a *future* that another thread sets.

    If the caller is cancelled or times out, the future and other callers are not affected.

    Raises:
        TimeoutError: There is no result after *timeout* seconds.
    """
    return (  # type: ignore[no-any-return]
        yield Wait(
            sync=partial(future.result, timeout),
            aio=partial(_await_future, future, timeout),
            within=lambda seconds: future.result(seconds if timeout is None else min(seconds, timeout)),
        )
    )


async def _await_future(future: Future[T], timeout: float | None) -> T:
    if future.done() or (timeout is not None and timeout <= 0):
        # If there is no time to wait, do not add another callback to a future that may never finish.
        return future.result(0)
    loop = asyncio.get_running_loop()
    is_done = loop.create_future()
    waiting = _waiting_tasks(future, loop)
    waiting.add(is_done)
    try:
        async with asyncio.timeout(timeout):
            await is_done
    finally:
        waiting.discard(is_done)
    return future.result()


_waiting: WeakKeyDictionary[Future[Any], dict[asyncio.AbstractEventLoop, set[asyncio.Future[None]]]] = (
    WeakKeyDictionary()
)
"""Tasks that wait for a future, by event loop. A future has one callback per loop: callbacks cannot be
removed, so with one per task, a future that never finishes would hold memory for each task."""


def _waiting_tasks(future: Future[Any], loop: asyncio.AbstractEventLoop) -> set[asyncio.Future[None]]:
    by_loop = _waiting.setdefault(future, {})
    waiting = by_loop.get(loop)
    if waiting is None:
        waiting = by_loop[loop] = set()
        future.add_done_callback(partial(_wake_tasks, loop, waiting))
    return waiting


def _wake_tasks(loop: asyncio.AbstractEventLoop, waiting: set[asyncio.Future[None]], _: Future[Any]) -> None:
    def wake() -> None:
        for is_done in waiting:
            if not is_done.done():
                is_done.set_result(None)

    # The loop may be closed if its tasks no longer wait.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(wake)
