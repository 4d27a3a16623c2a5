"""Digests of API keys.

Key stores contain digests, never keys. Keys must have a minimum length, because two properties of the store
are safe only for long random keys:

- Keys are hashed with a fast function. Long random keys cannot be guessed anyway, and a slow password hash
  would add a tenth of a second to every request.
- Keys are looked up by their digest. This leaks nothing through timing, because a caller who chooses a key
  cannot choose its digest.
"""

import hmac
import os
from hashlib import sha256

from ..errors import ConfigurationError

__all__ = ["MAX_KEY_LENGTH", "MIN_KEY_LENGTH", "constant_time_equal", "hash_key", "load_pepper"]

MIN_KEY_LENGTH, MAX_KEY_LENGTH = 16, 256
"""Length of a key, in characters."""

constant_time_equal = hmac.compare_digest
"""Compare two digests in a time that does not depend on how many leading bytes are equal."""


def hash_key(key: str, pepper: bytes | None = None) -> bytes | None:
    """Return the digest of *key*, or None if no store can contain *key*.

    No store contains keys that are empty, too long or not ASCII.

    Args:
        key: Any text.
        pepper: Secret for an HMAC-SHA-256; None for a plain SHA-256.
    """
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isascii():
        return None
    if pepper is None:
        return sha256(key.encode()).digest()
    return hmac.digest(pepper, key.encode(), "sha256")


def load_pepper(pepper: str | None) -> bytes | None:
    """Return *pepper*, or else the value of ``MODELGATE_KEYS_PEPPER``, or None if neither is set.

    Raises:
        ConfigurationError: The pepper is not a string, or too short to be a secret.
    """
    if pepper is None:
        pepper = os.environ.get("MODELGATE_KEYS_PEPPER") or None
    if pepper is None:
        return None
    if not isinstance(pepper, str):
        raise ConfigurationError(f"pepper must be a string (got {type(pepper).__name__})")
    if len(pepper) < MIN_KEY_LENGTH:
        raise ConfigurationError(f"pepper must have at least {MIN_KEY_LENGTH} characters (got {len(pepper)})")
    return pepper.encode()
