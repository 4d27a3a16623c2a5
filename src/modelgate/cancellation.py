"""Stop long calls in worker threads when their caller no longer waits for them.

Python cannot end a thread. A long call therefore calls `stop_if_abandoned` between its parts.
"""

import threading
from typing import Protocol

__all__ = ["CallAbandoned", "current_call", "stop_if_abandoned"]


class CallAbandoned(Exception):
    """The caller no longer waits for the result of this call."""


class _Call(Protocol):
    """Call that runs in a worker thread.

    Attributes:
        stop_requested: Whether the caller has stopped waiting for the result.
    """

    stop_requested: bool


class _CurrentCall(threading.local):
    """Thread-local variable with the call that the current thread runs; None outside of worker threads."""

    call: _Call | None = None


current_call = _CurrentCall()


def stop_if_abandoned() -> None:
    """Raise `CallAbandoned` if the caller has stopped waiting for the call that this thread runs."""
    call = current_call.call
    if call is not None and call.stop_requested:
        raise CallAbandoned
