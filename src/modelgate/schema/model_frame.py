"""Convert tables to DataFrames with the columns and dtypes of the training data."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .table import Table

if TYPE_CHECKING:
    import pandas

__all__ = ["FrameConverter", "restore_integers"]


class FrameConverter:
    """Converter from tables to DataFrames with the columns and dtypes that a model expects.

    Args:
        names: Column names, in the order of the model.
        none: Text columns in which null is None, not NaN.
        plain: Text columns with the default text dtype of pandas.
        categories: Levels of the columns with the category dtype, by column.
        ordered: Columns whose categories are ordered.
        integers: Columns whose whole numbers must be integers, not floats.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        none: Collection[str],
        plain: Collection[str],
        categories: Mapping[str, npt.NDArray[Any]],
        ordered: Collection[str],
        integers: Sequence[str],
    ) -> None:
        self._names = list(names)
        self._none = none
        self._plain = plain
        self._categories = {
            name: _CategoryConverter(levels, ordered=name in ordered) for name, levels in categories.items()
        }
        self._integers = integers

    def __call__(self, table: Table) -> "pandas.DataFrame":
        """Return a new DataFrame with the rows of *table*."""
        frame = table.to_pandas(self._none, plain=self._plain)
        if list(frame.columns) != self._names:
            frame = frame[self._names]
        for name, convert in self._categories.items():
            frame[name] = convert(table[name].tolist())
        for name in self._integers:
            frame[name] = np.array(restore_integers(frame[name].tolist()), dtype=object)
        return frame


class _CategoryConverter:
    """Converter from values to the category dtype with *levels*.

    Values that are not among *levels* become additional categories, which the model handles as unknown.
    """

    def __init__(self, levels: npt.NDArray[Any], *, ordered: bool) -> None:
        import pandas

        self._levels = levels
        self._dtype = pandas.CategoricalDtype(pandas.Index(levels), ordered)
        self._codes = {level: code for code, level in enumerate(levels.tolist())}

    def __call__(self, values: Sequence[Any]) -> "pandas.Categorical":
        import pandas

        codes, dtype = self._codes, self._dtype
        unknown = [value for value in values if value not in codes and value is not None and value == value]
        if unknown:
            levels = [*codes, *dict.fromkeys(unknown)]
            dtype = pandas.CategoricalDtype(
                pandas.Index(np.array(levels, dtype=self._levels.dtype)), dtype.ordered
            )
            codes = {level: code for code, level in enumerate(levels)}
        return pandas.Categorical.from_codes([codes.get(value, -1) for value in values], dtype=dtype)


def restore_integers(values: Iterable[Any]) -> list[Any]:
    """Return *values* with whole numbers such as 3.0 converted to integers."""
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
