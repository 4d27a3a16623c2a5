"""Fast parsers of numbers. `float` parses lists of cells, and pandas parses the lines of a large body.

Both parsers round as `parse_text` does, but accept more: names such as ``inf``, white space, underscores
and, in pandas, short rows. So they get only plain numerals. If `parse_text` might return another result,
the functions here return None, and the caller parses the cells one by one.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Numbers", "blocks_of", "parse_numbers"]

Numbers: TypeAlias = npt.NDArray[np.float64]

LARGE = 64 * 1024
"""Size in bytes from which pandas is faster than the csv module and `float`."""

_NUMERALS = b"0123456789+-.eE,\r\n"
# "-0" is the whole number 0, as in JSON, but float parsers return -0.0.
_MINUS_ZERO = re.compile(rb"-0+(?![.eE\d])")
_MINUS_ZERO_BITS = np.float64(-0.0).view(np.int64)
_LONG_EXPONENTS = re.compile(rb"e[+-]?\d{6}"), re.compile(rb"E[+-]?\d{6}")
_WINDOW = 1 << 16


def parse_numbers(cells: list[str]) -> Numbers | None:
    """Return the numbers in *cells*, or None if `parse_text` might read some differently.

    Empty cells become NaN.
    """
    raw = "\n".join(cells).encode()
    # float() ignores line breaks around a number.
    if b"," in raw or b"\r" in raw or raw.count(b"\n") >= len(cells):
        return None
    if _Lines(raw, 0, len(raw), 1).has_unusual_numbers or (b"-0" in raw and _MINUS_ZERO.search(raw)):
        return None
    try:
        return np.array([float(cell or "nan") for cell in cells])
    except ValueError:
        return None


def blocks_of(raw: bytes, start: int, end: int, width: int, rows: int) -> Iterator[Numbers | None]:
    r"""Parse the lines of *raw* from *start* to *end*, and yield arrays of *rows* lines.

    If the remaining lines must be parsed with `parse_text`, the iterator yields None and ends.

    Args:
        raw: CSV without quotes, with ``\r`` only before ``\n``.
        start: Start of the first line.
        end: End of the last line, without its line break.
        width: Number of cells per line.
        rows: Number of lines per array; the last one may have fewer.
    """
    # Each cell and its separator take two bytes or more.
    if min(end - start, 2 * rows * width) < LARGE:
        yield None
        return
    try:
        import pandas
    except ImportError:
        yield None
        return
    lines = _Lines(raw, start, end, width)
    if lines.has_unusual_numbers or not _has_short_cells(raw, start, end):
        yield None
        return
    exact = {}
    if int(pandas.__version__.split(".")[0]) < 3:
        # Before pandas 3.0 only "round_trip" is exact. Since then all parsers are, and the option is
        # deprecated.
        exact = {"float_precision": "round_trip"}
        # Before pandas 3.0 a chunk whose first line has too many cells loses one of them without an error.
        if not lines.is_rectangular:
            yield None
            return
    options = {"header": None, "dtype": np.float64, "skip_blank_lines": False, "low_memory": False, **exact}
    try:
        # One reader for all arrays takes three quarters of the time that one reader per array takes.
        for frame in pandas.read_csv(lines, chunksize=rows, **options):  # type: ignore[call-overload]
            numbers = frame.to_numpy()
            # The array may be a read-only view of the frame, which nothing else uses.
            numbers.flags.writeable = True
            if lines.may_differ(numbers):
                yield None
                return
            yield numbers
    except ValueError:
        yield None


def _has_short_cells(raw: bytes, start: int, end: int) -> bool:
    """Return True if every block of 64 KiB contains a line break. No cell then exceeds the csv module's limit."""
    windows = range(start, end - _WINDOW, _WINDOW)
    return all(raw.find(b"\n", position, position + _WINDOW) >= 0 for position in windows)


class _Lines:
    """File object over lines of a body. pandas parses its bytes directly, without decoding them first."""

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
    def has_unusual_numbers(self) -> bool:
        """Whether the lines contain text other than numerals, or numerals that parsers read differently."""
        raw, start, end = self._raw, self._start, self._end
        return (
            any(part.translate(None, _NUMERALS) for part in self._parts())
            # A number of more than 400 digits may still be a valid float.
            or raw.find(b"0" * 90, start, end) >= 0
            or (raw.find(b"e", start, end) >= 0 and bool(_LONG_EXPONENTS[0].search(raw, start, end)))
            or (raw.find(b"E", start, end) >= 0 and bool(_LONG_EXPONENTS[1].search(raw, start, end)))
        )

    def may_differ(self, numbers: Numbers) -> bool:
        """Return whether *numbers*, parsed from these lines, may differ from the results of `parse_text`."""
        if numbers.shape[1] != self._width or (np.isnan(numbers.max()) and not self.is_rectangular):
            return True
        return bool((numbers.view(np.int64) == _MINUS_ZERO_BITS).any()) and self._has_minus_zero

    @cached_property
    def is_rectangular(self) -> bool:
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
    def _has_minus_zero(self) -> bool:
        return _MINUS_ZERO.search(self._raw, self._start, self._end) is not None

    def _parts(self) -> Iterator[bytes]:
        for position in range(self._start, self._end, _WINDOW):
            yield self._raw[position : min(position + _WINDOW, self._end)]
