"""JSON decoder that validates rows while decoding them.

A schema is compiled once into a typed msgspec decoder that turns raw JSON into validated values in one
pass. This decoder accepts a subset of what `validate_rows` accepts. `validate_rows` runs only on input that
the decoder rejects, and reports all errors.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ..cancellation import stop_if_abandoned
from ..codecs.json import (
    LARGE,
    check_json,
    count_byte,
    decode_allowing_overflow,
    reject_deep_nesting,
    reject_duplicate_names,
    reject_encoded_text,
    shift_position,
)
from ..codecs.json_items import count_items, split_items
from ..errors import InvalidInput, MalformedBody
from .coerce import coerce_to_kind, parse_text
from .columns import EXACT, Column
from .names import find_similar
from .report import SHOWN_NAMES, ValidationReport
from .row_validator import check_max_rows, check_row_count, check_sparsity, validate_part, validate_rows
from .schema_options import SchemaOptions
from .table import Table

__all__ = ["Decoder"]

_FLOAT = np.dtype(np.float64)

_PART = 512 * 1024
"""Size in bytes of the parts in which large arrays are decoded."""

MAX_ROW_VALUES = 2_000_000
"""Maximum number of commas in a row that msgspec cannot validate alone, for example with extra members."""


class Decoder:
    """JSON decoder compiled for the columns of a schema.

    Args:
        columns: Columns of the schema, in order.
        options: Options of the schema.
    """

    def __init__(self, columns: Sequence[Column], options: SchemaOptions) -> None:
        self._columns = columns
        self._options = options
        self._names = [column.name for column in columns]
        # Numbers first, so that one slice separates them from the texts of a decoded row.
        ordered = [c for c in columns if c.numeric] + [c for c in columns if not c.numeric]
        self._numeric_count = sum(column.numeric for column in columns)
        self._pack = struct.Struct(f"{self._numeric_count}d").pack
        self._defaults = [coerce_to_kind(column, column.default) for column in ordered]
        self._datetimes = [(i, column) for i, column in enumerate(ordered) if column.kind == "datetime"]
        self._optional = not all(column.required for column in columns)
        # `validate_rows` handles what msgspec cannot: float and boolean levels, escaped names, arrays.
        self._typed = all(map(_is_supported, columns))
        self._has_exact_rows = self._typed and not self._optional
        row = _row_type(ordered) if self._typed else object
        self._row: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._rows: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def __call__(self, raw: bytes, max_rows: int | None = None) -> Table:
        """Decode and validate *raw*, a JSON object (one row) or an array of objects.

        Raises:
            InvalidInput: The body has more than *max_rows* rows, or a row has too many values.
            MalformedBody: The body is not valid JSON, or not an object or array of objects.
            MissingColumns, InvalidValues: The rows do not match the schema.
        """
        if raw[:1] == b"{":
            table = self.decode_exact_row(raw)
            if table is not None:
                return table
        if len(raw) > LARGE and raw[:1] == b"[":
            return self._decode_large(raw, max_rows)
        rows = self._decode(raw) if self._typed else None
        check_row_count(rows, max_rows)
        check_sparsity(len(rows or ()), len(self._columns), len(raw))
        if rows is not None and self._is_exact(raw, rows):
            return self._build_table(rows)
        records, overflow = _decode_records(raw)
        check_max_rows(len(records), max_rows)
        check_sparsity(len(records), len(self._columns), len(raw))
        if rows is not None and overflow is None and self._may_skip_names(records):
            return self._build_table(rows)
        table = validate_rows(self._columns, records, self._options)
        if overflow is not None:
            raise overflow
        return table

    def _decode_large(self, raw: bytes, max_rows: int | None) -> Table:
        """Decode a large array in parts, because its rows as Python objects could take 30 times its memory."""
        check_json(raw)
        # There are at most as many objects as braces, which are counted in a fraction of the time.
        at_most = count_byte(raw, b"{")
        if (max_rows is not None and at_most > max_rows) or at_most * len(self._columns) > len(raw):
            self._check_items(raw, max_rows)
        try:
            return Table.join(self._columns, self._iter_valid_parts(raw))
        except _NeedsValidation:
            self._check_items(raw, max_rows)
            return Table.join(self._columns, self._iter_validated_parts(raw))

    def _check_items(self, raw: bytes, max_rows: int | None) -> None:
        """Raise `InvalidInput` if *raw* has more than *max_rows* items, or its items leave out most columns."""
        count = count_items(raw)
        check_max_rows(count, max_rows)
        check_sparsity(count, len(self._columns), len(raw))

    def _iter_valid_parts(self, raw: bytes) -> Iterator[Table]:
        """Yield the tables of consecutive rows.

        Raises:
            _NeedsValidation: The rows must be read by `validate_part`.
        """
        for part, offset in _iter_parts(raw):
            rows = self._decode(part) if self._typed else None
            if rows is None:
                raise _NeedsValidation
            if not self._is_exact(part, rows):
                records, overflow = _decode_records(part, offset)
                if overflow is not None or not self._may_skip_names(records):
                    raise _NeedsValidation
            yield self._build_table(rows)

    def _iter_validated_parts(self, raw: bytes) -> Iterator[Table]:
        """Yield the tables of consecutive rows. At the end, raise an error that reports the errors of all rows."""
        names, overflow = self._read_names(raw)
        report = ValidationReport()
        for part, _ in _iter_parts(raw):
            records, _ = decode_allowing_overflow(part)
            table = validate_part(self._columns, records, self._options, report, names)
            if table is not None:
                yield table
        report.raise_for_errors(report.rows, self._columns, self._options)
        if overflow is not None:
            raise overflow

    def _read_names(self, raw: bytes) -> tuple[list[str], MalformedBody | None]:
        """Check the syntax of all rows, and return the names of their members.

        Of the names that are neither equal nor similar to a column name, only the first 100 are returned,
        because no response shows more.

        Returns:
            The names, and an error if a number is too large for a float, else None.

        Raises:
            MalformedBody: A row cannot be decoded.
        """
        known, names, first_overflow = set(self._names), dict[str, None](), None
        similar, others, rows = set[str](), 0, 0
        for part, offset in _iter_parts(raw):
            records, overflow = _decode_records(part, offset, rows)
            first_overflow = first_overflow or overflow
            sent = [name for name in _member_names(records) if name not in names]
            similar.update(find_similar(self._names, sent))
            for name in sent:
                is_other = name not in known and name not in similar
                if not is_other or others < SHOWN_NAMES:
                    names[name] = None
                    others += is_other
            rows += len(records)
        return list(names), first_overflow

    def _is_exact(self, raw: bytes, rows: list[tuple[Any, ...]]) -> bool:
        """Return whether the JSON objects in *raw* have exactly the members of the decoded *rows*.

        The test is that *raw* has as many colons as *rows* has cells. Then no name is repeated, and there is
        no extra member, whose value the decoder would skip without validating it.
        """
        return count_byte(raw, b":") == self._count_cells(rows)

    def decode_exact_row(self, raw: bytes) -> Table | None:
        """Return the table of one row with exactly the schema's columns, or None for any other body."""
        if not self._has_exact_rows:
            return None
        try:
            row = msgspec.structs.astuple(self._row.decode(raw))
            colons = len(row)
            if self._datetimes:
                # If *raw* may have escaped colons, -1 makes the comparison below fail.
                colons += self._count_colons(row) if b"\\" not in raw else -1
                row = self._parse_datetimes(row)
            packed = bytearray(self._pack(*row[: self._numeric_count]))
        except (msgspec.MsgspecError, RecursionError, ValueError, struct.error):
            return None
        if raw.count(b":") != colons:
            return None
        numbers = np.ndarray((1, self._numeric_count), _FLOAT, packed)
        texts = row[self._numeric_count :]
        return Table(self._columns, numbers, [[cell] for cell in texts] if texts else [])

    def convert_records(self, records: list[dict[str, Any]]) -> Table:
        """Validate rows that have already been decoded from JSON.

        Raises:
            MissingColumns, InvalidValues: The rows do not match the schema.
        """
        rows = self._convert(records) if self._typed else None
        if rows is None or (
            not self._may_skip_names(records) and self._count_cells(rows) != sum(map(len, records))
        ):
            return validate_rows(self._columns, records, self._options)
        return self._build_table(rows)

    def _may_skip_names(self, records: list[Any]) -> bool:
        """Return whether extra members of *records* are allowed, and none can stand for a missing column."""
        if self._options.extra_columns == "forbid":
            return False
        return not self._optional or not find_similar(self._names, _member_names(records))

    def _convert(self, records: list[dict[str, Any]]) -> list[tuple[Any, ...]] | None:
        try:
            return self._to_tuples(msgspec.convert(records, self._rows.type))
        except (msgspec.ValidationError, RecursionError, ValueError):
            return None

    def _decode(self, raw: bytes) -> list[tuple[Any, ...]] | None:
        try:
            return self._to_tuples(self._rows.decode(raw) if raw[:1] == b"[" else [self._row.decode(raw)])
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None

    def _to_tuples(self, structs: list[Any]) -> list[tuple[Any, ...]]:
        rows = [msgspec.structs.astuple(row) for row in structs]
        return list(map(self._parse_datetimes, rows)) if self._datetimes else rows

    def _count_colons(self, row: tuple[Any, ...]) -> int:
        """Return the number of colons in the datetimes of *row*, which are still texts."""
        return sum(row[i].count(":") for i, _ in self._datetimes if isinstance(row[i], str))

    def _parse_datetimes(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return *row* with parsed datetimes. Raises ValueError if a text is not a datetime."""
        cells = list(row)
        for index, column in self._datetimes:
            if isinstance(cells[index], str):
                cells[index] = parse_text(column, cells[index])
                if isinstance(cells[index], str):
                    raise ValueError
        return tuple(cells)

    def _count_cells(self, rows: list[tuple[Any, ...]]) -> int:
        absent = sum(value is msgspec.UNSET for row in rows for value in row) if self._optional else 0
        return len(rows) * len(self._columns) - absent

    def _build_table(self, rows: list[tuple[Any, ...]]) -> Table:
        if self._optional:
            rows = [
                tuple(
                    default if value is msgspec.UNSET else value
                    for value, default in zip(row, self._defaults, strict=True)
                )
                for row in rows
            ]
        split = self._numeric_count
        texts = [[row[index] for row in rows] for index in range(split, len(self._columns))]
        return Table(self._columns, self._to_array([row[:split] for row in rows]), texts)

    def _to_array(self, rows: list[tuple[Any, ...]]) -> npt.NDArray[np.float64]:
        try:
            # Three times as fast as numpy.array, which inspects each value.
            packed = bytearray(b"".join([self._pack(*row) for row in rows]))
        except struct.error:
            numbers = np.array(rows, dtype=np.float64)  # null: None becomes NaN
        else:
            numbers = np.frombuffer(packed, dtype=np.float64)
        return numbers.reshape(len(rows), self._numeric_count)


def _row_type(columns: Sequence[Column]) -> Any:
    return msgspec.defstruct(
        "Row",
        [_field(index, column) for index, column in enumerate(columns)],
        rename={f"f{index}": column.name for index, column in enumerate(columns)},
        kw_only=True,
        gc=False,
    )


def _is_supported(column: Column) -> bool:
    unescaped = msgspec.json.encode(column.name) == b'"%s"' % column.name.encode("utf-8", "replace")
    return unescaped and not column.is_array and (column.levels is None or column.kind in ("text", "integer"))


def _field(index: int, column: Column) -> Any:
    field_type = _field_type(column)
    if column.nullable:
        field_type = field_type | None
    if column.required:
        return f"f{index}", field_type
    return f"f{index}", field_type | msgspec.UnsetType, msgspec.UNSET


def _field_type(column: Column) -> Any:
    if column.levels is not None:
        return Literal[tuple(column.levels)]
    if column.kind == "number":
        number = Annotated[float, msgspec.Meta(ge=column.minimum, le=column.maximum)]
        # Not with bounds, because a boolean would have to satisfy them, too.
        unbounded = column.minimum is None and column.maximum is None
        return number | bool if column.accepts_booleans and unbounded else number
    if column.kind == "integer":
        lower, upper = column.minimum, column.maximum
        return Annotated[
            int,
            msgspec.Meta(
                ge=-EXACT if lower is None else max(-EXACT, math.ceil(lower)),
                le=EXACT if upper is None else min(EXACT, math.floor(upper)),
            ),
        ]
    if column.kind == "datetime":
        return str
    if column.kind == "text":
        return Annotated[str, msgspec.Meta(pattern=column.pattern, max_length=column.max_length)]
    if column.kind == "boolean":
        return bool
    return str | bool | Annotated[int, msgspec.Meta(ge=-EXACT, le=EXACT)] | float


def _iter_parts(raw: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield arrays of consecutive items of the array *raw*, each with the offset to add to its positions."""
    offset = 0
    for part in split_items(raw, _PART):
        stop_if_abandoned()
        yield part, offset
        # A part has brackets of its own, in place of the comma before it.
        offset += len(part) - 1


def _decode_records(raw: bytes, offset: int = 0, rows: int = 0) -> tuple[list[Any], MalformedBody | None]:
    """Decode rows from JSON, and check its syntax.

    Args:
        raw: JSON of the complete body, or of an array with a part of the rows.
        offset: Number to add to positions in error messages.
        rows: Number of rows before this part.

    Returns:
        The rows, and an error if a number is too large for a float, else None.

    Raises:
        InvalidInput: A row has too many values.
        MalformedBody: *raw* cannot be decoded.
    """
    if len(raw) > MAX_ROW_VALUES and count_byte(raw, b",") > MAX_ROW_VALUES:
        raise InvalidInput(f"A row has more than {MAX_ROW_VALUES} values: send only the model's columns")
    try:
        value, overflow = decode_allowing_overflow(raw)
        reject_encoded_text("The JSON body", value)
        records = value if isinstance(value, list) else [value]
        reject_duplicate_names(raw, sum(len(row) for row in records if isinstance(row, dict)))
        reject_deep_nesting(value)
    except MalformedBody as error:
        raise shift_position(error, offset, rows) from None
    return records, overflow and shift_position(overflow, offset, rows)


def _member_names(records: list[Any]) -> dict[str, None]:
    return dict.fromkeys(chain.from_iterable(row for row in records if isinstance(row, dict)))


class _NeedsValidation(Exception):
    """Error that signals that `validate_part` must read the rows and report errors."""
