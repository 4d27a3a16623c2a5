"""CSV input, read in chunks of whole rows."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..client.rows import Rows, csv_rows, records
from ..errors import ConfigurationError
from .checkpoint import Checkpoint
from .csv_file import CSVFile, open_csv

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
        fraction: Fraction of the file that has been read, from 0 to 1.
    """

    rows: Rows
    lines: list[int]
    offset: int
    digest: str
    line: int
    fraction: float


class Input:
    """CSV file, plain or compressed, that need not fit into memory.

    Args:
        path: Path of the file.

    Attributes:
        header: First line.
        initial_fraction: Fraction of the file, from 0 to 1, that was done before this run.

    Raises:
        ConfigurationError: The file is empty, damaged, or not a CSV file.
        MalformedBody: The first line cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.initial_fraction = 0.0
        self._size = path.stat().st_size
        self._offset, self._digest, self._line = 0, hashlib.sha256(), 1
        with open_csv(path) as opened:
            self.header = next(records(opened.content), (1, b""))[1]
        if not self.header:
            raise ConfigurationError(f"{path} is empty: it must begin with a header line of column names")

    def chunks(self, rows: int, done: Checkpoint) -> Iterator[Chunk]:
        """Yield the rows that follow the checkpoint *done*, at most *rows* per chunk.

        Raises:
            ConfigurationError: The part before the checkpoint has changed, or the file is damaged.
            MalformedBody: A row cannot be read; the message names its line.
        """
        with open_csv(self.path) as opened:
            self._skip(opened.content, done)
            self.initial_fraction = self._fraction(opened)
            numbered = records(self._count(opened.content), done.line)
            if not done.offset:
                next(numbered)
            lines: list[int] = []
            chunk: list[bytes] = []
            size = 0
            for line, record in numbered:
                lines.append(line)
                chunk.append(record)
                size += len(record)
                if len(chunk) == rows or size > _CHUNK_BYTES:
                    yield self._chunk(chunk, lines, opened)
                    lines, chunk, size = [], [], 0
            if chunk:
                yield self._chunk(chunk, lines, opened)

    def _chunk(self, chunk: list[bytes], lines: list[int], opened: CSVFile) -> Chunk:
        digest = self._digest.hexdigest()
        rows = csv_rows(self.header, chunk)
        return Chunk(rows, lines, self._offset, digest, self._line, self._fraction(opened))

    def _fraction(self, opened: CSVFile) -> float:
        # The decompressed size is unknown, so measure compressed files by their compressed bytes.
        return (opened.file.tell() if opened.is_compressed else self._offset) / self._size

    def _skip(self, file: BinaryIO, done: Checkpoint) -> None:
        remaining = done.offset
        while remaining and (block := file.read(min(remaining, _BLOCK_BYTES))):
            self._digest.update(block)
            remaining -= len(block)
        if done.offset and self._digest.hexdigest() != done.digest:
            raise ConfigurationError(
                f"{self.path} has changed since scoring started: start over with --overwrite"
            )
        self._offset, self._line = done.offset, done.line

    def _count(self, file: BinaryIO) -> Iterator[bytes]:
        for line in file:
            self._offset += len(line)
            self._line += 1
            self._digest.update(line)
            yield line
