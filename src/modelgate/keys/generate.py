"""Making keys, and seeing whether one was copied whole.

A key is ``mg_live_<26 characters>_<checksum>``: the prefix tells people and secret scanners what it is,
a double click selects all of it, and the checksum (that of GitHub's tokens: CRC-32 in base 62, six
characters) tells a typing error from a key without asking a database. It is no secret.
"""

import re
import secrets
import zlib

from ..errors import ConfigurationError

__all__ = ["PREFIX", "generate", "is_intact", "shown"]

PREFIX = "mg_live"

# 155 random bits. The four characters that are shown leave 131.
_RANDOM, _SHOWN = 26, 4
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = re.compile(r"(?=.{1,32}\Z)[A-Za-z0-9]+(_[A-Za-z0-9]+)*")


def generate(prefix: str = PREFIX) -> str:
    """A new API key of 155 random bits. It is kept nowhere: show it once.

    Args:
        prefix: what it begins with: letters and digits, single underscores between them.

    Raises:
        ConfigurationError: *prefix* has another form.
    """
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"prefix={prefix!r}: accepts up to 32 letters and digits, and single '_' between them"
        )
    body = f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))}"
    return f"{body}_{_checksum(body)}"


def is_intact(key: str) -> bool:
    """Whether *key* ends in the checksum of what stands before it, as a generated key does."""
    body, underscore, checksum = key.rpartition("_")
    return bool(underscore) and key.isascii() and _checksum(body) == checksum


def shown(key: str) -> str:
    """The part of a generated key by which people may know it."""
    body = key.rpartition("_")[0]
    return body[: _SHOWN - _RANDOM]


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits
