"""Interface of the stores of responses by idempotency key, and the store in memory."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from cachetools import TLRUCache

from ..flow import Flow
from ..flow.fork_safety import reset_after_fork

__all__ = ["AnswerStore", "MemoryAnswerStore"]

_OVERHEAD = 512
"""Bytes that are counted for each record in addition to its content."""


class AnswerStore(Protocol):
    """Store of responses by idempotency key.

    Each key has at most one record: the reservation of a request that is running, or the answer to a request
    that has finished. A caller that owns a reservation can replace or release it; other callers cannot.

    All methods raise `StorageUnavailable` if the storage does not respond.
    """

    def reserve(self, key: str, reservation: bytes, ttl: float) -> Flow[bytes | None]:
        """Return the record of *key*, or None if there is none.

        In the second case, store *reservation* for *ttl* seconds as the record.
        """

    def replace(self, key: str, reservation: bytes, answer: bytes, ttl: float) -> Flow[None]:
        """Store *answer* for *ttl* seconds if *key* has no record, or if its record is *reservation*."""

    def release(self, key: str, reservation: bytes) -> Flow[None]:
        """Delete the record of *key* if it is *reservation*."""


class _Record(NamedTuple):
    content: bytes
    ttl: float


class MemoryAnswerStore:
    """Store in the memory of this process. When it is full, it discards the least recently used records.

    Args:
        max_bytes: Maximum total size of the records, in bytes.
        clock: Function that returns the time in seconds.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._records: TLRUCache[str, _Record] = TLRUCache(
            max_bytes,
            ttu=lambda _, record, now: now + record.ttl,
            timer=clock,
            getsizeof=lambda record: len(record.content) + _OVERHEAD,
        )
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        # Reentrant: a signal handler may send a request.
        self._lock = threading.RLock()

    def find(self, key: str) -> bytes | None:
        """Return the record of *key*, or None if there is none."""
        with self._lock:
            record = self._records.get(key)
        return None if record is None else record.content

    def reserve(self, key: str, reservation: bytes, ttl: float) -> Flow[bytes | None]:
        """See `AnswerStore.reserve`."""
        yield from ()
        with self._lock:
            record = self.find(key)
            if record is None:
                self._set(key, reservation, ttl)
            return record

    def replace(self, key: str, reservation: bytes, answer: bytes, ttl: float) -> Flow[None]:
        """See `AnswerStore.replace`."""
        yield from ()
        with self._lock:
            record = self._records.get(key)
            if record is None or record.content == reservation:
                self._set(key, answer, ttl)

    def release(self, key: str, reservation: bytes) -> Flow[None]:
        """See `AnswerStore.release`."""
        yield from ()
        with self._lock:
            record = self._records.get(key)
            if record is not None and record.content == reservation:
                del self._records[key]

    def _set(self, key: str, content: bytes, ttl: float) -> None:
        if len(content) + _OVERHEAD <= self._records.maxsize:
            self._records[key] = _Record(content, ttl)
