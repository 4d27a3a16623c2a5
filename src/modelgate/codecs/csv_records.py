"""Write rows of plain values as CSV."""

import csv
from collections.abc import Iterable
from typing import Any

__all__ = ["format_records"]


def format_records(rows: Iterable[Iterable[Any]]) -> str:
    """Return *rows* as CSV with newlines. None becomes an empty cell."""
    lines = _Lines()
    csv.writer(lines).writerows(rows)
    return "".join(lines)


class _Lines(list[str]):
    """File that replaces the line ends of `csv.writer`.

    Before Python 3.13, `csv.writer` quotes a carriage return only if it is part of the line end.
    """

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")
