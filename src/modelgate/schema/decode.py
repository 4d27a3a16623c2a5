"""Raw JSON rows in, a table out. To decode is to validate.

A schema is compiled once into a typed msgspec decoder that takes raw JSON to checked values in one
pass. What it accepts is a part of what `check` accepts, which runs only where the typed pass
refuses, and tells every fault.
"""

import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ..http.strict_json import decode_loosely, occurrences, refuse_deep_nesting, refuse_duplicate_names
from .check import check, refuse_many, refuse_sparse
from .columns import EXACT, Column
from .policy import Policy
from .table import Table

__all__ = ["Decoder"]

_FLOAT = np.dtype(np.float64)


class Decoder:
    """A schema's columns, compiled.

    Args:
        columns: in the order of the schema.
        policy: of the schema.
    """

    def __init__(self, columns: Sequence[Column], policy: Policy) -> None:
        self._columns = columns
        self._policy = policy
        # Numbers first: a decoded row is then cut in two at one place.
        ordered = [c for c in columns if c.numeric] + [c for c in columns if not c.numeric]
        self._numeric = sum(column.numeric for column in columns)
        self._pack = struct.Struct(f"{self._numeric}d").pack
        self._defaults = [column.default for column in ordered]
        self._optional = not all(column.required for column in columns)
        # What msgspec cannot hold (levels of floats or booleans, names that JSON escapes) is left to `check`.
        self._typed = all(map(_holdable, columns))
        row = _row_type(ordered) if self._typed else object
        self._row: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._rows: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def __call__(self, raw: bytes, max_rows: int | None = None) -> Table:
        """The table of *raw*, a JSON object (one row) or an array of objects.

        Raises:
            InvalidInput: it has more than *max_rows* rows.
            MalformedBody: it is not JSON, or not rows.
            MissingColumns, InvalidValues: it breaks the schema.
        """
        if raw[:1] == b"{" and self._typed and not self._optional:
            table = self._one(raw)
            if table is not None:
                return table
        rows = self._decode(raw) if self._typed else None
        refuse_many(rows, max_rows)
        refuse_sparse(len(rows or ()), len(self._columns), len(raw))
        # As many colons as cells: no name stands twice, and there is no member nobody asked for, whose
        # value the decoder would have skipped however deep and however wrong it is.
        if rows is not None and occurrences(raw, b":") == self._cells(rows):
            return self._table(rows)
        value, fault = decode_loosely(raw)
        refuse_many(value, max_rows)
        refuse_sparse(len(value) if isinstance(value, list) else 1, len(self._columns), len(raw))
        refuse_duplicate_names(raw, _members(value))
        refuse_deep_nesting(value)
        if rows is not None and self._policy.extra == "ignore" and fault is None:
            return self._table(rows)
        table = check(self._columns, value if isinstance(value, list) else [value], self._policy)
        if fault is not None:
            raise fault
        return table

    def _one(self, raw: bytes) -> Table | None:
        """The table of a row that has each column once, and nothing else; None for any other."""
        try:
            row = msgspec.structs.astuple(self._row.decode(raw))
            packed = bytearray(self._pack(*row[: self._numeric]))
        except (msgspec.MsgspecError, RecursionError, ValueError, struct.error):
            return None
        if occurrences(raw, b":") != len(row):
            return None
        numbers = np.ndarray((1, self._numeric), _FLOAT, packed)
        return Table(self._columns, numbers, [[cell] for cell in row[self._numeric :]])

    def of_records(self, records: list[dict[str, Any]]) -> Table:
        """The table of rows that JSON said in another shape.

        Raises:
            MissingColumns, InvalidValues: they break the schema.
        """
        rows = self._converted(records) if self._typed else None
        if rows is None or (self._policy.extra == "forbid" and self._cells(rows) != sum(map(len, records))):
            return check(self._columns, records, self._policy)
        return self._table(rows)

    def _converted(self, records: list[dict[str, Any]]) -> list[tuple[Any, ...]] | None:
        try:
            rows = msgspec.convert(records, self._rows.type)
        except (msgspec.ValidationError, RecursionError, ValueError):
            return None
        return [msgspec.structs.astuple(row) for row in rows]

    def _decode(self, raw: bytes) -> list[tuple[Any, ...]] | None:
        try:
            rows = self._rows.decode(raw) if raw[:1] == b"[" else [self._row.decode(raw)]
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
        return [msgspec.structs.astuple(row) for row in rows]

    def _cells(self, rows: list[tuple[Any, ...]]) -> int:
        absent = sum(value is msgspec.UNSET for row in rows for value in row) if self._optional else 0
        return len(rows) * len(self._columns) - absent

    def _table(self, rows: list[tuple[Any, ...]]) -> Table:
        if self._optional:
            rows = [
                tuple(
                    default if value is msgspec.UNSET else value
                    for value, default in zip(row, self._defaults, strict=True)
                )
                for row in rows
            ]
        texts = [[row[at] for row in rows] for at in range(self._numeric, len(self._columns))]
        return Table(self._columns, self._block([row[: self._numeric] for row in rows]), texts)

    def _block(self, rows: list[tuple[Any, ...]]) -> npt.NDArray[np.float64]:
        try:
            # A third of what numpy.array takes to look at each value.
            packed = bytearray(b"".join([self._pack(*row) for row in rows]))
        except struct.error:
            numbers = np.array(rows, dtype=np.float64)  # None, which is null, becomes NaN
        else:
            numbers = np.frombuffer(packed, dtype=np.float64)
        return numbers.reshape(len(rows), self._numeric)


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
    kind = _type(column)
    if column.nullable:
        kind = kind | None
    return (f"f{at}", kind) if column.required else (f"f{at}", kind | msgspec.UnsetType, msgspec.UNSET)


def _type(column: Column) -> Any:
    if column.levels is not None:
        return Literal[tuple(column.levels)]
    if column.kind == "number":
        return Annotated[float, msgspec.Meta(ge=column.minimum, le=column.maximum)]
    if column.kind == "integer":
        least, greatest = column.minimum, column.maximum
        return Annotated[
            int,
            msgspec.Meta(
                ge=-EXACT if least is None else max(-EXACT, math.ceil(least)),
                le=EXACT if greatest is None else min(EXACT, math.floor(greatest)),
            ),
        ]
    if column.kind == "text":
        return Annotated[str, msgspec.Meta(pattern=column.pattern, max_length=column.max_length)]
    if column.kind == "boolean":
        return bool
    return str | bool | Annotated[int, msgspec.Meta(ge=-EXACT, le=EXACT)] | float


def _members(value: object) -> int:
    rows = value if isinstance(value, list) else [value]
    return sum(len(row) for row in rows if isinstance(row, dict))
