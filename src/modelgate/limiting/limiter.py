"""The limiter that a storage URI means."""

import logging
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Protocol

from ..errors import ConfigurationError
from ..flow import Flow
from .memory import MemoryLimiter
from .verdict import Verdict
from .windows import Rate
from .workers import visible_workers

__all__ = ["Limiter", "limiter"]

logger = logging.getLogger("modelgate")

ACCEPTED = '"memory://", or "redis://…", "rediss://…" or "unix://…"'


class Limiter(Protocol):
    """Counts what identities do. What it need not wait for, it gives at once."""

    @property
    def outages(self) -> int:
        """How often the storage has stopped answering."""

    def hit(self, rate: Rate, identity: str, cost: int = 1) -> Verdict | Flow[Verdict]:
        """Charge *cost* to *identity*, if every window of *rate* has room for it."""

    def give_back(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None] | None:
        """Take back the *cost* charged at *when*, as far as it is still counted."""


def limiter(
    rate: Rate,
    storage: str,
    *,
    name: str,
    clock: Callable[[], float] | None,
    processes: int | None,
    closed: bool,
) -> Limiter:
    """The limiter of *storage*; see `RateLimit` for the options.

    Raises:
        ConfigurationError: *storage* means none.
    """
    scheme = storage.partition("://")[0] if isinstance(storage, str) else ""
    workers = visible_workers(os.environ, sys.argv)
    if storage == "memory://":
        if workers > 1:
            _warn(workers)
        return MemoryLimiter(rate, clock=clock or time.time)
    if scheme not in ("redis", "rediss", "unix"):
        # What was given may hold a password.
        raise ConfigurationError(f"storage: accepts {ACCEPTED}")
    from .redis import redis_store
    from .shared import SharedLimiter

    store, share = redis_store(storage), processes or workers
    return SharedLimiter(rate, store, name=name, clock=clock, share=share, closed=closed)


@cache
def _warn(workers: int) -> None:
    logger.warning(
        "limits are counted in the memory of each of %d workers, which lets a caller have up to %d times"
        ' the limit: count them together with RateLimit(…, storage="redis://…")',
        workers,
        workers,
    )
