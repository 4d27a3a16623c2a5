"""One column of a schema, and the rule its values keep."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from ..errors import ConfigurationError

__all__ = ["EXACT", "Column", "Kind", "Level"]

Kind: TypeAlias = Literal["number", "integer", "boolean", "text"]
Level: TypeAlias = str | int | float | bool

EXACT = 2**53
"""Whole numbers up to here survive as float64; a larger one would become its neighbour."""

_SHOWN_LEVELS = 20


@dataclass(frozen=True, slots=True)
class Column:
    """One input column.

    Args:
        name: as the model and the caller spell it.
        kind: ``number`` (a whole number is one too), ``integer``, ``boolean`` or ``text``.
        levels: the only values allowed; None for any.
        required: whether the caller must send it. One that is not sent counts as null.
        nullable: whether it may be null.

    Raises:
        ConfigurationError: the name is empty, the kind unknown, or the levels are not of the kind.
    """

    name: str
    kind: Kind = "number"
    levels: tuple[Level, ...] | None = None
    required: bool = True
    nullable: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigurationError(f"column name={self.name!r}: accepts text of at least one character")
        if self.kind not in get_args(Kind):
            kinds = ", ".join(get_args(Kind))
            raise ConfigurationError(f"column {self.name!r}: kind={self.kind!r}: accepts {kinds}")
        if self.levels is None:
            return
        if not self.levels:
            raise ConfigurationError(f"column {self.name!r}: levels: accepts at least one value")
        for level in self.levels:
            if self._unkind(level):
                raise ConfigurationError(
                    f"column {self.name!r}: level {level!r} {self._unkind(level)}, as kind={self.kind!r} says"
                )

    def fault(self, value: object) -> str | None:
        """What is wrong with *value*, in words that say what it must be; None where it is right."""
        if value is None:
            return None if self.nullable else "must not be null"
        unkind = self._unkind(value)
        if unkind is None and self.levels is not None and value not in self.levels:
            shown = ", ".join(str(level) for level in self.levels[:_SHOWN_LEVELS])
            more = len(self.levels) - _SHOWN_LEVELS
            return f"must be one of {shown}" + (f" and {more} more" if more > 0 else "")
        return unkind

    def _unkind(self, value: Any) -> str | None:
        if self.kind == "text":
            return None if isinstance(value, str) else "must be text"
        if self.kind == "boolean":
            return None if isinstance(value, bool) else "must be true or false"
        # bool is an int to Python, and neither a number nor an integer to a caller.
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.kind == "number":
            return None if number and abs(value) <= _LARGEST else "must be a number"
        whole = number and abs(value) <= EXACT and value == int(value)
        return None if whole else "must be a whole number"


_LARGEST = 1.7976931348623157e308
"""The largest float64. Infinity, NaN and a whole number of 400 digits all fail to be at most this."""
