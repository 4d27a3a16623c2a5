"""Models in Redis, before the store they come from."""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Literal, TypeAlias, TypeVar

from cachetools import TTLCache

from ..errors import ConfigurationError
from ..flow import Workers
from ..flow.forks import renew_in_child
from ..limiting.breaker import Breaker
from ..limiting.redis_client import address, client, require_redis
from ..limiting.redis_uri import connection_options
from .manifest import Sidecars
from .package import SUFFIXES, ModelPackage, sidecars_part
from .rules import Rules
from .seal import Seal
from .store import TOKEN, Packed, PackedStore
from .versions import LATEST
from .within import within

__all__ = ["SharedStore"]

T = TypeVar("T")
_Kind: TypeAlias = Literal["model", "sidecars"]

logger = logging.getLogger("modelgate")

_PERIOD = 5.0
_TO_WRITE = 5.0
_WRITES = 4
_TOLD_AGAIN = 60.0

_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST = 500_000_000  # A value in Redis has 512 MB at most.


class SharedStore:
    """Keeps in Redis what a primary store gave once, so that the next process finds it there.

    A version, ``churn@7``, is what never changes: it is taken from Redis without a question to the
    primary store, also while that is down. What ``churn``, ``churn@latest`` and aliases mean just
    now is asked of the primary store each time, and the version it is may come from Redis. What
    bears no version always comes from the primary store.

    What is in Redis is signed, and read only where the signature is good for that version; then all
    the rules of the primary store apply to it. Anything else is a miss, and a warning. It is put
    there in the background. `load` and `describe` block, as those of other stores do: a gate calls
    them in threads.

    Args:
        primary: the store to ask where Redis has nothing: a `FolderStore`, a `SqlModelStore`, or
            another `PackedStore`.
        uri: of the server, ``redis://host:6379/0``.
        key: the secret to sign with, at least 16 characters; to be kept where Redis is not.
        scope: names the primary store among others whose models are in the same Redis.
        ttl: for how many seconds a model stays there; None for as long as Redis keeps it.
        max_bytes: the largest file that is put there.
        timeout: for how many seconds Redis may hold up a load altogether. Where it does not answer,
            one load in five seconds finds that out.

    Raises:
        ConfigurationError: an option cannot work, or the extra is not installed.
    """

    pins = True

    def __init__(
        self,
        primary: PackedStore,
        uri: str,
        *,
        key: str | bytes,
        scope: str = "models",
        ttl: float | None = None,
        max_bytes: int = 256_000_000,
        timeout: float = 1.0,
    ) -> None:
        if not hasattr(primary, "fetch"):
            raise ConfigurationError(f"primary={primary!r}: accepts a store of files, such as FolderStore")
        _check_options(key, scope, ttl, max_bytes, timeout)
        require_redis("uri")
        options = connection_options(uri, option="uri", timeout=timeout)
        self._primary = primary
        self.demands_signature = getattr(primary, "demands_signature", False)
        self._reader = client(uri, options)
        self._writer = client(uri, {**options, "socket_timeout": _TO_WRITE})
        self._breaker = Breaker(f"Redis at {address(options)}, for models,", period=_PERIOD)
        self._seal = Seal(key, f"modelgate {scope}")
        self._scope = scope
        self._milliseconds = None if ttl is None else math.ceil(ttl * 1000)
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._running: set[threading.Thread] = set()
        self._renew()
        renew_in_child(self, SharedStore._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._writing: set[str] = set()
        self._told: TTLCache[str, bool] = TTLCache(1000, _TOLD_AGAIN, timer=time.monotonic)
        self._workers = Workers(1)

    def __repr__(self) -> str:
        return f"SharedStore({self._primary!r})"

    def check(self, name: str, *, sha256: str | None = None) -> None:
        """Raise now what the primary store would raise of a file that is there already."""
        check = getattr(self._primary, "check", None)
        if check is not None:
            check(name, sha256=sha256)

    def describe(self, name: str) -> Sidecars | None:
        """What is known of a model before it is loaded. Raises as the primary store does."""
        part = self._get("sidecars", name) if _is_version(name) else None
        told = self._tried(name, partial(self._primary.tell, name, part)) if part is not None else None
        return told or self._primary.describe(name)

    def mark(self, name: str) -> Hashable:
        """What is another whenever `load` would give another model. Raises as it does."""
        if _is_version(name) and self._get("sidecars", name) is not None:
            return name
        return self._primary.version(name) or self._primary.mark(name)

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """The model *name*, and what is known of it. Raises as the primary store does."""
        package = self._shared(name, name, sha256) if _is_version(name) else None
        if package is not None:
            return package
        version = self._primary.version(name)
        if version is None:
            return self._primary.load(name, sha256=sha256)
        package = self._shared(name, version, sha256) if version != name else None
        if package is not None:
            return package
        packed = self._primary.fetch(version)
        package = self._primary.open(name, packed, sha256=sha256)
        self._keep(packed)
        return package

    def _shared(self, name: str, version: str, sha256: str | None) -> ModelPackage | None:
        content = self._get("model", version)
        if content is None:
            return None
        suffix, _, content = content.partition(b"\n")
        packed = Packed(version, suffix.decode(), content)
        return self._tried(version, partial(self._primary.open, name, packed, sha256=sha256))

    def _tried(self, version: str, read: Callable[[], T]) -> T | None:
        """What *read* makes of an entry. Where it refuses it, the primary store may have what it takes."""
        try:
            return read()
        except Exception as error:
            self._warn(version, f"is refused: {error}")
            return None

    def _get(self, kind: _Kind, version: str) -> bytes | None:
        if not self._breaker.passes():
            return None
        since = self._breaker.clock()
        place = f"{kind}:{version}"
        largest = self._max_bytes + _overhead()
        try:
            # Not GET: what somebody else has put there may be of any size.
            sealed = self._asked(partial(self._reader.getrange, self._place(place), 0, largest))
        except Exception as error:
            self._failed(version, error)
            return None
        self._breaker.succeeded(since)
        content = self._seal.open(place, sealed)
        if sealed and content is None:
            self._warn(version, "is not one that was put there with this key")
        return content

    def _asked(self, ask: Callable[[], bytes]) -> bytes:
        try:
            return within(self._timeout, ask, self._running)
        except TimeoutError:
            # It may go on to send a little at a time.
            self._reader.connection_pool.disconnect()
            raise

    def _keep(self, packed: Packed) -> None:
        if len(packed.content) > self._max_bytes:
            self._warn(packed.name, f"would be larger than max_bytes={self._max_bytes}")
            return
        with self._lock:
            # They hold what they write: what finds no room is put there by a later process.
            if packed.name in self._writing or len(self._writing) >= _WRITES:
                return
            self._writing.add(packed.name)
        self._workers.submit(partial(self._put, packed))

    def _put(self, packed: Packed) -> None:
        since = self._breaker.clock()
        try:
            if self._breaker.passes():
                self._set("model", packed.name, packed.suffix.encode() + b"\n" + packed.content)
                part = sidecars_part(packed.content, packed.suffix)
                if part is not None:
                    self._set("sidecars", packed.name, part)
                self._breaker.succeeded(since)
        except Exception as error:
            self._failed(packed.name, error)
        finally:
            with self._lock:
                self._writing.discard(packed.name)

    def _set(self, kind: _Kind, version: str, content: bytes) -> None:
        place = f"{kind}:{version}"
        self._writer.set(self._place(place), self._seal.close(place, content), px=self._milliseconds)

    def _place(self, place: str) -> str:
        return f"modelgate:{self._scope}:{place}"

    def _failed(self, version: str, error: Exception) -> None:
        from redis.exceptions import ResponseError

        if isinstance(error, ResponseError):
            self._warn(version, f"cannot be read or written: {error}")
        else:
            self._breaker.failed(error)

    def _warn(self, version: str, why: str) -> None:
        with self._lock:
            if version in self._told:
                return
            self._told[version] = True
        logger.warning("the entry of %s in Redis %s", version, why)


def _check_options(key: str | bytes, scope: str, ttl: float | None, max_bytes: int, timeout: float) -> None:
    if key is None:
        raise ConfigurationError("key: accepts a secret: whoever can write to Redis could put models there")
    Rules(key=key)
    if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
        raise ConfigurationError(f"scope={scope!r}: accepts letters, digits, '_', '-' and '.'")
    for option, seconds in (("ttl", 1 if ttl is None else ttl), ("timeout", timeout)):
        if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise ConfigurationError(f"{option}={seconds!r}: accepts seconds above 0")
    if type(max_bytes) is not int or not 0 < max_bytes <= _LARGEST:
        raise ConfigurationError(f"max_bytes={max_bytes!r}: accepts a whole number from 1 to {_LARGEST}")


def _is_version(name: str) -> bool:
    """Whether *name* may be that of a version: Redis has no aliases."""
    return TOKEN.fullmatch(name) is not None and name.partition("@")[2] not in ("", LATEST)


def _overhead() -> int:
    return Seal.overhead + max(map(len, SUFFIXES)) + 1
