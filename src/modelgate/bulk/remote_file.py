"""Input and output files in object storage and other fsspec file systems."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

from ..backends.fsspec import open_file_system
from ..errors import ConfigurationError, ModelgateError, StoreError
from .checkpoint import Checkpoint, checkpoint_path
from .location import hide_password, is_url, local_file
from .output import FileOutput, Passthrough, errors_path

__all__ = ["RemoteFile", "RemoteOutput", "prepare_output"]

T = TypeVar("T")

_BLOCK = 1 << 22
"""Number of bytes to fetch at once. s3fs fetches 50 MB by default, of which a Parquet reader needs a part."""


def prepare_output(path: str | Path, output: str | Path, overwrite: bool) -> "tuple[RemoteFile | None, Path]":
    """Return the remote file at *output*, or None if *output* is a local path, and the local file to write.

    Args:
        path: Input file or URL.
        output: Output file or URL.
        overwrite: Whether to replace existing output.

    Raises:
        ConfigurationError: The URL is not valid, *output* is the input, or *output* exists, *overwrite* is
            False, and there is no unfinished run to resume.
        StoreError: The storage failed.
    """
    if not is_url(output):
        return None, Path(output)
    source, target = local_file(path), local_file(output)
    if path == output or (source and target and source.exists() and source.samefile(target)):
        raise ConfigurationError(
            f"{hide_password(path)} is the input and would be overwritten: choose another --output"
        )
    remote = RemoteFile(str(output))
    if not overwrite and not checkpoint_path(remote.staging).exists():
        remote.check_absent()
    return remote, remote.staging


class RemoteFile:
    """File in an fsspec file system.

    Args:
        url: URL of the file, such as ``s3://bucket/rows.csv``.

    Attributes:
        url: URL without the user name and the password.
        staging: Path of the local file to which output is written before the upload.

    Raises:
        ConfigurationError: The URL is not valid, or a library is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = hide_password(url)
        self._fs, self._path = open_file_system(url, {})
        name = PurePosixPath(self._path).name
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        self.staging = Path(f"{name}.unfinished-{digest}") / name

    @property
    def errors_url(self) -> str:
        """URL of the rejected-rows file for this predictions file."""
        return self.url.removesuffix(self.staging.name) + errors_path(self.staging).name

    @contextmanager
    def open(self) -> Iterator[tuple[BinaryIO, int]]:
        """Open the file for reading, and return the open file and its size in bytes."""
        size = self._call(lambda: int(self._fs.size(self._path)))
        with self._call(lambda: self._fs.open(self._path, "rb", block_size=_BLOCK)) as file:
            yield _Reader(file, self._call), size  # type: ignore[misc]

    def check_absent(self) -> None:
        """Raise `ConfigurationError` if the file or its rejected-rows file exists."""
        for url, path in ((self.url, self._path), (self.errors_url, self._errors_path)):
            if self._call(lambda path=path: self._fs.exists(path)):  # type: ignore[misc]
                raise ConfigurationError(
                    f"{url} already exists: choose another --output, or pass --overwrite"
                )

    def upload(self, *, has_errors: bool) -> None:
        """Upload the local files.

        The predictions are uploaded last, so that they exist only if the rejected rows do, too.
        """
        if has_errors:
            self._call(lambda: self._fs.put_file(str(errors_path(self.staging)), self._errors_path))
        elif self._call(lambda: self._fs.exists(self._errors_path)):
            self._call(lambda: self._fs.rm_file(self._errors_path))
        self._call(lambda: self._fs.put_file(str(self.staging), self._path))

    @property
    def _errors_path(self) -> str:
        return self._path.removesuffix(self.staging.name) + errors_path(self.staging).name

    def _call(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except FileNotFoundError:
            raise ConfigurationError(f"{self.url} does not exist") from None
        except ModelgateError:
            raise
        except Exception as error:  # Each file system has errors of its own.
            raise StoreError(f"{self.url}: the storage failed: {type(error).__name__}: {error}") from error


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


class RemoteOutput(FileOutput):
    """Output that is written to local files, and uploaded when it is complete.

    The output is not written directly to object storage, which cannot append to a file.

    Args:
        file: Local predictions file, open for appending.
        remote: Remote file to upload to.
        done: Checkpoint to continue from.
        passthrough: Input columns to copy to the output.
    """

    def __init__(
        self, file: BinaryIO, remote: RemoteFile, done: Checkpoint, passthrough: Passthrough
    ) -> None:
        super().__init__(file, remote.staging, done, passthrough)
        self._remote = remote

    def finish(self) -> None:
        """Upload the local files, then delete them and the checkpoint.

        Raises:
            StoreError: The storage failed. The next run repeats the upload.
        """
        self.start()
        staging = self._remote.staging
        self._remote.upload(has_errors=bool(self.done.refused))
        self._files.close()
        self._output.close()  # Windows cannot delete an open file.
        for path in (staging, errors_path(staging), checkpoint_path(staging)):
            path.unlink(missing_ok=True)
        staging.parent.rmdir()
