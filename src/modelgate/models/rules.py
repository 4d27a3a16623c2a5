"""What must be true of a model file before it is loaded."""

import hashlib
import hmac
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ..errors import ConfigurationError
from .ed25519 import parse_public_keys, signer_of

__all__ = ["Mismatch", "Rules", "sign"]

Mismatch: TypeAlias = Literal["refuse", "warn"]

logger = logging.getLogger("modelgate")

_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_SHORTEST_KEY = 16


@dataclass(frozen=True, slots=True)
class Rules:
    """What must be true of a model file before it is loaded.

    Args:
        sha256: the digest it must have: of a folder, that of its manifest.
        key: the secret it must be signed with; bare files are signed with none.
        allow_pickle: whether a package may hold a pickle, if it is pinned by *sha256* too.
        mismatch: what becomes of a model of another version of scikit-learn (the patch level may
            differ), or whose columns are not those of its schema: ``"refuse"``, or ``"warn"`` in the log.
        public_keys: of which one's holder must have signed it: see `parse_public_keys`.

    Raises:
        ConfigurationError: an option is something else.
    """

    sha256: str | None = None
    key: str | bytes | None = field(default=None, repr=False)
    allow_pickle: bool = False
    mismatch: Mismatch = "refuse"
    public_keys: Sequence[str | Path] | None = None

    def __post_init__(self) -> None:
        if self.sha256 is not None and not _DIGEST.fullmatch(str(self.sha256)):
            raise ConfigurationError(f"sha256={self.sha256!r}: accepts 64 hexadecimal digits")
        if self.key is not None and (not isinstance(self.key, str | bytes) or len(self.key) < _SHORTEST_KEY):
            raise ConfigurationError(f"key: accepts text or bytes, at least {_SHORTEST_KEY} of them")
        if self.mismatch not in get_args(Mismatch):
            raise ConfigurationError(f"mismatch={self.mismatch!r}: accepts {', '.join(get_args(Mismatch))}")
        if self.public_keys is not None:
            object.__setattr__(self, "public_keys", parse_public_keys(self.public_keys))

    @property
    def demands_signature(self) -> bool:
        """Whether only what is signed is loaded."""
        return self.key is not None or self.public_keys is not None

    def check_digest(self, content: bytes) -> str:
        """The digest of *content*. Raises `ConfigurationError` where it is not the one pinned."""
        digest = hashlib.sha256(content).hexdigest()
        if self.sha256 is not None and not hmac.compare_digest(digest, self.sha256.lower()):
            raise ConfigurationError(f"its digest is {digest}, not the one pinned")
        return digest

    def check_signatures(self, manifest: bytes, signature: bytes | None, ed25519: bytes | None) -> None:
        """Raises `ConfigurationError` where there are keys, and *manifest* is not signed with them.

        Args:
            manifest: which holds the digests of all that belongs to it.
            signature: what `sign` made of it, if anything.
            ed25519: what the function of that module made of it.
        """
        if (self.key is not None and signature is None) or (self.public_keys is not None and ed25519 is None):
            raise ConfigurationError("is not signed, and there is a key to check it with")
        if self.key is not None and not hmac.compare_digest(sign(manifest, self.key), signature or b""):
            raise ConfigurationError("its signature is not one of this key")
        if self.public_keys is not None:
            signer = signer_of(manifest, ed25519 or b"")
            if signer not in self.public_keys:
                raise ConfigurationError(f"is signed by {signer}, which is none of these public keys")

    def check_pickle(self) -> None:
        """Raises `ConfigurationError` where a package must not hold a pickle."""
        if not self.allow_pickle or self.sha256 is None:
            raise ConfigurationError(
                "holds a pickle, and loading a pickle runs the code in it. If you made this package:"
                " ModelPackage.load(path, allow_pickle=True, sha256=…). Or save it with skops, which runs none."
            )

    def settle(self, mismatch: str) -> None:
        """Refuse because of a *mismatch*, or tell it in the log."""
        if self.mismatch == "refuse":
            raise ConfigurationError(f'{mismatch}: save it anew, or load it with mismatch="warn"')
        logger.warning("a model %s", mismatch)


def sign(manifest: bytes, key: str | bytes) -> bytes:
    """The signature of a *manifest*, which holds the digests of all that belongs to it."""
    secret = key.encode() if isinstance(key, str) else key
    return hmac.new(secret, b"modelgate package\n" + manifest, hashlib.sha256).hexdigest().encode()
