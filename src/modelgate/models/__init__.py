"""Where models come from, and how long they stay."""

from .cache import CacheInfo, ModelCache
from .files import load_model
from .store import FolderStore, MemoryStore, ModelStore

__all__ = ["CacheInfo", "FolderStore", "MemoryStore", "ModelCache", "ModelStore", "load_model"]
