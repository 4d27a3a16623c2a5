"""Columns given back to the caller as they came."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from ..errors import InvalidInput, UnknownColumns
from .coerce import JSON_NUMBER
from .csv_rows import CSV, records
from .rows import Split

__all__ = ["first_value", "kept_columns"]

MOST_KEPT = 2_000_000
"""How many values are given back at once: each takes twenty times the bytes it was sent in."""

_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_APART = msgspec.json.Decoder(list[msgspec.Raw])
_NULL = msgspec.Raw(b"null")
_Kept: TypeAlias = dict[str, list[msgspec.Raw]]
_Columns: TypeAlias = tuple[Collection[str], Callable[[Collection[str]], _Kept]]
"""The names there are, and what gives the values of some."""


def kept_columns(rows: object, names: Sequence[str] | None) -> _Kept:
    """The values of some columns, a row each, as raw JSON: digit for digit what was sent.

    A cell of CSV is a number where JSON would read it as one, null where it is empty, and else text.

    Args:
        rows: what a schema has read: raw JSON, `CSV` or `Split`.
        names: of the columns, whether or not the schema has them; None for all that were sent.

    Raises:
        UnknownColumns: some of them were not sent.
        InvalidInput: they are more than `MOST_KEPT` values together.
    """
    header, values = _of_csv(rows.raw) if isinstance(rows, CSV) else _of_rows(_rows(rows))
    unknown = [name for name in dict.fromkeys(names or ()) if name not in header]
    if unknown:
        raise UnknownColumns(unknown)
    return values(header if names is None else names)


def first_value(rows: Any, name: str) -> str | float | None:
    """What the first row has in a column; None where that is no text and no number.

    Rows that cannot be read have nothing there: what is wrong with them a schema tells.

    Args:
        rows: what a schema is to read.
        name: of the column, whether or not the schema has it.
    """
    try:
        value = _first_row(rows).get(name)
    except Exception:
        return None
    return value if isinstance(value, str | int | float) else None


def _first_row(rows: Any) -> Mapping[str, Any]:
    if isinstance(rows, CSV):
        found = records(rows.raw.rstrip(b"\r\n"))
        row = dict(zip(next(found), next(found), strict=True))
        return {name: msgspec.json.decode(_cell(text)) for name, text in row.items()}
    if isinstance(rows, Split):
        return dict(zip(rows.columns or (), rows.data[0], strict=True))
    if isinstance(rows, bytes | msgspec.Raw):
        raw = bytes(rows).strip(b" \t\r\n")
        told: Mapping[str, Any] = msgspec.json.decode(_APART.decode(raw)[0] if raw[:1] == b"[" else raw)
        return told
    first: Mapping[str, Any] = rows if isinstance(rows, Mapping) else rows[0]
    return first


def _of_csv(raw: bytes) -> _Columns:
    found = records(raw.rstrip(b"\r\n"))
    header = next(found)

    def values(names: Collection[str]) -> _Kept:
        columns: _Kept = {name: [] for name in names}
        places = [(header.index(name), columns[name]) for name in columns]
        # Row by row: all cells of a large body at once take ten times its bytes.
        for count, row in enumerate(found, 1):
            _refuse_many(count * len(places))
            for at, column in places:
                column.append(_cell(row[at]))
        return columns

    return header, values


def _cell(text: str) -> msgspec.Raw:
    if not text:
        return _NULL
    return msgspec.Raw(text.encode() if JSON_NUMBER.fullmatch(text) else msgspec.json.encode(text))


def _rows(rows: Any) -> Sequence[dict[str, msgspec.Raw]]:
    if isinstance(rows, Split):
        named = rows.records(rows.columns or [])
        return [{name: msgspec.Raw(msgspec.json.encode(cell)) for name, cell in row.items()} for row in named]
    raw = bytes(rows).strip(b" \t\r\n")
    return _ROWS.decode(raw) if raw[:1] == b"[" else [_ROW.decode(raw)]


def _of_rows(rows: Sequence[dict[str, msgspec.Raw]]) -> _Columns:
    header = dict.fromkeys(name for row in rows for name in row)

    def values(names: Collection[str]) -> _Kept:
        _refuse_many(len(rows) * len(names))
        return {name: [row.get(name, _NULL) for row in rows] for name in names}

    return header, values


def _refuse_many(values: int) -> None:
    if values > MOST_KEPT:
        raise InvalidInput(
            f"More than {MOST_KEPT} values to give back: ask for fewer columns, or send fewer rows"
        )
