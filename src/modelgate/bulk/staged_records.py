"""Read the local CSV files of a scoring run."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

__all__ = ["StagedRecords", "split_record"]

_REPORTED_ROWS = 10_000

_CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^,"]*))(?:,|\n)')


class StagedRecords:
    """Records of a CSV file that `Output` has written.

    Args:
        path: Path of the file. It may be missing, or empty.
        on_rows: Function called after every 10,000 rows with this number.

    Attributes:
        names: Names of the columns; empty if there are no records.
    """

    def __init__(self, path: Path, on_rows: Callable[[int], None] = lambda _: None) -> None:
        self._path = path
        self._on_rows = on_rows
        self.names = next(self._read(), [])

    def __iter__(self) -> Iterator[list[str]]:
        for number, record in enumerate(islice(self._read(), 1, None), 1):
            yield record
            if number % _REPORTED_ROWS == 0:
                self._on_rows(_REPORTED_ROWS)

    def _read(self) -> Iterator[list[str]]:
        # Rejected rows need not be UTF-8, and PostgreSQL does not store NUL.
        with (
            contextlib.suppress(FileNotFoundError),
            self._path.open(encoding="utf-8", errors="replace", newline="\n") as file,
        ):
            yield from _split_records(line.replace("\0", "\ufffd") for line in file)


def split_record(record: str) -> list[str]:
    """Return the cells of *record*, which ends with a newline."""
    if '"' not in record:
        return record[:-1].split(",")
    return [quoted.replace('""', '"') or plain for quoted, plain in _CELL.findall(record)]


def _split_records(lines: Iterable[str]) -> Iterator[list[str]]:
    # The csv module would limit the size of a cell, and a rejected row may be longer.
    parts: list[str] = []
    quotes = 0
    for line in lines:
        parts.append(line)
        quotes += line.count('"')
        if quotes % 2 == 0:
            yield split_record("".join(parts))
            parts.clear()
