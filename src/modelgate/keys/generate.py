"""Generate API keys.

A key is ``mg_live_<26 characters>_<checksum>``. People and secret scanners recognize a key by its prefix, and
a double click selects the whole key. The checksum is computed as in GitHub's tokens: CRC-32 in base 62, six
characters. It is not secret, and reveals a mistyped key without a database look-up.
"""

import re
import secrets

from ..codecs.key_checksum import BASE_62, checksum
from ..errors import ConfigurationError

__all__ = ["PREFIX", "display_prefix", "generate"]

PREFIX = "mg_live"

# 26 characters have 155 random bits. `display_prefix` shows four of them, so 131 bits stay secret.
_RANDOM_LENGTH, _DISPLAYED_LENGTH = 26, 4
_PREFIX = re.compile(r"(?=.{1,32}\Z)[A-Za-z0-9]+(_[A-Za-z0-9]+)*")


def generate(prefix: str = PREFIX) -> str:
    """Return a new API key with 155 random bits. The key is not stored: show it to the owner once.

    Args:
        prefix: Start of the key: letters and digits, optionally with single underscores between them.

    Raises:
        ConfigurationError: The prefix contains other characters, or is too long.
    """
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"prefix must be up to 32 letters and digits, with single '_' between them (got {prefix!r})"
        )
    body = f"{prefix}_{''.join(secrets.choice(BASE_62) for _ in range(_RANDOM_LENGTH))}"
    return f"{body}_{checksum(body)}"


def display_prefix(key: str) -> str:
    """Return the first characters of a generated key, which may be shown to identify it."""
    body = key.rpartition("_")[0]
    return body[: _DISPLAYED_LENGTH - _RANDOM_LENGTH]
