"""A file of CSV, read in chunks of whole rows."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..client.rows import Rows, csv_rows, records
from ..errors import ConfigurationError
from .checkpoint import Checkpoint

__all__ = ["Chunk", "Input"]

_BYTES = 4 * 1024 * 1024
_BLOCK = 1 << 20


class Chunk(NamedTuple):
    """Rows that are sent together.

    Args:
        rows: themselves.
        lines: for each, the line of the file it begins in.
        offset: where in the file the next chunk begins.
        digest: of the file up to there.
        line: that begins there.
    """

    rows: Rows
    lines: list[int]
    offset: int
    digest: str
    line: int


class Input:
    """A file of CSV that may be larger than the memory.

    Args:
        path: of the file.

    Raises:
        ConfigurationError: it is empty.
        MalformedBody: its first line cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._offset, self._digest, self._line = 0, hashlib.sha256(), 1
        with path.open("rb") as file:
            self.header = next(records(file), (1, b""))[1]
        if not self.header:
            raise ConfigurationError(f"{path} is empty: a header line with the column names comes first")

    def chunks(self, rows: int, begun: Checkpoint) -> Iterator[Chunk]:
        """The chunks of at most *rows* rows that follow what is done.

        Raises:
            ConfigurationError: what is done is no longer what it was.
            MalformedBody: a row cannot be read; the message says the line.
        """
        with self.path.open("rb") as file:
            self._skip(file, begun)
            found = records(self._counted(file), begun.line)
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
                    yield self._chunk(part, lines)
                    lines, part, size = [], [], 0
            if part:
                yield self._chunk(part, lines)

    def _chunk(self, part: list[bytes], lines: list[int]) -> Chunk:
        return Chunk(csv_rows(self.header, part), lines, self._offset, self._digest.hexdigest(), self._line)

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
