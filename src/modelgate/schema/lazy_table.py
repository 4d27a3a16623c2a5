"""Tables that are too large to stay in memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .columns import Column
from .table import Table

__all__ = ["LazyTable"]


class LazyTable(Table):
    """Table of many validated rows that are not stored: each call of `slices` decodes them again.

    Any other access to the rows decodes all of them, and stores them.

    Args:
        columns: Columns of the schema.
        rows: Number of rows.
        decode: Function that decodes the rows, and returns them in parts.
        warnings: Warnings to return to the caller.
    """

    __slots__ = ("_decode", "_is_loaded")

    def __init__(
        self,
        columns: Sequence[Column],
        rows: int,
        decode: Callable[[], Iterator[Table]],
        warnings: Sequence[str] = (),
    ) -> None:
        self._columns = columns
        self.row_count = rows
        self._decode = decode
        self.warnings = warnings
        self._indices = None
        self._is_loaded = False

    def load(self) -> None:
        """Decode all rows, and store them. This takes long: call it in a worker thread."""
        table = Table.join(self._columns, self._decode())
        self.numbers, self.texts = table.numbers, table.texts
        self._is_loaded = True

    def __getattr__(self, name: str) -> Any:
        # Called only for an attribute that is not set.
        if name not in ("numbers", "texts"):
            raise AttributeError(name)
        self.load()
        return getattr(self, name)

    def slices(self, rows: int) -> Iterator[Table]:
        """Yield the rows in tables of at most *rows* rows, without warnings."""
        if self._is_loaded:
            yield from super().slices(rows)
            return
        for table in self._decode():
            yield from table.slices(rows)
