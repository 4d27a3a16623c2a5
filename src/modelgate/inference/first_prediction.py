"""Test a model with one prediction before it serves, to detect a model that cannot score any row."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..errors import ConfigurationError, RequestError
from ..flow import isolate_errors
from ..schema import Column, Schema, Table
from .checks import ShapeError
from .plans.synthetic_rows import SyntheticRows, vary_rows
from .prediction import Prediction

__all__ = ["synthetic_tables", "try_prediction"]

_RANDOM_ROWS = 3

_BOOSTING = ("xgboost", "lightgbm", "catboost")

_STRUCTURAL = (AttributeError, LookupError, NotImplementedError, ShapeError, TypeError)
"""Errors that are caused by the type or shape of an object. Unknown values usually raise ValueError."""


def try_prediction(
    score: Callable[[Table], Prediction],
    schema: Schema,
    sample: Table | None = None,
    *,
    is_estimator: bool = False,
) -> Prediction | str:
    """Return the prediction for the first row of *sample*, or for the first synthetic row that can be scored.

    Args:
        score: Function that returns the model's prediction for a table.
        schema: Schema of the rows.
        sample: Rows that the model must be able to score; None for synthetic rows.
        is_estimator: Whether the model is an estimator. If so, an error suggests the option ``input``.

    Returns:
        The prediction, or the reason why the test is inconclusive: either the model rejected all
        synthetic rows, perhaps because of their values; or no row could be made from the schema.

    Raises:
        ConfigurationError: The model cannot score. The ``__cause__`` is the error of the model.
    """
    errors: list[Exception] = []
    with np.errstate(all="ignore"):
        for table in synthetic_tables(schema) if sample is None else [sample.slice(0, 1)]:
            try:
                return isolate_errors(score, table)
            except Exception as error:
                errors.append(error)
    if not errors:
        return "no synthetic row can be made from the schema"
    if sample is None and not _prove_failure(schema.columns, errors):
        return f"the model scored no synthetic row, maybe because of the values in them ({errors[0]!r})"
    rows = "its example" if sample is not None else f"each of {len(errors)} synthetic rows"
    raise ConfigurationError(
        f"model must be able to score a row of its schema (got {errors[0]!r} for {rows}):"
        " change the model or the schema,"
        f"{' set input= to the form of rows that the model takes,' if is_estimator else ''}"
        " or set example= to a row that the model can score"
    ) from errors[0]


def synthetic_tables(schema: Schema) -> Iterator[Table]:
    """Yield tables of one row each. The first row is the example of the schema."""
    for row in vary_rows(schema):
        try:
            yield schema.read([row])
        except RequestError:
            # A text column with a pattern has no example.
            return
    table = SyntheticRows(schema, schema).rows(_RANDOM_ROWS)
    yield from (table.slice(index, index + 1) for index in range(_RANDOM_ROWS))


def _prove_failure(columns: Sequence[Column], errors: Sequence[Exception]) -> bool:
    """Return whether *errors*, one per synthetic row, prove that the model cannot score any row.

    The errors are a proof in two cases:

    - The values of every column are known to be typical: levels, booleans, or the typical value of the
      training data.
    - All errors are identical although the values differ, so the values are not the cause. If there are
      text columns, a ValueError is a proof only if it comes from XGBoost, LightGBM or CatBoost, which raise
      it for a column of the wrong dtype. Otherwise it may come from an encoder, which rejects the categories
      in synthetic rows.
    """
    unknown = [
        column
        for column in columns
        if not column.levels and column.kind != "boolean" and column.typical_value is None
    ]
    if not unknown:
        return True
    if len({(type(error), str(error)) for error in errors}) > 1:
        return False
    # The error may come from a value: dict.get() and re.match() return None if they find nothing.
    if "NoneType" in str(errors[0]):
        return False
    is_structural = isinstance(errors[0], _STRUCTURAL) or _raising_package(errors[0]) in _BOOSTING
    return is_structural or all(column.numeric for column in unknown)


def _raising_package(error: Exception) -> str:
    """Return the name of the package whose code raised *error*."""
    traceback, module = error.__traceback__, ""
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        traceback = traceback.tb_next
    return module.partition(".")[0]
