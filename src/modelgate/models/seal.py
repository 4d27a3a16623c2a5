"""Bytes that come back from where others can write: whole and one's own, or not at all."""

import hashlib
import hmac

__all__ = ["Seal"]

_LENGTH = hashlib.sha256().digest_size


class Seal:
    """Marks bytes as what somebody with the *key* has put in a certain place.

    Args:
        key: the secret.
        purpose: of the bytes; what was sealed for another one is foreign.
    """

    overhead = _LENGTH

    def __init__(self, key: str | bytes, purpose: str) -> None:
        self._key = key.encode() if isinstance(key, str) else key
        self._purpose = purpose

    def close(self, place: str, content: bytes) -> bytes:
        """*content*, and before it the mark that it belongs to *place*, a word without line breaks."""
        return self._mark(place, content) + content

    def open(self, place: str, sealed: bytes) -> bytes | None:
        """What was sealed for *place*; None where that is not what these bytes are."""
        content = sealed[_LENGTH:]
        return content if hmac.compare_digest(self._mark(place, content), sealed[:_LENGTH]) else None

    def _mark(self, place: str, content: bytes) -> bytes:
        mark = hmac.new(self._key, f"{self._purpose}\n{place}\n".encode(), hashlib.sha256)
        mark.update(content)
        return mark.digest()
