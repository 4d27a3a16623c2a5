"""Model stores. A model name is a token, never a path or a URL."""

import io
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

# An allowlist: "..", "#", "%2e" and URLs in model names have let callers read arbitrary files from
# other serving packages, and cannot be written with these characters.
TOKEN = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[A-Za-z0-9._-]{1,64})?")


class ModelStore(Protocol):
    """Storage of models by name.

    ``churn@7`` is a version of ``churn``, and ``churn@latest`` the newest one. ``churn`` alone is the
    model without a version if it exists, else the newest version.

    Two methods are optional. With ``describe(name)``, like `FolderStore.describe`, invalid rows are
    rejected without loading the model. With ``fingerprint(name)``, like `FolderStore.fingerprint`, the
    store can be polled for changes.
    """

    def load(self, name: str) -> Any:
        """Return the fitted model *name*, or its `ModelPackage`: a new object each time. May block.

        Raises:
            NotFound: There is no such model.
        """


class StoredFile(NamedTuple):
    """The file of one model version.

    Args:
        name: Name with the version, such as ``churn@7``.
        suffix: File name suffix of a package or a bare file.
        content: Content of the file.
    """

    name: str
    suffix: str
    content: bytes


class FileModelStore(ModelStore, Protocol):
    """A store of model files, which `RedisCachedStore` can cache."""

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """Load the model *name*, pinned by the digest *sha256*: see `ModelStore.load`."""

    def describe(self, name: str) -> PackageMetadata | None:
        """Return the metadata of the model *name* without loading it, or None if it has none.

        Raises:
            NotFound: There is no such model.
        """

    def fingerprint(self, name: str) -> Hashable:
        """Return a value that changes whenever `load` would return another model.

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
        """Return the file of a version.

        Raises:
            NotFound: There is no such version.
        """

    def load_file(self, name: str, file: StoredFile, *, sha256: str | None = None) -> ModelPackage:
        """Load the model *name* from *file*, which `read_file` returned for its version.

        Raises the same errors as `load`.
        """

    def parse_metadata(self, version: str, content: bytes) -> PackageMetadata:
        """Return the metadata of *version*, as `describe` does, from a zip file of only the metadata.

        Raises:
            ConfigurationError: The metadata is damaged, or not signed.
        """


class MemoryStore:
    """Store of models in memory, by name: ``churn``, ``churn@7``."""

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
    """Base class of file stores: the checks that a file must pass before it is loaded."""

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
        """Load the model *name* from *file*: see `FileModelStore.load_file`."""
        policy = self._pin(name, file.name, sha256)
        package = open_content(file.name + file.suffix, file.content, policy)
        return self._apply_name(name, package, file.name, file.suffix)

    def parse_metadata(self, version: str, content: bytes) -> PackageMetadata:
        """Return the metadata of *version*: see `FileModelStore.parse_metadata`."""
        metadata = parse_package_metadata(
            version + PACKAGE, io.BytesIO(content), self._policy, metadata_only=True
        )
        self._check_name(version, metadata.manifest)
        return metadata

    def _check_name(self, name: str, manifest: Manifest) -> None:
        if self.requires_signature and manifest.name != name.partition("@")[0]:
            raise ConfigurationError(f"{name}: contains {manifest.name}@{manifest.version} instead")

    def _apply_name(self, name: str, package: ModelPackage, stem: str, suffix: str) -> ModelPackage:
        """Check the name of *package*, and return it. A bare file gets the name and version in *stem*.

        Args:
            name: Requested name.
            package: Package, or bare file loaded as one.
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
        """Return the policy with the digest for *name* or the file name *stem*, if there is one."""
        return replace(self._policy, sha256=sha256 or self._sha256.get(name) or self._sha256.get(stem))


class FolderStore(FileStore):
    """Store of packages and bare model files in a folder, named like ``churn.mgpkg`` or ``churn@7.skops``.

    An alias is a symbolic link: ``churn@production.mgpkg`` to ``churn@7.mgpkg``.

    Args:
        folder: Path of the folder.
        sha256: Digests that pin files, by model name; a bare pickle is not loaded without one.
        allow_pickle: See `ModelPackage.load`.
        on_version_mismatch: See `ModelPackage.load`.
        public_keys: See `ModelPackage.load`. With them, a package must have the name that it is requested
            by and the version in its file name: a signed package cannot take the place of another.

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
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise ConfigurationError(f"folder must be an existing folder (got {str(folder)!r})")

    def check(self, name: str, *, sha256: str | None = None) -> None:
        """Check, without loading it, that the model *name* can be loaded. A missing file is not an error.

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
            ConfigurationError: The metadata is damaged, or not signed.
        """
        metadata = read_package_metadata(self._find(name), self._policy)
        if metadata is not None:
            self._check_name(name, metadata.manifest)
        return metadata

    def fingerprint(self, name: str) -> Hashable:
        """Return a value that changes whenever `load` would read another file or the file was modified.

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
        """Return the version that *name* refers to: see `FileModelStore.version`.

        For a link it is the version of its target; for a package in a folder it is None.
        """
        path = self._find(name).resolve()
        stem, _ = split_name(path)
        fixed = path.is_file() and path.parent == self._folder.resolve() and is_version(stem)
        return stem if fixed else None

    def read_file(self, version: str) -> StoredFile:
        """Return the file of a version: see `FileModelStore.read_file`."""
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
    """Return a fingerprint of the file or folder at *path*, which changes when it is replaced or modified."""
    target = path.resolve()
    stat = (target / MANIFEST if target.is_dir() else target).stat()
    return str(target), stat.st_mtime_ns, stat.st_size, stat.st_ino


def model_not_found() -> NotFound:
    """Create the error for a model that does not exist."""
    return NotFound("The model of this deployment could not be found")
