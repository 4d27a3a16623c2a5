"""Encode explanations as response headers and CSV columns, for several dialects."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

from ..explanations import Contribution, RowExplanation, labels_and_base_values
from ..inference import Prediction
from ..scoring import Query

__all__ = ["EXPLAINED_WEIGHT", "contribution_columns", "explanation_headers"]

EXPLAINED_WEIGHT = 20
"""Factor by which explanations multiply the memory of a request; see `Request.weigh_body`."""

_FIELDS = ("feature", "value", "strength", "qualitative_strength")


def explanation_headers(prediction: Prediction) -> Iterator[tuple[str, str]]:
    """Yield headers that describe the explanations of *prediction*, if it has any.

    The header with the base value is left out if the rows have different base values, for example because
    their explanations refer to different classes.
    """
    if prediction.explanations:
        yield "x-explanation-method", prediction.explanations[0].method
        yield "x-explanation-space", prediction.explanations[0].space
        base_values = {
            base_value
            for output in prediction.outputs
            for _, base_value in labels_and_base_values(output.explanations or ())
        }
        if len(base_values) == 1:
            yield "x-explanation-base-value", repr(base_values.pop())


def contribution_columns(
    prediction: Prediction, query: Query, names: Sequence[str]
) -> Iterator[tuple[str, Sequence[Any]]]:
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
        read = lru_cache(maxsize=1)(partial(_read_contributions, output.explanations or ()))
        for index in range(count):
            for name, field in zip(names, _FIELDS, strict=True):
                yield (
                    prefix + name.format(index + 1),
                    _ContributionColumn(read, len(prediction), index, field),
                )


def _read_contributions(
    explanations: Sequence[RowExplanation], start: int, stop: int
) -> list[Sequence[Contribution]]:
    return [explanation.contributions or () for explanation in explanations[start:stop]]


class _ContributionColumn(Sequence[Any]):
    """Field of one contribution of each row.

    Args:
        read: Function that returns the contributions of the rows from one index up to another.
        rows: Number of rows.
        index: Index of the contribution.
        field: Attribute of the contribution.
    """

    def __init__(
        self, read: Callable[[int, int], Sequence[Sequence[Contribution]]], rows: int, index: int, field: str
    ) -> None:
        self._read, self._rows = read, rows
        self._index, self._field = index, field

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, rows: Any) -> Any:
        if not isinstance(rows, slice):
            row = range(self._rows)[rows]
            return self[row : row + 1][0]
        start, stop, _ = rows.indices(self._rows)
        contributions = self._read(start, stop)
        return [
            getattr(row[self._index], self._field) if self._index < len(row) else None
            for row in contributions
        ]
