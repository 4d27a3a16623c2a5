"""API keys, their owners and their permissions.

`SqlKeyStore` needs the extra ``sql`` and is imported on first use.
"""

from typing import TYPE_CHECKING, Any

from ..codecs.key_checksum import has_valid_checksum
from .generate import generate
from .key_record import KeyRecord, NewKey
from .principal import Principal
from .store import KeyStore, MemoryKeyStore, key_store

if TYPE_CHECKING:
    from .sql_store import SqlKeyStore

__all__ = [
    "KeyRecord",
    "KeyStore",
    "MemoryKeyStore",
    "NewKey",
    "Principal",
    "SqlKeyStore",
    "generate",
    "has_valid_checksum",
    "key_store",
]


def __getattr__(name: str) -> Any:
    if name == "SqlKeyStore":
        from .sql_store import SqlKeyStore

        return SqlKeyStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
