"""Keys looked up in a database, and remembered for a moment."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cachetools import FIFOCache

from ..errors import ConfigurationError, StoreError
from ..flow import Flow, wait_for
from .digest import digest_of
from .generate import PREFIX, is_intact
from .principal import Principal
from .record import KeyRecord, refusal
from .table import KeyTable

__all__ = ["SqlKeyStore"]

logger = logging.getLogger("modelgate")

_NOTED_EVERY = 60.0
_THREADS = 4


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
    and a database that is down refuses everybody, with 503, as soon as it is over. However many
    requests come with a key, it is looked up once, by a thread of the store's own.

    Args:
        url, pepper, prefix, clock: see `KeyTable`.
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
        if not isinstance(maxsize, int) or maxsize < 1:
            raise ConfigurationError(f"maxsize={maxsize!r}: accepts a whole number from 1")
        self._staleness = staleness
        self._cache: FIFOCache[bytes, _Found] = FIFOCache(maxsize)
        super().__init__(url, pepper=pepper, prefix=prefix, clock=clock)

    def _start(self) -> None:
        super()._start()
        # Neither threads nor what they were doing survive a fork; a lock may be held for ever.
        self._threads = ThreadPoolExecutor(_THREADS, "modelgate keys")
        self._lock = threading.Lock()
        self._loading: dict[bytes, Future[_Found | None]] = {}
        self._used: dict[str, datetime] = {}
        self._down_until = 0.0

    def close(self) -> None:
        """Finish what is under way, and close the connections. For the end of the program."""
        self._threads.shutdown()
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
            future = self._loading.get(digest)
            if future is None:
                future = self._loading[digest] = self._threads.submit(self._load, digest)
        found = yield from wait_for(future)
        if found is None:
            raise StoreError("API keys cannot be checked just now: try again in 1 s")
        return found

    def _load(self, digest: bytes) -> _Found | None:
        found = None
        now = self._clock()
        try:
            # While it is down, it is asked once a second, and not by every request that waits in a queue.
            if not now < self._down_until <= now + 1:
                found = self._found(self.fetch(digest), now)
        except Exception as error:
            logger.error("the key store cannot be asked", exc_info=error)
            self._down_until = self._clock() + 1
        finally:
            with self._lock:
                if found is not None:
                    self._cache[digest] = found
                del self._loading[digest]
        return found

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
            self._threads.submit(self._write_uses)

    def _write_uses(self) -> None:
        with self._lock:
            uses, self._used = self._used, {}
        try:
            self.note_use(uses, at_most_every=timedelta(seconds=_NOTED_EVERY))
        except StoreError as error:
            logger.warning("when keys were used could not be written", exc_info=error)


def _refuse(found: _Found) -> None:
    """Raises `KeyInactive` where the key is known."""
    if found.record is not None:
        refused = refusal(found.record, datetime.fromtimestamp(found.since, UTC))
        assert refused is not None
        raise refused
