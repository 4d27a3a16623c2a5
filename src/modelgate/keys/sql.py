"""Keys looked up in a database, and remembered for a moment."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from cachetools import FIFOCache

from ..counts import require_count
from ..errors import ConfigurationError, StoreError
from ..flow import Flow, wait_for
from ..flow.threads import Threads
from .digest import digest_of
from .generate import PREFIX, is_intact
from .principal import Principal
from .record import KeyRecord, refusal
from .table import KeyTable

__all__ = ["SqlKeyStore"]

logger = logging.getLogger("modelgate")

T = TypeVar("T")

_NOTED_EVERY = 60.0
_THREADS = 4
_PATIENCE = 2.0
"""For how many seconds a request waits for the database."""
_TO_CLOSE = 5.0
"""For how many seconds, at most, what is under way is waited for in the end."""


@dataclass(slots=True, eq=False)
class _Found:
    """What a look-up found, and the time for which that may be told.

    The state of a key does not change in that time, but by a change in the database: where it
    begins or ends by itself, the time ends there too.
    """

    record: KeyRecord | None
    principal: Principal | None
    since: float
    until: float
    note_at: float


class SqlKeyStore(KeyTable):
    """Keys in SQLite or PostgreSQL.

    What the database said of a key, that nobody has it included, is told again for *staleness*
    seconds; after that it is asked anew. So a revocation reaches every process within that time,
    and a database that is down, or hangs, refuses everybody, with 503, as soon as it is over. However
    many requests come with a key, it is looked up once, by a thread of the store's own.

    Args:
        url: see `KeyTable`.
        pepper: likewise.
        prefix: likewise.
        clock: likewise.
        staleness: for how many seconds an answer of the database is told.
        maxsize: of how many keys; beyond, those looked up first are looked up again.

    Raises:
        ConfigurationError: an option cannot work, or a package is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        pepper: str | None = None,
        prefix: str = PREFIX,
        staleness: float = 2.0,
        maxsize: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(staleness, int | float) or not 0 <= staleness <= 3600:
            raise ConfigurationError(f"staleness={staleness!r}: accepts seconds from 0 to 3600")
        require_count("maxsize", maxsize)
        self._staleness = staleness
        self._cache: FIFOCache[bytes, _Found] = FIFOCache(maxsize)
        super().__init__(url, pepper=pepper, prefix=prefix, clock=clock)

    def _start(self) -> None:
        super()._start()
        # Neither threads nor what they were doing survive a fork; a lock may be held for ever.
        self._threads = Threads(_THREADS).share()
        self._under_way: set[Future[Any]] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._loading: dict[bytes, Future[_Found | None]] = {}
        self._used: dict[str, datetime] = {}
        self._failures = 0
        self._down_until: float | None = None

    def close(self) -> None:
        """Finish what is under way, and close the connections. No key is found any more."""
        with self._lock:
            self._closed = True
        wait(self._under_way, _TO_CLOSE)
        self._cache.clear()
        super().close()

    def find(self, key: str) -> Flow[Principal | None]:
        """See `KeyStore.find`."""
        digest = digest_of(key, self._pepper)
        if digest is None:
            return None
        now = self._clock()
        try:
            found = self._cache[digest]
        except KeyError:
            found = None
        # A clock set back must not keep an answer for longer.
        if found is None or not found.since <= now < found.until:
            # The keys of this store are all generated: without its checksum none is worth a look-up.
            if not is_intact(key):
                return None
            found = yield from self._look_up(digest)
        if found.principal is None:
            _refuse(found)
        elif now >= found.note_at:
            self._note(found, now)
        return found.principal

    def _look_up(self, digest: bytes) -> Flow[_Found]:
        with self._lock:
            failures = self._failures
            future = self._asked(digest)
        try:
            found = yield from wait_for(future, _PATIENCE)
        except (TimeoutError, CancelledError):
            self._give_up(digest, future)
            self._fail(failures)
            found = None
        if found is None:
            raise _unavailable()
        return found

    def _asked(self, digest: bytes) -> Future[_Found | None]:
        """The look-up of a key, begun where nobody has yet.

        While the database is down, one look-up a second asks for all.
        """
        if self._down_until is not None:
            now = self._clock()
            if now < self._down_until <= now + 1:
                raise _unavailable()
            self._down_until = now + 1
        if digest not in self._loading:
            self._loading[digest] = self._submit(partial(self._load, digest, self._failures))
        return self._loading[digest]

    def _submit(self, function: Callable[[], T]) -> Future[T]:
        """Have a thread call *function*. Who asks holds the lock."""
        if self._closed:
            raise StoreError("API keys cannot be checked any more: the key store was closed")
        call = self._threads.submit(function)
        self._under_way.add(call)
        call.add_done_callback(self._under_way.discard)
        return call

    def _load(self, digest: bytes, failures: int) -> _Found | None:
        found = None
        now = self._clock()
        try:
            # Where it went down while this waited in the queue, it is not asked.
            if failures == self._failures:
                found = self._found(self.fetch(digest), now)
        except StoreError as error:
            self._fail(failures, error)
        except Exception as error:
            logger.error("what is kept of a key cannot be read", exc_info=error)
        finally:
            with self._lock:
                self._loading.pop(digest, None)
                if failures == self._failures:
                    self._down_until = None
                if found is not None:
                    self._cache[digest] = found
        return found

    def _give_up(self, digest: bytes, future: Future[_Found | None]) -> None:
        """Let the next one ask anew, by another thread; a look-up that still queues is never made."""
        with self._lock:
            future.cancel()
            if self._loading.get(digest) is future:
                del self._loading[digest]

    def _fail(self, failures: int, error: StoreError | None = None) -> None:
        """The database failed who asked when there had been so many *failures*: the first of them tells."""
        with self._lock:
            if failures != self._failures:
                return
            self._failures += 1
            self._down_until = self._clock() + 1
        if error is None:
            logger.error("the key store does not answer within %g s", _PATIENCE)
        else:
            logger.error("the key store cannot be asked", exc_info=error)

    def _found(self, record: KeyRecord | None, now: float) -> _Found:
        until = now + self._staleness
        if record is None:
            return _Found(None, None, now, until, until)
        turns = [moment.timestamp() for moment in (record.not_before, record.expires) if moment is not None]
        until = min([until, *(turn for turn in turns if turn > now)])
        refused = refusal(record, datetime.fromtimestamp(now, UTC))
        noted = record.last_used.timestamp() if record.last_used is not None else -_NOTED_EVERY
        principal = record.principal() if refused is None else None
        return _Found(record, principal, now, until, noted + _NOTED_EVERY)

    def _note(self, found: _Found, now: float) -> None:
        """Have it written that a key was used: by a thread, for nobody to wait for."""
        assert found.record is not None
        found.note_at = now + _NOTED_EVERY
        with self._lock:
            idle = not self._used
            self._used[found.record.id] = datetime.fromtimestamp(now, UTC)
            if idle:
                self._submit(self._write_uses)

    def _write_uses(self) -> None:
        with self._lock:
            uses, self._used = self._used, {}
        try:
            self.note_use(uses, at_most_every=timedelta(seconds=_NOTED_EVERY))
        except StoreError as error:
            logger.warning("when keys were used could not be written", exc_info=error)


def _unavailable() -> StoreError:
    return StoreError("API keys cannot be checked just now: try again in 1 s")


def _refuse(found: _Found) -> None:
    """Raises `KeyInactive` where the key is known."""
    if found.record is not None:
        refused = refusal(found.record, datetime.fromtimestamp(found.since, UTC))
        assert refused is not None
        raise refused
