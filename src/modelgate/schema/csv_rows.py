"""CSV rows in, the table of the same rows in JSON out.

What CSV is stands in `records` (RFC 4180, with a header line), and what its cells mean in `check`.
Both are slow: `csv_fast` reads what it can of the same, and these read the rest.
"""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from ..errors import InvalidInput, MalformedBody
from ..http.strict_json import occurrences
from .check import check
from .columns import Column
from .csv_fast import Plan
from .policy import Policy
from .report import SHOWN_TEXT, Report
from .table import Table

__all__ = ["CSV", "CSVDecoder", "records"]

ROWS = 16_384
"""How many rows are read at once: 4 MB of text where there are 30 columns, and as much in numbers."""

_STEP = 1 << 20
_SEPARATORS = ((";", "semicolon"), ("\t", "tab"))


@dataclass(frozen=True, slots=True)
class CSV:
    """Bytes that are CSV: ``schema.read(CSV(body))``.

    Args:
        raw: the bytes, which are not copied.
    """

    raw: bytes

    def __len__(self) -> int:
        return len(self.raw)


class CSVDecoder:
    """A schema's columns, compiled for CSV.

    Args:
        columns: in the order of the schema.
        policy: of the schema.
    """

    def __init__(self, columns: Sequence[Column], policy: Policy) -> None:
        self._columns = columns
        self._policy = policy
        # Callers send one header again and again.
        self._last: tuple[bytes, Plan] | None = None

    def __call__(self, raw: bytes, max_rows: int | None = None) -> Table:
        """The table of *raw*.

        Raises:
            InvalidInput: it has more than *max_rows* rows.
            MalformedBody: it is not CSV with a header line; the message says the line.
            MissingColumns, InvalidValues: it breaks the schema.
        """
        tables = self._bounded(raw, max_rows)
        first, second = next(tables), next(tables, None)
        return first if second is None else self._joined(chain([first, second], tables))

    def _joined(self, tables: Iterable[Table]) -> Table:
        """One table of several, of which no more than one is there at a time beside it."""
        texts: list[list[Any]] = [[] for column in self._columns if not column.numeric]
        numbers = np.empty((0, len(self._columns) - len(texts)))
        warnings = dict[str, None]()
        for table in tables:
            count = len(numbers)
            # A large block grows where it is: nothing is copied, as concatenating would.
            numbers.resize((count + len(table), numbers.shape[1]), refcheck=False)
            numbers[count:] = table.numbers
            for cells, more in zip(texts, table.texts, strict=True):
                cells.extend(more)
            warnings.update(dict.fromkeys(table.warnings))
        return Table(self._columns, numbers, texts, tuple(warnings))

    def _bounded(self, raw: bytes, max_rows: int | None) -> Iterator[Table]:
        count, at_once = 0, ROWS if max_rows is None else min(ROWS, max_rows + 1)
        for table in self.tables(raw, at_once):
            count += len(table)
            if max_rows is not None and count > max_rows:
                raise InvalidInput(
                    f"The CSV body has more than the {max_rows} rows accepted at once: send fewer",
                    details={"max_rows": max_rows},
                )
            yield table

    def tables(self, raw: bytes | CSV, rows: int = ROWS) -> Iterator[Table]:
        """The same in tables of at most *rows* rows, one at least.

        A fault is told as for the whole of *raw*, and when its rows are reached.
        """
        if type(rows) is not int or rows < 1:
            raise ValueError(f"rows={rows}: accepts a whole number from 1")
        raw = _bytes_of(raw)
        _refuse_coding(raw)
        plain = self._plain(raw)
        return self._by_lines(raw, rows, *plain) if plain is not None else self._by_records(raw, rows)

    def _plain(self, raw: bytes) -> tuple[Plan, int] | None:
        """The plan and the end of the header line, where every line is a row and every comma parts cells."""
        end = raw.find(b"\n") + 1 or len(raw)
        if raw.find(b'"', end) >= 0 or (b"\r" in raw and raw.count(b"\r") != raw.count(b"\r\n")):
            return None
        line, last = raw[:end], self._last
        if last is not None and last[0] == line:
            return last[1], end
        plan = self._plan(next(records(line), []))
        self._last = line, plan
        return plan, end

    def _plan(self, header: list[str]) -> Plan:
        if not header:
            raise MalformedBody("The CSV body has no header line: send the column names first")
        if len(set(header)) != len(header):
            twice = next(name for name, count in Counter(header).items() if count > 1)
            raise MalformedBody(f"Line 1 of the CSV body names the column {twice[:SHOWN_TEXT]!r} twice")
        if len(header) == 1 and header[0] not in (c.name for c in self._columns):
            for sign, called in _SEPARATORS:
                if sign in header[0]:
                    raise MalformedBody(
                        f"The separator of the CSV body is a {called}: send a comma between cells"
                    )
        return Plan(header, self._columns, self._policy)

    def _by_lines(self, raw: bytes, rows: int, plan: Plan, at: int) -> Iterator[Table]:
        end = _end(raw)
        if at >= end:
            yield self._empty(plan)
        line, crlf = 2, b"\r" in raw
        for table in plan.of_body(raw, at, end, rows):
            if table is None:
                break
            yield table
            line += len(table)
        else:
            return
        at = _skip(raw, at, end, line - 2)
        while at < end:
            stop, count = _cut(raw, at, end, rows)
            lines = raw[at : stop - raw.endswith(b"\n", at, stop)]
            if crlf:
                lines = lines.replace(b"\r\n", b"\n").removesuffix(b"\r")
            table = plan.of_lines(lines, count)
            if table is None:
                table = self._of_cells(plan, list(records(lines + b"\n", len(plan.header), line)), raw)
            yield table
            at, line = stop, line + count

    def _by_records(self, raw: bytes, rows: int) -> Iterator[Table]:
        found = records(raw[: _end(raw)])
        plan = self._plan(next(found, []))
        cells = list(islice(found, rows))
        if not cells:
            yield self._empty(plan)
        while cells:
            yield self._of_cells(plan, cells, raw)
            cells = list(islice(found, rows))

    def empty(self, header: list[str]) -> Table:
        """The table of no rows under *header*.

        Raises:
            MissingColumns, InvalidValues: the columns are not the schema's.
        """
        return self._empty(Plan(header, self._columns, self._policy))

    def _empty(self, plan: Plan) -> Table:
        """No rows: what the header lacks is missing all the same, or a body without one were an answer."""
        report = Report(plan.missing, unexpected=plan.unexpected)
        report.suggest(plan.others)
        report.raise_for_faults(0, self._columns, self._policy)
        return check(self._columns, [], self._policy, text=True)

    def _of_cells(self, plan: Plan, cells: list[list[str]], raw: bytes) -> Table:
        table = plan.of_cells(cells)
        if table is not None:
            return table
        try:
            return self._check(plan.header, cells)
        except InvalidInput:
            # The faults of other rows belong in one answer with these, all counted from the first.
            whole = list(islice(records(raw[: _end(raw)]), 1, None))
            if len(whole) > len(cells):
                self._check(plan.header, whole)
            raise

    def _check(self, header: list[str], cells: list[list[str]]) -> Table:
        rows = [dict(zip(header, row, strict=True)) for row in cells]
        return check(self._columns, rows, self._policy, text=True)


