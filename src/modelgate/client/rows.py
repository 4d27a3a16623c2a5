"""Rows of every kind as bodies of requests, and as parts that follow each other."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import msgspec
import numpy as np

from ..errors import InvalidInput, MalformedBody
from ..schema import CSV
from ..schema.coerce import as_json

__all__ = ["Rows", "csv_rows", "records", "rows_of"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that can be sent, and parted.

    Args:
        data: has a length, and parts by slices.
        encode: makes a body of it.
        media_type: of the body.
        header: of CSV, with its line end.
    """

    data: Any
    encode: Callable[[Any], bytes]
    media_type: str = "application/json"
    header: bytes = b""

    def __len__(self) -> int:
        return len(self.data)

    def part(self, start: int, stop: int) -> "Rows":
        """The rows from *start* up to *stop*."""
        return replace(self, data=self.data[start:stop])

    def body(self) -> bytes:
        """The body that brings them."""
        return self.header + self.encode(self.data)

    def row_at(self, line: int) -> int | None:
        """The row of CSV that the *line* of the body belongs to; None for the header."""
        ends = accumulate(record.count(b"\n") for record in self.data)
        line -= self.header.count(b"\n")
        return next((at for at, end in enumerate(ends) if line <= end), None) if line > 0 else None


def rows_of(given: Any) -> Rows:
    """*given* as rows.

    Args:
        given: a dict, a list of dicts, a pandas or polars DataFrame, or `CSV`.

    Raises:
        TypeError: it is none of these.
        InvalidInput: it is a DataFrame with two columns of one name.
        MalformedBody: it is CSV that cannot be read.
    """
    if isinstance(given, CSV):
        found = records(given.raw.splitlines(keepends=True))
        header = next(found, (1, b""))[1]
        return csv_rows(header, [record for _, record in found])
    if isinstance(given, Mapping):
        return Rows([given], _encode)
    if hasattr(given, "iloc") and hasattr(given, "columns"):
        twice = given.columns[given.columns.duplicated()]
        if len(twice):
            raise InvalidInput(
                f"rows: a DataFrame with the column {twice[0]!r} twice: a row has one value of it"
            )
        return Rows(_Positions(given), _of_pandas)
    if hasattr(given, "to_dicts"):
        return Rows(given, lambda frame: _encode(frame.to_dicts()))
    if isinstance(given, Sequence) and all(isinstance(row, Mapping) for row in given):
        return Rows(given, _encode)
    raise TypeError(
        f"rows: accepts a dict, a list of dicts, a DataFrame or CSV(…), not a {type(given).__name__}"
    )


def csv_rows(header: bytes, lines: Sequence[bytes]) -> Rows:
    """Rows of CSV: each the bytes of a record with its line end."""
    return Rows(lines, b"".join, "text/csv", header)


def records(lines: Iterable[bytes], line: int = 1) -> Iterator[tuple[int, bytes]]:
    """The records of CSV, the header first: the line each begins in, and its bytes, which end in a line end.

    A quoted cell may hold line ends (RFC 4180). Empty lines are no records.

    Args:
        lines: of the body, or of its rest, with their line ends.
        line: the number of the first of them.

    Raises:
        MalformedBody: a cell is longer than `csv.field_size_limit`: a quote that is never closed, mostly.
    """
    # Where a record ends is the csv module's to say: it also reads them at the gate.
    taken: list[bytes] = []
    at = line

    def texts() -> Iterator[str]:
        for raw in lines:
            taken.append(raw)
            yield raw.decode("latin-1")

    try:
        for cells in csv.reader(texts()):
            if cells:
                record = b"".join(taken)
                yield at, record if record.endswith(b"\n") else record + b"\n"
            at += len(taken)
            taken.clear()
    except csv.Error as error:
        raise MalformedBody(f"Line {at} of the CSV is not readable: {error}") from None


class _Positions:
    """A pandas DataFrame whose slices are of places, whatever its index is."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, places: slice) -> "_Positions":
        return _Positions(self.frame.iloc[places])


def _of_pandas(rows: _Positions) -> bytes:
    frame = rows.frame
    # NaN, NaT and NA are each another way to say null.
    return _encode(frame.astype(object).where(frame.notna(), None).to_dict("records"))


def _plain(value: Any) -> Any:
    told = as_json(value)
    if told is value and not isinstance(told, np.floating):
        raise TypeError(f"a {type(value).__name__}")
    return _finite(float(told) if isinstance(told, np.floating) else told)


def _finite(value: Any) -> Any:
    # As JSON the encoder would make a null of it, which is another value.
    if isinstance(value, float) and math.isinf(value):
        raise TypeError("infinity")
    return value


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def _encode(rows: Any) -> bytes:
    try:
        for row in rows:
            for value in row.values():
                _finite(value)
        return _ENCODER.encode(rows)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"rows: JSON cannot say them: {error}") from None
