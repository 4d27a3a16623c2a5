"""Clients of a Redis server: nothing is connected before it is needed."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..errors import ConfigurationError

__all__ = ["address", "client", "require_redis"]


def require_redis(option: str) -> None:
    """Raises `ConfigurationError` for *option* where the extra is not installed."""
    try:
        import redis.asyncio.retry
        import redis.backoff
        import redis.exceptions
        import redis.retry  # noqa: F401
    except ImportError:
        raise ConfigurationError(f'{option}: Redis needs an extra: pip install "modelgate[redis]"') from None


def client(uri: str, options: Mapping[str, Any], *, aio: bool = False) -> Any:
    """A client of the server at *uri*, with the *options* that were read from it.

    Args:
        aio: whether for an event loop.
    """
    import redis.backoff
    import redis.exceptions

    library: Any = import_module("redis.asyncio" if aio else "redis")
    # A server may close what was idle: that is found out by one call, and is no outage.
    lost = (redis.exceptions.ConnectionError,)
    once = library.retry.Retry(redis.backoff.NoBackoff(), 1, supported_errors=lost)
    kinds = {"rediss": library.SSLConnection, "unix": library.UnixDomainSocketConnection}
    kind = kinds.get(uri.partition("://")[0], library.Connection)
    return library.Redis.from_pool(library.ConnectionPool(connection_class=kind, **options, retry=once))


def address(options: Mapping[str, Any]) -> str:
    """Where the server is, for the log."""
    return options.get("path") or f"{options['host']}:{options['port']}"
