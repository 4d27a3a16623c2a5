"""One column of a schema, and the rule its values keep."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from ..errors import ConfigurationError

__all__ = ["EXACT", "Column", "Kind", "Level"]

Kind: TypeAlias = Literal["number", "integer", "boolean", "text", "any"]
Level: TypeAlias = str | int | float | bool

EXACT = 2**53
"""Whole numbers up to here survive as float64; a larger one would become its neighbour."""

_SHOWN_LEVELS = 20
_WORDS = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "text": "text",
    "any": "a single value",
}

_EXAMPLES: dict[str, tuple[Level, ...]] = {
    "number": (0.0,),
    "integer": (0,),
    "boolean": (False,),
    "text": ("text", "a"),
    "any": (0,),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One input column.

    Args:
        name: as the model and the caller spell it.
        kind: ``number`` (a whole number is one too), ``integer``, ``boolean``, ``text``, or
            ``any`` single value where nothing more is known.
        levels: the only values allowed, all of which the other options allow too; None for any.
        required: whether the caller must send it. One that is not sent is *default*, or null.
        nullable: whether the caller may send null.
        minimum: the least number allowed.
        maximum: the greatest number allowed.
        pattern: a regular expression to be found in a text.
        max_length: the most characters a text may have.
        default: what a column is that was not sent; it makes the column optional.
        description: for people.
        typical: a value as in training: an example, and no rule.
        seen: the least and the greatest number in training: no rule either.

    Raises:
        ConfigurationError: an option cannot work, or does not belong to the kind.
    """

    name: str
    kind: Kind = "number"
    levels: tuple[Level, ...] | None = None
    required: bool = True
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    max_length: int | None = None
    default: Level | None = None
    description: str = ""
    typical: Level | None = None
    seen: tuple[float, float] | None = None
    _known: frozenset[tuple[bool, Level]] = field(default=frozenset(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigurationError(f"column name={self.name!r}: accepts text of at least one character")
        if self.kind not in get_args(Kind):
            self._refuse("kind", self.kind, ", ".join(get_args(Kind)))
        self._check_words()
        self._check_bounds()
        self._check_text()
        if self.levels is not None:
            self._check_levels(self.levels)
        if self.default is not None:
            object.__setattr__(self, "required", False)
            if not self.allows(self.default):
                self._refuse("default", self.default, f"what the column does: it {self.rule}")

    def _check_words(self) -> None:
        for option in ("required", "nullable"):
            if not isinstance(getattr(self, option), bool):
                self._refuse(option, getattr(self, option), "True or False")
        if not isinstance(self.description, str):
            self._refuse("description", self.description, "text")
        typical, seen = self.typical, self.seen
        if typical is not None and not isinstance(typical, str) and not _is_finite(typical):
            self._refuse("typical", typical, "a single value, of numbers a finite one")
        if seen is not None:
            pair = isinstance(seen, tuple) and len(seen) == 2 and all(map(_is_finite, seen))
            if not pair or seen[0] > seen[1]:
                self._refuse("seen", seen, "the least and the greatest number, finite ones")

    def _check_levels(self, levels: Sequence[Level]) -> None:
        if not isinstance(levels, tuple | list) or not levels:
            self._refuse("levels", levels, "a tuple of at least one value")
        for level in levels:
            if not self.is_of_kind(level):
                self._refuse("levels", level, f"values of the kind {self.kind}")
            if not self._keeps_bounds(level):
                self._refuse("levels", level, "values that the column's other options allow")
        # 1.0 is a whole number, and no level of integers to the decoder.
        levels = tuple(int(level) if self.kind == "integer" else level for level in levels)
        object.__setattr__(self, "levels", levels)
        # True is 1 to Python, and not to a caller.
        object.__setattr__(self, "_known", frozenset((isinstance(level, bool), level) for level in levels))

    def has_level(self, value: Level) -> bool:
        """Whether *value* is among the levels, or there are none to be among."""
        return self.levels is None or (isinstance(value, bool), value) in self._known

    def _check_bounds(self) -> None:
        for option, value in (("minimum", self.minimum), ("maximum", self.maximum)):
            if value is None:
                continue
            if self.kind not in ("number", "integer"):
                self._refuse(option, value, "bounds for numbers and integers alone")
            if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
                self._refuse(option, value, "a finite number")
        least = -EXACT if self.minimum is None else self.minimum
        greatest = EXACT if self.maximum is None else self.maximum
        if self.minimum is not None and self.maximum is not None and least > greatest:
            self._refuse("minimum", self.minimum, f"a number not above maximum={self.maximum}")
        if self.kind == "integer" and max(-EXACT, math.ceil(least)) > min(EXACT, math.floor(greatest)):
            self._refuse(
                "minimum, maximum", (self.minimum, self.maximum), "bounds with a whole number between"
            )

    def _check_text(self) -> None:
        if self.pattern is not None:
            if self.kind != "text" or not isinstance(self.pattern, str):
                self._refuse("pattern", self.pattern, "a pattern for text alone")
            try:
                re.compile(self.pattern)
            except (re.error, TypeError) as error:
                self._refuse("pattern", self.pattern, f"a regular expression ({error})")
        length = self.max_length
        if length is not None and (
            self.kind != "text" or type(length) is not int or not 1 <= length <= EXACT
        ):
            self._refuse("max_length", length, f"a whole number from 1 to {EXACT}, for text alone")

    def _refuse(self, option: str, value: object, accepted: str) -> None:
        raise ConfigurationError(f"column {self.name!r}: {option}={value!r}: accepts {accepted}")

    @property
    def numeric(self) -> bool:
        """Whether its values are kept as numbers."""
        return self.kind in ("number", "integer", "boolean")

    @property
    def example(self) -> Level | None:
        """A value that keeps the rule, as in training where that is known; None where none is found."""
        told = [self.typical, self.default, *(self.levels or ()), *_EXAMPLES[self.kind]]
        bounds = [math.ceil(bound) for bound in (self.minimum, self.maximum) if bound is not None]
        candidates = [*told, *bounds, self.minimum, self.maximum]
        return next((value for value in candidates if value is not None and self.allows(value)), None)

    @property
    def rule(self) -> str:
        """What a value must be, as a caller is told it."""
        if self.levels is not None:
            shown = ", ".join(str(level) for level in self.levels[:_SHOWN_LEVELS])
            more = len(self.levels) - _SHOWN_LEVELS
            return f"must be one of {shown}" + (f" and {more} more" if more > 0 else "")
        return f"must be {_WORDS[self.kind]}{self._bounds()}{self._form()}"

    def _bounds(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return f" between {self.minimum} and {self.maximum}"
        if self.minimum is not None:
            return f" of at least {self.minimum}"
        return f" of at most {self.maximum}" if self.maximum is not None else ""

    def _form(self) -> str:
        form = f" of at most {self.max_length} characters" if self.max_length is not None else ""
        return form + (f" that matches {self.pattern}" if self.pattern is not None else "")

    def is_of_kind(self, value: object) -> bool:
        """Whether *value* is of the column's kind, as a model can take it."""
        if self.kind == "text":
            return isinstance(value, str)
        if isinstance(value, bool):
            # bool is an int to Python, and neither a number nor an integer to a caller.
            return self.kind in ("boolean", "any")
        if isinstance(value, str):
            return self.kind == "any"
        if self.kind == "boolean" or not isinstance(value, int | float):
            return False
        if self.kind == "integer":
            return abs(value) <= EXACT and value == int(value)
        return _is_finite(value)

    def allows(self, value: object, *, any_level: bool = False) -> bool:
        """Whether *value*, not null, keeps the rule; with *any_level* also where it is no level."""
        if not self.is_of_kind(value):
            return False
        if self.levels is not None and not any_level:
            return self.has_level(value)  # type: ignore[arg-type]
        return self._keeps_bounds(value)

    def _keeps_bounds(self, value: object) -> bool:
        """Whether *value*, of the column's kind, keeps what is told beside the levels."""
        if isinstance(value, str):
            fits = self.max_length is None or len(value) <= self.max_length
            return fits and (self.pattern is None or re.search(self.pattern, value) is not None)
        if self.kind == "number":
            value = float(value)  # type: ignore[arg-type]  # as it is kept: the nearest float64
        least, greatest = self.minimum, self.maximum
        return (least is None or value >= least) and (greatest is None or value <= greatest)  # type: ignore[operator]


def _is_finite(value: object) -> bool:
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except (OverflowError, TypeError):  # a whole number of 400 digits, what is no number
        return False
