"""Where models come from, and how long they stay.

`SqlModelStore` needs the extra ``sql``, and is imported when it is used.
"""

from typing import TYPE_CHECKING, Any

from .cache import CacheInfo, ModelCache
from .fsspec import FsspecStore
from .package import ModelPackage, load_model
from .shared import SharedStore
from .store import FolderStore, MemoryStore, ModelStore

if TYPE_CHECKING:
    from .sql import SqlModelStore

__all__ = [
    "CacheInfo",
    "FolderStore",
    "FsspecStore",
    "MemoryStore",
    "ModelCache",
    "ModelPackage",
    "ModelStore",
    "SharedStore",
    "SqlModelStore",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name == "SqlModelStore":
        from .sql import SqlModelStore

        return SqlModelStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
