"""Sign packages with Ed25519, and verify the signatures."""

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

__all__ = ["parse_public_keys", "sign", "signer_of"]

_KEY_LENGTH, _SIGNATURE_LENGTH = 32, 64


def parse_public_keys(keys: Sequence[str | Path]) -> tuple[str, ...]:
    """Validate public keys, and return them in base64.

    Args:
        keys: Paths of PEM files, or keys in base64, as ``modelgate inspect`` shows them.

    Raises:
        ConfigurationError: The list is empty, an item is not an Ed25519 public key, or the extra
            ``ed25519`` is not installed.
    """
    if isinstance(keys, str | bytes | Path) or not isinstance(keys, Sequence) or not keys:
        raise ConfigurationError(
            "public_keys must be a list of at least one key: a PEM file, or a key in base64"
        )
    return tuple(_parse_public_key(key) for key in keys)


def _parse_public_key(key: str | Path) -> str:
    serialization, ed25519 = _import_cryptography()
    if isinstance(key, str) and _decode(key, _KEY_LENGTH) is not None:
        return key
    public = _read_key("public_keys", key, serialization.load_pem_public_key, ed25519.Ed25519PublicKey)
    return _encode(public, serialization)


def sign(manifest: bytes, key: str | Path) -> bytes:
    """Return a line with the public key and the signature of *manifest*, both in base64.

    Args:
        manifest: Content of ``manifest.json``, which contains the digests of all other members.
        key: Path of the private key, a PEM file.

    Raises:
        ConfigurationError: *key* is not an Ed25519 private key, or the extra ``ed25519`` is not installed.
    """
    serialization, ed25519 = _import_cryptography()

    def load(content: bytes) -> Any:
        return serialization.load_pem_private_key(content, password=None)

    private = _read_key("sign_key", key, load, ed25519.Ed25519PrivateKey)
    signature = base64.b64encode(private.sign(_message(manifest))).decode()
    return f"{_encode(private.public_key(), serialization)} {signature}\n".encode()


def signer_of(manifest: bytes, signature: bytes) -> str:
    """Return the public key, in base64, that belongs to the *signature* of *manifest*.

    Args:
        manifest: Content of ``manifest.json``.
        signature: Line that `sign` returned.

    Raises:
        ConfigurationError: The signature is malformed or not valid for *manifest*, or the extra ``ed25519``
            is not installed.
    """
    _, ed25519 = _import_cryptography()
    from cryptography.exceptions import InvalidSignature

    public, _, encoded = signature.decode("ascii", "replace").removesuffix("\n").partition(" ")
    key, raw = _decode(public, _KEY_LENGTH), _decode(encoded, _SIGNATURE_LENGTH)
    if key is None or raw is None:
        raise ConfigurationError("the Ed25519 signature is malformed: sign the package again")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(raw, _message(manifest))
    except InvalidSignature:
        raise ConfigurationError(
            "the Ed25519 signature does not match the manifest, so one of them was changed: sign the package again"
        ) from None
    return public


def _message(manifest: bytes) -> bytes:
    return b"modelgate package\n" + manifest


def _read_key(option: str, path: Any, load: Callable[[bytes], Any], key_type: type) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{option}: {str(path)!r} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, key_type):
        # Do not show the content of the file in the message: it may be a private key.
        raise ConfigurationError(f"{option} must be Ed25519 keys in PEM files without a password")
    return key


def _encode(public: Any, serialization: Any) -> str:
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def _decode(text: str, length: int) -> bytes | None:
    """Decode *text*, or return None if it is not the canonical base64 of *length* bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length and base64.b64encode(raw).decode() == text else None


def _import_cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise ConfigurationError(
            'Ed25519 signatures need an extra: pip install "modelgate[ed25519]"'
        ) from None
    return serialization, ed25519
