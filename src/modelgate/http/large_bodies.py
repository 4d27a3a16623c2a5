"""Limit the memory that large bodies take."""

import math
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial

from ..codecs.compression import MAX_EXPANSION
from ..errors import Overloaded
from ..flow import Flow, wait_for
from ..flow.fork_safety import reset_after_fork

__all__ = ["BodyShare", "LargeBodies"]

_QUEUE_FACTOR = 4
"""Largest total size of the waiting bodies before decompression, as a multiple of the budget."""

_SEND_SECONDS = 30.0
"""Longest time for which a body is in progress while the response is sent. No server limits the time to send."""

_RECHECK_SECONDS = 1.0
"""Interval at which the first waiting body checks whether a response has taken too long to send."""


class LargeBodies:
    """Budget for the total size of the large bodies in progress.

    Bodies that exceed the budget wait, in the order of arrival.

    A body is in progress until the response to its request has been sent, but at most until 30 seconds after
    the response was ready. So a caller that never reads the response does not block other callers. A body
    larger than the budget waits until no other body is in progress.

    Args:
        budget: Maximum total size of the bodies in progress after decompression, in bytes.
        max_expansion: Maximum size of a body after decompression, as a multiple of its compressed size.
        clock: Function that returns the time in seconds.

    Attributes:
        waits: Number of bodies that had to wait, including rejected ones.
        rejected: Number of bodies that were rejected because too many were waiting.
    """

    def __init__(
        self,
        budget: int,
        max_expansion: int = MAX_EXPANSION,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_expansion = max_expansion
        self._clock = clock
        self._budget = budget
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start without bodies. After a fork, the parent process answers the earlier requests."""
        # Reentrant: garbage collection may end a request while this thread holds the lock.
        self._lock = threading.RLock()
        # Both in the order of arrival. The sizes are added up each time, because a stored sum would be wrong
        # after an interruption.
        self._waiting: dict[BodyShare, None] = {}
        self._in_progress: dict[BodyShare, None] = {}
        self.waits = self.rejected = 0

    @property
    def waiting(self) -> int:
        """Number of waiting bodies."""
        return len(self._waiting)

    @property
    def bytes_in_progress(self) -> int:
        """Total size of the bodies in progress after decompression.

        Until a body is decompressed, an upper limit of its size counts.
        """
        return _total(list(self._in_progress))

    def admit(self, sent: int, size: int, on_close: list[Callable[[], None]]) -> "Flow[BodyShare]":
        """Wait until a body fits into the budget, and return its share.

        Args:
            sent: Size of the body as sent, in bytes.
            size: Maximum size of the body after decompression, in bytes.
            on_close: Callbacks for the end of the request. A callback that frees the share is added.

        Raises:
            Overloaded: Too many bodies wait already.
        """
        share = BodyShare(min(size, self._budget), sent, self._clock)
        # Register the removal first, so that an interruption cannot leave the body counted.
        on_close.append(partial(self._remove, share))
        with self._lock:
            self._waiting[share] = None
            self._start_waiting()
            if share.done():
                return share
            self.waits += 1
            queued = sum(other.sent for other in self._waiting)
            if len(self._waiting) > 1 and queued > _QUEUE_FACTOR * self._budget:
                self.rejected += 1
                raise Overloaded
        while not share.done():
            try:
                yield from wait_for(share, _RECHECK_SECONDS)
            except TimeoutError:
                with self._lock:
                    # It is enough if the first waiting body does this.
                    if next(iter(self._waiting), share) is share:
                        self._start_waiting()
        return share

    def resize(self, share: "BodyShare", size: int) -> None:
        """Set the size of a body after its decompression."""
        with self._lock:
            share.size = min(size, self._budget)
            self._start_waiting()

    def _remove(self, share: "BodyShare") -> None:
        with self._lock:
            self._waiting.pop(share, None)
            self._in_progress.pop(share, None)
            self._start_waiting()

    def _start_waiting(self) -> None:
        """Admit the waiting bodies that fit into the budget, in the order of arrival."""
        now = self._clock()
        for share in list(self._in_progress):
            if share.counts_until <= now:
                self._in_progress.pop(share, None)
        for share in list(self._waiting):
            # Already in progress if an interruption has ended an earlier call.
            if share not in self._in_progress and _total(self._in_progress) + share.size > self._budget:
                break
            self._in_progress[share] = None
            del self._waiting[share]
        for share in self._in_progress:
            if not share.done():
                share.set_result(None)


class BodyShare(Future[None]):
    """Future of a body's share of the budget. It is done when the body is admitted.

    Attributes:
        size: Size in bytes after decompression.
        sent: Size in bytes as sent.
        counts_until: Time after which the body no longer counts as in progress, even if the request has not
            ended.
    """

    def __init__(self, size: int, sent: int, clock: Callable[[], float]) -> None:
        super().__init__()
        self.size = size
        self.sent = sent
        self.counts_until = math.inf
        self._clock = clock

    def limit_sending(self) -> None:
        """Limit the time for which the body is in progress, because the response is ready."""
        self.counts_until = self._clock() + _SEND_SECONDS


def _total(shares: Iterable[BodyShare]) -> int:
    return sum(share.size for share in shares)
