"""Signatures that only the holder of a private key can make, and everybody can check."""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

__all__ = ["parse_public_keys", "sign", "signer_of"]

_LENGTH, _SIGNATURE_LENGTH = 32, 64


def parse_public_keys(given: Sequence[str | Path]) -> tuple[str, ...]:
    """The public keys *given*, in base64.

    Args:
        given: paths of PEM files, or keys in base64, as ``modelgate inspect`` shows them.

    Raises:
        ConfigurationError: there are none, one is something else, or the extra is not installed.
    """
    if isinstance(given, str | bytes | Path) or not isinstance(given, Sequence) or not given:
        raise ConfigurationError("public_keys: accepts a list of at least one")
    return tuple(_public_key(each) for each in given)


def _public_key(given: str | Path) -> str:
    serialization, ed25519 = _cryptography()
    if isinstance(given, str) and _decoded(given, _LENGTH) is not None:
        return given
    key = _read("public_keys", given, serialization.load_pem_public_key, ed25519.Ed25519PublicKey)
    return _told(key, serialization)


def sign(manifest: bytes, key: str | Path) -> bytes:
    """The public key and the signature of *manifest*, in base64.

    Args:
        manifest: which holds the digests of all that belongs to it.
        key: the path of a private key, a PEM file.

    Raises:
        ConfigurationError: *key* is something else, or the extra is not installed.
    """
    serialization, ed25519 = _cryptography()

    def load(content: bytes) -> Any:
        return serialization.load_pem_private_key(content, password=None)

    private = _read("sign_key", key, load, ed25519.Ed25519PrivateKey)
    signature = base64.b64encode(private.sign(_message(manifest))).decode()
    return f"{_told(private.public_key(), serialization)} {signature}\n".encode()


def signer_of(manifest: bytes, signature: bytes) -> str:
    """The public key, in base64, whose holder has signed *manifest*.

    Raises:
        ConfigurationError: nobody has, or the extra is not installed.
    """
    _, ed25519 = _cryptography()
    from cryptography.exceptions import InvalidSignature

    public, _, told = signature.decode("ascii", "replace").removesuffix("\n").partition(" ")
    key, proof = _decoded(public, _LENGTH), _decoded(told, _SIGNATURE_LENGTH)
    if key is None or proof is None:
        raise ConfigurationError("its Ed25519 signature is none")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(proof, _message(manifest))
    except InvalidSignature:
        raise ConfigurationError("its Ed25519 signature is not one of its manifest") from None
    return public


def _message(manifest: bytes) -> bytes:
    return b"modelgate package\n" + manifest


def _read(option: str, path: Any, load: Any, kind: type) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{option}: {str(path)!r} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, kind):
        # What is in the file is not told: it may be a private key.
        raise ConfigurationError(f"{option}: accepts Ed25519 keys in PEM files, without a password")
    return key


def _told(public: Any, serialization: Any) -> str:
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def _decoded(text: str, length: int) -> bytes | None:
    """The *length* bytes that *text* is the one spelling of in base64; None where it is not."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length and base64.b64encode(raw).decode() == text else None


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise ConfigurationError(
            'Ed25519 signatures need an extra: pip install "modelgate[ed25519]"'
        ) from None
    return serialization, ed25519
