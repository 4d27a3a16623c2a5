"""A file of CSV, read in chunks of whole rows."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..client.rows import Rows, csv_rows, records
from ..errors import ConfigurationError
from .checkpoint import Checkpoint
from .csv_file import CSVFile, open_csv

__all__ = ["Chunk", "Input"]

_BYTES = 4 * 1024 * 1024
_BLOCK = 1 << 20


class Chunk(NamedTuple):
    """Rows that are sent together.

    Args:
        rows: themselves.
        lines: for each, the line of the file it begins in.
        offset: where in the file, decompressed, the next chunk begins.
        digest: of the file up to there.
        line: that begins there.
        part: The part of the file that has been read, from 0 to 1.
    """

    rows: Rows
    lines: list[int]
    offset: int
    digest: str
    line: int
    part: float


class Input:
    """A file of CSV that may be larger than the memory, and compressed.

    Args:
        path: of the file.

    Attributes:
        header: Its first line.
        begun: The part of the file that was done before `chunks` began, from 0 to 1.

    Raises:
        ConfigurationError: It is empty, damaged, or of another format.
        MalformedBody: its first line cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun = 0.0
        self._size = path.stat().st_size
        self._offset, self._digest, self._line = 0, hashlib.sha256(), 1
        with open_csv(path) as opened:
            self.header = next(records(opened.content), (1, b""))[1]
        if not self.header:
            raise ConfigurationError(f"{path} is empty: a header line with the column names comes first")

    def chunks(self, rows: int, begun: Checkpoint) -> Iterator[Chunk]:
        """The chunks of at most *rows* rows that follow what is done.

        Raises:
            ConfigurationError: what is done is no longer what it was, or the file is damaged.
            MalformedBody: a row cannot be read; the message says the line.
        """
        with open_csv(self.path) as opened:
            self._skip(opened.content, begun)
            self.begun = self._part(opened)
            found = records(self._counted(opened.content), begun.line)
            if not begun.offset:
                next(found)
            lines: list[int] = []
            part: list[bytes] = []
            size = 0
            for line, record in found:
                lines.append(line)
                part.append(record)
                size += len(record)
                if len(part) == rows or size > _BYTES:
                    yield self._chunk(part, lines, opened)
                    lines, part, size = [], [], 0
            if part:
                yield self._chunk(part, lines, opened)

    def _chunk(self, part: list[bytes], lines: list[int], opened: CSVFile) -> Chunk:
        digest = self._digest.hexdigest()
        rows = csv_rows(self.header, part)
        return Chunk(rows, lines, self._offset, digest, self._line, self._part(opened))

    def _part(self, opened: CSVFile) -> float:
        # How long it is, decompressed, is not known.
        return (opened.file.tell() if opened.is_compressed else self._offset) / self._size

    def _skip(self, file: BinaryIO, begun: Checkpoint) -> None:
        left = begun.offset
        while left and (block := file.read(min(left, _BLOCK))):
            self._digest.update(block)
            left -= len(block)
        if begun.offset and self._digest.hexdigest() != begun.digest:
            raise ConfigurationError(
                f"{self.path} is no longer what it was when scoring began: --overwrite begins anew"
            )
        self._offset, self._line = begun.offset, begun.line

    def _counted(self, file: BinaryIO) -> Iterator[bytes]:
        for line in file:
            self._offset += len(line)
            self._line += 1
            self._digest.update(line)
            yield line
