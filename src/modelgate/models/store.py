"""Model stores, which load models by name. For security, a name is never a path or a URL."""

import io
import os.path
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from ..errors import ConfigurationError, NotFound
from .archive import MANIFEST
from .load_policy import LoadPolicy, Mismatch
from .manifest import Manifest, PackageMetadata
from .package import ModelPackage, open_content, open_package
from .package_files import (
    PACKAGE,
    check_file,
    is_model_file,
    model_files,
    parse_package_metadata,
    read_package_metadata,
    split_name,
)
from .versions import is_version, resolve_version

__all__ = [
    "TOKEN",
    "FileModelStore",
    "FileStore",
    "FolderStore",
    "MemoryStore",
    "ModelStore",
    "StoredFile",
    "fingerprint_file",
    "model_not_found",
]

# Characters allowed in a model name. In other serving packages, names with "..", "#", "%2e" or a URL let
# callers read arbitrary files.
TOKEN = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[A-Za-z0-9._-]{1,64})?")


class ModelStore(Protocol):
    """Protocol of model stores, which load models by name.

    ``churn@7`` is a version of ``churn``, and ``churn@latest`` is the newest version. ``churn`` alone is the
    model without a version if there is one, otherwise the newest version.

    A store may have two optional methods. With ``describe(name)``, like `FolderStore.describe`, a gate can
    reject invalid rows without loading the model. With ``fingerprint(name)``, like `FolderStore.fingerprint`,
    a gate can poll the store for changes.
    """

    def load(self, name: str) -> Any:
        """Load the model *name*, and return the fitted model or its `ModelPackage`. May block.

        Raises:
            NotFound: There is no such model.
        """


class StoredFile(NamedTuple):
    """File of one model version.

    Args:
        name: Model name with the version, such as ``churn@7``.
        suffix: File name suffix of a package or a bare file.
        content: Content of the file.
    """

    name: str
    suffix: str
    content: bytes


class FileModelStore(ModelStore, Protocol):
    """Protocol of stores for model files, which `RedisCachedStore` can cache."""

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """Load the model *name*. If *sha256* is not None, the model file must have this digest.

        Raises:
            NotFound: There is no such model.
            ConfigurationError: See `ModelPackage.load`.
        """

    def describe(self, name: str) -> PackageMetadata | None:
        """Return the metadata of the model *name* without loading it, or None for a bare file.

        Raises:
            NotFound: There is no such model.
        """

    def fingerprint(self, name: str) -> Hashable:
        """Return a value that changes when `load` would return another model.

        Raises:
            NotFound: There is no such model.
        """

    def version(self, name: str) -> str | None:
        """Return the version that *name* currently refers to, such as ``churn@7``.

        Returns None if the model is not stored under a version.

        Raises:
            NotFound: There is no such model.
        """

    def read_file(self, version: str) -> StoredFile:
        """Return the file of *version*, such as ``churn@7``.

        Raises:
            NotFound: There is no such version.
        """

    def load_file(self, name: str, file: StoredFile, *, sha256: str | None = None) -> ModelPackage:
        """Load the model *name* from *file*, which contains the version that *name* refers to.

        Raises the same errors as `load`.
        """

    def parse_metadata(self, version: str, content: bytes) -> PackageMetadata:
        """Return the metadata of *version*, read from *content* instead of the store.

        Args:
            version: Model name with a version, such as ``churn@7``.
            content: Zip file that contains only the metadata of a package.

        Raises:
            ConfigurationError: The metadata is damaged, or has no valid signature although one is required.
        """


class MemoryStore:
    """Store for models in memory: ``MemoryStore({"churn": model, "fraud@7": other_model})``.

    Args:
        models: Models by name.
    """

    def __init__(self, models: Mapping[str, Any]) -> None:
        self._models = dict(models)

    def load(self, name: str) -> Any:
        """Return the model *name*.

        Raises:
            NotFound: There is no such model.
        """
        version = resolve_version(name, self._models)
        if version is None:
            raise model_not_found()
        return self._models[version]


class FileStore:
    """Base class for stores of model files. It checks files before they are loaded.

    Args:
        sha256: See `FolderStore`.
        allow_pickle: See `FolderStore`.
        on_version_mismatch: See `FolderStore`.
        public_keys: See `FolderStore`.
    """

    supports_pinning = True

    def __init__(
        self,
        sha256: Mapping[str, str] | None,
        allow_pickle: bool,
        on_version_mismatch: Mismatch,
        public_keys: Sequence[str | Path] | None,
    ) -> None:
        self._sha256 = dict(sha256 or {})
        self._policy = LoadPolicy(None, allow_pickle, on_version_mismatch, public_keys)
        self.requires_signature = self._policy.requires_signature

    def load_file(self, name: str, file: StoredFile, *, sha256: str | None = None) -> ModelPackage:
        """Load the model *name* from *file*; see `FileModelStore.load_file`."""
        policy = self._pin(name, file.name, sha256)
        package = open_content(file.name + file.suffix, file.content, policy)
        return self._apply_name(name, package, file.name, file.suffix)

    def parse_metadata(self, version: str, content: bytes) -> PackageMetadata:
        """Return the metadata of *version*; see `FileModelStore.parse_metadata`."""
        metadata = parse_package_metadata(
            version + PACKAGE, io.BytesIO(content), self._policy, metadata_only=True
        )
        self._check_name(version, metadata.manifest)
        return metadata

    def _check_name(self, name: str, manifest: Manifest) -> None:
        if self.requires_signature and manifest.name != name.partition("@")[0]:
            raise ConfigurationError(
                f"{name}: the file contains the package {manifest.name}@{manifest.version}: rename the file"
            )

    def _apply_name(self, name: str, package: ModelPackage, stem: str, suffix: str) -> ModelPackage:
        """Return *package* after checking its name. For a bare file, set name and version from *stem*.

        Args:
            name: Requested name.
            package: Package, or a bare file that was loaded as a package without metadata.
            stem: File name without suffix.
            suffix: Suffix of the file.
        """
        self._check_name(name, package.manifest)
        if suffix == PACKAGE:
            return package
        model, _, version = stem.partition("@")
        manifest = msgspec.structs.replace(package.manifest, name=model, version=version or "1")
        return replace(package, manifest=manifest)

    def _pin(self, name: str, stem: str, sha256: str | None) -> LoadPolicy:
        """Return a load policy that pins the digest *sha256*.

        If *sha256* is None, use the digest that is configured for *name*, or else for *stem*.
        """
        return replace(self._policy, sha256=sha256 or self._sha256.get(name) or self._sha256.get(stem))


