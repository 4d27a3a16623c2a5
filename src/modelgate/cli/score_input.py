"""CSV input, read in chunks of whole rows."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from ..client.rows import Rows, csv_rows, records
from ..errors import ConfigurationError
from .checkpoint import Checkpoint
from .csv_file import CSVFile

__all__ = ["Chunk", "Input"]

_CHUNK_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 1 << 20


class Chunk(NamedTuple):
    """Rows that are sent in one request.

    Args:
        rows: The rows.
        lines: For each row, the line of the file in which it begins.
        offset: Position in the decompressed file at which the next chunk begins.
        digest: SHA-256 of the decompressed file up to *offset*, in hexadecimal.
        line: Line number at *offset*.
        fraction: Fraction of the file that has been read, from 0 to 1; None if its size is not known.
    """

    rows: Rows
    lines: list[int]
    offset: int
    digest: str
    line: int
    fraction: float | None


class Input:
    """CSV that need not fit into memory. It is read once, from start to end.

    Args:
        opened: The open file.
        name: Name of the file in errors.
        size: Number of bytes of the file, before decompression; None if it is not known.

    Attributes:
        header: First line.
        initial_fraction: Fraction of the file, from 0 to 1, that was done before this run.

    Raises:
        ConfigurationError: The file is empty, damaged, or not a CSV file.
        MalformedBody: The first line cannot be read.
    """

    def __init__(self, opened: CSVFile, name: str, size: int | None) -> None:
        self.name = name
        self.initial_fraction = 0.0
        self._opened = opened
        self._size = size
        self._offset, self._digest, self._line = 0, hashlib.sha256(), 1
        self.header = next(records(self._count()), (1, b""))[1]
        if not self.header:
            raise ConfigurationError(f"{name} is empty: it must begin with a header line of column names")

    def chunks(self, rows: int, done: Checkpoint) -> Iterator[Chunk]:
        """Yield the rows that follow the checkpoint *done*, at most *rows* per chunk.

        Raises:
            ConfigurationError: The part before the checkpoint has changed, or the file is damaged.
            MalformedBody: A row cannot be read; the message names its line.
        """
        if done.offset:
            self._skip(done)
        self.initial_fraction = self._fraction() or 0.0
        lines: list[int] = []
        chunk: list[bytes] = []
        size = 0
        for line, record in records(self._count(), self._line):
            lines.append(line)
            chunk.append(record)
            size += len(record)
            if len(chunk) == rows or size > _CHUNK_BYTES:
                yield self._chunk(chunk, lines)
                lines, chunk, size = [], [], 0
        if chunk:
            yield self._chunk(chunk, lines)

    def _chunk(self, chunk: list[bytes], lines: list[int]) -> Chunk:
        digest = self._digest.hexdigest()
        rows = csv_rows(self.header, chunk)
        return Chunk(rows, lines, self._offset, digest, self._line, self._fraction())

    def _fraction(self) -> float | None:
        if self._size is None:
            return None
        # The decompressed size is unknown, so measure compressed files by their compressed bytes.
        position = self._opened.file.tell() if self._opened.is_compressed else self._offset
        return position / self._size

    def _skip(self, done: Checkpoint) -> None:
        remaining = done.offset - self._offset
        while remaining > 0 and (block := self._opened.content.read(min(remaining, _BLOCK_BYTES))):
            self._digest.update(block)
            remaining -= len(block)
        if self._digest.hexdigest() != done.digest:
            raise ConfigurationError(
                f"{self.name} has changed since scoring started: start over with --overwrite"
            )
        self._offset, self._line = done.offset, done.line

    def _count(self) -> Iterator[bytes]:
        for line in self._opened.content:
            self._offset += len(line)
            self._line += 1
            self._digest.update(line)
            yield line
