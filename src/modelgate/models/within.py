"""What may hang, for no longer than somebody will wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["within"]

T = TypeVar("T")


_MOST = 64


def within(seconds: float, call: Callable[[], T], running: set[threading.Thread]) -> T:
    """The result of *call*, which goes on by itself where it takes longer.

    A time-out of a socket bounds the time between two pieces, and not that of the whole.

    Args:
        seconds: how long somebody will wait.
        call: what to call.
        running: the threads of earlier calls that may go on, of which there are so many at most.

    Raises:
        TimeoutError: it takes longer, or too many others do.
    """
    # Those of a parent process are not alive in a fork.
    running.difference_update([thread for thread in list(running) if not thread.is_alive()])
    if len(running) >= _MOST:
        raise TimeoutError(f"{_MOST} calls before this one have no answer yet")
    future: Future[T] = Future()

    def settle() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=settle, name="modelgate store", daemon=True)
    thread.start()
    running.add(thread)
    return future.result(seconds)
