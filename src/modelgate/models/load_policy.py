"""Checks on model files before they are loaded."""

import hashlib
import hmac
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ..errors import ConfigurationError
from .ed25519 import parse_public_keys, signer_of

__all__ = ["LoadPolicy", "Mismatch"]

Mismatch: TypeAlias = Literal["reject", "warn"]

logger = logging.getLogger("modelgate")

_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True)
class LoadPolicy:
    """Checks that a model file must pass before it is loaded.

    Args:
        sha256: Digest that the file must have (for a folder, the digest of its manifest). None to accept any
            digest.
        allow_pickle: Whether a package may contain a pickle. Such a package must be pinned by *sha256*.
        on_version_mismatch: Action if a model was saved with another major or minor version of scikit-learn,
            or if its columns differ from its schema: ``"reject"`` to reject the model, or ``"warn"`` to log a
            warning.
        public_keys: Ed25519 keys, one of which must have signed the package (see `parse_public_keys`). If
            set, bare files are rejected, because they cannot be signed. None to accept files without a
            signature.

    Raises:
        ConfigurationError: The value of an option is not valid.
    """

    sha256: str | None = None
    allow_pickle: bool = False
    on_version_mismatch: Mismatch = "reject"
    public_keys: Sequence[str | Path] | None = None

    def __post_init__(self) -> None:
        if self.sha256 is not None and not _DIGEST.fullmatch(str(self.sha256)):
            raise ConfigurationError(f"sha256 must be 64 hexadecimal digits (got {self.sha256!r})")
        if self.on_version_mismatch not in get_args(Mismatch):
            raise ConfigurationError(
                f"on_version_mismatch must be 'reject' or 'warn' (got {self.on_version_mismatch!r})"
            )
        if self.public_keys is not None:
            object.__setattr__(self, "public_keys", parse_public_keys(self.public_keys))

    @property
    def requires_signature(self) -> bool:
        """Whether unsigned packages are rejected."""
        return self.public_keys is not None

    def check_digest(self, content: bytes) -> str:
        """Return the SHA-256 digest of *content*.

        Raises:
            ConfigurationError: A digest is pinned, and the content has another one.
        """
        digest = hashlib.sha256(content).hexdigest()
        if self.sha256 is not None and not hmac.compare_digest(digest, self.sha256.lower()):
            raise ConfigurationError(
                f"sha256 must be the digest of the file (the file has {digest}): restore the file, or set"
                " sha256 to the digest of the file if the change is intended"
            )
        return digest

    def check_signature(self, manifest: bytes, signature: bytes | None) -> None:
        """Check that *manifest* is signed with one of the public keys. If no public keys are set, do nothing.

        Args:
            manifest: Content of ``manifest.json``, which contains the digests of all other members.
            signature: Content of ``signature.ed25519``; None if there is no such member.

        Raises:
            ConfigurationError: The manifest is not signed, or signed with another key.
        """
        if self.public_keys is None:
            return
        if signature is None:
            raise ConfigurationError(
                "the file is not signed, but public_keys is set: save it as a package with sign_key="
            )
        signer = signer_of(manifest, signature)
        if signer not in self.public_keys:
            raise ConfigurationError(
                f"the package is signed by {signer}, which is not one of public_keys:"
                " sign the package with one of these keys, or add the signer's key to them if you trust it"
            )

    def check_pickle(self) -> None:
        """Check that pickles are allowed and the package is pinned.

        Raises:
            ConfigurationError: Pickles are not allowed, or the package is not pinned.
        """
        if not self.allow_pickle or self.sha256 is None:
            raise ConfigurationError(
                "the package contains a pickle, and loading a pickle runs the code in it. If you made this"
                " package, use ModelPackage.load(path, allow_pickle=True, sha256=…), or save it with skops,"
                " which runs no code."
            )

    def check_sklearn_version(self, version: str) -> None:
        """Compare the *version* of scikit-learn that saved a model with the installed one.

        Only the patch level may differ.

        Raises:
            ConfigurationError: The major or minor versions differ, and `on_version_mismatch` is ``"reject"``.
        """
        import sklearn

        if version.split(".")[:2] != sklearn.__version__.split(".")[:2]:
            self.handle_mismatch(
                f"the model was saved with scikit-learn {version}, but {sklearn.__version__} is installed"
            )

    def handle_mismatch(self, mismatch: str) -> None:
        """Raise `ConfigurationError` or log a warning, depending on *on_version_mismatch*.

        Args:
            mismatch: Description of the mismatch, for the message.
        """
        if self.on_version_mismatch == "reject":
            raise ConfigurationError(
                f'{mismatch}: save the model again, or pass on_version_mismatch="warn" to ModelPackage.load or'
                " to the store"
            )
        logger.warning("model file: mismatch accepted: %s", mismatch)
