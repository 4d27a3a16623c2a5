"""Rows whose names stand apart from their values."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput
from .report import SHOWN_TEXT

__all__ = ["Split", "by_row"]


@dataclass(frozen=True, slots=True)
class Split:
    """Rows as lists of values: ``schema.read(Split(["age", "plan"], [[41, "pro"]]))``.

    Args:
        columns: the name of each value, for all rows; None where they stand in the schema's order.
        data: the rows, each a list of what JSON can say: None, bool, int, float and str.
    """

    columns: Sequence[str] | None
    data: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.data)

    def records(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The rows by column name.

        Args:
            names: those of the schema.

        Raises:
            InvalidInput: a row has more or fewer values than there are names, or a name stands twice.
        """
        columns = names if self.columns is None else self.columns
        twice = [name for name, count in Counter(columns).items() if count > 1]
        if twice:
            raise InvalidInput(f"Column {twice[0][:SHOWN_TEXT]!r} is named twice")
        for at, row in enumerate(self.data):
            if len(row) != len(columns):
                raise InvalidInput(
                    f"Row {at} has {len(row)} values: send {len(columns)}, one for each column"
                )
        return [dict(zip(columns, row, strict=True)) for row in self.data]


def by_row(columns: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """A dictionary a row, of columns of one length."""
    names, rows = tuple(columns), zip(*columns.values(), strict=True)
    if len(names) == 1:
        name = names[0]
        return [{name: value} for (value,) in rows]
    return [dict(zip(names, row)) for row in rows]  # noqa: B905  of one length: to ask takes as long
