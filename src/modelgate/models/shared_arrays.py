"""Share the arrays of loaded models between the processes of one machine, in memory-mapped files."""

import contextlib
import hashlib
import io
import logging
import mmap
import os
import pickle
import secrets
import types
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ..backends.shared_directory import open_shared_directory
from .package import ModelPackage

__all__ = ["SharedArrays"]

logger = logging.getLogger("modelgate")

_SMALLEST = 4096
"""Smallest size in bytes of an array that is shared. Sharing smaller arrays would save little."""

_ALIGNMENT = 64
"""Alignment of arrays in a file: that of a cache line, as in the ``.npy`` format."""

_LIBRARIES = frozenset(
    {"builtins", "collections", "functools", "modelgate", "numpy", "pickle", "scipy", "sklearn"}
)
"""Packages whose objects are searched for arrays."""


class SharedArrays:
    """Directory of files with the arrays of models.

    A process maps such a file instead of allocating its own copy.

    A file is named after the SHA-256 digest of its content, so processes that load the same model map the
    same file. A model is always verified and loaded from its own source first. The file is then written from
    the loaded arrays.

    - A process maps a file only if the process's user owns the file, no other user can write to it, and its
      content has the digest in its name.
    - A process locks the files that it maps. Files without a lock are deleted when the next model is loaded.

    Args:
        directory: Directory for the files. Created if missing.

    Raises:
        ConfigurationError: The directory cannot be written, or the system has no file locks.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = open_shared_directory("array_dir", directory, mode=0o700)
        # Imported here, because Windows has no fcntl.
        import fcntl

        self._fcntl = fcntl

    def share(self, model: Any) -> Any:
        """Return a copy of *model* with its large arrays in a mapped file, or *model* itself if it has none.

        The arrays of the copy are read-only. The copy and *model* share two kinds of objects: trees of
        scikit-learn, because a new tree would copy its arrays, and objects of libraries that are not searched
        for arrays.

        Args:
            model: Estimator, or a package.
        """
        if isinstance(model, ModelPackage):
            return replace(model, model=self.share(model.model))
        buffers: list[memoryview] = []
        pickled = io.BytesIO()
        pickler = _Pickler(pickled, buffers)
        try:
            pickler.dump(model)
            if not buffers:
                return model
            mapped = self._map(buffers)
        except (OSError, pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            logger.warning("array_dir: arrays not shared: %s: %s", type(error).__name__, error)
            return model
        pickled.seek(0)
        return _Unpickler(pickled, mapped, pickler.parts).load()

    def _map(self, buffers: list[memoryview]) -> list[memoryview]:
        """Return views of a mapped file with the content of *buffers*."""
        digest = hashlib.sha256()
        for chunk in _with_padding(buffers):
            digest.update(chunk)
        path = self._directory / f"{digest.hexdigest()}.arrays"
        # With this lock, only the first of several processes that start together writes the file.
        with (self._directory / "lock").open("rb") as lock:
            self._fcntl.flock(lock, self._fcntl.LOCK_EX)
            content = self._open(path)
            if content is None:
                self._write(path, buffers)
                content = self._open(path)
            self._delete_unused()
        if content is None:
            raise OSError(f"{path} does not have the content that was written to it")
        views, start = [], 0
        for buffer in buffers:
            views.append(content[start : start + buffer.nbytes])
            start += buffer.nbytes + -buffer.nbytes % _ALIGNMENT
        return views

    def _open(self, path: Path) -> memoryview | None:
        """Map and lock the file at *path*. Return None if it does not exist or cannot be trusted."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            status = os.fstat(file.fileno())
            # A file may be empty after a crash of the machine, and cannot be mapped then.
            if status.st_uid != os.geteuid() or status.st_mode & 0o022 or not status.st_size:
                return None
            self._fcntl.flock(file, self._fcntl.LOCK_SH)
            # The map has a duplicate of the descriptor, and so holds the lock as long as it exists.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hashlib.sha256(content).hexdigest() != path.stem:
            return None
        return memoryview(content)

    def _write(self, path: Path, buffers: list[memoryview]) -> None:
        temporary = path.with_name(f"{secrets.token_hex(8)}.arrays")
        try:
            temporary.touch(mode=0o600, exist_ok=False)
            with temporary.open("wb") as file:
                file.writelines(_with_padding(buffers))
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _delete_unused(self) -> None:
        """Delete the array files of this user that no process has locked."""
        for path in self._directory.glob("*.arrays"):
            with contextlib.suppress(OSError), path.open("rb") as file:
                self._fcntl.flock(file, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB)
                path.unlink()


def _with_padding(buffers: Iterable[memoryview]) -> Iterator[memoryview | bytes]:
    for buffer in buffers:
        yield buffer
        yield bytes(-buffer.nbytes % _ALIGNMENT)


class _Pickler(pickle.Pickler):
    """Pickler that leaves out large arrays, and objects without arrays to share.

    Attributes:
        parts: Objects that were left out.
    """

    def __init__(self, file: IO[bytes], buffers: list[memoryview]) -> None:
        super().__init__(file, 5, buffer_callback=self._add_buffer)
        self._buffers = buffers
        self.parts: list[Any] = []

    def _add_buffer(self, buffer: pickle.PickleBuffer) -> bool:
        """Collect *buffer* and return False if it is large. Otherwise return True, so that it is pickled.

        This is the ``buffer_callback`` of the pickler.
        """
        content = buffer.raw()
        if content.nbytes < _SMALLEST:
            return True
        self._buffers.append(content)
        return False

    def persistent_id(self, obj: Any) -> int | None:
        kind = type(obj)
        module = kind.__module__
        if (
            module.partition(".")[0] in _LIBRARIES
            # Tree.__setstate__ copies the arrays.
            and (module, kind.__name__) != ("sklearn.tree._tree", "Tree")
            and not isinstance(obj, types.FunctionType | types.ModuleType | type)
        ):
            return None
        self.parts.append(obj)
        return len(self.parts) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], buffers: list[memoryview], parts: list[Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._parts = parts

    def persistent_load(self, pid: int) -> Any:
        return self._parts[pid]
