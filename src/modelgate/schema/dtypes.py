"""Dtypes of columns that a model receives. They can be restored from the training data."""

from collections.abc import Mapping

import numpy as np

__all__ = ["DTYPES", "find_dtype_problem", "narrow_range"]

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
"""dtypes that each kind of column may have, with their names in pandas.

A kind without dtypes does not have the option *dtype*."""


def find_dtype_problem(
    kind: str, dtype: str | None, missing_value: str | None, *, has_levels: bool
) -> tuple[str, str] | None:
    """Check the options *dtype* and *missing_value* of a `Column`.

    Return the name of the invalid option and the values that it accepts, or None if both options are valid.
    """
    if dtype is None:
        return None if missing_value is None else ("missing_value", "left out without a dtype")
    dtypes = DTYPES.get(kind, ())
    if dtype not in dtypes:
        accepted = f"one of {', '.join(dtypes)}" if dtypes else "left out"
        return "dtype", f"{accepted} for the kind {kind}"
    if dtype in _CATEGORIES and not has_levels:
        return "dtype", "left out for a column without levels"
    if missing_value not in (None, "None", "NaN") or (missing_value is not None and dtype != "object"):
        return "missing_value", "'None' or 'NaN' for the dtype object, and left out for other dtypes"
    return None


def narrow_range(
    dtype: str | None, minimum: float | None, maximum: float | None
) -> tuple[float | None, float | None]:
    """Return the bounds of a column, narrowed to the numbers that *dtype* can store.

    A bound is None if there is no limit. The limits of 64-bit integers are not used, except the
    minimum 0 of ``uint64``.
    """
    name = (dtype or "").lower()
    low: float | None = None
    high: float | None = None
    if name in ("float16", "float32"):
        high = float(np.finfo(name).max)
        low = -high
    elif name in _INTEGERS:
        limits = np.iinfo(name)
        low = None if name == "int64" else int(limits.min)
        high = None if limits.bits == 64 else int(limits.max)
    minimum = low if minimum is None else minimum if low is None else max(low, minimum)
    maximum = high if maximum is None else maximum if high is None else min(high, maximum)
    return minimum, maximum
