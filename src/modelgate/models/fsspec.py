"""Model store for object storage and other file systems that fsspec supports."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar, cast

from ..backends.fsspec import open_file_system
from ..errors import ConfigurationError, ModelgateError, NotFound, Overloaded, StoreError
from ..flow.fair_pool import FairThreadPool
from .load_policy import Mismatch
from .manifest import PackageMetadata
from .package import ModelPackage
from .package_files import PACKAGE, model_files, parse_package_metadata, sha256_of, split_name
from .store import TOKEN, FileStore, StoredFile, model_not_found
from .versions import LATEST, is_version, resolve_version

__all__ = ["FsspecStore"]

T = TypeVar("T")

_ALIAS = ".alias"
_LONGEST_ALIAS = 64
_MAX_CALLS = 64
"""Number of stuck calls at which the storage is no longer called."""
_BLOCK = 2**16
"""Bytes to fetch at a time when reading metadata. The default of s3fs would be 50 MB."""
_ACCESS_TIMES = {"time", "accessTime", "last_accessed_on"}
"""Names that file systems use for the time of the last read access."""


class FsspecStore(FileStore):
    """Store of packages and bare model files in an fsspec file system.

    Files have the same names as in a `FolderStore`. An alias is a small file that contains a version, for
    example ``churn@production.alias`` with the content ``7``.

    Args:
        url: URL of the folder: ``s3://bucket/models``, ``gs://…``, ``abfs://…``, ``memory://models``,
            ``file:///…`` and others.
        storage_options: Options of the fsspec file system.
        sha256: See `FolderStore`.
        allow_pickle: See `FolderStore`.
        on_version_mismatch: See `FolderStore`.
        public_keys: See `FolderStore`.
        timeout: Maximum number of seconds for one call, such as reading an entire file.

    Raises:
        ConfigurationError: The value of an option is not valid, or a library is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        storage_options: Mapping[str, Any] | None = None,
        sha256: Mapping[str, str] | None = None,
        allow_pickle: bool = False,
        on_version_mismatch: Mismatch = "reject",
        public_keys: Sequence[str | Path] | None = None,
        timeout: float = 60.0,
    ) -> None:
        super().__init__(sha256, allow_pickle, on_version_mismatch, public_keys)
        if not isinstance(timeout, int | float) or not timeout > 0:
            raise ConfigurationError(f"timeout must be a number of seconds above 0 (got {timeout!r})")
        self._timeout = timeout
        self._threads = FairThreadPool(_MAX_CALLS, timeout).share()
        self._open = partial(open_file_system, url, storage_options or {})
        _, self._folder = self._open()

    def save(self, package: ModelPackage, *, sign_key: str | Path | None = None) -> str:
        """Store *package* under its name and version. Return its digest, which can be used to pin it.

        Args:
            package: Package to store.
            sign_key: PEM file of an Ed25519 private key to sign the package with; None for no signature.

        Raises:
            ConfigurationError: A version or an alias of the same name exists, the package cannot be
                written, or this store would reject it.
            StoreError: The storage is unavailable.
        """
        name, version = package.manifest.name, package.manifest.version
        stem = f"{name}@{version}"
        metadata, content = package.to_bytes(sign_key=sign_key)
        self.parse_metadata(stem, metadata)
        files = self._list_files()
        taken = {*model_files(files), *_aliases(files)}
        if version == LATEST or stem in taken or not self._create_file(stem + PACKAGE, content):
            raise ConfigurationError(
                f"version must not be an existing version or alias of {name} (got {version!r}):"
                " create the package with another version"
            )
        return sha256_of(content)

    def alias(self, name: str, alias: str, version: str) -> None:
        """Point the alias ``name@alias`` to *version*. Models that are already loaded stay in use.

        Raises:
            ConfigurationError: *alias* is not a valid alias, or is the name of a version.
            NotFound: There is no such version.
            StoreError: The storage is unavailable.
        """
        stem = f"{name}@{alias}"
        files = model_files(self._list_files())
        if not TOKEN.fullmatch(stem) or alias == LATEST or stem in files:
            raise ConfigurationError(
                "alias must be letters, digits, '_', '-' and '.', and neither 'latest' nor a version"
                f" (got {alias!r})"
            )
        if f"{name}@{version}" not in files:
            raise NotFound(f"There is no version {version} of {name}: save it first")
        self._call(lambda fs: fs.pipe_file(self._path(stem + _ALIAS), version.encode()))

    def describe(self, name: str) -> PackageMetadata | None:
        """Return the metadata of the model *name* without loading it, or None for a bare file.

        Raises:
            NotFound, ConfigurationError, StoreError: See `load`.
        """
        stem, suffix = self._find(name)
        if suffix != PACKAGE:
            return None

        def read(fs: Any) -> PackageMetadata:
            with fs.open(self._path(stem + suffix), "rb", block_size=_BLOCK) as file:
                return parse_package_metadata(stem + suffix, cast(IO[bytes], _StoreFile(file)), self._policy)

        metadata = self._call(read)
        self._check_name(name, metadata.manifest)
        return metadata

    def fingerprint(self, name: str) -> Hashable:
        """Return a value that changes when `load` would read another file, or when the file is modified.

        Raises:
            NotFound, StoreError: See `load`.
        """
        files = self._list_files()
        file = PurePosixPath("".join(self._resolve(files, name)))
        info = sorted((key, str(value)) for key, value in files[file].items() if key not in _ACCESS_TIMES)
        return file, tuple(info)

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """Load the model *name* with its metadata.

        Raises:
            NotFound: There is no such model, or *name* is not a valid name.
            ConfigurationError: See `ModelPackage.load`.
            StoreError: The storage is unavailable.
        """
        return self.load_file(name, self.read_file(name), sha256=sha256)

    def version(self, name: str) -> str | None:
        """Return the version that *name* refers to; see `FileModelStore.version`."""
        stem, _ = self._find(name)
        return stem if is_version(stem) else None

    def read_file(self, version: str) -> StoredFile:
        """Return the file of a version; see `FileModelStore.read_file`."""
        stem, suffix = self._find(version)
        return StoredFile(stem, suffix, self._call(lambda fs: fs.cat_file(self._path(stem + suffix))))

    def _find(self, name: str) -> tuple[str, str]:
        """Return the stem and the suffix of the file that *name* refers to."""
        return self._resolve(self._list_files(), name)

    def _resolve(self, paths: Iterable[PurePosixPath], name: str) -> tuple[str, str]:
        if not TOKEN.fullmatch(name):
            raise model_not_found()
        files = model_files(paths)
        stem = resolve_version(name, files)
        if stem is None and name in _aliases(paths):
            stem = f"{name.partition('@')[0]}@{self._read_alias(name)}"
        if stem not in files:
            raise model_not_found()
        return split_name(files[stem])

    def _read_alias(self, alias: str) -> str:
        path = self._path(alias + _ALIAS)
        version: bytes = self._call(lambda fs: fs.cat_file(path, end=_LONGEST_ALIAS + 1))
        return version.decode("ascii", "replace").strip()

    def _list_files(self) -> dict[PurePosixPath, Mapping[str, Any]]:
        """Return the files in the folder, as a mapping of file names to entries of the file system."""
        return self._call(self._list)

    def _list(self, fs: Any) -> dict[PurePosixPath, Mapping[str, Any]]:
        # Other processes may have added files since fsspec cached the listing.
        fs.invalidate_cache(self._folder)
        try:
            entries = fs.ls(self._folder, detail=True)
        except FileNotFoundError:  # A bucket has no empty folders.
            return {}
        return {
            PurePosixPath(PurePosixPath(entry["name"]).name): entry
            for entry in entries
            if entry["type"] == "file"
        }

    def _create_file(self, name: str, content: bytes) -> bool:
        """Write a new file and return True, or return False if the file already exists."""

        def create(fs: Any) -> bool:
            try:
                fs.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            return True

        return self._call(create)

    def _path(self, name: str) -> str:
        return f"{self._folder.rstrip('/')}/{name}"

    def _call(self, function: Callable[[Any], T]) -> T:
        """Call *function* with the file system in a thread, and return the result.

        Raises:
            NotFound: A file does not exist.
            StoreError: The storage failed or timed out, or too many calls are stuck.
        """
        try:
            # `_open` returns one file system per process: fsspec caches it, and creates another after a fork.
            # A socket timeout would limit the time between two chunks, not the time of the call.
            return self._threads.run_with_timeout(lambda: function(self._open()[0]), self._timeout)
        except FileNotFoundError:
            raise model_not_found() from None
        except Overloaded as error:
            raise StoreError from error
        except ModelgateError:
            raise
        except Exception as error:
            raise StoreError from error


class _StoreFile:
    """Wrapper around a remote file, which re-raises storage errors as `StoreError`.

    Without the wrapper, such errors would be reported as errors in the content of the file.
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._file, name)

        def call(*args: Any) -> Any:
            try:
                return method(*args)
            except Exception as error:
                raise StoreError from error

        return call


def _aliases(paths: Iterable[PurePosixPath]) -> set[str]:
    return {path.stem for path in paths if path.suffix == _ALIAS}
