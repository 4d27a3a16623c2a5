"""Store predictions as Arrow columns, named as in the CSV of the dialect ``native``."""

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dialects.native import Native
from ..dialects.native_rows import to_columns
from ..errors import ConfigurationError
from ..http import Request, Response
from ..inference import Prediction
from ..scoring import Query

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ArrowColumns"]

_TEXT = re.compile(r"(.*_)?explanation_\d+_value")
"""Columns stored as text, because the types of their values may differ between batches."""


class ArrowColumns(Native):
    """Dialect that stores predictions as Arrow tables, instead of encoding them.

    A response has an empty line for each row, and one for the header.

    Attributes:
        tables: Tables of the predictions, in the order in which they were made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[pyarrow.Table] = []

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """Store the columns of *prediction*."""
        import pyarrow

        columns = {name: _to_arrow(name, values) for name, values in to_columns(prediction, query)}
        self.tables.append(pyarrow.table(columns))
        return Response(200, b"\n" * (len(prediction) + 1), [])

    def encode_forecast(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """Reject forecasts, whose rows are not those of the request."""
        raise ConfigurationError(
            "deployment must not be a forecaster, because it predicts other rows than those of the dataset"
        )


def _to_arrow(name: str, values: Any) -> "pyarrow.Array":
    """Return *values* as an Arrow array. NaN and infinity become nulls, as in all wire formats."""
    import pyarrow

    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return pyarrow.array(values.astype(np.float64), mask=~np.isfinite(values))
    # A slice, because `_ContributionColumn` reads a block of rows faster than single rows.
    items = values.tolist() if isinstance(values, np.ndarray) else list(values[:])
    kinds = {type(item) for item in items} - {type(None)}
    if _TEXT.fullmatch(name) or not (len(kinds) < 2 or kinds == {int, float}):
        return pyarrow.array([None if item is None else str(item) for item in items], pyarrow.string())
    return pyarrow.array(items)
