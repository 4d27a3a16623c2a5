"""Encode rows as request bodies, and divide them into batches."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, overload

import msgspec
import numpy as np

from ..errors import InvalidInput, MalformedBody
from ..schema import CSV
from ..schema.coerce import to_json_value

__all__ = ["Lines", "Rows", "csv_rows", "records", "to_rows"]


class Lines(Sequence[bytes]):
    """Sequence of lines that is stored as one block of bytes, and split only when single lines are needed.

    Args:
        raw: Lines, each with its line end.
        count: Number of lines.
    """

    def __init__(self, raw: bytes, count: int) -> None:
        self.raw = raw
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return self._split[index]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._split)

    @cached_property
    def _split(self) -> list[bytes]:
        return [line + b"\n" for line in self.raw.split(b"\n")[:-1]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that can be sliced and encoded.

    Args:
        data: Collection of rows that has a length and can be sliced.
        encode: Function that encodes *data* as a body, without the header.
        media_type: Media type of the body.
        header: Header line of CSV with its line end; empty for JSON.
    """

    data: Any
    encode: Callable[[Any], bytes]
    media_type: str = "application/json"
    header: bytes = b""

    def __len__(self) -> int:
        return len(self.data)

    def part(self, start: int, stop: int) -> "Rows":
        """Return the rows from *start* up to, but not including, *stop*."""
        return replace(self, data=self.data[start:stop])

    def body(self) -> bytes:
        """Return the body of a request for these rows."""
        return self.header + self.encode(self.data)

    def row_at(self, line: int) -> int | None:
        """Return the index of the CSV row at line *line* of the body, or None if the line is in no row."""
        ends = accumulate(map(_count_lines, self.data))
        line -= _count_lines(self.header)
        return next((index for index, end in enumerate(ends) if line <= end), None) if line > 0 else None


def _count_lines(record: bytes) -> int:
    # The gate counts a carriage return alone as the end of a line, as the csv module does.
    return record.count(b"\n") + record.count(b"\r") - record.count(b"\r\n")


def to_rows(data: Any) -> Rows:
    """Convert *data* to rows.

    Args:
        data: A dict, a list of dicts, a pandas or polars DataFrame, or `CSV`.

    Raises:
        TypeError: *data* has another type.
        InvalidInput: *data* is a DataFrame with duplicate column names.
        MalformedBody: *data* is invalid CSV.
    """
    if isinstance(data, CSV):
        numbered = records(data.raw.splitlines(keepends=True))
        header = next(numbered, (1, b""))[1]
        return csv_rows(header, [record for _, record in numbered])
    if isinstance(data, Mapping):
        return Rows([data], _encode)
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        duplicates = data.columns[data.columns.duplicated()]
        if len(duplicates):
            raise InvalidInput(
                f"rows: the DataFrame has the column {duplicates[0]!r} twice: rename or drop one of them"
            )
        return Rows(_PandasRows(data), _encode_pandas)
    if hasattr(data, "to_dicts"):
        return Rows(data, lambda frame: _encode(frame.to_dicts()))
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        return Rows(data, _encode)
    raise TypeError(
        f"rows must be a dict, a list of dicts, a DataFrame or CSV(…) (got {type(data).__name__})"
    )


def csv_rows(header: bytes, lines: Sequence[bytes]) -> Rows:
    """Return CSV records as `Rows`. Each record must have a line end."""
    return Rows(lines, _join, "text/csv", header)


def _join(lines: Sequence[bytes]) -> bytes:
    return lines.raw if isinstance(lines, Lines) else b"".join(lines)


def records(lines: Iterable[bytes], line: int = 1) -> Iterator[tuple[int, bytes]]:
    """Yield the records of CSV, including the header, each with the number of its first line.

    Every record is returned with a line end. A quoted cell can contain line ends (RFC 4180). Empty lines
    are skipped.

    Args:
        lines: All lines of the CSV, or the remaining ones, with their line ends.
        line: Line number of the first item of *lines*.

    Raises:
        MalformedBody: A cell is longer than `csv.field_size_limit`, usually because a quote is not closed.
    """
    # The gate also reads CSV with the csv module, so both agree on where a record ends.
    consumed: list[bytes] = []

    def decode_lines() -> Iterator[str]:
        for raw in lines:
            consumed.append(raw)
            yield raw.decode("latin-1")

    try:
        for cells in csv.reader(decode_lines()):
            if cells:
                record = b"".join(consumed)
                yield line, record if record.endswith(b"\n") else record + b"\n"
            line += len(consumed)
            consumed.clear()
    except csv.Error as error:
        raise MalformedBody(f"Line {line} of the CSV cannot be read: {error}") from None


class _PandasRows:
    """DataFrame whose rows are sliced by position instead of by index label."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, positions: slice) -> "_PandasRows":
        return _PandasRows(self.frame.iloc[positions])


def _encode_pandas(rows: _PandasRows) -> bytes:
    frame = rows.frame
    # Replaces NaN, NaT and NA by None, which is encoded as null.
    return _encode(frame.astype(object).where(frame.notna(), None).to_dict("records"))


def _encode_hook(value: Any) -> Any:
    converted = to_json_value(value)
    if converted is value and not isinstance(converted, np.floating):
        raise TypeError(type(value).__name__)
    return _check_finite(float(converted) if isinstance(converted, np.floating) else converted)


def _check_finite(value: Any) -> Any:
    # msgspec would silently encode an infinity as null.
    if isinstance(value, float) and math.isinf(value):
        raise TypeError("infinity")
    return value


def _to_json(value: Any) -> Any:
    # msgspec would encode a Decimal as text. Values of other types are converted as by `Gate.score`.
    return value if type(value) in _PLAIN else _check_finite(to_json_value(value))


_PLAIN = frozenset({str, int, bool, type(None)})
_ENCODER = msgspec.json.Encoder(enc_hook=_encode_hook)


def _encode(rows: Any) -> bytes:
    try:
        return _ENCODER.encode([{name: _to_json(row[name]) for name in row} for row in rows])
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"rows must contain only values that JSON can represent (got {error})") from None
