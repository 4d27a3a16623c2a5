"""Models in object storage, and wherever else fsspec reaches."""

import hashlib
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar, cast

from ..errors import ConfigurationError, ModelgateError, NotFound, StoreError
from .manifest import Sidecars
from .package import PACKAGE, SUFFIXES, ModelPackage, sidecars_in
from .rules import Mismatch
from .store import TOKEN, FileStore, Packed, no_model
from .versions import LATEST, is_version, meant
from .within import within

__all__ = ["FsspecStore"]

T = TypeVar("T")

_ALIAS = ".alias"
_LONGEST_ALIAS = 64
_BLOCK = 2**16
"""How much is fetched to look into a package: s3fs would take 50 MB."""
_READ = {"time", "accessTime", "last_accessed_on"}
"""What file systems call the time at which a file was last read."""


class FsspecStore(FileStore):
    """A folder of packages and model files in a file system of fsspec, named as in a `FolderStore`.

    An alias is a small file that names a version: ``churn@production.alias`` says ``7``.

    Args:
        url: ``s3://bucket/models``, ``gs://…``, ``abfs://…``, ``memory://models``, ``file:///…``, …
        storage_options: what fsspec's file system of that kind is to be made with.
        sha256: see `FolderStore`.
        key: see `FolderStore`; `save` signs with it too.
        allow_pickle: see `FolderStore`.
        mismatch: see `FolderStore`.
        public_keys: see `FolderStore`.
        timeout: for how many seconds one answer, such as a whole file, is waited for.

    Raises:
        ConfigurationError: an option cannot work, or a package is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        storage_options: Mapping[str, Any] | None = None,
        sha256: Mapping[str, str] | None = None,
        key: str | bytes | None = None,
        allow_pickle: bool = False,
        mismatch: Mismatch = "refuse",
        public_keys: Sequence[str | Path] | None = None,
        timeout: float = 60.0,
    ) -> None:
        super().__init__(sha256, key, allow_pickle, mismatch, public_keys)
        if not isinstance(timeout, int | float) or not timeout > 0:
            raise ConfigurationError(f"timeout={timeout!r}: accepts seconds above 0")
        self._timeout = timeout
        self._running: set[threading.Thread] = set()
        self._open = partial(_file_system, url, storage_options or {})
        _, self._folder = self._open()

    def save(self, package: ModelPackage, *, sign_key: str | Path | None = None) -> str:
        """Keep *package* under its name and version, and give back the digest to pin it by.

        Args:
            package: the package.
            sign_key: the PEM file of an Ed25519 private key to sign it with.

        Raises:
            ConfigurationError: there is that version or alias already, or *package* is none that can be
                written, or that this store would not load.
            StoreError: the storage cannot be asked.
        """
        version = f"{package.manifest.name}@{package.manifest.version}"
        part, content = package.packed(key=self._rules.key, sign_key=sign_key)
        self.tell(version, part)
        taken = _by_stem(self._listed(), [*SUFFIXES, _ALIAS])
        if (
            package.manifest.version == LATEST
            or version in taken
            or not self._created(version + PACKAGE, content)
        ):
            raise ConfigurationError(
                f"version={version.partition('@')[2]!r}: there is one, or an alias, already"
            )
        return hashlib.sha256(content).hexdigest()

    def alias(self, name: str, alias: str, version: str) -> None:
        """Have ``name@alias`` mean *version* from now on. Gates that have a model loaded keep it.

        Raises:
            ConfigurationError: *alias* is no name for one, or that of a version.
            NotFound: there is no such version.
            StoreError: the storage cannot be asked.
        """
        told = f"{name}@{alias}"
        files = _by_stem(self._listed(), SUFFIXES)
        if not TOKEN.fullmatch(told) or alias == LATEST or told in files:
            raise ConfigurationError(
                f"alias={alias!r}: accepts letters, digits, '_', '-' and '.', but latest and versions"
            )
        if f"{name}@{version}" not in files:
            raise NotFound(f"There is no version {version} of {name}")
        self._asked(lambda fs: fs.pipe_file(self._path(told + _ALIAS), version.encode()))

    def describe(self, name: str) -> Sidecars | None:
        """What is known of a model before it is loaded: None where nothing is. Raises as `load` does."""
        version, suffix = self._found(name)
        if suffix != PACKAGE:
            return None

        def read(fs: Any) -> Sidecars:
            with fs.open(self._path(version + suffix), "rb", block_size=_BLOCK) as file:
                return sidecars_in(version + suffix, cast(IO[bytes], _Reached(file)), self._rules)

        sidecars = self._asked(read)
        self._check_name(name, sidecars.manifest)
        return sidecars

    def mark(self, name: str) -> Hashable:
        """What is another whenever `load` would read another file, or the file was changed. Raises as it does."""
        listed = self._listed()
        file = PurePosixPath("".join(self._among(listed, name)))
        told = sorted((key, str(value)) for key, value in listed[file].items() if key not in _READ)
        return file, tuple(told)

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """The model *name*, and what is known of it.

        Raises:
            NotFound: there is none, or *name* is not a name.
            ConfigurationError: see `ModelPackage.load`.
            StoreError: the storage cannot be asked.
        """
        return self.open(name, self.fetch(name), sha256=sha256)

    def version(self, name: str) -> str | None:
        """See `PackedStore.version`."""
        found, _ = self._found(name)
        return found if is_version(found) else None

    def fetch(self, version: str) -> Packed:
        """See `PackedStore.fetch`."""
        found, suffix = self._found(version)
        return Packed(found, suffix, self._asked(lambda fs: fs.cat_file(self._path(found + suffix))))

    def _found(self, name: str) -> tuple[str, str]:
        """The file that *name* means: its stem and its suffix."""
        return self._among(self._listed(), name)

    def _among(self, listed: Iterable[PurePosixPath], name: str) -> tuple[str, str]:
        if not TOKEN.fullmatch(name):
            raise no_model()
        files = _by_stem(listed, SUFFIXES)
        found = meant(name, files)
        if found is None and name in _by_stem(listed, [_ALIAS]):
            found = f"{name.partition('@')[0]}@{self._version_of(name)}"
        if found not in files:
            raise no_model()
        return found, files[found]

    def _version_of(self, alias: str) -> str:
        told: bytes = self._asked(lambda fs: fs.cat_file(self._path(alias + _ALIAS), end=_LONGEST_ALIAS + 1))
        return told.decode("ascii", "replace").strip()

    def _listed(self) -> dict[PurePosixPath, Mapping[str, Any]]:
        """What the file system tells of each file in the folder."""
        return self._asked(self._list)

    def _list(self, fs: Any) -> dict[PurePosixPath, Mapping[str, Any]]:
        # What another process has put there since is there too.
        fs.invalidate_cache(self._folder)
        try:
            entries = fs.ls(self._folder, detail=True)
        except FileNotFoundError:  # A bucket has no empty folders.
            return {}
        return {
            PurePosixPath(PurePosixPath(each["name"]).name): each
            for each in entries
            if each["type"] == "file"
        }

    def _created(self, name: str, content: bytes) -> bool:
        def create(fs: Any) -> bool:
            try:
                fs.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            return True

        return self._asked(create)

    def _path(self, name: str) -> str:
        return f"{self._folder.rstrip('/')}/{name}"

    def _asked(self, ask: Callable[[Any], T]) -> T:
        try:
            # One file system a process: fsspec keeps it, and makes another after a fork.
            return within(self._timeout, lambda: ask(self._open()[0]), self._running)
        except FileNotFoundError:
            raise no_model() from None
        except ModelgateError:
            raise
        except Exception as error:
            raise StoreError from error


class _Reached:
    """A file whose errors are those of its store, and not of what is read in it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return partial(_reached, getattr(self._file, name))


def _reached(call: Callable[..., T], *args: Any) -> T:
    try:
        return call(*args)
    except Exception as error:
        raise StoreError from error


def _by_stem(paths: Iterable[PurePosixPath], suffixes: Sequence[str]) -> dict[str, str]:
    """The suffix of each file; where there are several of a name, the first one of *suffixes*."""
    ranked = sorted(
        (path for path in paths if path.suffix in suffixes), key=lambda it: suffixes.index(it.suffix)
    )
    return {path.stem: path.suffix for path in reversed(ranked)}


def _file_system(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ConfigurationError('FsspecStore needs an extra: pip install "modelgate[fsspec]"') from None
    try:
        fs, folder = url_to_fs(url, **options)
    except ImportError as error:
        raise ConfigurationError(f"url: fsspec needs one more package for it: {error}") from None
    except Exception as error:
        # The URL is not shown: it may hold a password.
        told = f"accepts what fsspec does, such as s3://bucket/models ({type(error).__name__})"
        raise ConfigurationError(f"url, storage_options: {told}") from None
    return fs, folder
