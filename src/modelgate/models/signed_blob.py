"""HMAC-authenticated blobs for storage that others can write to."""

import hashlib
import hmac

__all__ = ["SignedBlob"]

_LENGTH = hashlib.sha256().digest_size


class SignedBlob:
    """Signs blobs, and verifies that they were signed with the same key, for the same purpose and slot.

    Args:
        key: Secret to sign with.
        purpose: Name of the application; blobs signed for another purpose are rejected.
    """

    overhead = _LENGTH

    def __init__(self, key: str | bytes, purpose: str) -> None:
        self._key = key.encode() if isinstance(key, str) else key
        self._purpose = purpose

    def sign(self, slot: str, content: bytes) -> bytes:
        """Return *content* with a signature in front.

        Args:
            slot: Place in the storage for which the signature is valid; a name without line breaks.
            content: Bytes to sign.
        """
        return self._signature(slot, content) + content

    def verify(self, slot: str, blob: bytes) -> bytes | None:
        """Return the content of a *blob*, or None if it has no valid signature for *slot*."""
        content = blob[_LENGTH:]
        return content if hmac.compare_digest(self._signature(slot, content), blob[:_LENGTH]) else None

    def _signature(self, slot: str, content: bytes) -> bytes:
        signature = hmac.new(self._key, f"{self._purpose}\n{slot}\n".encode(), hashlib.sha256)
        signature.update(content)
        return signature.digest()
