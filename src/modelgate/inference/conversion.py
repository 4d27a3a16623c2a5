"""Convert the return value of a model or a function to a prediction."""

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from .checks import check_shape, check_values
from .prediction import Output, Prediction

__all__ = ["describe_result", "output_names", "to_plain_array", "to_prediction"]


def to_prediction(
    result: Any, rows: int, target: str | Sequence[str], *, nullable: bool = False
) -> Prediction:
    """Convert the return value of a model or a handler to a prediction.

    Args:
        result: A `Prediction`; values by output name; or an array or list of shape (rows,) or
            (rows, outputs).
        rows: Number of rows scored.
        target: Name of the output, or of each output.
        nullable: Whether numbers may be NaN or infinite.

    Raises:
        ValueError: *result* has another type, has the wrong number of rows, or contains values that JSON
            cannot represent (including NaN and infinities, unless *nullable* is True).
    """
    # A copy, because the layers change it, and a function may return the same object from each call.
    prediction = result.copy() if isinstance(result, Prediction) else Prediction(_outputs(result, target))
    check_shape(prediction, rows)
    check_values(prediction, nullable=nullable)
    return prediction


def describe_result(result: object) -> str:
    """Return the type and the size of *result* for the log.

    The values are left out, because they may be private.
    """
    if result is None:
        return "None"
    size: object = getattr(result, "shape", None)
    if size is None and isinstance(result, Sized):
        size = len(result)
    return type(result).__name__ + ("" if size in (None, ()) else f" of size {size}")


def _outputs(result: Any, target: str | Sequence[str]) -> list[Output]:
    if isinstance(result, Mapping):
        return [Output(str(name), _to_array(values)) for name, values in result.items()]
    values = _to_array(result)
    if values.ndim != 2:
        return [Output(output_names(target, 1)[0], values)]
    names = output_names(target, values.shape[1])
    return [Output(name, values[:, index]) for index, name in enumerate(names)]


def _to_array(values: Any) -> npt.NDArray[Any]:
    array = to_plain_array(values)
    if array.dtype.kind == "U" and not isinstance(values, np.ndarray):
        # numpy turns [1, "a"] into ["1", "a"]; an object array preserves the types.
        array = to_plain_array(np.array(values, dtype=object))
    return array.astype(np.float64, copy=False) if array.dtype.kind == "f" else array


def to_plain_array(values: Any) -> npt.NDArray[Any]:
    """Return a copy of *values* as an array, with values converted to forms that JSON can represent.

    A copy is needed, because a model may return the same array from each call. Values without a JSON form are
    unchanged.

    Masked numbers become NaN and masked text becomes None, because `numpy.asarray` would return the values
    under the mask. NumPy scalars in an array of objects become Python objects.
    """
    if np.ma.is_masked(values):
        values = values.astype(np.float64).filled(np.nan) if values.dtype.kind in "iuf" else values.tolist()
    array = np.array(values)
    if array.dtype.kind == "O" and getattr(getattr(values, "dtype", None), "kind", "O") in "iuf":
        # pandas before 2.2 returns an array of objects for a column of numbers with missing values.
        return values.to_numpy(np.float64, na_value=np.nan)  # type: ignore[no-any-return]
    if array.dtype == np.longdouble:
        with np.errstate(over="ignore"):  # Values that are too large become infinities, which are rejected.
            return array.astype(np.float64)
    if array.dtype.kind == "O":
        items = [value.item() if isinstance(value, np.generic) else value for value in array.flat]
        return np.fromiter(items, dtype=object, count=len(items)).reshape(array.shape)
    return array


def output_names(target: str | Sequence[str], count: int) -> list[str]:
    """Return the names of *count* outputs.

    These are the names in *target* if it is a sequence of the right length. Otherwise, they are made from
    *target*, or from its first item: ``name`` for one output, and ``name_0``, ``name_1`` … for several.
    """
    if not isinstance(target, str) and len(target) == count:
        return list(target)
    stem = target if isinstance(target, str) else target[0]
    return [stem] if count == 1 else [f"{stem}_{index}" for index in range(count)]