def records(raw: bytes, width: int | None = None, line: int = 1) -> Iterator[list[str]]:
    """The records of CSV, the header first: cells of text, as many in each.

    Args:
        raw: the body; or a part of it, without its header.
        width: how many cells a record has; as many as the first where None.
        line: of the body, where *raw* begins.

    Raises:
        MalformedBody: it is not CSV; the message says the line.
    """
    coding = "utf-8-sig" if line == 1 else "utf-8"
    # newline="": what ends a line is the csv module's to say, quotes being what they are.
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(raw), coding, newline=""), strict=True)
    at = line
    try:
        for cells in reader:
            if width is None:
                width = len(cells)
            if len(cells) != width:
                raise MalformedBody(
                    f"Line {at} of the CSV body has {len(cells)} cells, and the header {width}"
                )
            yield cells
            at = line + reader.line_num
    except csv.Error as error:
        raise MalformedBody(f"Line {at} of the CSV body is not readable: {_why(error)}") from None


def _why(error: csv.Error) -> str:
    if "end of data" in str(error):
        return "a quote that opens in it is never closed"
    return (
        f"a cell is longer than {csv.field_size_limit()} characters" if "limit" in str(error) else str(error)
    )


def _bytes_of(raw: object) -> bytes:
    told = raw.raw if isinstance(raw, CSV) else raw
    if not isinstance(told, bytes | bytearray | memoryview):
        raise InvalidInput(
            f"CSV is read from bytes, not from {type(told).__name__}: encode a text as UTF-8, read a file first"
        )
    return bytes(told)


def _refuse_coding(raw: bytes) -> None:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise MalformedBody("The CSV body is UTF-16: send UTF-8")
    if b"\0" in raw:
        raise MalformedBody(f"Line {_line(raw, raw.index(0))} of the CSV body has a NUL in it")
    if raw.isascii():
        return
    decoder, read = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        for read in range(0, len(raw), _STEP):
            decoder.decode(raw[read : read + _STEP], read + _STEP >= len(raw))
    except UnicodeDecodeError as error:
        # What it was given begins with what the step before left over.
        byte = min(read + _STEP, len(raw)) - len(error.object) + error.start
        raise MalformedBody(f"Line {_line(raw, byte)} of the CSV body is not UTF-8 (byte {byte})") from None


def _end(raw: bytes) -> int:
    """Where the last line ends, but for empty ones that editors and exports leave. Anywhere else one is a row."""
    tail = raw[-_STEP:].rstrip(b"\r\n")
    # Without a copy of all of a large body.
    return max(0, len(raw) - _STEP) + len(tail) if tail else len(raw.rstrip(b"\r\n"))


def _line(raw: bytes, at: int) -> int:
    before = raw[:at]
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")


def _cut(raw: bytes, at: int, end: int, rows: int) -> tuple[int, int]:
    """Where the lines from *at* stop, and how many: *rows*, or fewer, for their length is guessed by the first.

    *end* is where the last one does.
    """
    first = raw.find(b"\n", at, end) + 1 - at
    if first <= 0:
        return end, 1
    size = first * rows
    while True:
        stop = end if at + size >= end else raw.rfind(b"\n", at, at + size) + 1
        lines = occurrences(raw[at:stop], b"\n") + (not raw.endswith(b"\n", at, stop))
        if lines <= rows:
            return stop, lines
        size = max(first, size * rows // lines)


def _skip(raw: bytes, at: int, end: int, lines: int) -> int:
    """Where the line begins that stands *lines* after the one at *at*."""
    while lines:
        at, passed = _cut(raw, at, end, lines)
        lines -= passed
    return at
