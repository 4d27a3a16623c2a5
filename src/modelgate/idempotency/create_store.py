"""Create the answer store for a storage URI."""

from typing import Protocol

from ..backends.circuit_breaker import CircuitBreaker
from ..errors import ConfigurationError
from .answer_store import AnswerStore

__all__ = ["SharedAnswerStore", "create_answer_store"]


class SharedAnswerStore(AnswerStore, Protocol):
    """Answer store that all processes share.

    Attributes:
        breaker: Circuit breaker of the storage.
    """

    breaker: CircuitBreaker


def create_answer_store(storage: str) -> SharedAnswerStore | None:
    """Return the answer store for the URI *storage*, or None for the memory of this process.

    Raises:
        ConfigurationError: The URI is invalid, or a required package is not installed.
    """
    scheme = storage.partition("://")[0] if isinstance(storage, str) else ""
    if storage == "memory://":
        return None
    if scheme in ("redis", "rediss", "unix"):
        from .redis_answer_store import RedisAnswerStore

        return RedisAnswerStore(storage)
    if scheme in ("sqlite", "postgresql", "postgres"):
        from .sql_answer_store import SqlAnswerStore

        return SqlAnswerStore(storage)
    # The message does not contain the URI, which may have a password.
    raise ConfigurationError("storage must be memory://, redis://…, sqlite:///path or postgresql://…")
