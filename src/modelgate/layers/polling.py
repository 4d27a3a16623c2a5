"""Background polling, started by the first request."""

import contextlib
import logging
import random
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future

from ..flow import Flow, Handler, isolate_errors, wait_for
from ..flow.fork_safety import reset_after_fork
from ..flow.greenlets import warn_if_patched_late
from ..http import Request, Response
from ..validation import require_positive_seconds

__all__ = ["PollingLayer"]

logger = logging.getLogger("modelgate")

_JITTER = 0.25
"""Share of the interval by which a poll may be early. The jitter keeps processes from polling in step."""


class PollingLayer:
    """HTTP layer that calls a method periodically in a background thread.

    The thread starts on the first request of each process. It ends when the method's object is
    garbage-collected. Errors are logged and do not end the polling.

    Args:
        poll: Bound method to call. The layer has only a weak reference to the method's object.
        interval: Maximum number of seconds between two calls.
        first_poll_timeout: Seconds for which requests wait for the first call.

    Raises:
        ConfigurationError: *interval* is not a positive number of seconds that a thread can wait for.
    """

    def __init__(self, poll: Callable[[], None], interval: float, first_poll_timeout: float = 0) -> None:
        require_positive_seconds("poll_interval", interval)
        self._poll = weakref.WeakMethod(poll)
        self._interval = interval
        self._first_poll_timeout = first_poll_timeout
        self._closed = False
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Set the initial state, in which the next request starts the thread. Run again in a forked child."""
        self._lock = threading.Lock()
        self._first_poll: Future[None] = Future()
        self._started_at: float | None = None
        self._thread: threading.Thread | None = None
        self._is_begun = self._closed
        self._stop = threading.Event()
        weakref.finalize(self, self._stop.set)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        return call_next(request) if self._is_begun else self._begin_and_call(request, call_next)

    def _begin_and_call(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        yield from self.begin()
        return (yield from call_next(request))

    def begin(self) -> Flow[None]:
        """Start the thread unless it is running, and wait for the first poll or its timeout."""
        if self._is_begun:
            return
        with self._lock:
            if self._started_at is None:
                self._started_at = time.monotonic()
                warn_if_patched_late()
                args = (self._poll, self._interval, self._first_poll, self._stop)
                self._thread = threading.Thread(target=_run, args=args, name="modelgate poll", daemon=True)
                self._thread.start()
        remaining = self._first_poll_timeout - (time.monotonic() - self._started_at)
        if remaining > 0:
            with contextlib.suppress(TimeoutError):
                yield from wait_for(self._first_poll, remaining)
        self._is_begun = True

    def close(self, timeout: float = 5.0) -> None:
        """Stop polling, and wait up to *timeout* seconds for a poll that is running."""
        self._closed = self._is_begun = True
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)


def _run(
    poll: "weakref.WeakMethod[Callable[[], None]]",
    interval: float,
    first_poll: "Future[None]",
    stop: threading.Event,
) -> None:
    # Not the shared random generator: a program that seeds it expects that no other thread uses it.
    jitter = random.Random()  # noqa: S311
    while True:
        call = poll()
        if call is None:
            return
        try:
            isolate_errors(call)
        except Exception as error:
            logger.error("background poll failed", exc_info=error)
        # No reference is held while waiting, so that the object can be garbage-collected.
        del call
        if not first_poll.done():
            first_poll.set_result(None)
        if stop.wait(interval * jitter.uniform(1 - _JITTER, 1)):
            return
