"""Stores of models. A name is a token, never a path or a URL."""

import io
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from ..errors import ConfigurationError, NotFound
from .archive import MANIFEST
from .manifest import Manifest, Sidecars
from .package import (
    PACKAGE,
    SUFFIXES,
    ModelPackage,
    check_file,
    is_model_file,
    open_content,
    open_package,
    sidecars_in,
    sidecars_of,
)
from .rules import Mismatch, Rules
from .versions import is_version, meant

__all__ = [
    "TOKEN",
    "FileStore",
    "FolderStore",
    "MemoryStore",
    "ModelStore",
    "Packed",
    "PackedStore",
    "mark_of",
    "no_model",
]

# Serving packages were made to read other files by "..", "#", "%2e" and URLs in a model's name,
# again and again; what is not on this list cannot spell any of them.
TOKEN = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[A-Za-z0-9._-]{1,64})?")


class ModelStore(Protocol):
    """Where models are kept, each under a name.

    ``churn@7`` is a version of ``churn``, ``churn@latest`` the newest one. ``churn`` alone is the one
    that bears no version, or else the newest one.

    A store that can tell of a model before it is loaded has ``describe(name)`` too, as
    `FolderStore.describe`: then a faulty row needs no model to be refused. One that can be watched has
    ``mark(name)``, as `FolderStore.mark`.
    """

    def load(self, name: str) -> Any:
        """The fitted model *name*, or the `ModelPackage` it is in, made anew. It may block.

        Raises:
            NotFound: there is no such model.
        """


class Packed(NamedTuple):
    """A version of a model, as bytes.

    Args:
        name: of the version, ``churn@7``.
        suffix: of a package, or of a bare file.
        content: of the file.
    """

    name: str
    suffix: str
    content: bytes


class PackedStore(ModelStore, Protocol):
    """A store of files, which another one may keep too: see `SharedStore`."""

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """See `ModelStore.load`; *sha256* is the digest that pins it."""

    def describe(self, name: str) -> Sidecars | None:
        """What is known of a model before it is loaded: None where nothing is."""

    def mark(self, name: str) -> Hashable:
        """What is another whenever `load` would give another model. Raises `NotFound`."""

    def version(self, name: str) -> str | None:
        """The version that *name* means now, ``churn@7``; None where what it means may change by itself.

        Raises:
            NotFound: there is no such model.
        """

    def fetch(self, version: str) -> Packed:
        """The file of a version. Raises `NotFound`."""

    def open(self, name: str, packed: Packed, *, sha256: str | None = None) -> ModelPackage:
        """What `load` makes of the file of the version that *name* means. Raises as it does."""

    def tell(self, version: str, part: bytes) -> Sidecars:
        """What `describe` makes of that part of a package which tells of its model. Raises as it does."""


class MemoryStore:
    """Models that are in memory already, by name: ``churn``, ``churn@7``."""

    def __init__(self, models: Mapping[str, Any]) -> None:
        self._models = dict(models)

    def load(self, name: str) -> Any:
        """The model *name*. Raises `NotFound`."""
        found = meant(name, self._models)
        if found is None:
            raise no_model()
        return self._models[found]


class FileStore:
    """What is the same of stores of files: what a file must be, before it is loaded."""

    pins = True

    def __init__(
        self,
        sha256: Mapping[str, str] | None,
        key: str | bytes | None,
        allow_pickle: bool,
        mismatch: Mismatch,
        public_keys: Sequence[str | Path] | None,
    ) -> None:
        self._sha256 = dict(sha256 or {})
        self._rules = Rules(None, key, allow_pickle, mismatch, public_keys)
        self.demands_signature = self._rules.demands_signature

    def open(self, name: str, packed: Packed, *, sha256: str | None = None) -> ModelPackage:
        """See `PackedStore.open`."""
        rules = self._rules_of(name, packed.name, sha256)
        package = open_content(packed.name + packed.suffix, packed.content, rules)
        return self._named(name, package, packed.name, packed.suffix)

    def tell(self, version: str, part: bytes) -> Sidecars:
        """See `PackedStore.tell`."""
        sidecars = sidecars_in(version + PACKAGE, io.BytesIO(part), self._rules, alone=True)
        self._check_name(version, sidecars.manifest)
        return sidecars

    def _check_name(self, name: str, manifest: Manifest) -> None:
        if self.demands_signature and manifest.name != name.partition("@")[0]:
            raise ConfigurationError(f"{name}: holds the package {manifest.name}@{manifest.version}")

    def _named(self, name: str, package: ModelPackage, found: str, suffix: str) -> ModelPackage:
        self._check_name(name, package.manifest)
        if suffix != PACKAGE:
            stem, _, version = found.partition("@")
            told = msgspec.structs.replace(package.manifest, name=stem, version=version or "1")
            return replace(package, manifest=told)
        return package

    def _rules_of(self, name: str, found: str, sha256: str | None) -> Rules:
        return replace(self._rules, sha256=sha256 or self._sha256.get(name) or self._sha256.get(found))


