"""Input and output files in object storage and other fsspec file systems."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

from ..backends.fsspec import open_file_system
from ..errors import ConfigurationError, ModelgateError, StoreError
from .checkpoint import Checkpoint
from .destination import Destination
from .location import hide_password
from .option_error import OptionError
from .output import errors_path

__all__ = ["RemoteFile"]

T = TypeVar("T")

_BLOCK = 1 << 22
"""Number of bytes to fetch at once. The default of s3fs, 50 MB, is more than a Parquet reader needs."""


class RemoteFile(Destination):
    """File in an fsspec file system.

    Args:
        url: URL of the file, such as ``s3://bucket/rows.csv``.

    Raises:
        ConfigurationError: The URL is not valid, or a library is missing.
    """

    def __init__(self, url: str) -> None:
        self.name = hide_password(url)
        self._fs, self._path = open_file_system(url, {})
        name = PurePosixPath(self._path).name
        digest = hashlib.sha256(os.fsencode(url)).hexdigest()[:12]
        self.staging = Path(f"{name}.unfinished-{digest}") / name
        self.errors_name = self.name.removesuffix(name) + errors_path(self.staging).name

    @contextmanager
    def open(self) -> Iterator[tuple[BinaryIO, int]]:
        """Open the file for reading, and return the open file and its size in bytes."""
        size = self._call(lambda: int(self._fs.size(self._path)))
        with self._call(lambda: self._fs.open(self._path, "rb", block_size=_BLOCK)) as file:
            yield _Reader(file, self._call), size  # type: ignore[misc]

    def check_absent(self) -> None:
        """Raise `ConfigurationError` if the file or its rejected-rows file exists."""
        for url, path in ((self.name, self._path), (self.errors_name, self._errors_path)):
            if self._call(lambda path=path: self._fs.exists(path)):  # type: ignore[misc]
                raise OptionError(
                    "{url} already exists: choose another {output}, or pass {overwrite}", url=url
                )

    def check_columns(self, header: bytes, done: Checkpoint) -> None:
        """Do nothing: a file may have any columns."""

    def upload(
        self,
        done: Checkpoint,
        save: Callable[[], None],  # noqa: ARG002
        on_progress: Callable[[float], None],
    ) -> None:
        from fsspec.callbacks import Callback

        # The hook gets the size of the file and the number of bytes sent, or zeros while they are unknown.
        callback = Callback(hooks={"progress": lambda size, sent: on_progress(sent / size) if size else None})
        # The predictions are uploaded last, so that they exist only if the rejected rows do, too.
        if done.refused:
            self._call(lambda: self._fs.put_file(str(errors_path(self.staging)), self._errors_path))
        elif self._call(lambda: self._fs.exists(self._errors_path)):
            self._call(lambda: self._fs.rm_file(self._errors_path))
        self._call(lambda: self._fs.put_file(str(self.staging), self._path, callback=callback))

    def forget(self, done: Checkpoint) -> None:
        """Do nothing: there are no records."""

    @property
    def _errors_path(self) -> str:
        return self._path.removesuffix(self.staging.name) + errors_path(self.staging).name

    def _call(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except FileNotFoundError:
            raise ConfigurationError(f"{self.name} does not exist: check the URL") from None
        except ModelgateError:
            raise
        except Exception as error:  # Each file system has errors of its own.
            raise StoreError(f"{self.name}: the storage failed: {type(error).__name__}: {error}") from error


class _Reader(io.RawIOBase):
    """Reader for a remote file. It re-raises storage errors as `StoreError`."""

    def __init__(self, file: Any, call: Callable[[Callable[[], Any]], Any]) -> None:
        self._file = file
        self._call = call

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._call(lambda: self._file.read(len(buffer)))
        buffer[: len(block)] = block
        return len(block)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._call(lambda: self._file.seek(offset, whence)))

    def tell(self) -> int:
        return int(self._file.tell())
