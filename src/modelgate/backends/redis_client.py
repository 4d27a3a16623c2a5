"""Redis clients that connect on first use."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..errors import ConfigurationError

__all__ = ["address", "client", "require_redis"]


def require_redis(option: str) -> None:
    """Raise `ConfigurationError` for *option* if redis-py is not installed."""
    try:
        import redis.asyncio.retry
        import redis.backoff
        import redis.exceptions
        import redis.retry  # noqa: F401
    except ImportError:
        raise ConfigurationError(f'{option}: Redis needs an extra: pip install "modelgate[redis]"') from None


def client(uri: str, options: Mapping[str, Any], *, aio: bool = False) -> Any:
    """Return a client of the server at *uri*.

    Args:
        uri: Redis URI.
        options: Connection options; see `modelgate.backends.redis_uri.connection_options`.
        aio: Whether to return an asyncio client.
    """
    import redis.backoff
    import redis.exceptions

    library: Any = import_module("redis.asyncio" if aio else "redis")
    # Retry once: the next call fails if the server has closed an idle connection, which is not an outage.
    retried = [redis.exceptions.ConnectionError]
    retry = library.retry.Retry(redis.backoff.NoBackoff(), 1, supported_errors=tuple(retried))
    classes = {"rediss": library.SSLConnection, "unix": library.UnixDomainSocketConnection}
    connection_class = classes.get(uri.partition("://")[0], library.Connection)
    # Before redis-py 6, an asyncio client retries only errors in *retry_on_error*.
    pool = library.ConnectionPool(
        connection_class=connection_class, **options, retry=retry, retry_on_error=retried
    )
    return library.Redis.from_pool(pool)


def address(options: Mapping[str, Any]) -> str:
    """Return the address of the server, for the log."""
    return options.get("path") or f"{options['host']}:{options['port']}"
