"""Read CSV input in chunks of complete rows."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..client.rows import Lines, Rows, csv_rows, records
from ..errors import ConfigurationError
from .checkpoint import Checkpoint
from .csv_file import CSVFile
from .option_error import OptionError

__all__ = ["Chunk", "Input"]

_CHUNK_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 1 << 20
_SCAN_BYTES = 1 << 16


class Chunk(NamedTuple):
    """Rows that are scored together.

    Args:
        rows: Rows of the chunk.
        lines: For each row, the number of the line at which it begins in the file.
        offset: Position in the decompressed file at which the next chunk begins.
        digest: SHA-256 of the decompressed file up to *offset*, in hexadecimal.
        line: Line number at *offset*.
        fraction: Fraction of the file that has been read, from 0 to 1; None if the file size is unknown.
    """

    rows: Rows
    lines: Sequence[int]
    offset: int
    digest: str
    line: int
    fraction: float | None


class Input:
    """Reader for CSV input that need not fit into memory. It reads the file once, from start to end.

    Args:
        opened: Open input file.
        name: File name to show in errors.

    Attributes:
        header: Header line of the file.
        initial_fraction: Fraction of the file that earlier runs processed, from 0 to 1.

    Raises:
        ConfigurationError: The file is empty, damaged, or not a CSV file.
        MalformedBody: The first line cannot be read.
    """

    def __init__(self, opened: CSVFile, name: str) -> None:
        self.name = name
        self.initial_fraction = 0.0
        self._opened = opened
        self._offset, self._digest, self._line = 0, hashlib.sha256(), 1
        self._buffer, self._start = b"", 0
        self.header = next(records(self._read_lines()), (1, b""))[1]
        if not self.header:
            raise ConfigurationError(f"{name} is empty: it must begin with a header line of column names")

    def chunks(self, rows: int, done: Checkpoint) -> Iterator[Chunk]:
        """Yield the rows after the checkpoint *done* in chunks of at most *rows* rows.

        Raises:
            ConfigurationError: The input before the checkpoint has changed, or the file is damaged.
            MalformedBody: A row cannot be read; the message names its line.
        """
        if done.offset:
            self._skip(done)
        self.initial_fraction = self._opened.measure(self._offset) or 0.0
        while (chunk := self._read_plain_chunk(rows) or self._read_parsed_chunk(rows)) is not None:
            yield chunk

    def _read_plain_chunk(self, rows: int) -> Chunk | None:
        """Return the next chunk if every line in it is one row, else None.

        Testing this is faster than parsing the lines. If the test fails, for example because a cell is
        quoted, the caller uses `_read_parsed_chunk`.
        """
        size = count = 0
        while count < rows and size <= _CHUNK_BYTES:
            position = self._start + size
            if position == len(self._buffer):
                if self._fill():
                    continue
                break
            found = self._buffer.count(b"\n", position, position + _SCAN_BYTES)
            if count + found > rows:
                for _ in range(rows - count):
                    position = self._buffer.index(b"\n", position) + 1
                size, count = position - self._start, rows
            else:
                size, count = min(size + _SCAN_BYTES, len(self._buffer) - self._start), count + found
        end = self._start + size
        if size > _CHUNK_BYTES:
            end = self._buffer.rfind(b"\n", self._start, self._start + _CHUNK_BYTES) + 1
            count = self._buffer.count(b"\n", self._start, end)
        elif count == rows:
            end = self._buffer.rfind(b"\n", self._start, end) + 1
        elif not self._buffer.endswith(b"\n"):
            count += 1  # The last line of the file has no line end.
        raw = self._buffer[self._start : end]
        if not raw or not _is_plain(raw):
            return None
        self._consume(len(raw), count)
        first = self._line - count
        rows_read = Lines(raw if raw.endswith(b"\n") else raw + b"\n", count)
        return self._chunk(rows_read, range(first, self._line))

    def _read_parsed_chunk(self, rows: int) -> Chunk | None:
        lines: list[int] = []
        chunk: list[bytes] = []
        size = 0
        for line, record in records(self._read_lines(), self._line):
            lines.append(line)
            chunk.append(record)
            size += len(record)
            if len(chunk) == rows or size > _CHUNK_BYTES:
                break
        return self._chunk(chunk, lines) if chunk else None

    def _chunk(self, chunk: Sequence[bytes], lines: Sequence[int]) -> Chunk:
        digest = self._digest.hexdigest()
        rows = csv_rows(self.header, chunk)
        return Chunk(rows, lines, self._offset, digest, self._line, self._opened.measure(self._offset))

    def _skip(self, done: Checkpoint) -> None:
        while self._offset < done.offset and (self._start < len(self._buffer) or self._fill()):
            self._consume(min(done.offset - self._offset, len(self._buffer) - self._start), 0)
        if self._digest.hexdigest() != done.digest:
            raise OptionError(
                "{file} has changed since scoring started: start over with {overwrite}{hint}",
                file=self.name,
                hint=self._opened.hint,
            )
        self._line = done.line

    def _read_lines(self) -> Iterator[bytes]:
        while True:
            end = self._buffer.find(b"\n", self._start) + 1
            while not end:
                unread = len(self._buffer) - self._start
                if not self._fill():
                    end = len(self._buffer)
                    break
                end = self._buffer.find(b"\n", unread) + 1
            line = self._buffer[self._start : end]
            if not line:
                return
            self._consume(len(line), 1)
            yield line

    def _fill(self) -> bool:
        """Read more of the file into the buffer. Return False at the end of the file."""
        # `read1` returns the bytes that a pipe has, and `read` would wait for more.
        block = self._opened.content.read1(_BLOCK_BYTES)
        self._buffer, self._start = self._buffer[self._start :] + block, 0
        return bool(block)

    def _consume(self, size: int, lines: int) -> None:
        end = self._start + size
        self._digest.update(memoryview(self._buffer)[self._start : end])
        self._start, self._offset, self._line = end, self._offset + size, self._line + lines


def _is_plain(raw: bytes) -> bool:
    """Return whether every line of *raw* is exactly one row.

    That is so if *raw* has no quotes, no empty lines, no carriage returns within a line, and no line longer
    than the field size limit of the csv module.
    """
    if b'"' in raw or raw.startswith((b"\n", b"\r\n")) or b"\n\n" in raw:
        return False
    if b"\r" in raw and (b"\n\r\n" in raw or raw.count(b"\r") != raw.count(b"\r\n")):
        return False
    start, longest = 0, csv.field_size_limit()
    while len(raw) - start > longest:
        start = raw.rfind(b"\n", start, start + longest) + 1
        if not start:
            return False
    return True
