"""What a store keeps in place of a key.

A generated key has more entropy than can be guessed, so a fast digest is enough and a slow password
hash would only cost every request a tenth of a second. Looking a digest up also leaks nothing by
its timing: who can choose a key cannot choose its digest. That holds for long random keys alone,
hence the shortest length accepted.
"""

import hashlib
import hmac
import os

from ..errors import ConfigurationError

__all__ = ["LONGEST", "SHORTEST", "digest_of", "pepper_of", "same"]

SHORTEST, LONGEST = 16, 256
"""How many characters a key has."""

same = hmac.compare_digest
"""Whether two digests are the same, in a time that does not tell how much of them is."""


def digest_of(key: str, pepper: bytes | None = None) -> bytes | None:
    """The digest by which *key* is looked up; None where it cannot be a key, whatever the store holds.

    Args:
        key: any text at all.
        pepper: makes the digest an HMAC with it.
    """
    if not 0 < len(key) <= LONGEST or not key.isascii():
        return None
    if pepper is None:
        return hashlib.sha256(key.encode()).digest()
    return hmac.digest(pepper, key.encode(), "sha256")


def pepper_of(told: str | None) -> bytes | None:
    """The pepper to use: *told*, or what ``MODELGATE_KEYS_PEPPER`` says, or none.

    Raises:
        ConfigurationError: it is no text, or too short to be a secret.
    """
    pepper = told if told is not None else os.environ.get("MODELGATE_KEYS_PEPPER") or None
    if pepper is not None and not isinstance(pepper, str):
        raise ConfigurationError(f"pepper: is of type {type(pepper).__name__}: accepts text")
    if pepper is not None and len(pepper) < SHORTEST:
        raise ConfigurationError(f"pepper: has {len(pepper)} characters: accepts {SHORTEST} and more")
    return pepper.encode() if pepper is not None else None
