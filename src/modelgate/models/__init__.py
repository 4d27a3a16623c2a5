"""Where models come from, and how long they stay."""

from .cache import CacheInfo, ModelCache
from .package import ModelPackage, load_model
from .store import FolderStore, MemoryStore, ModelStore

__all__ = [
    "CacheInfo",
    "FolderStore",
    "MemoryStore",
    "ModelCache",
    "ModelPackage",
    "ModelStore",
    "load_model",
]
