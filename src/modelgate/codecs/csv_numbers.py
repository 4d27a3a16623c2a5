"""Parse numbers in CSV cells with `float`.

`float` rounds as `parse_text` does, but accepts more: names such as ``inf``, white space and underscores. So
only plain numerals are passed to `float`. If `parse_text` might return another result, `parse_numbers`
returns None, and its caller parses the cells one by one.
"""

import re
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["MINUS_ZERO", "Numbers", "has_unusual_numerals", "parse_numbers"]

Numbers: TypeAlias = npt.NDArray[np.float64]

# "-0" is the whole number 0, as in JSON, but float parsers return -0.0.
MINUS_ZERO = re.compile(rb"-0+(?![.eE\d])")

_NUMERALS = b"0123456789+-.eE\n"
_LONG_EXPONENTS = re.compile(rb"e[+-]?\d{6}"), re.compile(rb"E[+-]?\d{6}")


def parse_numbers(cells: list[str]) -> Numbers | None:
    """Return the numbers in *cells*, or None if `parse_text` might read some of the cells differently.

    Empty cells become NaN.
    """
    raw = "\n".join(cells).encode()
    # float() ignores line breaks around a number.
    if raw.translate(None, _NUMERALS) or raw.count(b"\n") >= len(cells):
        return None
    if has_unusual_numerals(raw, 0, len(raw)) or (b"-0" in raw and MINUS_ZERO.search(raw)):
        return None
    try:
        return np.array([float(cell or "nan") for cell in cells])
    except ValueError:
        return None


def has_unusual_numerals(raw: bytes, start: int, end: int) -> bool:
    """Return whether *raw*, from *start* to *end*, may contain numerals that only `parse_text` rejects."""
    return (
        # A number of more than 400 digits may still be a valid float.
        raw.find(b"0" * 90, start, end) >= 0
        or (raw.find(b"e", start, end) >= 0 and bool(_LONG_EXPONENTS[0].search(raw, start, end)))
        or (raw.find(b"E", start, end) >= 0 and bool(_LONG_EXPONENTS[1].search(raw, start, end)))
    )
