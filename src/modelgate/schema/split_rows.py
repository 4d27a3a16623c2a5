"""Rows in split orientation: column names plus lists of values."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import InvalidInput
from ..spelling import SHOWN_TEXT

__all__ = ["LazyRows", "SplitRows", "columns_to_records"]


@dataclass(frozen=True, slots=True)
class SplitRows:
    """Rows in split orientation: ``schema.read(SplitRows(["age", "plan"], [[41, "pro"]]))``.

    Args:
        columns: Column names, in the order of the values; None for the order of the schema.
        data: Rows, each as a list of None, bool, int, float and str values.
    """

    columns: Sequence[str] | None
    data: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.data)

    def resolve_columns(self, names: Sequence[str]) -> Sequence[str]:
        """Return the column names of the rows.

        Args:
            names: Column names of the schema. They are used if *columns* is None.
        """
        return names if self.columns is None else self.columns

    def records(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return each row as a dictionary by column name.

        Args:
            names: Column names of the schema. They are used if *columns* is None.

        Raises:
            InvalidInput: A row has too many or too few values, or two columns have the same name.
        """
        columns = self.resolve_columns(names)
        duplicates = [name for name, count in Counter(columns).items() if count > 1]
        if duplicates:
            raise InvalidInput(f"Column {duplicates[0][:SHOWN_TEXT]!r} is named twice: name it once")
        for index, row in enumerate(self.data):
            if len(row) != len(columns):
                raise InvalidInput(
                    f"Row {index} has {len(row)} values: send {len(columns)}, one for each column"
                )
        return [dict(zip(columns, row, strict=True)) for row in self.data]


class LazyRows(Sequence[Sequence[Any]]):
    """Rows that are created on first use. Their number is known in advance.

    Args:
        count: Number of rows.
        make: Function that creates the rows.
    """

    def __init__(self, count: int, make: Callable[[], Sequence[Sequence[Any]]]) -> None:
        self._count = count
        self._make = make

    @cached_property
    def _rows(self) -> Sequence[Sequence[Any]]:
        return self._make()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Sequence[Any]]:
        return iter(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]


def columns_to_records(columns: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Return one dictionary per row. All *columns* must have the same length."""
    names, rows = tuple(columns), zip(*columns.values(), strict=True)
    if len(names) == 1:
        name = names[0]
        return [{name: value} for (value,) in rows]
    return [dict(zip(names, row)) for row in rows]  # noqa: B905  strict=True doubles the time
