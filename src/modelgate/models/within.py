"""What may hang, for no longer than somebody will wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["within"]

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of *call*, which goes on by itself where it takes longer.

    A time-out of a socket bounds the time between two pieces, and not that of the whole.

    Raises:
        TimeoutError: it takes longer.
    """
    future: Future[T] = Future()

    def settle() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=settle, name="modelgate store", daemon=True).start()
    return future.result(seconds)
