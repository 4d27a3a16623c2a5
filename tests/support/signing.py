"""Ed25519 keys, in the PEM files that packages are signed and checked with."""

from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

PEM, UNENCRYPTED = serialization.Encoding.PEM, serialization.NoEncryption()


class KeyPair(NamedTuple):
    """The paths of a private key and of its public key."""

    private: object
    public: object


def write_key_pair(folder, name, key=None, encryption=UNENCRYPTED):
    """Write *key*, or a new Ed25519 key, and its public key to *folder*."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    pair = KeyPair(folder / f"{name}.pem", folder / f"{name}.pub")
    pair.private.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption))
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pair.public.write_bytes(public)
    return pair
