"""Cache of model files in Redis, in front of another model store."""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Literal, TypeAlias, TypeVar, get_args

from cachetools import TTLCache

from ..backends.circuit_breaker import CircuitBreaker
from ..backends.redis_client import address, client, require_redis
from ..backends.redis_uri import connection_options
from ..errors import ConfigurationError, StoreError
from ..flow import WorkerPool
from ..flow.fair_pool import FairThreadPool
from ..flow.fork_safety import reset_after_fork
from .manifest import PackageMetadata
from .package import ModelPackage
from .package_files import SUFFIXES, metadata_bytes
from .signed_blob import SignedBlob
from .store import TOKEN, FileModelStore, StoredFile
from .versions import is_version

__all__ = ["RedisCachedStore"]

T = TypeVar("T")
_Kind: TypeAlias = Literal["model", "sidecars"]

logger = logging.getLogger("modelgate")

_RETRY_PERIOD = 5.0
_WRITE_TIMEOUT = 5.0
_MAX_WRITES = 4
_MAX_READS = 64
"""Number of stuck reads at which Redis counts as down."""
_WARNING_INTERVAL = 60.0

_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHORTEST_KEY = 16
_LARGEST = 500_000_000  # A value in Redis has 512 MB at most.


class RedisCachedStore:
    """Store that caches the model files of a primary store in Redis. All processes share the cache.

    A fixed version such as ``churn@7`` is read from Redis without calling the primary store, even while the
    primary store is down. Names such as ``churn``, ``churn@latest`` and ``churn@production`` are resolved by
    the primary store on each call. The resulting version may then be read from Redis. Models without a
    version always come from the primary store.

    Cached files are signed. If the signature of a file is not valid for its version, a warning is logged and
    the file counts as a cache miss. Files with a valid signature must also pass all checks of the primary
    store. Files are written to Redis in the background. `load` and `describe` block, as in other stores, so a
    gate calls them in threads.

    Args:
        primary: Store that is called on a cache miss: a `FolderStore`, a `SqlModelStore`, or another
            `FileModelStore`.
        uri: URI of the Redis server, such as ``redis://host:6379/0``.
        key: Secret of at least 16 characters that signs the files. Do not store it in this Redis.
        namespace: Prefix of the Redis keys, to separate the models of several primary stores.
        ttl: Seconds until a cached model expires; None if only Redis decides when to evict it.
        max_bytes: Maximum size of a cached file in bytes. Larger files are not cached.
        timeout: Maximum number of seconds that Redis may delay a load. While Redis does not respond, only one
            load every five seconds waits for Redis.

    Raises:
        ConfigurationError: The value of an option is not valid, or the extra ``redis`` is not installed.
    """

    supports_pinning = True

    def __init__(
        self,
        primary: FileModelStore,
        uri: str,
        *,
        key: str | bytes,
        namespace: str = "models",
        ttl: float | None = None,
        max_bytes: int = 256_000_000,
        timeout: float = 1.0,
    ) -> None:
        if not hasattr(primary, "read_file"):
            raise ConfigurationError(f"primary must be a file store, such as FolderStore (got {primary!r})")
        _check_options(key, namespace, ttl, max_bytes, timeout)
        require_redis("uri")
        options = connection_options(uri, option="uri", timeout=timeout)
        self._primary = primary
        self.requires_signature = getattr(primary, "requires_signature", False)
        self._reader = client(uri, options)
        self._writer = client(uri, {**options, "socket_timeout": _WRITE_TIMEOUT})
        self._breaker = CircuitBreaker(f"Redis for models at {address(options)}", period=_RETRY_PERIOD)
        self._signer = SignedBlob(key, f"modelgate {namespace}")
        self._namespace = namespace
        self._milliseconds = None if ttl is None else math.ceil(ttl * 1000)
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._workers = WorkerPool(1)
        self._reads = FairThreadPool(_MAX_READS, timeout).share()
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._writing: set[str] = set()
        self._warned: TTLCache[str, bool] = TTLCache(1000, _WARNING_INTERVAL, timer=time.monotonic)

    def __repr__(self) -> str:
        return f"RedisCachedStore({self._primary!r})"

    def check(self, name: str, *, sha256: str | None = None) -> None:
        """Call the method `check` of the primary store, if there is one. See `FolderStore.check`."""
        check = getattr(self._primary, "check", None)
        if check is not None:
            check(name, sha256=sha256)

    def describe(self, name: str) -> PackageMetadata | None:
        """Return the metadata of the model *name* without loading it.

        Raises the same errors as the primary store.
        """
        content = self._get("sidecars", name) if _is_fixed_version(name) else None
        if content is not None:
            metadata = self._try(name, partial(self._primary.parse_metadata, name, content))
            if metadata is not None:
                return metadata
        return self._primary.describe(name)

    def fingerprint(self, name: str) -> Hashable:
        """Return a value that changes when `load` would return another model.

        Raises the same errors as `load`.
        """
        if _is_fixed_version(name) and self._get("sidecars", name) is not None:
            return name
        return self._primary.version(name) or self._primary.fingerprint(name)

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """Load the model *name* with its metadata. Raises the same errors as the primary store."""
        fixed = name if _is_fixed_version(name) else None
        package = self._load_cached(name, fixed, sha256) if fixed is not None else None
        if package is not None:
            return package
        version = self._primary.version(name)
        if version is None:
            return self._primary.load(name, sha256=sha256)
        package = self._load_cached(name, version, sha256) if version != fixed else None
        if package is not None:
            return package
        file = self._primary.read_file(version)
        package = self._primary.load_file(name, file, sha256=sha256)
        self._write_later(file)
        return package

    def forget(self, version: str) -> None:
        """Remove the files of *version*, such as ``churn@7``, from Redis.

        Remove the version from the primary store first. Models in memory continue to serve.

        Raises:
            ConfigurationError: *version* is not a fixed version.
            StoreError: Redis does not respond.
        """
        if not _is_fixed_version(version):
            raise ConfigurationError(f"version must be a fixed version, such as 'churn@7' (got {version!r})")
        from redis.exceptions import RedisError

        try:
            self._writer.delete(*(self._redis_key(f"{kind}:{version}") for kind in get_args(_Kind)))
        except (RedisError, OSError) as error:
            raise StoreError(
                f"Redis does not respond, so {version} may still be cached: try again later"
            ) from error

    def _load_cached(self, name: str, version: str, sha256: str | None) -> ModelPackage | None:
        content = self._get("model", version)
        if content is None:
            return None
        suffix, _, content = content.partition(b"\n")
        file = StoredFile(version, suffix.decode(), content)
        return self._try(version, partial(self._primary.load_file, name, file, sha256=sha256))

    def _try(self, version: str, load: Callable[[], T]) -> T | None:
        """Return the result of *load*, or None if *load* rejects the cached file."""
        try:
            return load()
        except Exception as error:
            self._warn(version, f"rejected: {error}")
            return None

    def _get(self, kind: _Kind, version: str) -> bytes | None:
        if not self._breaker.allow():
            return None
        started_at = self._breaker.clock()
        slot = f"{kind}:{version}"
        largest = self._max_bytes + _overhead()
        try:
            # GETRANGE instead of GET, because a value that was not written by this store may have any size.
            blob = self._read(partial(self._reader.getrange, self._redis_key(slot), 0, largest))
        except Exception as error:
            self._handle_error(version, error)
            return None
        self._breaker.record_success(started_at)
        content = self._signer.verify(slot, blob)
        if blob and content is None:
            self._warn(version, "rejected: the file is not signed with this store's key, or it is damaged")
        return content

    def _read(self, call: Callable[[], bytes]) -> bytes:
        try:
            return self._reads.run_with_timeout(call, self._timeout)
        except TimeoutError:
            # The server may still be sending the value, a few bytes at a time.
            self._reader.connection_pool.disconnect()
            raise

    def _write_later(self, file: StoredFile) -> None:
        if len(file.content) > self._max_bytes:
            self._warn(file.name, f"not written: the file is larger than max_bytes={self._max_bytes}")
            return
        with self._lock:
            # Each waiting write has a file in memory. A file that is skipped is written at a later load.
            if file.name in self._writing or len(self._writing) >= _MAX_WRITES:
                return
            self._writing.add(file.name)
        self._workers.submit(partial(self._write, file))

    def _write(self, file: StoredFile) -> None:
        started_at = self._breaker.clock()
        try:
            if self._breaker.allow():
                self._set("model", file.name, file.suffix.encode() + b"\n" + file.content)
                metadata = metadata_bytes(file.content, file.suffix)
                if metadata is not None:
                    self._set("sidecars", file.name, metadata)
                self._breaker.record_success(started_at)
        except Exception as error:
            self._handle_error(file.name, error)
        finally:
            with self._lock:
                self._writing.discard(file.name)

    def _set(self, kind: _Kind, version: str, content: bytes) -> None:
        slot = f"{kind}:{version}"
        self._writer.set(self._redis_key(slot), self._signer.sign(slot, content), px=self._milliseconds)

    def _redis_key(self, slot: str) -> str:
        return f"modelgate:{self._namespace}:{slot}"

    def _handle_error(self, version: str, error: Exception) -> None:
        from redis.exceptions import ResponseError

        if isinstance(error, ResponseError):
            self._warn(version, f"cannot be read or written: {error}")
        else:
            self._breaker.record_failure(error)

    def _warn(self, version: str, event: str) -> None:
        with self._lock:
            if version in self._warned:
                return
            self._warned[version] = True
        logger.warning("model %s in Redis: %s", version, event)


