"""Read passthrough columns, which are returned unchanged with the predictions."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from ..errors import InvalidInput, UnknownColumns
from .coerce import JSON_NUMBER, to_json_value
from .columns import Column
from .csv_decoder import CSV, iter_records
from .split_rows import SplitRows

__all__ = ["first_value", "read_passthrough_columns", "read_sent_values"]

MAX_VALUES = 2_000_000
"""Maximum number of values returned per request. In memory, one takes about 20 times its size in the body."""

_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_NULL = msgspec.Raw(b"null")
_Values: TypeAlias = dict[str, list[msgspec.Raw]]
_Source: TypeAlias = tuple[Collection[str], Callable[[Collection[str]], _Values]]
"""Names of all columns sent, and a function that returns the values of some of them."""


def read_passthrough_columns(rows: object, names: Sequence[str] | None) -> _Values:
    """Return the values of some columns as raw JSON, with exactly the digits that were sent.

    In CSV, an empty cell becomes null. A cell that is a valid JSON number and fits into a float64 becomes a
    number. Any other cell becomes text.

    Args:
        rows: Rows that the schema has already validated: raw JSON, `CSV` or `SplitRows`.
        names: Names of the columns, which need not be in the schema; None for all columns sent.

    Raises:
        UnknownColumns: One of the columns was not sent.
        InvalidInput: There are more than `MAX_VALUES` values.
    """
    header, values = _open(rows)
    unknown = [name for name in dict.fromkeys(names or ()) if name not in header]
    if unknown:
        raise UnknownColumns(unknown)
    return values(header if names is None else names)


def read_sent_values(rows: object, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values of a schema's columns as they were sent. Columns that were not sent are left out.

    Args:
        rows: Rows that the schema has already validated, in any form.
        names: Names of all columns of the schema, in their order.

    Returns:
        Values by column name: raw JSON as in `read_passthrough_columns`, or Python values for rows that were
        mappings. The result is empty for other forms of rows, whose sent values equal the validated values.

    Raises:
        InvalidInput: There are more than `MAX_VALUES` values.
    """
    if isinstance(rows, SplitRows) and rows.columns is None:
        rows = SplitRows(names, rows.data)
    if isinstance(rows, CSV | SplitRows | bytes | msgspec.Raw):
        header, values = _open(rows)
        return dict(values([name for name in names if name in header]))
    records = [rows] if isinstance(rows, Mapping) else rows
    if not isinstance(records, list | tuple) or not all(isinstance(row, Mapping) for row in records):
        return {}
    sent = [name for name in names if any(name in row for row in records)]
    return {name: [to_json_value(row.get(name)) for row in records] for name in sent}


def read_sent_rows(
    rows: object, columns: Sequence[Column], indices: Sequence[int]
) -> Sequence[Mapping[str, Any]]:
    """Return the rows at *indices* as they were sent: values by column name, some of them as raw JSON.

    For rows of an array or a DataFrame, the mappings are empty, because their sent values equal the validated
    values.

    Args:
        rows: Rows that the schema has already validated, in any form.
        columns: Columns of the schema.
        indices: Indices of the rows, in ascending order.
    """
    if isinstance(rows, bytes | msgspec.Raw):
        records: Sequence[Mapping[str, Any]] = _to_raw_rows(rows)
    elif isinstance(rows, CSV):
        return _read_csv_rows(rows, indices)
    elif isinstance(rows, SplitRows):
        records = rows.records([column.name for column in columns])
    else:
        records = [rows] if isinstance(rows, Mapping) else rows  # type: ignore[assignment]
        if not isinstance(records, list | tuple) or not all(isinstance(row, Mapping) for row in records):
            return [{} for _ in indices]
    return [records[index] for index in indices]


def _read_csv_rows(rows: CSV, indices: Sequence[int]) -> list[dict[str, msgspec.Raw]]:
    lines = iter_records(CSV(rows.raw.rstrip(b"\r\n"), rows.header))
    header, selected = next(lines), set(indices)
    return [
        {name: _cell_to_json(text) for name, text in zip(header, row, strict=True)}
        for index, row in enumerate(lines)
        if index in selected
    ]


def first_value(rows: Any, name: str) -> str | float | None:
    """Return the first row's value in a column, or None if it is neither text nor a number.

    The result is also None for rows that cannot be read, because validation reports their errors later.

    Args:
        rows: Rows that have not been validated.
        name: Column name, which need not be in the schema.
    """
    try:
        value = _first_row(rows).get(name)
    except Exception:
        return None
    return value if isinstance(value, str | int | float) else None


def _first_row(rows: Any) -> Mapping[str, Any]:
    if isinstance(rows, CSV):
        lines = iter_records(CSV(rows.raw.rstrip(b"\r\n"), rows.header))
        row = dict(zip(next(lines), next(lines), strict=True))
        return {name: msgspec.json.decode(_cell_to_json(text)) for name, text in row.items()}
    if isinstance(rows, SplitRows):
        return dict(zip(rows.columns or (), rows.data[0], strict=True))
    if isinstance(rows, bytes | msgspec.Raw):
        raw = bytes(rows).strip(b" \t\r\n")
        first_raw = _RAW_ITEMS.decode(raw)[0] if raw[:1] == b"[" else raw
        decoded: Mapping[str, Any] = msgspec.json.decode(first_raw)
        return decoded
    first: Mapping[str, Any] = rows if isinstance(rows, Mapping) else rows[0]
    return first


def _open(rows: Any) -> _Source:
    return _open_csv(rows) if isinstance(rows, CSV) else _open_rows(_to_raw_rows(rows))


def _open_csv(rows: CSV) -> _Source:
    lines = iter_records(CSV(rows.raw.rstrip(b"\r\n"), rows.header))
    header = next(lines)

    def read_values(names: Collection[str]) -> _Values:
        columns: _Values = {name: [] for name in names}
        targets = [(header.index(name), column) for name, column in columns.items()]
        # Parse row by row: the cells of a large body would take ten times its size in memory.
        for count, row in enumerate(lines, 1):
            _check_value_count(count * len(targets))
            for index, column in targets:
                column.append(_cell_to_json(row[index]))
        return columns

    return header, read_values


def _cell_to_json(text: str) -> msgspec.Raw:
    if not text:
        return _NULL
    # Most readers of JSON cannot represent a larger number, and some reject the whole response.
    is_number = JSON_NUMBER.fullmatch(text) and math.isfinite(float(text))
    return msgspec.Raw(text.encode() if is_number else msgspec.json.encode(text))


def _to_raw_rows(rows: Any) -> Sequence[dict[str, msgspec.Raw]]:
    if isinstance(rows, SplitRows):
        return [
            {name: msgspec.Raw(msgspec.json.encode(cell)) for name, cell in row.items()}
            for row in rows.records(rows.columns or [])
        ]
    raw = bytes(rows).strip(b" \t\r\n")
    return _ROWS.decode(raw) if raw[:1] == b"[" else [_ROW.decode(raw)]


def _open_rows(rows: Sequence[dict[str, msgspec.Raw]]) -> _Source:
    header = dict.fromkeys(name for row in rows for name in row)

    def read_values(names: Collection[str]) -> _Values:
        _check_value_count(len(rows) * len(names))
        return {name: [row.get(name, _NULL) for row in rows] for name in names}

    return header, read_values


def _check_value_count(count: int) -> None:
    if count > MAX_VALUES:
        raise InvalidInput(
            f"The response would repeat more than {MAX_VALUES} values of the request: request fewer columns,"
            " or send fewer rows"
        )
