"""Validate and hash keys that the operator chose, as opposed to generated keys."""

import re

from ..codecs.key_checksum import has_valid_checksum
from ..errors import ConfigurationError
from .digest import MAX_KEY_LENGTH, MIN_KEY_LENGTH, hash_key
from .generate import PREFIX

__all__ = ["digest_own_key", "is_mistyped"]

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)


def is_mistyped(key: str) -> bool:
    """Return True if *key* begins with the prefix of generated keys, but its checksum is wrong."""
    return key.startswith(f"{PREFIX}_") and not has_valid_checksum(key)


def digest_own_key(key: str, subject: str, pepper: bytes | None = None) -> bytes:
    """Validate *key* and return its digest.

    Args:
        key: Key of any form, or ``sha256:`` followed by the digest of a key.
        subject: First words of the error messages, such as "keys: a key".
        pepper: Secret of the digests; see `hash_key`.

    Raises:
        ConfigurationError: *key* does not have a valid form.
    """
    if not isinstance(key, str):
        raise ConfigurationError(f"{subject} must be a string (got {type(key).__name__})")
    if key.lower().startswith("sha256:"):
        match = _DIGEST.fullmatch(key)
        if match is None:
            raise ConfigurationError(
                f'{subject} given as a digest must be "sha256:" followed by 64 hexadecimal digits (got another'
                " form)"
            )
        if pepper is not None:
            raise ConfigurationError(
                f"{subject} must be the key itself if there is a pepper (got its digest)"
            )
        return bytes.fromhex(match[1])
    if not MIN_KEY_LENGTH <= len(key) <= MAX_KEY_LENGTH:
        raise ConfigurationError(
            f"{subject} must have {MIN_KEY_LENGTH} to {MAX_KEY_LENGTH} characters"
            f" (got {len(key)} characters): create one with modelgate.keys.generate()"
        )
    digest = hash_key(key, pepper)
    if digest is None:
        raise ConfigurationError(f"{subject} must be ASCII (got characters that are not ASCII)")
    if is_mistyped(key):
        raise ConfigurationError(
            f"{subject} that starts with {PREFIX}_ must end in a valid checksum (got an invalid one):"
            " copy the complete key"
        )
    return digest