def _check_options(
    key: str | bytes, namespace: str, ttl: float | None, max_bytes: int, timeout: float
) -> None:
    if key is None:
        raise ConfigurationError(
            f"key must be a secret of at least {_SHORTEST_KEY} characters (got None): generate one, because"
            " without a key, anyone who can write to Redis could replace models"
        )
    if not isinstance(key, str | bytes) or len(key) < _SHORTEST_KEY:
        # Do not show the value in the message: it is a secret.
        raise ConfigurationError(f"key must be str or bytes with a length of at least {_SHORTEST_KEY}")
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        raise ConfigurationError(
            f"namespace must be 1 to 64 letters, digits, '_', '-' and '.' (got {namespace!r})"
        )
    for option, seconds in (("ttl", 1 if ttl is None else ttl), ("timeout", timeout)):
        if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise ConfigurationError(f"{option} must be a number of seconds above 0 (got {seconds!r})")
    if type(max_bytes) is not int or not 0 < max_bytes <= _LARGEST:
        raise ConfigurationError(f"max_bytes must be a whole number from 1 to {_LARGEST} (got {max_bytes!r})")


def _is_fixed_version(name: str) -> bool:
    return TOKEN.fullmatch(name) is not None and is_version(name)


def _overhead() -> int:
    """Return the maximum number of bytes that are stored in Redis with a file, in addition to its content."""
    return SignedBlob.overhead + max(map(len, SUFFIXES)) + 1
