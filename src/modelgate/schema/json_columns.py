"""Decode rows that were sent as a JSON object of columns.

Each column is an array of values, or an object of values by row number.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from ..codecs.json import decode_json, reject_duplicate_names
from ..errors import InvalidInput, MalformedBody
from .split_rows import LazyRows, SplitRows

__all__ = ["rows_from_columns"]

_COLUMNS: "msgspec.json.Decoder[dict[str, Sequence[Any] | dict[str, Any]]]" = msgspec.json.Decoder(
    dict[str, list[Any] | dict[str, Any]]
)
_ROW_NUMBER = re.compile(r"-?\d+", re.ASCII)


def rows_from_columns(raw: bytes) -> SplitRows:
    """Decode ``{"age": [41, 20]}``, or ``{"age": {"0": 41, "1": 20}}`` as pandas' ``to_json`` writes it.

    ``{"columns": ["age"], "index": [0, 1], "data": [[41], [20]]}``, from ``to_json(orient="split")``, is
    decoded, too. An ``index`` may be left out.

    Raises:
        MalformedBody: *raw* is not such an object, or names a column or row twice.
        InvalidInput: There are no columns, or the columns have different rows.
    """
    columns = decode_json(raw, _COLUMNS)
    by_number = [column for column in columns.values() if isinstance(column, dict)]
    reject_duplicate_names(raw, len(columns) + sum(map(len, by_number)))
    if columns.keys() - {"index"} == {"columns", "data"} and not by_number:
        names, data = columns["columns"], columns["data"]
        if data and all(isinstance(row, list) for row in data):
            return SplitRows([str(name) for name in names], list(data))
    if len(by_number) not in (0, len(columns)) or not all(
        map(_ROW_NUMBER.fullmatch, by_number[0] if by_number else ())
    ):
        raise MalformedBody("Send each column as an array, or as an object of values by row number")
    rows = {frozenset(column) if isinstance(column, dict) else len(column) for column in columns.values()}
    if len(rows) != 1:
        raise InvalidInput(
            "An object of columns must have the same rows in each column: send arrays of the same length, or"
            " objects with the same row numbers"
        )
    numbers = by_number[0] if by_number else ()
    values = [
        [column[number] for number in numbers] if isinstance(column, dict) else column
        for column in columns.values()
    ]
    return SplitRows(list(columns), LazyRows(len(values[0]), partial(_transpose, values)))


def _transpose(columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*columns, strict=True))
