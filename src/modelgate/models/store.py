"""Stores of models. A name is a token, never a path or a URL."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import ConfigurationError, NotFound
from .manifest import Sidecars
from .package import SUFFIXES, ModelPackage, check_file, is_model_file, open_package, sidecars_of
from .rules import Mismatch, Rules

__all__ = ["FolderStore", "MemoryStore", "ModelStore"]

# Serving packages were made to read other files by "..", "#", "%2e" and URLs in a model's name,
# again and again; what is not on this list cannot spell any of them.
_TOKEN = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[A-Za-z0-9._-]{1,64})?")


class ModelStore(Protocol):
    """Where models are kept, each under a name: ``churn``, or ``churn@7`` for one version of it.

    A store that can tell of a model before it is loaded has ``describe(name)`` too, as
    `FolderStore.describe`: then a faulty row needs no model to be refused.
    """

    def load(self, name: str) -> Any:
        """The fitted model *name*, or the `ModelPackage` it is in, made anew. It may block.

        Raises:
            NotFound: there is no such model.
        """


class MemoryStore:
    """Models that are in memory already."""

    def __init__(self, models: Mapping[str, Any]) -> None:
        self._models = dict(models)

    def load(self, name: str) -> Any:
        """The model *name*. Raises `NotFound`."""
        if name not in self._models:
            raise _no_model()
        return self._models[name]


class FolderStore:
    """A folder of packages and model files, each named after its model: ``churn.mgpkg``, ``churn@7.skops``.

    Args:
        folder: where they are.
        sha256: by name, the digest that pins a file; a pickle is not loaded without one.
        key, allow_pickle, mismatch: see `ModelPackage.load`. Where there is a *key*, a package must be
            the one of the name it is asked by: a signed one in the place of another is refused.

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
    ) -> None:
        self._folder = Path(folder)
        self._sha256 = dict(sha256 or {})
        self._rules = Rules(key=key, allow_pickle=allow_pickle, mismatch=mismatch)
        if not self._folder.is_dir():
            raise ConfigurationError(f"folder={str(folder)!r}: accepts a folder that exists")

    def check(self, name: str, *, sha256: str | None = None) -> None:
        """Raise now what `load` would raise of a file that is there already: `ConfigurationError`."""
        path = self._path(name)
        if path is not None:
            check_file(path, self._rules_of(name, sha256))

    def describe(self, name: str) -> Sidecars | None:
        """What is known of a model before it is loaded: None where nothing is.

        Raises:
            NotFound: there is no such file, or *name* is not a name.
            ConfigurationError: what tells it is not whole, or not signed.
        """
        return sidecars_of(self._found(name), self._rules)

    def load(self, name: str, *, sha256: str | None = None) -> ModelPackage:
        """The model *name*, and what is known of it.

        Raises:
            NotFound: there is no such file, or *name* is not a name.
            ConfigurationError: see `ModelPackage.load`.
        """
        package = open_package(self._found(name), self._rules_of(name, sha256))
        if self._rules.key is not None and package.manifest.name != name.partition("@")[0]:
            raise ConfigurationError(f"{name}: holds the model {package.manifest.name!r}")
        return package

    def _rules_of(self, name: str, sha256: str | None) -> Rules:
        return replace(self._rules, sha256=sha256 or self._sha256.get(name))

    def _found(self, name: str) -> Path:
        path = self._path(name)
        if path is None:
            raise _no_model()
        return path

    def _path(self, name: str) -> Path | None:
        if not _TOKEN.fullmatch(name):
            return None
        paths = (self._folder / (name + suffix) for suffix in SUFFIXES)
        return next((path for path in paths if is_model_file(path)), None)


def _no_model() -> NotFound:
    return NotFound("The model of this deployment could not be found")
