"""Sign blobs with HMAC, for storage that others can write to."""

import hashlib
import hmac

__all__ = ["SignedBlob"]

_LENGTH = hashlib.sha256().digest_size


class SignedBlob:
    """Signer and verifier of blobs.

    A signature is valid for one key, one purpose and one slot. A slot is a location in the storage.

    Args:
        key: Secret to sign with.
        purpose: Name of the application. Blobs that were signed for another purpose are rejected.
    """

    overhead = _LENGTH

    def __init__(self, key: str | bytes, purpose: str) -> None:
        self._key = key.encode() if isinstance(key, str) else key
        self._purpose = purpose

    def sign(self, slot: str, content: bytes) -> bytes:
        """Return *content* with a signature in front.

        Args:
            slot: Location in the storage, without line breaks.
            content: Bytes to sign.
        """
        return self._signature(slot, content) + content

    def verify(self, slot: str, blob: bytes) -> bytes | None:
        """Return the content of *blob*, or None if it has no valid signature for *slot*."""
        content = blob[_LENGTH:]
        return content if hmac.compare_digest(self._signature(slot, content), blob[:_LENGTH]) else None

    def _signature(self, slot: str, content: bytes) -> bytes:
        signature = hmac.new(self._key, f"{self._purpose}\n{slot}\n".encode(), hashlib.sha256)
        signature.update(content)
        return signature.digest()
