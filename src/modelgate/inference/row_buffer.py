"""Buffer that builds an array from parts."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RowBuffer"]


class RowBuffer:
    """Buffer that builds an array from parts.

    The result equals that of `numpy.concatenate`, but the parts need not be in memory together.

    Args:
        rows: Expected number of rows.
    """

    def __init__(self, rows: int) -> None:
        self._full: list[npt.NDArray[Any]] = []
        self._array: npt.NDArray[Any] | None = None
        self._rows = rows
        self._filled = 0

    def append(self, part: npt.NDArray[Any]) -> None:
        """Append the rows of *part*."""
        array, end = self._array, self._filled + len(part)
        if (
            array is None
            or end > len(array)
            or (part.dtype, part.shape[1:]) != (array.dtype, array.shape[1:])
        ):
            if array is not None:
                self._full.append(array[: self._filled])
                self._rows -= self._filled
            end = len(part)
            self._array = array = np.empty((max(self._rows, end), *part.shape[1:]), part.dtype)
        array[end - len(part) : end] = part
        self._filled = end

    def array(self) -> npt.NDArray[Any]:
        """Return the rows.

        Raises:
            ValueError: The rows of the parts differ in shape.
        """
        assert self._array is not None
        last = self._array[: self._filled]
        return np.concatenate([*self._full, last]) if self._full else last
