"""Parse large CSV bodies with pandas.

pandas rounds numbers as `parse_text` does, but accepts more forms of numbers. If `parse_text` might return
another result, `parse_blocks` yields None, and its caller parses the remaining lines in another way.
"""

import codecs
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from .csv_numbers import MINUS_ZERO, Numbers, has_unusual_numerals

__all__ = ["Block", "parse_blocks"]

Block: TypeAlias = tuple[Numbers, Mapping[int, list[str]]]
"""Columns of numbers, as an array of shape (rows, columns), and cells of the other columns by position."""

LARGE = 64 * 1024
"""Size in bytes from which pandas is faster than the csv module and `float`."""

_MINUS_ZERO_BITS = np.float64(-0.0).view(np.int64)
_WINDOW = 1 << 16


def parse_blocks(
    raw: bytes, start: int, end: int, width: int, rows: int, numeric: Sequence[int]
) -> Iterator[Block | None]:
    r"""Parse the lines of *raw* from *start* to *end*, and yield blocks of *rows* lines.

    If the remaining lines must be parsed with `parse_text`, the iterator yields None and ends.

    Args:
        raw: CSV in UTF-8 without quotes, with ``\r`` only before ``\n``.
        start: Start of the first line.
        end: End of the last line, without its line break.
        width: Number of cells per line, at least 2.
        rows: Number of lines per block; the last block may have fewer.
        numeric: Positions of the columns of numbers.
    """
    # A cell and its separator usually take two bytes or more.
    if min(end - start, 2 * rows * width) < LARGE:
        yield None
        return
    try:
        import pandas
    except ImportError:
        yield None
        return
    lines = _Lines(raw, start, end, width)
    if lines.are_unusual:
        yield None
        return
    options: dict[str, Any] = {
        "header": None,
        "dtype": dict.fromkeys(range(width), object) | dict.fromkeys(numeric, np.float64),
        "keep_default_na": False,
        "na_values": {position: [""] for position in numeric},
        "skip_blank_lines": False,
        "low_memory": False,
    }
    if int(pandas.__version__.split(".")[0]) < 3:
        # Before pandas 3.0, only "round_trip" is exact. Since then, all parsers are exact, and the option is
        # deprecated.
        options["float_precision"] = "round_trip"
    only_numbers = list(numeric) == list(range(width))
    texts = sorted(set(range(width)).difference(numeric))
    try:
        # One reader for all blocks takes three quarters of the time that one reader per block takes.
        frames = pandas.read_csv(lines, chunksize=rows, **options)  # type: ignore[call-overload]
        for index, frame in enumerate(frames):
            start = lines.skip(start, rows) if index else start
            if frame.shape[1] != width:
                yield None
                return
            numbers = (frame if only_numbers else frame[list(numeric)]).to_numpy(np.float64)
            cells = {position: frame[position].tolist() for position in texts}
            # A line that is too short looks like one whose last cells are empty.
            may_be_short = "" in cells[width - 1] if width - 1 in cells else frame[width - 1].hasnans
            if (may_be_short and not lines.are_rectangular) or lines.may_differ(numbers, numeric, start):
                yield None
                return
            # The array may be a read-only view of the frame, which nothing else uses.
            numbers.flags.writeable = True
            yield numbers, cells
    except ValueError:
        yield None


class _Lines:
    """File object for lines of a body. pandas parses the bytes of a file without decoding them first."""

    def __init__(self, raw: bytes, start: int, end: int, width: int) -> None:
        self._raw, self._start, self._end, self._width = raw, start, end, width
        self._position = start

    def read(self, size: int) -> bytes:
        part = self._raw[self._position : min(self._position + size, self._end)]
        self._position += len(part)
        return part

    def __iter__(self) -> Iterator[bytes]:
        raise NotImplementedError  # pandas requires this method of a file, but does not call it.

    @property
    def are_unusual(self) -> bool:
        """Whether the lines may contain cells that pandas and `parse_text` read differently."""
        raw, start, end = self._raw, self._start, self._end
        windows = range(start, end - _WINDOW, _WINDOW)
        return (
            has_unusual_numerals(raw, start, end)
            # pandas ignores these around a number, and a byte order mark before the first cell.
            or any(raw.find(character, start, end) >= 0 for character in (b"\v", b"\f"))
            or raw.startswith(codecs.BOM_UTF8, start)
            # A cell may exceed the limit of the csv module.
            or any(raw.find(b"\n", position, position + _WINDOW) < 0 for position in windows)
        )

    def skip(self, position: int, count: int) -> int:
        """Skip *count* lines from the offset *position*, and return the offset of the next line."""
        while count:
            window = np.frombuffer(self._raw[position : position + _WINDOW], np.uint8)
            line_ends = np.flatnonzero(window == ord("\n"))
            if len(line_ends) >= count:
                return position + int(line_ends[count - 1]) + 1
            position, count = position + _WINDOW, count - len(line_ends)
        return position

    def may_differ(self, numbers: Numbers, numeric: Sequence[int], start: int) -> bool:
        """Return whether *numbers*, parsed from a block of lines, may differ from the results of `parse_text`.

        Args:
            numbers: Numbers in the block.
            numeric: Positions of the columns of numbers.
            start: Start of the first line.
        """
        if (numbers.view(np.int64) == _MINUS_ZERO_BITS).any() and self._have_minus_zero:
            return True
        with_null = np.isnan(numbers[0]).any()
        first_numbers = np.isnan(numbers).argmin(axis=0).tolist() if with_null else [0] * len(numeric)
        for row in {0, *first_numbers}:
            cells = self._cells_at(self.skip(start, row))
            # Before pandas 3.0 a block whose first line has too many cells loses one of them without an error.
            if len(cells) != self._width:
                return True
            # If all cells of a column are "true", "false" or empty, pandas reads 1, 0 and NaN.
            columns = [column for column, first in zip(numeric, first_numbers, strict=True) if first == row]
            if any(cells[column].strip().isalpha() for column in columns):
                return True
        return False

    def _cells_at(self, position: int) -> list[bytes]:
        line_end = self._raw.find(b"\n", position, self._end)
        return self._raw[position : line_end if line_end >= 0 else self._end].split(b",")

    @cached_property
    def are_rectangular(self) -> bool:
        """Whether each line has *width* cells."""
        # Number of commas since the last line break.
        unfinished = 0
        for part in self._parts():
            characters = np.frombuffer(part, np.uint8)
            commas, line_ends = (np.flatnonzero(characters == ord(character)) for character in ",\n")
            commas_before = np.searchsorted(commas, line_ends)
            if (np.diff(commas_before, prepend=-unfinished) != self._width - 1).any():
                return False
            if len(line_ends):
                unfinished = len(commas) - int(commas_before[-1])
            else:
                unfinished += len(commas)
        return unfinished == self._width - 1

    @cached_property
    def _have_minus_zero(self) -> bool:
        return MINUS_ZERO.search(self._raw, self._start, self._end) is not None

    def _parts(self) -> Iterator[bytes]:
        for position in range(self._start, self._end, _WINDOW):
            yield self._raw[position : min(position + _WINDOW, self._end)]
