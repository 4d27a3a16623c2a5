"""API keys: whom they belong to, and which deployments they open."""

from .generate import generate
from .store import KeyStore, MemoryKeyStore, Principal, key_store

__all__ = ["KeyStore", "MemoryKeyStore", "Principal", "generate", "key_store"]
