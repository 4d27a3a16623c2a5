"""Dtypes of training data that a column can reproduce for its model."""

from collections.abc import Mapping

import numpy as np

__all__ = ["DTYPES", "allowed_range"]

_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_CATEGORIES = ("category", "ordered category")

DTYPES: Mapping[str, tuple[str, ...]] = {
    "number": ("float16", "float32", "float64", "Float32", "Float64", "object", *_CATEGORIES),
    "integer": (
        *_INTEGERS,
        *(name.replace("i", "I").replace("u", "U") for name in _INTEGERS),
        "object",
        *_CATEGORIES,
    ),
    "boolean": ("bool", "boolean", "object", *_CATEGORIES),
    "text": ("object", "string", *_CATEGORIES),
    "datetime": (),
    "any": ("object",),
}
"""Names of the dtypes by kind of the column, as in pandas. Kinds without dtypes have options of their own."""


def allowed_range(dtype: str | None) -> tuple[float | None, float | None]:
    """Return the smallest and the largest number of *dtype*. None if it is not limited, or has 64 bits."""
    name = (dtype or "").lower()
    if name in ("float16", "float32"):
        largest = float(np.finfo(name).max)
        return -largest, largest
    if name not in _INTEGERS:
        return None, None
    limits = np.iinfo(name)
    smallest, largest = int(limits.min), int(limits.max)
    return (None if name == "int64" else smallest), (None if limits.bits == 64 else largest)
