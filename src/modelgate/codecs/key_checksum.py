"""Checksum of generated API keys: CRC-32 in base 62, six characters, as in GitHub's tokens."""

import zlib

__all__ = ["BASE_62", "checksum", "has_valid_checksum"]

BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""Digits of base 62."""


def has_valid_checksum(key: str) -> bool:
    """Return True if *key* ends in the checksum of the text before it, as all generated keys do."""
    body, underscore, digits = key.rpartition("_")
    return bool(underscore) and key.isascii() and checksum(body) == digits


def checksum(body: str) -> str:
    """Return the checksum of *body*, the text before the last underscore of a key."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = BASE_62[digit] + digits
    return digits
