"""Key store in SQLite or PostgreSQL, with a short-lived cache."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from cachetools import FIFOCache

from ..codecs.key_checksum import has_valid_checksum
from ..errors import ConfigurationError, Overloaded, StoreError
from ..flow import Flow, wait_for
from ..flow.fair_pool import FairThreadPool
from ..flow.fork_safety import reset_after_fork
from ..validation import require_positive_int
from .admin_store import KeyAdmin
from .digest import hash_key
from .generate import PREFIX
from .key_record import KeyRecord, inactive_key_error
from .own_form import is_mistyped
from .principal import Principal

__all__ = ["SqlKeyStore"]

logger = logging.getLogger("modelgate")

T = TypeVar("T")

_WITHOUT_CHECKSUM = b""
"""Pseudo-digest: a look-up of it returns any key without a checksum. A real digest is never empty."""
_USE_INTERVAL = 60.0
"""Minimum time between two writes of a key's last use, in seconds."""
_THREADS = 4
_TIMEOUT = 2.0
"""Maximum duration of a look-up, and maximum time it waits for a thread, in seconds."""
_CLOSE_TIMEOUT = 5.0
"""Maximum time to wait for running look-ups when the store is closed, in seconds."""


@dataclass(slots=True, eq=False)
class _CachedLookup:
    """Cached result of a look-up. All times are in seconds since the epoch.

    Args:
        record: Record of the key; None if the key is unknown.
        principal: Principal of the key; None if the key is unknown or inactive.
        looked_up_at: Start of the look-up.
        cached_until: Time at which the entry expires: the end of its lifetime, or the time at which the key
            becomes valid or expires if that is earlier.
        next_use_write: Earliest time at which a use of the key is written to the database again.
    """

    record: KeyRecord | None
    principal: Principal | None
    looked_up_at: float
    cached_until: float
    next_use_write: float


@dataclass(slots=True, eq=False)
class _LookUp:
    """Look-up of one key, shared by all concurrent requests with that key.

    Args:
        started_at: Start of the look-up, on the clock of `time.monotonic`; None while it is queued.
        future: Result of the look-up.
    """

    started_at: float | None = None
    future: "Future[_CachedLookup | None]" = field(init=False)

    def remaining(self) -> float:
        """Return the seconds until the look-up times out, or 0 if the look-up has not started."""
        return 0.0 if self.started_at is None else self.started_at + _TIMEOUT - monotonic()


class SqlKeyStore(KeyAdmin):
    """Key store in SQLite or PostgreSQL.

    Results of look-ups are cached for *cache_ttl* seconds, including those for unknown keys. A revocation
    therefore takes effect in every process within that time. While the database is down, a request gets 503
    once the cache entry of its key has expired.

    Concurrent requests with the same key share one look-up, which runs in a thread of the store. The
    database counts as down when a look-up fails or takes two seconds. If no thread is free within two
    seconds, the database does not count as down: only the waiting requests are rejected, with `Overloaded`.

    Args:
        url: URL of the database; see `KeyAdmin`.
        pepper: Secret for the digests; see `KeyAdmin`.
        prefix: Prefix of new keys.
        cache_ttl: Lifetime of a cache entry in seconds, from 0 to 3600.
        maxsize: Maximum number of cached keys. The oldest entries are evicted first.
        clock: Returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: An option is invalid, or a package is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        pepper: str | None = None,
        prefix: str = PREFIX,
        cache_ttl: float = 2.0,
        maxsize: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(cache_ttl, int | float) or not 0 <= cache_ttl <= 3600:
            raise ConfigurationError(
                f"cache_ttl must be a number of seconds from 0 to 3600 (got {cache_ttl!r})"
            )
        require_positive_int("maxsize", maxsize)
        self._cache_ttl = cache_ttl
        self._cache: FIFOCache[bytes, _CachedLookup] = FIFOCache(maxsize)
        super().__init__(url, pepper=pepper, prefix=prefix, clock=clock)
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        # Threads do not survive a fork, and a lock they hold would never be released.
        self._threads = FairThreadPool(_THREADS).share()
        self._under_way: set[Future[Any]] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._loading: dict[bytes, _LookUp] = {}
        self._unwritten_uses: dict[str, datetime] = {}
        self._failures = 0
        self._down_until: float | None = None

    def close(self) -> None:
        """Wait up to 5 s for look-ups, then close the connections. New look-ups raise `StoreError`."""
        with self._lock:
            self._closed = True
        wait(self._under_way, _CLOSE_TIMEOUT)
        self._cache.clear()
        super().close()

    def find(self, key: str) -> Flow[Principal | None]:
        """See `KeyStore.find`."""
        digest = hash_key(key, self._pepper)
        if digest is None:
            return None
        now = self._clock()
        result = self._find_cached(digest, now)
        if result is None:
            # Skip the look-up if the checksum is wrong, unless the store has keys without a checksum.
            if not has_valid_checksum(key):
                if is_mistyped(key):
                    return None
                unchecked = self._find_cached(_WITHOUT_CHECKSUM, now) or (
                    yield from self._look_up(_WITHOUT_CHECKSUM)
                )
                if unchecked.record is None:
                    return None
            result = yield from self._look_up(digest)
        if result.principal is None:
            if result.record is not None:
                error = inactive_key_error(result.record, datetime.fromtimestamp(result.looked_up_at, UTC))
                assert error is not None
                raise error
        elif now >= result.next_use_write:
            self._schedule_use_write(result, now)
        return result.principal

    def _find_cached(self, digest: bytes, now: float) -> _CachedLookup | None:
        result = self._cache.get(digest)
        # Compare with both ends: setting the clock back must not extend a cache entry.
        return result if result is not None and result.looked_up_at <= now < result.cached_until else None

    def _look_up(self, digest: bytes) -> Flow[_CachedLookup]:
        with self._lock:
            failures = self._failures
            look_up = self._join_look_up(digest)
        result, seconds = None, _TIMEOUT
        while seconds > 0:
            try:
                result = yield from wait_for(look_up.future, seconds)
                break
            except TimeoutError:
                seconds = look_up.remaining()
            except CancelledError:
                break
        else:
            self._abandon(digest, look_up)
            if look_up.started_at is not None:
                self._record_failure(failures)
        if result is not None:
            return result
        # A look-up that was still queued does not show that the database is down.
        if look_up.started_at is None and self._down_until is None:
            raise Overloaded
        raise _unavailable()

    def _join_look_up(self, digest: bytes) -> _LookUp:
        """Return the running look-up of a key, or start one. The caller holds the lock.

        While the database is down, one look-up per second is tried, and all others are rejected.
        """
        if self._down_until is not None:
            now = self._clock()
            if now < self._down_until <= now + 1:
                raise _unavailable()
            self._down_until = now + 1
        look_up = self._loading.get(digest)
        if look_up is None:
            look_up = _LookUp()
            look_up.future = self._submit(partial(self._load, digest, look_up, self._failures))
            self._loading[digest] = look_up
        return look_up

    def _submit(self, function: Callable[[], T]) -> Future[T]:
        """Call *function* in a thread of the store. The caller holds the lock."""
        if self._closed:
            raise StoreError("API keys cannot be checked: the key store is closed")
        future = self._threads.submit(function)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    def _load(self, digest: bytes, look_up: _LookUp, failures: int) -> _CachedLookup | None:
        look_up.started_at = monotonic()
        result = None
        now = self._clock()
        try:
            # Skip the call if the database went down while this look-up was queued.
            if failures == self._failures:
                record = (
                    self.fetch_key_without_checksum() if digest == _WITHOUT_CHECKSUM else self.fetch(digest)
                )
                result = self._to_cached(record, now)
        except StoreError as error:
            self._record_failure(failures, error)
        except Exception as error:
            logger.error("key store: unreadable key record", exc_info=error)
        finally:
            with self._lock:
                self._loading.pop(digest, None)
                if failures == self._failures:
                    self._down_until = None
                if result is not None:
                    self._cache[digest] = result
        return result

    def _abandon(self, digest: bytes, look_up: _LookUp) -> None:
        """Cancel a look-up that is still queued, and let the next request start another one."""
        with self._lock:
            look_up.future.cancel()
            if self._loading.get(digest) is look_up:
                del self._loading[digest]

    def _record_failure(self, failures: int, error: StoreError | None = None) -> None:
        """Record that the database is down, unless another failure was recorded during this look-up.

        Args:
            failures: Number of recorded failures when the look-up started.
            error: Error of the look-up; None if it took too long.
        """
        with self._lock:
            if failures != self._failures:
                return
            self._failures += 1
            self._down_until = self._clock() + 1
        if error is None:
            logger.error("key store: timeout: no response within %g s", _TIMEOUT)
        else:
            logger.error("key store: look-up failed", exc_info=error)

    def _to_cached(self, record: KeyRecord | None, now: float) -> _CachedLookup:
        until = now + self._cache_ttl
        if record is None:
            return _CachedLookup(None, None, now, until, until)
        changes = [change.timestamp() for change in (record.not_before, record.expires) if change]
        until = min([until, *(change for change in changes if change > now)])
        active = record.state(datetime.fromtimestamp(now, UTC)) == "active"
        last_used = record.last_used.timestamp() if record.last_used is not None else -_USE_INTERVAL
        principal = record.principal() if active else None
        return _CachedLookup(record, principal, now, until, last_used + _USE_INTERVAL)

    def _schedule_use_write(self, result: _CachedLookup, now: float) -> None:
        """Let a thread write that the key was used at the time *now*, so that the request is not delayed."""
        assert result.record is not None
        result.next_use_write = now + _USE_INTERVAL
        with self._lock:
            idle = not self._unwritten_uses
            self._unwritten_uses[result.record.id] = datetime.fromtimestamp(now, UTC)
            if idle:
                self._submit(self._write_uses)

    def _write_uses(self) -> None:
        with self._lock:
            uses, self._unwritten_uses = self._unwritten_uses, {}
        try:
            self.note_use(uses, at_most_every=timedelta(seconds=_USE_INTERVAL))
        except StoreError as error:
            logger.warning("key store: cannot record when keys were last used", exc_info=error)


def _unavailable() -> StoreError:
    return StoreError("API keys cannot be checked just now: try again in 1 s")
