"""Decode rows of CSV to the same tables as the equivalent JSON.

`iter_records` defines the syntax (RFC 4180, with a header line). `validate_rows` defines how cells are
converted and checked. For common bodies, `csv_fast_path` does the same work faster. All other bodies are
decoded by these two functions.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import NoReturn

from ..cancellation import stop_if_abandoned
from ..codecs.compression import COMPRESSED_BODY, GZIP_MAGIC
from ..errors import InvalidInput, MalformedBody
from .columns import Column
from .csv_fast_path import CSVLayout
from .csv_header import check_header
from .lazy_table import LazyTable
from .report import ValidationReport
from .row_validator import validate_part, validate_rows
from .schema_options import SchemaOptions
from .table import Table

__all__ = ["CSV", "CSVDecoder", "iter_records"]

ROWS = 16_384
"""Default number of rows per table. With 30 columns, this is about 4 MB of CSV and 4 MB of numbers."""

_PART_ROWS = 1 << 16
"""Largest number of rows that are decoded at once: pandas takes a third less time per row than for 2**14."""

_PART_CELLS = 1 << 19
"""Largest number of cells that are decoded at once."""

_FEW_ROWS = 1024
"""Number of rows below which all rows stay in memory, because an event loop may read the table."""

_JOINED_SIZE = 8 << 20
"""Size in bytes up to which all rows stay in memory. Decoding more rows twice takes less than a tenth of the
time of scoring them and encoding the response."""

_CELL_SIZES = {True: 8, False: 64}
"""Size of a cell in memory, in bytes, by `Column.numeric`: a number, or a short text that is not repeated."""

_QUOTED = re.compile(rb'"[^"]*(?:"|$)')
_HEADER = re.compile(rb'(?:"[^"]*(?:"|$)|[^"\r\n]+)*')

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class CSV:
    """Wrapper that marks bytes as CSV: ``schema.read(CSV(body))``.

    Args:
        raw: CSV in UTF-8. The bytes are not copied.
        header: Column names if the first line does not contain them; else None.
    """

    raw: bytes
    header: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.raw)


class CSVDecoder:
    """CSV decoder compiled for the columns of a schema.

    Args:
        columns: Columns of the schema, in order.
        options: Options of the schema.
    """

    def __init__(self, columns: Sequence[Column], options: SchemaOptions) -> None:
        self._columns = columns
        self._options = options
        # Header of bodies without a header line.
        self._names = None if options.csv_header else [column.name for column in columns]
        # Most callers send the same header every time.
        self._cached_layout: tuple[bytes, CSVLayout] | None = None

    def __call__(self, rows: CSV, max_rows: int | None = None) -> Table:
        """Decode and validate *rows*.

        Raises:
            InvalidInput: The body has more than *max_rows* rows.
            MalformedBody: The body is not CSV with a header line; the message gives the line number.
            MissingColumns, InvalidValues: The rows do not match the schema.
        """
        body = CSV(_to_bytes(rows), rows.header)
        tables = self._iter_limited(body, max_rows)
        first, second = next(tables), next(tables, None)
        if second is None:
            return first
        tables = chain([first, second], tables)
        row_size = sum(_CELL_SIZES[column.numeric] for column in self._columns)
        lines = max(body.raw.count(b"\n"), body.raw.count(b"\r"))
        if lines < _FEW_ROWS or lines * row_size <= _JOINED_SIZE:
            return Table.join(self._columns, tables)
        count, warnings = 0, dict[str, None]()
        for table in tables:
            count += len(table)
            warnings.update(dict.fromkeys(table.warnings))
        return LazyTable(self._columns, count, partial(self._iter_parts, body, ROWS), tuple(warnings))

    def _iter_parts(self, body: CSV, rows: int) -> Iterator[Table]:
        """Decode *body* into tables of at most *rows* rows and `_PART_CELLS` cells."""
        header = _HEADER.match(body.raw)[0]  # type: ignore[index]  # matches also an empty line
        width = _QUOTED.sub(b"", header).count(b",") + 1
        for table in self.iter_tables(body, max(1, min(rows, _PART_CELLS // width))):
            stop_if_abandoned()
            yield table

    def _iter_limited(self, body: CSV, max_rows: int | None) -> Iterator[Table]:
        count, step = 0, _PART_ROWS if max_rows is None else min(_PART_ROWS, max_rows + 1)
        for table in self._iter_parts(body, step):
            count += len(table)
            if max_rows is not None and count > max_rows:
                raise InvalidInput(
                    f"The CSV body has more than the {max_rows} rows accepted in one request: send fewer rows",
                    details={"max_rows": max_rows},
                )
            yield table

    def iter_tables(self, raw: bytes | CSV, rows: int = ROWS) -> Iterator[Table]:
        """Decode *raw* into one or more tables of at most *rows* rows.

        If a row is invalid, the iteration raises an error when it reaches this row. The message reports the
        invalid values of the entire body.
        """
        if type(rows) is not int or rows < 1:
            raise ValueError(f"rows must be a whole number of at least 1 (got {rows!r})")
        names = raw.header if isinstance(raw, CSV) and raw.header is not None else self._names
        body = CSV(_to_bytes(raw), names)
        _check_encoding(body.raw)
        header = self._read_unquoted_header(body)
        return (
            self._iter_blocks(body, rows, *header) if header is not None else self._iter_records(body, rows)
        )

    def _read_unquoted_header(self, body: CSV) -> tuple[CSVLayout, int] | None:
        r"""Return the layout of a body without quotes, and the offset of its first row.

        Returns None if the body contains a quote after the header line, or a ``\r`` that is not followed by
        ``\n``. `_iter_records` must parse such a body.
        """
        raw = body.raw
        end = 0 if body.header is not None else raw.find(b"\n") + 1 or len(raw)
        if raw.find(b'"', end) >= 0 or (b"\r" in raw and raw.count(b"\r") != raw.count(b"\r\n")):
            return None
        if body.header is not None:
            return self._create_layout(body.header), 0
        line, cached = raw[:end], self._cached_layout
        if cached is not None and cached[0] == line:
            return cached[1], end
        layout = self._create_layout(next(iter_records(CSV(line)), []))
        self._cached_layout = line, layout
        return layout, end

    def _create_layout(self, header: Sequence[str]) -> CSVLayout:
        check_header(header, self._columns, self._options)
        return CSVLayout(list(header), self._columns, self._options)

    def _iter_blocks(self, body: CSV, rows: int, layout: CSVLayout, start: int) -> Iterator[Table]:
        """Yield tables from the fast path.

        If the fast path fails, use `_iter_records` for the remaining rows.
        """
        count = 0
        for table in layout.parse_body(body.raw, start, _end_of_rows(body.raw), rows):
            if table is None:
                yield from self._iter_records(body, rows, layout, count)
                return
            yield table
            count += len(table)

    def _iter_records(
        self, body: CSV, rows: int, layout: CSVLayout | None = None, skip: int = 0
    ) -> Iterator[Table]:
        body = CSV(_strip_empty_lines(body.raw), body.header)
        lines = iter_records(body)
        header = next(lines, [])
        layout = layout or self._create_layout(header)
        lines = islice(lines, skip, None)
        cells = list(islice(lines, rows))
        if not cells and not skip:
            yield self._empty_table(layout)
        while cells:
            yield self._parse_cells(layout, cells, body)
            cells = list(islice(lines, rows))

    def read_header(self, header: list[str]) -> Table:
        """Validate *header* and return a table without rows.

        Raises:
            MissingColumns, InvalidValues: The columns do not match the schema.
        """
        return self._empty_table(CSVLayout(header, self._columns, self._options))

    def _empty_table(self, layout: CSVLayout) -> Table:
        # Without rows, `validate_rows` would not notice columns missing from the header.
        report = ValidationReport(
            dict.fromkeys(layout.missing), unexpected=layout.unexpected, extra=layout.extra
        )
        report.raise_for_errors(0, self._columns, self._options)
        return validate_rows(self._columns, [], self._options, text=True)

    def _parse_cells(self, layout: CSVLayout, cells: list[list[str]], body: CSV) -> Table:
        table = layout.parse_cells(cells)
        if table is None:
            table = self._validate(layout.header, cells, ValidationReport())
        return table if table is not None else self._report_errors(layout.header, body)

    def _report_errors(self, header: list[str], body: CSV) -> NoReturn:
        """Raise an error that reports the errors of all rows."""
        lines, report = islice(iter_records(body), 1, None), ValidationReport()
        while cells := list(islice(lines, ROWS)):
            stop_if_abandoned()
            self._validate(header, cells, report)
        report.raise_for_errors(report.rows, self._columns, self._options)
        raise AssertionError("an earlier row was invalid")

    def _validate(self, header: list[str], cells: list[list[str]], report: ValidationReport) -> Table | None:
        rows = [dict(zip(header, row, strict=True)) for row in cells]
        return validate_part(self._columns, rows, self._options, report, text=True)


def iter_records(body: CSV) -> Iterator[list[str]]:
    """Yield the header of *body*, and then its rows, as lists of cells of the same length.

    Raises:
        MalformedBody: The bytes are not valid CSV; the message gives the line number.
    """
    # newline="" leaves line breaks to the csv module, because quoted cells may contain them.
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(body.raw), "utf-8-sig", newline=""), strict=True)
    width, line = None, 1
    if body.header is not None:
        width = len(body.header)
        yield list(body.header)
    try:
        for cells in reader:
            if width is None:
                width = len(cells)
            if len(cells) != width:
                where = "as in the header" if body.header is None else "one for each column"
                raise MalformedBody(
                    f"Line {line} of the CSV body has {len(cells)} cells: send {width}, {where}"
                )
            yield cells
            line = 1 + reader.line_num
    except csv.Error as error:
        raise MalformedBody(
            f"Line {line} of the CSV body is not readable: {_describe_error(error)}"
        ) from None


def _describe_error(error: csv.Error) -> str:
    if "end of data" in str(error):
        return "a quote is opened and never closed"
    if "limit" in str(error):
        return f"a cell is longer than {csv.field_size_limit()} characters"
    return str(error)


def _to_bytes(rows: object) -> bytes:
    data = rows.raw if isinstance(rows, CSV) else rows
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidInput(
            f"CSV must be bytes (got {type(data).__name__}): encode a string as UTF-8, or read the file first"
        )
    return bytes(data)


def _check_encoding(raw: bytes) -> None:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise MalformedBody("The CSV body is UTF-16: send UTF-8")
    if raw.startswith(GZIP_MAGIC):
        raise MalformedBody(COMPRESSED_BODY)
    if b"\0" in raw:
        line = _line_number(raw, raw.index(0))
        raise MalformedBody(f"Line {line} of the CSV body contains a NUL character: remove it")
    if raw.isascii():
        return
    decoder, start = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        for start in range(0, len(raw), _CHUNK):
            decoder.decode(raw[start : start + _CHUNK], start + _CHUNK >= len(raw))
    except UnicodeDecodeError as error:
        # error.object also contains the bytes that the decoder buffered from the previous chunk.
        offset = min(start + _CHUNK, len(raw)) - len(error.object) + error.start
        line = _line_number(raw, offset)
        raise MalformedBody(f"Line {line} of the CSV body is not UTF-8 (byte {offset}): send UTF-8") from None


def _end_of_rows(raw: bytes) -> int:
    """Return the offset at which the last row ends. Empty lines at the end of the body are ignored."""
    # Strip the last chunk first, to avoid a copy of a large body.
    tail = raw[-_CHUNK:].rstrip(b"\r\n")
    return max(0, len(raw) - _CHUNK) + len(tail) if tail else len(raw.rstrip(b"\r\n"))


def _strip_empty_lines(raw: bytes) -> bytes:
    end = _end_of_rows(raw)
    # Slicing would copy the body, and the csv module ignores a single line break at the end.
    return raw if end and raw[end:] in (b"", b"\n", b"\r", b"\r\n") else raw[:end]


def _line_number(raw: bytes, offset: int) -> int:
    before = raw[:offset]
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
