"""Model stores, model packages and the model cache.

`SqlModelStore` is imported on first use, because it needs the extra ``sql``.
"""

from typing import TYPE_CHECKING, Any

from .cache import CacheInfo, ModelCache
from .fsspec import FsspecStore
from .multi_target import MultiTarget
from .package import ModelPackage, load_model
from .redis_store import RedisCachedStore
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
    "MultiTarget",
    "RedisCachedStore",
    "SqlModelStore",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name == "SqlModelStore":
        from .sql import SqlModelStore

        return SqlModelStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
