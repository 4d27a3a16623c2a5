"""Encode explanations as response headers and CSV columns, for several dialects."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..inference import Prediction
from ..scoring import Query

__all__ = ["EXPLAINED_WEIGHT", "contribution_columns", "explanation_headers"]

EXPLAINED_WEIGHT = 20
"""Memory of a request with explanations, as a multiple of that without. See `Request.weigh_body`."""

_FIELDS = ("feature", "value", "strength", "qualitative_strength")


def explanation_headers(prediction: Prediction) -> Iterator[tuple[str, str]]:
    """Yield headers that describe the explanations of *prediction*, if it has any.

    The header with the base value is left out if the rows have different base values, for example because
    they explain different classes.
    """
    explanations = [row for output in prediction.outputs for row in output.explanations or ()]
    if explanations:
        yield "x-explanation-method", explanations[0].method
        yield "x-explanation-space", explanations[0].space
        base_values = {explanation.base_value for explanation in explanations}
        if len(base_values) == 1:
            yield "x-explanation-base-value", repr(base_values.pop())


def contribution_columns(
    prediction: Prediction, query: Query, names: Sequence[str]
) -> Iterator[tuple[str, list[Any]]]:
    """Yield the CSV columns of explanations, if *query* requests explanations.

    There are columns for as many contributions as a row can have. Rows with fewer contributions have empty
    cells. If there are several outputs, column names begin with the name of the output and ``_``.

    Args:
        prediction: Prediction with explanations.
        query: Query of the request.
        names: Names of the columns for the feature, its value, its strength and its qualitative strength.
            ``{}`` stands for the number of the contribution, from 1.
    """
    if query.explain is None or query.table is None:
        return
    count = min(query.explain.count, len(list(query.table)))
    for output in prediction.outputs:
        prefix = f"{output.name}_" if len(prediction.outputs) > 1 else ""
        rows = [explanation.contributions or () for explanation in output.explanations or ()]
        for index in range(count):
            contributions = [row[index] if index < len(row) else None for row in rows]
            for name, field in zip(names, _FIELDS, strict=True):
                values = [None if item is None else getattr(item, field) for item in contributions]
                yield prefix + name.format(index + 1), values
