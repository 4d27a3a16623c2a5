"""Trial call of a model before it serves: it must answer one row."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..errors import ConfigurationError, RequestError
from ..flow import contained
from ..schema import Column, Schema, Table
from .plans.made_up import MadeUp, varied_rows
from .query import Prediction, ShapeError

__all__ = ["first_answer"]

_RANDOM = 3

_STRUCTURAL = (AttributeError, LookupError, NotImplementedError, ShapeError, TypeError)
"""Errors of code that gets or gives another kind of object than expected. A value it does not know is a ValueError."""


def first_answer(
    score: Callable[[Table], Prediction], schema: Schema, sample: Table | None = None
) -> Prediction | str:
    """Return the first answer of a model to the first row of *sample*, or else to synthetic rows.

    Args:
        score: Returns the prediction for a table.
        schema: Schema of the rows.
        sample: Rows that the model must answer.

    Returns:
        The reason instead, where no synthetic row was answered and that proves nothing, see `_proves`.

    Raises:
        ConfigurationError: the model cannot answer; its own error is the cause.
    """
    errors: list[Exception] = []
    with np.errstate(all="ignore"):
        for table in _synthetic(schema) if sample is None else [sample.part(0, 1)]:
            try:
                return contained(score, table)
            except Exception as error:
                errors.append(error)
    if not errors:
        return "no synthetic row can be made from the schema"
    if sample is None and not _proves(schema.columns, errors):
        return f"no synthetic row was answered, maybe because of their values ({errors[0]!r})"
    rows = "its example" if sample is not None else f"each of {len(errors)} synthetic rows"
    raise ConfigurationError(
        f"model must answer a row of its schema (got {errors[0]!r} for {rows}):"
        " change the model or the schema, or give example=, a row that the model answers"
    ) from errors[0]


def _synthetic(schema: Schema) -> Iterator[Table]:
    """Tables of one row: the schema's example, as in training where that is known, then others."""
    for row in varied_rows(schema):
        try:
            yield schema.read([row])
        except RequestError:
            # A text with a pattern has no example.
            return
    made_up = MadeUp(schema, schema).rows(_RANDOM)
    yield from (made_up.part(at, at + 1) for at in range(_RANDOM))


def _proves(columns: Sequence[Column], errors: Sequence[Exception]) -> bool:
    """Return whether *errors*, one for each synthetic row, prove that the model answers no row at all.

    They do if the values of every column are known: levels, booleans, a value as in training. Otherwise a
    model may reject values that it does not know. The same error for values of every kind is not about
    values, unless it is a ValueError over texts: an encoder knows its categories, and the schema may not.
    """
    unknown = [
        column
        for column in columns
        if not column.levels and column.kind != "boolean" and column.typical is None
    ]
    if not unknown:
        return True
    if len({(type(error), str(error)) for error in errors}) > 1:
        return False
    # A look-up or a regular expression that finds nothing returns None.
    if "NoneType" in str(errors[0]):
        return False
    return isinstance(errors[0], _STRUCTURAL) or all(column.numeric for column in unknown)
