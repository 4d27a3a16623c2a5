"""When to leave alone a server that does not answer."""

import logging
import threading
import time
from collections.abc import Callable

from ..flow.forks import renew_in_child

__all__ = ["Breaker"]

logger = logging.getLogger("modelgate")


class Breaker:
    """Lets calls to a server pass; after one that failed, one a *period* until one succeeds.

    Args:
        server: names it in the log, which gets one line when an outage begins and one when it ends.
        period: how many seconds lie between two tries.
        clock: gives the time in seconds; it never goes back.

    Attributes:
        outages: how many there have been.
        mended: when the last one ended, told or not, in seconds of the clock.
    """

    def __init__(
        self, server: str, *, period: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.outages = 0
        self.mended = float("-inf")
        self.clock = clock
        self._server = server
        self._period = period
        self._renew()
        renew_in_child(self, Breaker._renew)
        self._began = float("-inf")
        # When the next try may be made; None outside an outage.
        self._next: float | None = None

    def _renew(self) -> None:
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether there is an outage."""
        return self._next is not None

    def passes(self) -> bool:
        """Whether a call may be made now. During an outage, yes means that this is the period's try."""
        if self._next is None:
            return True
        with self._lock:
            now = self.clock()
            if self._next is not None and now < self._next:
                return False
            if self._next is not None:
                self._next = now + self._period
            return True

    def failed(self, error: BaseException) -> None:
        """A call has failed."""
        with self._lock:
            now = self.clock()
            begins = self._next is None
            if begins:
                self.outages += 1
                self._began = now
            self._next = now + self._period
        if begins:
            logger.error("%s does not answer: %s: %s", self._server, type(error).__name__, error)

    def forgot(self) -> None:
        """The server has been found without what it held, as after an outage that has just ended."""
        self.mended = self.clock()

    def succeeded(self, since: float) -> None:
        """A call made at *since* has succeeded. One made before the outage says nothing of its end."""
        if self._next is None:
            return
        with self._lock:
            if self._next is None or since < self._began:
                return
            self._next, self.mended = None, self.clock()
            lasted = self.mended - self._began
        logger.warning("%s answers again, after %.1f s", self._server, lasted)
