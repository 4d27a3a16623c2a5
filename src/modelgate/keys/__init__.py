"""API keys: whom they belong to, and which deployments they open.

`SqlKeyStore` needs the extra ``sql``, and is imported when it is used.
"""

from typing import TYPE_CHECKING, Any

from .generate import generate, is_intact
from .principal import Principal
from .record import KeyRecord, NewKey
from .store import KeyStore, MemoryKeyStore, key_store

if TYPE_CHECKING:
    from .sql import SqlKeyStore

__all__ = [
    "KeyRecord",
    "KeyStore",
    "MemoryKeyStore",
    "NewKey",
    "Principal",
    "SqlKeyStore",
    "generate",
    "is_intact",
    "key_store",
]


def __getattr__(name: str) -> Any:
    if name == "SqlKeyStore":
        from .sql import SqlKeyStore

        return SqlKeyStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
