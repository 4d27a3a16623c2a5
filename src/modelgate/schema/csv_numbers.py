"""Many numbers at once: read by pandas from the body as it goes, or else by polars part by part.

Both round as `from_text` does, and take for a number what it does not (names, white space, and what
lacks in a short row, which is null to them). So they are given numerals alone, and where these leave
a doubt it is for others to say.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Numbers", "block_of", "blocks_of", "has_short_cells"]

Numbers: TypeAlias = npt.NDArray[np.float64]

LARGE = 64 * 1024
"""From how many bytes on a table's reader is worth its call: below, msgspec is done sooner."""

_FREED = 30 << 20
"""What is allocated and freed, and never touched, before many blocks: from then on glibc keeps that much.

Before, it gives back what each block took, and half the time of the next goes into faults, one for
each of its pages (mallopt(3), M_MMAP_THRESHOLD: at most 32 MiB).
"""

_NUMERALS = b"0123456789+-.eE,\r\n"
# "-0" is the whole number 0, as in JSON; a float parser makes -0.0 of it.
_MINUS_ZERO = re.compile(rb"-0(?![.eE\d])")
_MINUS_ZERO_BITS = np.float64(-0.0).view(np.int64)
_LONG_EXPONENTS = re.compile(rb"e[+-]?\d{6}"), re.compile(rb"E[+-]?\d{6}")
_WINDOW = 1 << 16


def blocks_of(raw: bytes, start: int, end: int, width: int, rows: int) -> Iterator[Numbers | None]:
    r"""The lines of *raw* from *start* to *end*, *rows* at a time; None and no more from where there is doubt.

    One reader for all of them takes three quarters of what one for each takes.

    Args:
        raw: CSV without quotes, and with no ``\r`` but before ``\n``.
        start: of a line.
        end: of a line, without what ends it.
        width: how many cells a line has.
        rows: how many lines an array has, but for the last.
    """
    try:
        import pandas
    except ImportError:
        yield None
        return
    lines = _Lines(raw, start, end, width)
    # A line of so many cells has twice as many bytes or more.
    if min(end - start, 2 * rows * width) < LARGE or lines.odd or not has_short_cells(raw, start, end):
        yield None
        return
    exact = {}
    if int(pandas.__version__.split(".")[0]) < 3:
        # Only "round_trip" was exact then; since 3.0 every parser is, and the option is deprecated.
        exact = {"float_precision": "round_trip"}
        # A chunk that began with a line of too many cells had no error, and lost one of them.
        if not lines.even:
            yield None
            return
    if end - start > 2 * rows * width:
        np.empty(_FREED, np.uint8)
    options = {"header": None, "dtype": np.float64, "skip_blank_lines": False, "low_memory": False, **exact}
    try:
        for frame in pandas.read_csv(lines, chunksize=rows, **options):  # type: ignore[call-overload]
            numbers = frame.to_numpy()
            # A frame may lend its block for reading alone; this one is nobody else's.
            numbers.flags.writeable = True
            if lines.leave_doubt_of(numbers):
                yield None
                return
            yield numbers
    except ValueError:
        yield None


def has_short_cells(raw: bytes, start: int, end: int) -> bool:
    """Whether no cell comes near the csv module's limit: a line ends in each 64 KiB of a long text."""
    return all(raw.find(b"\n", at, at + _WINDOW) >= 0 for at in range(start, end - _WINDOW, _WINDOW))


def block_of(lines: bytes, rows: int, width: int) -> Numbers | None:
    """The numbers in *lines*, *rows* of *width* cells, by polars; None where there is doubt."""
    try:
        import polars
    except ImportError:
        return None
    told = _Lines(lines, 0, len(lines), width)
    if len(lines) < LARGE or told.odd:
        return None
    schema = {str(at): polars.Float64 for at in range(width)}
    try:
        frame = polars.read_csv(lines, has_header=False, schema=schema)
    except polars.exceptions.PolarsError:
        return None
    numbers = frame.to_numpy(writable=True)
    return None if len(numbers) != rows or told.leave_doubt_of(numbers) else numbers


class _Lines:
    """Lines of a body, and a file of them for pandas: what is no known kind of file it does not decode."""

    def __init__(self, raw: bytes, start: int, end: int, width: int) -> None:
        self._raw, self._start, self._end, self._width = raw, start, end, width
        self._at = start

    def read(self, size: int) -> bytes:
        part = self._raw[self._at : min(self._at + size, self._end)]
        self._at += len(part)
        return part

    def __iter__(self) -> Iterator[bytes]:
        raise NotImplementedError  # by which pandas knows a file

    @property
    def odd(self) -> bool:
        """Whether there is more in them than numbers that are read alike by all."""
        raw, start, end = self._raw, self._start, self._end
        return (
            any(part.translate(None, _NUMERALS) for part in self._parts())
            # A number of more than 400 digits that is not beyond the largest float.
            or raw.find(b"0" * 90, start, end) >= 0
            or (raw.find(b"e", start, end) >= 0 and bool(_LONG_EXPONENTS[0].search(raw, start, end)))
            or (raw.find(b"E", start, end) >= 0 and bool(_LONG_EXPONENTS[1].search(raw, start, end)))
        )

    def leave_doubt_of(self, numbers: Numbers) -> bool:
        """Whether *numbers*, read from them, may be others than `from_text` makes."""
        if numbers.shape[1] != self._width or (np.isnan(numbers.max()) and not self.even):
            return True
        return bool((numbers.view(np.int64) == _MINUS_ZERO_BITS).any()) and self._has_minus_zero

    @cached_property
    def even(self) -> bool:
        """Whether each line has *width* cells."""
        unfinished = 0
        for part in self._parts():
            characters = np.frombuffer(part, np.uint8)
            commas, ends = (np.flatnonzero(characters == ord(character)) for character in ",\n")
            before = np.searchsorted(commas, ends)
            if (np.diff(before, prepend=-unfinished) != self._width - 1).any():
                return False
            unfinished = len(commas) - int(before[-1]) if len(ends) else unfinished + len(commas)
        return unfinished == self._width - 1

    @cached_property
    def _has_minus_zero(self) -> bool:
        return _MINUS_ZERO.search(self._raw, self._start, self._end) is not None

    def _parts(self) -> Iterator[bytes]:
        for at in range(self._start, self._end, _WINDOW):
            yield self._raw[at : min(at + _WINDOW, self._end)]