class FolderStore(FileStore):
    """A folder of packages and model files, each named after its model: ``churn.mgpkg``, ``churn@7.skops``.

    An alias is a link: ``churn@production.mgpkg`` to ``churn@7.mgpkg``.

    Args:
        folder: where they are.
        sha256: by name, the digest that pins a file; a pickle is not loaded without one.
        key: see `ModelPackage.load`. Where there is one, or there are *public_keys*, a package must be the
            one of the name it is asked by, and of the version its file is named after: a signed one in
            the place of another is refused.
        allow_pickle: see `ModelPackage.load`.
        mismatch: likewise.
        public_keys: likewise.

    Raises:
        ConfigurationError: *folder* is not a folder, or an option cannot work.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        sha256: Mapping[str, str] | None = None,
        key: str | bytes | None = None,
        allow_pickle: bool = False,
        mismatch: Mismatch = "refuse",
        public_keys: Sequence[str | Path] | None = None,
    ) -> None:
        super().__init__(sha256, key, allow_pickle, mismatch, public_keys)
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise ConfigurationError(f"folder={str(folder)!r}: accepts a folder that exists")

    def check(self, name: str, *, sha256: str | None = None) -> None:
        """Raise now what `load` would raise of a file that is there already: `ConfigurationError`."""
        path = self._path(name)
        if path is not None:
            check_file(path, self._rules_of(name, path.stem, sha256))
            self.describe(name)

    def describe(self, name: str) -> Sidecars | None:
        """What is known of a model before it is loaded: None where nothing is.

        Raises:
            NotFound: there is no such file, or *name* is not a name.
            ConfigurationError: what tells it is not whole, or not signed.
        """
        sidecars = sidecars_of(self._found(name), self._rules)
        if sidecars is not None:
            self._check_name(name, sidecars.manifest)
        return sidecars

    def mark(self, name: str) -> Hashable:
        """What is another whenever `load` would read another file, or the file was changed.

        Raises:
            NotFound: there is no such file, or *name* is not a name.
        """
        return mark_of(self._found(name))

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """The model *name*, and what is known of it.

        Raises:
            NotFound: there is no such file, or *name* is not a name.
            ConfigurationError: see `ModelPackage.load`.
        """
        path = self._found(name)
        package = open_package(path, self._rules_of(name, path.stem, sha256))
        return self._named(name, package, path.stem, path.suffix)

    def version(self, name: str) -> str | None:
        """See `PackedStore.version`. A link means the version it leads to; a folder is none."""
        path = self._found(name).resolve()
        known = path.is_file() and path.parent == self._folder.resolve() and is_version(path.stem)
        return path.stem if known else None

    def fetch(self, version: str) -> Packed:
        """See `PackedStore.fetch`."""
        path = self._found(version)
        return Packed(path.stem, path.suffix, path.read_bytes())

    def _found(self, name: str) -> Path:
        path = self._path(name)
        if path is None:
            raise no_model()
        return path

    def _path(self, name: str) -> Path | None:
        if not TOKEN.fullmatch(name):
            return None
        stem = name.partition("@")[0]
        paths = [
            path
            for suffix in SUFFIXES
            for path in (self._folder / (name + suffix), *self._folder.glob(f"{stem}@*{suffix}"))
            if is_model_file(path)
        ]
        files = {path.name.removesuffix(path.suffix): path for path in reversed(paths)}
        found = meant(name, files)
        return files[found] if found is not None else None


def mark_of(path: Path) -> Hashable:
    """What is another when the model file, or the folder, at *path* is another, or was changed."""
    found = path.resolve()
    told = (found / MANIFEST if found.is_dir() else found).stat()
    return str(found), told.st_mtime_ns, told.st_size, told.st_ino


def no_model() -> NotFound:
    """What a caller is told of a model that is not there."""
    return NotFound("The model of this deployment could not be found")
