"""Stores of models. A name is a token, never a path or a URL."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ..errors import ConfigurationError, NotFound
from .files import SUFFIXES, check_file, load_model

__all__ = ["FolderStore", "MemoryStore", "ModelStore"]

# Serving packages were made to read other files by "..", "#", "%2e" and URLs in a model's name,
# again and again; what is not on this list cannot spell any of them.
_TOKEN = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[A-Za-z0-9._-]{1,64})?")


class ModelStore(Protocol):
    """Where models are kept, each under a name: ``churn``, or ``churn@7`` for one version of it."""

    def load(self, name: str) -> Any:
        """The fitted model *name*, made anew. It may block.

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
            raise NotFound("The model of this deployment could not be found")
        return self._models[name]


class FolderStore:
    """A folder of model files, each named after its model: ``churn.skops``, ``churn@7.joblib``.

    Args:
        folder: where they are.
        sha256: by name, the digest that pins a file; a joblib file is not loaded without one.

    Raises:
        ConfigurationError: *folder* is not a folder.
    """

    def __init__(self, folder: str | Path, *, sha256: Mapping[str, str] | None = None) -> None:
        self._folder = Path(folder)
        self._sha256 = dict(sha256 or {})
        if not self._folder.is_dir():
            raise ConfigurationError(f"folder={str(folder)!r}: accepts a folder that exists")

    def check(self, name: str, *, sha256: str | None = None) -> None:
        """Raise now what `load` would raise of a file that is there already: `ConfigurationError`."""
        path = self._path(name)
        if path is not None:
            check_file(path, sha256 or self._sha256.get(name))

    def load(self, name: str, *, sha256: str | None = None) -> Any:
        """The model *name*.

        Raises:
            NotFound: there is no such file, or *name* is not a name.
            ConfigurationError: the file is a pickle and not pinned, or not the one pinned.
        """
        path = self._path(name)
        if path is None:
            raise NotFound("The model of this deployment could not be found")
        return load_model(path, sha256=sha256 or self._sha256.get(name))

    def _path(self, name: str) -> Path | None:
        if not _TOKEN.fullmatch(name):
            return None
        paths = (self._folder / (name + suffix) for suffix in SUFFIXES)
        return next((path for path in paths if path.is_file()), None)
