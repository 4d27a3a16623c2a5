"""Raw JSON values of a column, in one buffer."""

from array import array
from collections.abc import Sequence
from typing import overload

import msgspec

__all__ = ["RawValues"]


class RawValues(Sequence[msgspec.Raw]):
    """Raw JSON values of a column.

    In memory, a value takes its text and 8 bytes. As a `msgspec.Raw`, it would take 100 bytes more.
    """

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q", [0])

    def append(self, raw: bytes | msgspec.Raw) -> None:
        """Append a value."""
        self._text += raw
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> msgspec.Raw: ...
    @overload
    def __getitem__(self, index: slice) -> list[msgspec.Raw]: ...
    def __getitem__(self, index: int | slice) -> msgspec.Raw | list[msgspec.Raw]:
        if isinstance(index, slice):
            return [self[position] for position in range(len(self))[index]]
        position = range(len(self))[index]
        return msgspec.Raw(bytes(self._text[self._ends[position] : self._ends[position + 1]]))
