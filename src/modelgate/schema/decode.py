"""Rows in, a table out. To decode is to validate.

A schema is compiled once into a typed msgspec decoder that takes raw JSON to checked values in one
pass. What it accepts is a subset of what `check` accepts, which goes cell by cell, knows every rule
and reports every fault; it runs only where the fast pass refuses.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from ..errors import InvalidValues, MalformedBody, MissingColumns
from ..strict_json import decode_json, refuse_deep_nesting, refuse_duplicate_names
from .columns import EXACT, Column
from .table import Table

__all__ = ["Decoder", "check"]

_ANY: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder()

_TYPES: dict[str, Any] = {
    "number": float,
    "integer": Annotated[int, msgspec.Meta(ge=-EXACT, le=EXACT)],
    "boolean": bool,
    "text": str,
}

_SHOWN_ROWS = 5


class Decoder:
    """A schema's columns, compiled.

    Args:
        columns: in the order of the schema.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        # Numbers first: a decoded row is then cut in two at one place.
        ordered = [c for c in columns if c.kind != "text"] + [c for c in columns if c.kind == "text"]
        self._numeric = sum(column.kind != "text" for column in columns)
        self._optional = not all(column.required for column in columns)
        # What msgspec cannot hold (levels of floats or booleans, names that JSON escapes) is left to `check`.
        self._fast = all(map(_holdable, columns))
        row = _row_type(ordered) if self._fast else object
        self._row: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._rows: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def __call__(self, raw: bytes) -> Table:
        """The table of *raw*, a JSON object (one row) or an array of objects.

        Raises:
            MalformedBody: it is not JSON, or not rows.
            MissingColumns, InvalidValues: it breaks the schema.
        """
        table = self._decode(raw) if self._fast else None
        return table if table is not None else self._check(raw)

    def _decode(self, raw: bytes) -> Table | None:
        try:
            decoded = self._rows.decode(raw) if raw[:1] == b"[" else [self._row.decode(raw)]
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
        rows = [msgspec.structs.astuple(row) for row in decoded]
        cells = len(rows) * len(self._columns)
        if self._optional:
            cells -= sum(value is msgspec.UNSET for row in rows for value in row)
            rows = [tuple(None if value is msgspec.UNSET else value for value in row) for row in rows]
        # As many colons as cells: no name stands twice. As many brackets as rows: nothing is nested.
        # Nor is there then a member nobody asked for, whose value the decoder would have skipped.
        if raw.count(b":") != cells or raw.count(b"{") != len(rows) or raw.count(b"[") > 1:
            return None
        return self._table(rows)

    def _table(self, rows: list[tuple[Any, ...]]) -> Table:
        numeric = self._numeric
        numbers = np.array([row[:numeric] for row in rows], dtype=np.float64).reshape(len(rows), numeric)
        texts = [[row[at] for row in rows] for at in range(numeric, len(self._columns))]
        return Table(self._columns, numbers, texts)

    def _check(self, raw: bytes) -> Table:
        value = decode_json(raw, _ANY)
        refuse_duplicate_names(raw, _members(value))
        refuse_deep_nesting(value)
        return check(self._columns, value if isinstance(value, list) else [value])


def _row_type(columns: Sequence[Column]) -> Any:
    return msgspec.defstruct(
        "Row",
        [_field(at, column) for at, column in enumerate(columns)],
        rename={f"f{at}": column.name for at, column in enumerate(columns)},
        kw_only=True,
        gc=False,
    )


def _holdable(column: Column) -> bool:
    plain = msgspec.json.encode(column.name) == b'"%s"' % column.name.encode("utf-8", "replace")
    return plain and (column.levels is None or column.kind in ("text", "integer"))


def _field(at: int, column: Column) -> Any:
    kind = _TYPES[column.kind]
    if column.levels is not None and column.kind in ("text", "integer"):
        kind = Literal[tuple(column.levels)]
    if column.nullable:
        kind = kind | None
    return (f"f{at}", kind) if column.required else (f"f{at}", kind | msgspec.UnsetType, msgspec.UNSET)


def _members(value: object) -> int:
    rows = value if isinstance(value, list) else [value]
    return sum(len(row) for row in rows if isinstance(row, dict))


def check(columns: Sequence[Column], rows: Sequence[object]) -> Table:
    """The table of *rows*, checked cell by cell.

    Raises:
        MalformedBody: a row is not an object.
        MissingColumns: naming all that are missing from one row or more, in the schema's order.
        InvalidValues: naming every column with a wrong value, and its first rows.
    """
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise MalformedBody(f"Row {at} is not an object of column names and values")
    missing, faults = [], {}
    for column in columns:
        values = [row.get(column.name, ...) for row in rows]  # type: ignore[attr-defined]
        if column.required and ... in values:
            missing.append(column.name)
        found = [(at, column.fault(value)) for at, value in enumerate(values) if value is not ...]
        wrong = [(at, fault) for at, fault in found if fault is not None]
        if wrong:
            faults[column.name] = _told(wrong, len(rows))
    if missing:
        raise MissingColumns(missing, faults)
    if faults:
        raise InvalidValues(faults)
    return _assemble(columns, rows)  # type: ignore[arg-type]


def _told(wrong: list[tuple[int, str]], rows: int) -> str:
    rule = wrong[0][1]
    if rows == 1:
        return rule
    shown = ", ".join(str(at) for at, _ in wrong[:_SHOWN_ROWS])
    more = len(wrong) - _SHOWN_ROWS
    return f"{rule} (row {shown}" + (f" and {more} more)" if more > 0 else ")")


def _assemble(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Table:
    numeric = [column.name for column in columns if column.kind != "text"]
    numbers = np.array([[row.get(name) for name in numeric] for row in rows], dtype=np.float64)
    texts = [[row.get(column.name) for row in rows] for column in columns if column.kind == "text"]
    return Table(columns, numbers.reshape(len(rows), len(numeric)), texts)
