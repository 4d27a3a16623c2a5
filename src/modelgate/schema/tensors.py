"""Parse tensors, which are nested arrays of numbers with a fixed shape."""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["is_shape", "parse_tensor", "tensor_rule"]

_MAX_SIZE = 10_000_000


def is_shape(shape: object) -> bool:
    """Return whether *shape* is a tuple of whole numbers above 0 with at most ten million elements in total."""
    if not isinstance(shape, tuple) or not shape:
        return False
    size = 1
    for length in shape:
        if type(length) is not int or length < 1:
            return False
        size *= length
    return size <= _MAX_SIZE


def parse_tensor(value: object, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return *value*, nested lists of numbers or an array, as a float64 array of *shape*.

    A tensor of one element may also be a number.

    Raises:
        ValueError: *value* has another shape, or contains a value that is not a finite number. The message is
            `tensor_rule`.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and math.prod(shape) == 1:
        value = np.full(shape, value)
    try:
        # Unlike numpy, msgspec does not count booleans and texts as numbers.
        nested = value if isinstance(value, np.ndarray) else msgspec.convert(value, _nested_type(len(shape)))
        array = np.array(nested, dtype=np.float64)
    except (msgspec.ValidationError, ValueError, TypeError, OverflowError, RecursionError):
        array = np.empty(0)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(tensor_rule(shape))
    return array


def tensor_rule(shape: tuple[int, ...]) -> str:
    """Return the requirement for a value of a tensor column, as shown to the caller."""
    return f"must be nested arrays of numbers of the shape {list(shape)}"


def _nested_type(depth: int) -> Any:
    nested: Any = float
    for _ in range(depth):
        nested = list[nested]
    return nested
