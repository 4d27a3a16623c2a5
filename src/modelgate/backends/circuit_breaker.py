"""Circuit breaker for servers that do not respond."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ..flow import Flow, Wait
from ..flow.fork_safety import reset_after_fork

__all__ = ["CircuitBreaker", "StorageUnavailable"]

logger = logging.getLogger("modelgate")

_REPORT_INTERVAL = 60.0


class StorageUnavailable(Exception):
    """The server does not respond. The ``__cause__`` is the error that the call raised."""


class CircuitBreaker:
    """Circuit breaker, which limits calls to a server that does not respond.

    A failed call starts an outage. During the outage, only one call per *period* is allowed. The outage ends
    when a call that started during the outage succeeds.

    Args:
        server: Name of the server in the log. The start and the end of each outage are logged.
        period: Seconds between two attempts during an outage.
        clock: Monotonic clock, in seconds.

    Attributes:
        outage_count: Number of outages so far.
        recovered_at: Time of the last recovery or data loss, on *clock*; ``-inf`` if there was none.
    """

    def __init__(
        self, server: str, *, period: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.outage_count = 0
        self.recovered_at = float("-inf")
        self.clock = clock
        self._server = server
        self._period = period
        self._reset()
        reset_after_fork(self._reset)
        self._outage_started_at = float("-inf")
        self._loss_reported_at = float("-inf")
        # Time of the next attempt; None if there is no outage.
        self._next_attempt: float | None = None

    def _reset(self) -> None:
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether there is an outage now."""
        return self._next_attempt is not None

    def allow(self) -> bool:
        """Return whether a call may be made now.

        During an outage, this returns True only once per *period*. A caller that gets True must
        make the call, because no other call is allowed for a *period*.
        """
        if self._next_attempt is None:
            return True
        with self._lock:
            now = self.clock()
            if self._next_attempt is not None and now < self._next_attempt:
                return False
            if self._next_attempt is not None:
                self._next_attempt = now + self._period
            return True

    def record_failure(self, error: BaseException) -> None:
        """Record that a call has failed with *error*."""
        with self._lock:
            now = self.clock()
            is_first = self._next_attempt is None
            if is_first:
                self.outage_count += 1
                self._outage_started_at = now
            self._next_attempt = now + self._period
        if is_first:
            logger.error("%s: does not respond: %s: %s", self._server, type(error).__name__, error)

    def record_data_loss(self) -> None:
        """Record that the server has lost its data, for example in a restart."""
        self.recovered_at = self.clock()

    def report_data_loss(self) -> None:
        """Record that the server has lost its data, and log this at most once a minute."""
        with self._lock:
            now = self.clock()
            is_due = now - self._loss_reported_at >= _REPORT_INTERVAL
            if is_due:
                self._loss_reported_at = now
        self.record_data_loss()
        if is_due:
            logger.warning(
                "%s: counts lost by FLUSHALL, eviction or a restart: this process also uses its own counts",
                self._server,
            )

    def record_success(self, started_at: float) -> None:
        """Record that a call has succeeded. If the call started during an outage, the outage ends.

        Args:
            started_at: Start of the call, on the clock of the circuit breaker.
        """
        if self._next_attempt is None:
            return
        with self._lock:
            if self._next_attempt is None or started_at < self._outage_started_at:
                return
            self._next_attempt, self.recovered_at = None, self.clock()
            duration = self.recovered_at - self._outage_started_at
        logger.warning("%s: responds again: outage of %.1f s", self._server, duration)

    def call(self, wait: Wait, is_outage: Callable[[Exception], bool]) -> Flow[Any]:
        """Perform *wait*, record whether it succeeded, and return its result.

        Args:
            wait: Call to the server.
            is_outage: Function that returns True if an error means that the server does not respond.
                Other errors are raised unchanged and are not recorded.

        Raises:
            StorageUnavailable: The server does not respond.
        """
        started_at = self.clock()
        try:
            result = yield wait
        except Exception as error:
            if not is_outage(error):
                raise
            self.record_failure(error)
            raise StorageUnavailable from error
        self.record_success(started_at)
        return result
