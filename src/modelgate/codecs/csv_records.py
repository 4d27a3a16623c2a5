"""Write rows of Python values as CSV."""

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
    """File for `csv.writer` that ends lines with a newline, instead of a carriage return and a newline.

    Before Python 3.13, `csv.writer` quotes carriage returns in cells only if its own line end has one.
    """

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")
