"""Array that is filled part by part."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RowBuffer"]


class RowBuffer:
    """Array that is filled part by part, with the result of `numpy.concatenate` but without its second copy.

    Args:
        rows: Expected number of rows.
    """

    def __init__(self, rows: int) -> None:
        self._array: npt.NDArray[Any] | None = None
        self._rows = rows
        self._filled = 0

    def append(self, part: npt.NDArray[Any]) -> None:
        """Append the rows of *part*.

        Raises:
            ValueError: The rows of *part* have another shape than those before.
        """
        array, end = self._array, self._filled + len(part)
        if array is None:
            array = np.empty((max(self._rows, end), *part.shape[1:]), part.dtype)
        elif end > len(array) or part.shape[1:] != array.shape[1:]:
            array = np.concatenate([array[: self._filled], part])
        elif part.dtype != array.dtype:
            array = array.astype(np.result_type(array, part))
        array[self._filled : end] = part
        self._array, self._filled = array, end

    def array(self) -> npt.NDArray[Any]:
        """Return the rows."""
        assert self._array is not None
        return self._array[: self._filled]
