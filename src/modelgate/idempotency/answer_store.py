"""Records by key, which change only if they have an expected value; and their storage in memory."""

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
    """Storage of records. A record is a reservation, or an answer.

    The methods raise `StorageUnavailable` while the storage does not respond.
    """

    def reserve(self, key: str, reservation: bytes, ttl: float) -> Flow[bytes | None]:
        """Store *reservation* for *ttl* seconds if *key* has no record. Return the existing record, or None."""

    def replace(self, key: str, reservation: bytes, answer: bytes, ttl: float) -> Flow[None]:
        """Store *answer* for *ttl* seconds, if the record is *reservation* or has expired."""

    def release(self, key: str, reservation: bytes) -> Flow[None]:
        """Delete the record if it is *reservation*."""


class _Record(NamedTuple):
    content: bytes
    ttl: float


class MemoryAnswerStore:
    """Records in the memory of this process. The records used least recently are discarded first.

    Args:
        max_bytes: Maximum size of all records.
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

    def reserve(self, key: str, reservation: bytes, ttl: float) -> Flow[bytes | None]:
        """See `AnswerStore.reserve`."""
        yield from ()
        with self._lock:
            record = self._records.get(key)
            if record is not None:
                return record.content
            self._set(key, reservation, ttl)
            return None

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
