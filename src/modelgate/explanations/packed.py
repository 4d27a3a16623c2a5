"""Many explanations in little memory."""

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, overload

from .explanation import Contribution, RowExplanation

__all__ = ["PackedExplanations", "labels_and_base_values"]

_QUALITATIVE = ("---", "--", "-", "+", "++", "+++")


class PackedExplanations(Sequence[RowExplanation]):
    """Sequence of row explanations that are stored as arrays. Each access creates a `RowExplanation`.

    A contribution takes 21 bytes plus its value in memory, instead of 700 bytes.

    Args:
        columns: Names of the columns that may contribute.
        method: Method of all explanations; see `RowExplanation`.
        space: Space of all explanations; see `RowExplanation`.

    Attributes:
        labels: Label of each row; see `RowExplanation`.
        base_values: Base value of each row.
    """

    def __init__(self, columns: Sequence[str], method: str, space: str) -> None:
        self._columns = columns
        self._indices = {column: index for index, column in enumerate(columns)}
        self._method, self._space = method, space
        # One item per row. *contributions* may be None or empty, which `_is_null` distinguishes.
        self.labels = list[Any]()
        self.base_values = array("d")
        self._remaining = array("d")  # NaN stands for None
        self._is_null, self._ends = bytearray(), array("Q", [0])
        # For each contribution.
        self._features, self._strengths, self._symbols = array("I"), array("d"), bytearray()
        self._values = list[Any]()

    def append(self, explanation: RowExplanation) -> None:
        """Append an explanation."""
        self.labels.append(explanation.label)
        self.base_values.append(explanation.base_value)
        self._remaining.append(math.nan if explanation.remaining is None else explanation.remaining)
        self._is_null.append(explanation.contributions is None)
        for item in explanation.contributions or ():
            self._features.append(self._indices[item.feature])
            self._strengths.append(item.strength)
            self._symbols.append(_QUALITATIVE.index(item.qualitative_strength))
            self._values.append(item.value)
        self._ends.append(len(self._values))

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> RowExplanation: ...
    @overload
    def __getitem__(self, index: slice) -> list[RowExplanation]: ...
    def __getitem__(self, index: int | slice) -> RowExplanation | list[RowExplanation]:
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        row = range(len(self))[index]
        remaining, contributions = self._remaining[row], None
        if not self._is_null[row]:
            contributions = [self._contribution(i) for i in range(self._ends[row], self._ends[row + 1])]
        return RowExplanation(
            self.labels[row],
            self._method,
            self._space,
            self.base_values[row],
            contributions,
            None if math.isnan(remaining) else remaining,
        )

    def _contribution(self, index: int) -> Contribution:
        return Contribution(
            self._columns[self._features[index]],
            self._values[index],
            self._strengths[index],
            _QUALITATIVE[self._symbols[index]],
        )


def labels_and_base_values(explanations: Sequence[RowExplanation]) -> Iterable[tuple[Any, float]]:
    """Return the label and the base value of each row.

    From `PackedExplanations`, they are read without creating the explanations.
    """
    if isinstance(explanations, PackedExplanations):
        return zip(explanations.labels, explanations.base_values, strict=True)
    return ((row.label, row.base_value) for row in explanations)
