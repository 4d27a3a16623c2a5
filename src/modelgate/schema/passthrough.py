"""Read passthrough columns, which are returned unchanged with the predictions."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any, TypeAlias

import msgspec

from ..codecs.json import LARGE
from ..codecs.json_items import split_items
from ..codecs.raw_values import RawValues
from ..errors import InvalidInput, UnknownColumns
from .coerce import JSON_NUMBER
from .columns import Column
from .csv_decoder import CSV, iter_records
from .split_rows import SplitRows

__all__ = ["first_value", "read_passthrough_columns", "read_sent_rows"]

MAX_VALUES = 2_000_000
"""Maximum number of values returned per request."""

_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_NULL = msgspec.Raw(b"null")
_Values: TypeAlias = dict[str, RawValues]
_Source: TypeAlias = tuple[Collection[str], Callable[[Collection[str]], _Values]]
"""Names of all columns sent, and a function that returns the values of some of them."""


def read_passthrough_columns(rows: object, names: Sequence[str] | None) -> _Values:
    """Return the values of some columns as raw JSON.

    Numbers in raw JSON and in CSV keep exactly the digits that were sent. In CSV, an empty cell becomes null.
    A cell that is a valid JSON number and fits into a float64 becomes a number. Any other cell becomes text.

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


def read_sent_rows(
    rows: object, columns: Sequence[Column], indices: Collection[int]
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows at *indices* as they were sent: values by column name, some of them as raw JSON.

    For rows of an array or a DataFrame, the mappings are empty, because their sent values equal the validated
    values.

    Args:
        rows: Rows that the schema has already validated, in any form.
        columns: Columns of the schema.
        indices: Indices of the rows, in ascending order.
    """
    sent: Iterable[Mapping[str, Any]]
    if isinstance(rows, bytes | msgspec.Raw):
        sent = _iter_raw_rows(rows)
    elif isinstance(rows, CSV):
        sent = _iter_csv_rows(rows)
    elif isinstance(rows, SplitRows):
        sent = rows.records([column.name for column in columns])
    else:
        records = [rows] if isinstance(rows, Mapping) else rows
        is_records = isinstance(records, list | tuple) and all(isinstance(row, Mapping) for row in records)
        sent = records if is_records else repeat({})  # type: ignore[assignment]
    selected = frozenset(indices)
    return (
        row
        for index, row in zip(range(max(indices, default=-1) + 1), sent, strict=False)
        if index in selected
    )


def _iter_csv_rows(rows: CSV) -> Iterator[dict[str, msgspec.Raw]]:
    lines = iter_records(CSV(rows.raw.rstrip(b"\r\n"), rows.header))
    header = next(lines)
    for row in lines:
        yield {name: _cell_to_json(text) for name, text in zip(header, row, strict=True)}


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
    return _open_csv(rows) if isinstance(rows, CSV) else _open_rows(partial(_iter_raw_rows, rows))


def _open_csv(rows: CSV) -> _Source:
    lines = iter_records(CSV(rows.raw.rstrip(b"\r\n"), rows.header))
    header = next(lines)

    def read_values(names: Collection[str]) -> _Values:
        columns = {name: RawValues() for name in names}
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


def _iter_raw_rows(rows: Any) -> Iterable[dict[str, msgspec.Raw]]:
    if isinstance(rows, SplitRows):
        return [
            {name: msgspec.Raw(msgspec.json.encode(cell)) for name, cell in row.items()}
            for row in rows.records(rows.columns or [])
        ]
    raw = bytes(rows).strip(b" \t\r\n")
    if raw[:1] != b"[":
        return [_ROW.decode(raw)]
    return chain.from_iterable(map(_ROWS.decode, split_items(raw, LARGE)))


def _open_rows(iterate: Callable[[], Iterable[dict[str, msgspec.Raw]]]) -> _Source:
    header, count = dict[str, None](), 0
    for row in iterate():
        header |= dict.fromkeys(row)
        count += 1

    def read_values(names: Collection[str]) -> _Values:
        _check_value_count(count * len(names))
        columns = {name: RawValues() for name in names}
        # Row by row, as above.
        for row in iterate():
            for name, column in columns.items():
                column.append(row.get(name, _NULL))
        return columns

    return header, read_values


def _check_value_count(count: int) -> None:
    if count > MAX_VALUES:
        raise InvalidInput(
            f"The response would repeat more than {MAX_VALUES} values of the request: request fewer columns,"
            " or send fewer rows"
        )