class FolderStore(FileStore):
    """Store of model files in a folder: packages (``churn.mgpkg``) and bare files (``churn@7.skops``).

    An alias is a symbolic link, for example from ``churn@production.mgpkg`` to ``churn@7.mgpkg``.

    Args:
        folder: Path of the folder.
        sha256: Required digest by model name. A bare pickle is loaded only if its digest is listed.
        allow_pickle: See `ModelPackage.load`.
        on_version_mismatch: See `ModelPackage.load`.
        public_keys: See `ModelPackage.load`. If set, the name and version in a package must match its file
            name, so that nobody can replace a signed package with another one.

    Raises:
        ConfigurationError: *folder* is not a folder, or the value of an option is not valid.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        sha256: Mapping[str, str] | None = None,
        allow_pickle: bool = False,
        on_version_mismatch: Mismatch = "reject",
        public_keys: Sequence[str | Path] | None = None,
    ) -> None:
        super().__init__(sha256, allow_pickle, on_version_mismatch, public_keys)
        scheme, url, _ = str(folder).partition("://")
        if url:
            # The URL may contain a password.
            raise ConfigurationError(
                f"folder must be an existing folder (got a URL with {scheme}://): use FsspecStore(url),"
                " or SqlModelStore(url) for a database"
            )
        self._folder = Path(folder)
        if not os.path.isdir(folder):  # noqa: PTH112  `Path.is_dir` raises an error for a name that is too long
            raise ConfigurationError(f"folder must be an existing folder (got {str(folder)!r})")

    def check(self, name: str, *, sha256: str | None = None) -> None:
        """Check that the model *name* can be loaded, without loading it. A missing file is not an error.

        Raises:
            ConfigurationError: `load` would reject the file.
        """
        path = self._path(name)
        if path is not None:
            check_file(path, self._pin(name, split_name(path)[0], sha256))
            self.describe(name)

    def describe(self, name: str) -> PackageMetadata | None:
        """Return the metadata of the model *name* without loading it, or None for a bare file.

        Raises:
            NotFound: There is no such file, or *name* is not a valid name.
            ConfigurationError: The metadata is damaged, or has no valid signature although one is required.
        """
        metadata = read_package_metadata(self._find(name), self._policy)
        if metadata is not None:
            self._check_name(name, metadata.manifest)
        return metadata

    def fingerprint(self, name: str) -> Hashable:
        """Return a value that changes when `load` would read another file, or when the file is modified.

        Raises:
            NotFound: There is no such file, or *name* is not a valid name.
        """
        return fingerprint_file(self._find(name))

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """Load the model *name* with its metadata.

        Raises:
            NotFound: There is no such file, or *name* is not a valid name.
            ConfigurationError: See `ModelPackage.load`.
        """
        path = self._find(name)
        stem, suffix = split_name(path)
        package = open_package(path, self._pin(name, stem, sha256))
        return self._apply_name(name, package, stem, suffix)

    def version(self, name: str) -> str | None:
        """Return the version that *name* refers to; see `FileModelStore.version`.

        A symbolic link has the version of its target. For a package that is a folder, the result is None.
        """
        path = self._find(name).resolve()
        stem, _ = split_name(path)
        fixed = path.is_file() and path.parent == self._folder.resolve() and is_version(stem)
        return stem if fixed else None

    def read_file(self, version: str) -> StoredFile:
        """Return the file of a version; see `FileModelStore.read_file`."""
        path = self._find(version)
        return StoredFile(*split_name(path), path.read_bytes())

    def _find(self, name: str) -> Path:
        path = self._path(name)
        if path is None:
            raise model_not_found()
        return path

    def _path(self, name: str) -> Path | None:
        if not TOKEN.fullmatch(name):
            return None
        model = name.partition("@")[0]
        paths = (*self._folder.glob(f"{model}.*"), *self._folder.glob(f"{model}@*"))
        files = model_files(filter(is_model_file, paths))
        resolved = resolve_version(name, files)
        return files[resolved] if resolved is not None else None


def fingerprint_file(path: Path) -> Hashable:
    """Return a value that changes when the file or folder at *path* is replaced or modified."""
    target = path.resolve()
    stat = (target / MANIFEST if target.is_dir() else target).stat()
    return str(target), stat.st_mtime_ns, stat.st_size, stat.st_ino


def model_not_found() -> NotFound:
    """Return the error for a model that does not exist."""
    return NotFound("The model of this deployment could not be found")
