"""Schema columns and the rules for their values."""

import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from .datetimes import Resolution, find_zone, parse_datetime
from .dtypes import find_dtype_problem, narrow_range
from .images import EXAMPLE_IMAGE, ImageSpec, create_image_spec
from .rule_text import datetime_rule, kind_rule, levels_rule
from .tensors import is_shape, parse_tensor, tensor_rule

__all__ = ["EXACT", "Column", "Kind", "Level"]

Kind: TypeAlias = Literal["number", "integer", "boolean", "text", "datetime", "any", "image", "tensor"]
Level: TypeAlias = str | int | float | bool

EXACT = 2**53
"""float64 stores every integer exactly from -EXACT to EXACT."""

_EXAMPLES: dict[str, tuple[Level, ...]] = {
    "number": (0.0,),
    "integer": (0,),
    "boolean": (False,),
    "text": ("text", "a"),
    "datetime": ("2024-01-06T10:00:00", "2024-01-06T10:00:00+01:00"),
    "any": (0,),
    "image": (EXAMPLE_IMAGE,),
    "tensor": (),
}


@dataclass(frozen=True, slots=True)
class Column:
    """Input column of a schema.

    Args:
        name: Column name, spelled as in the model and in requests.
        kind: ``number`` (includes whole numbers), ``integer``, ``boolean``, ``text``, ``datetime`` (ISO
            8601), ``any`` for a number, a boolean or a text, ``image`` (base64 text or a data URL), or
            ``tensor`` (nested arrays of numbers).
        levels: Allowed values, or None for any. Every level must satisfy the other options.
        required: Whether the caller must send the column. If it is optional and missing, its value is
            *default*, or null.
        nullable: Whether the caller may send null.
        minimum: Smallest number allowed.
        maximum: Largest number allowed.
        pattern: Regular expression that must match somewhere in a text.
        max_length: Maximum number of characters in a text.
        default: Value of the column if it is not sent. Makes the column optional.
        description: Description to show in the OpenAPI document.
        typical_value: Typical value in the training data. It is used as an example, and not checked.
        observed_range: Smallest and largest number in the training data. They are not checked.
        accepts_booleans: Whether ``true`` and ``false`` may be sent for 1 and 0. This is set for number
            columns if the model does not record which columns held booleans in training.
        timezone: Time zone of the datetimes that the model gets, such as ``Europe/Berlin`` or ``UTC+01:00``.
            The caller must send a UTC offset. If None, datetimes have no time zone.
        resolution: Resolution of the datetimes in the training data, ``s``, ``ms``, ``us`` or ``ns``; None
            for the default of the installed pandas.
        dtype: dtype of the column that the model gets, as in training: ``uint8``, ``Int64``, ``object``,
            ``ordered category``. It limits the range of numbers. None for the usual dtype of the kind.
        missing_value: Object that the model gets for null in a column with the dtype ``object``: ``"None"``
            or ``"NaN"``, as in training. By default ``"None"`` if an encoder or imputer of the column was
            fitted on None, else ``"NaN"``.
        image: Conversion of an image to an array. Required for the kind ``image``.
        shape: Shape of a tensor. Required for the kind ``tensor``.

    Raises:
        ConfigurationError: An option is invalid or does not apply to the kind.
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
    typical_value: Level | None = None
    observed_range: tuple[float, float] | None = None
    # Not compared, because it depends on how the column was inferred.
    accepts_booleans: bool = field(default=False, compare=False)
    timezone: str | None = None
    resolution: Resolution | None = None
    dtype: str | None = None
    missing_value: Literal["None", "NaN"] | None = None
    image: ImageSpec | None = None
    shape: tuple[int, ...] | None = None
    _known: frozenset[tuple[bool, Any]] = field(default=frozenset(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigurationError(
                f"column name must be text of at least one character (got {self.name!r})"
            )
        if self.kind not in get_args(Kind):
            self._reject("kind", self.kind, f"one of {', '.join(get_args(Kind))}")
        self._check_annotations()
        problem = find_dtype_problem(self.kind, self.dtype, self.missing_value, has_levels=bool(self.levels))
        if problem is not None:
            self._reject(problem[0], getattr(self, problem[0]), problem[1])
        self._check_bounds()
        self._check_text()
        self._check_datetime()
        self._check_array()
        if self.levels is not None:
            self._check_levels(self.levels)
        if self.default is not None:
            object.__setattr__(self, "required", False)
            if not self.allows(self.default):
                self._reject("default", self.default, f"a value that the column allows, which {self.rule}")

    def _check_annotations(self) -> None:
        for option in ("required", "nullable", "accepts_booleans"):
            if not isinstance(getattr(self, option), bool):
                self._reject(option, getattr(self, option), "True or False")
        if self.accepts_booleans and self.kind not in ("number", "integer"):
            self._reject("accepts_booleans", True, f"left out for the kind {self.kind}")
        if not isinstance(self.description, str):
            self._reject("description", self.description, "text")
        typical, observed = self.typical_value, self.observed_range
        if typical is not None and not isinstance(typical, str) and not _is_finite(typical):
            self._reject("typical_value", typical, "text, a boolean or a finite number")
        if observed is not None:
            is_pair = isinstance(observed, tuple) and len(observed) == 2 and all(map(_is_finite, observed))
            if not is_pair or observed[0] > observed[1]:
                self._reject("observed_range", observed, "(smallest, largest), two finite numbers")

    def _check_levels(self, levels: Sequence[Level]) -> None:
        if not isinstance(levels, tuple | list) or not levels:
            self._reject("levels", levels, "a tuple of at least one value")
        for level in levels:
            if not self.is_of_kind(level):
                self._reject("levels", level, f"values of the kind {self.kind}")
            if not self._is_within_limits(level):
                self._reject("levels", level, "values that the column's other options allow")
        # The JSON decoder compares types too: an integer column must not have the level 1.0.
        if self.kind == "integer":
            levels = tuple(map(int, levels))
        levels = tuple(level.isoformat() if isinstance(level, datetime.date) else level for level in levels)
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "_known", frozenset(map(self._level_key, levels)))

    def has_level(self, value: Level) -> bool:
        """Return whether *value* is one of the levels. Always True for a column without levels."""
        return self.levels is None or self._level_key(value) in self._known

    def _level_key(self, value: Level) -> tuple[bool, Any]:
        if self.kind == "datetime":
            return False, self.parse_datetime(value)  # one datetime may have several texts
        # True == 1 in Python, but they are different levels to a caller, unless booleans count as numbers.
        return isinstance(value, bool) and not self.accepts_booleans, value

    def _check_bounds(self) -> None:
        for option, value in (("minimum", self.minimum), ("maximum", self.maximum)):
            if value is None:
                continue
            if self.kind not in ("number", "integer"):
                self._reject(option, value, f"left out for the kind {self.kind}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
                self._reject(option, value, "a finite number")
        minimum, maximum = narrow_range(self.dtype, self.minimum, self.maximum)
        object.__setattr__(self, "minimum", minimum)
        object.__setattr__(self, "maximum", maximum)
        lower = -EXACT if self.minimum is None else self.minimum
        upper = EXACT if self.maximum is None else self.maximum
        if self.minimum is not None and self.maximum is not None and lower > upper:
            self._reject("minimum", self.minimum, f"at most maximum={self.maximum}")
        if self.kind == "integer" and max(-EXACT, math.ceil(lower)) > min(EXACT, math.floor(upper)):
            self._reject(
                "minimum and maximum", (self.minimum, self.maximum), "bounds with a whole number between them"
            )

    def _check_text(self) -> None:
        if self.pattern is not None:
            if self.kind != "text":
                self._reject("pattern", self.pattern, f"left out for the kind {self.kind}")
            if not isinstance(self.pattern, str):
                self._reject("pattern", self.pattern, "text")
            try:
                re.compile(self.pattern)
            except (re.error, TypeError) as error:
                self._reject("pattern", self.pattern, f"a valid regular expression: {error}")
        length = self.max_length
        if length is not None:
            if self.kind != "text":
                self._reject("max_length", length, f"left out for the kind {self.kind}")
            if type(length) is not int or not 1 <= length <= EXACT:
                self._reject("max_length", length, f"a whole number from 1 to {EXACT}")

    def _check_datetime(self) -> None:
        for option in ("timezone", "resolution"):
            if self.kind != "datetime" and getattr(self, option) is not None:
                self._reject(option, getattr(self, option), f"left out for the kind {self.kind}")
        if self.resolution is not None and self.resolution not in get_args(Resolution):
            self._reject("resolution", self.resolution, f"one of {', '.join(get_args(Resolution))}")
        if self.timezone is not None:
            try:
                find_zone(self.timezone)
            except (TypeError, ValueError):
                self._reject("timezone", self.timezone, "a time zone such as Europe/Berlin or UTC+01:00")
        if self.kind == "datetime" and isinstance(self.default, datetime.date):
            object.__setattr__(self, "default", self.default.isoformat())

    def _check_array(self) -> None:
        if isinstance(self.image, dict):  # from a schema file
            object.__setattr__(self, "image", create_image_spec(self.image))
        if self.kind == "image" and not isinstance(self.image, ImageSpec):
            self._reject("image", self.image, "an ImageSpec for the kind image")
        if self.kind == "tensor" and not is_shape(self.shape):
            self._reject("shape", self.shape, "a tuple of whole numbers above 0 for the kind tensor")
        for option, kind in (("image", "image"), ("shape", "tensor")):
            if self.kind != kind and getattr(self, option) is not None:
                self._reject(option, getattr(self, option), f"left out for the kind {self.kind}")
        if self.is_array:
            for option, usual in (
                ("levels", None),
                ("default", None),
                ("nullable", False),
                ("required", True),
            ):
                if getattr(self, option) is not usual:
                    self._reject(option, getattr(self, option), f"left out for the kind {self.kind}")

    def _reject(self, option: str, value: object, accepted: str) -> None:
        raise ConfigurationError(f"column {self.name!r}: {option} must be {accepted} (got {value!r})")

    @property
    def numeric(self) -> bool:
        """Whether a `Table` stores the values as numbers."""
        return self.kind in ("number", "integer", "boolean")

    @property
    def is_array(self) -> bool:
        """Whether each value is an array: an image or a tensor."""
        return self.kind in ("image", "tensor")

    @property
    def array_shape(self) -> tuple[int, ...]:
        """Shape of the array for one image or one tensor; ``()`` for other kinds."""
        return self.image.shape if self.image is not None else self.shape or ()

    @property
    def example(self) -> "Level | list[Any] | None":
        """Allowed value to show as an example, preferably the typical value. None if none is known."""
        if self.kind == "tensor":
            zeros: list[Any] = np.zeros(self.array_shape).tolist()
            return zeros
        usual = [self.typical_value, self.default, *(self.levels or ()), *_EXAMPLES[self.kind]]
        bounds = [math.ceil(bound) for bound in (self.minimum, self.maximum) if bound is not None]
        candidates = [*usual, *bounds, self.minimum, self.maximum]
        return next((value for value in candidates if value is not None and self.allows(value)), None)

    def constraints(self, *, any_level: bool = False) -> dict[str, Any]:
        """Return the options that restrict the values, by name: levels, bounds, length and pattern.

        For a column with levels, only ``levels`` is returned, because every level satisfies the other
        options.

        Args:
            any_level: Whether to leave out the levels and return the other options instead.
        """
        if self.levels is not None and not any_level:
            return {"levels": self.levels}
        options = ("minimum", "maximum", "max_length", "pattern")
        return {name: getattr(self, name) for name in options if getattr(self, name) is not None}

    @property
    def rule(self) -> str:
        """Requirement for a value, as shown to callers, such as ``must be a number of at least 0``."""
        if self.levels is not None:
            return levels_rule(self.levels)
        if self.kind == "datetime":
            return datetime_rule(self.timezone, self.resolution)
        if self.kind == "tensor":
            return tensor_rule(self.array_shape)
        return kind_rule(self.kind, self.minimum, self.maximum, self.max_length, self.pattern)

    def is_of_kind(self, value: object) -> bool:
        """Return whether *value* has the column's kind.

        Numbers must be finite, and integers within ±`EXACT`, so that float64 stores them exactly.
        """
        if self.kind == "text":
            return isinstance(value, str)
        if self.kind == "datetime":
            return self.parse_datetime(value) is not None
        if self.is_array:
            try:
                self.parse_array(value)
            except ValueError:
                return False
            return True
        if isinstance(value, bool):
            # bool is a subclass of int, but callers do not send true for a declared number.
            return self.kind in ("boolean", "any") or self.accepts_booleans
        if isinstance(value, str):
            return self.kind == "any"
        if self.kind == "boolean" or not isinstance(value, int | float):
            return False
        if self.kind == "integer":
            return abs(value) <= EXACT and value == int(value)
        return _is_finite(value)

    def parse_datetime(self, value: object) -> np.datetime64 | None:
        """Convert ISO 8601 text or a datetime to a datetime64, which a `Table` stores.

        Return None if *value* is invalid.
        """
        if isinstance(value, np.datetime64):
            return value  # parsed already
        text = value.isoformat() if isinstance(value, datetime.date) else value
        if not isinstance(text, str):
            return None
        return parse_datetime(text, with_offset=self.timezone is not None, resolution=self.resolution)

    def parse_array(self, value: object) -> npt.NDArray[Any]:
        """Convert a value of an image or tensor column to an array of `array_shape`.

        Raises:
            ValueError: *value* is not valid for the column. The message is the rule that *value* breaks.
        """
        if self.image is None:
            return parse_tensor(value, self.array_shape)
        if isinstance(value, np.ndarray) and value.shape == self.image.shape:
            return value  # parsed already
        if not isinstance(value, str | bytes):
            raise ValueError(self.rule)
        return self.image.read(value)

    def allows(self, value: object, *, any_level: bool = False) -> bool:
        """Return whether *value* satisfies the rules of the column: kind, levels, bounds, length and pattern.

        Args:
            value: Value that is not null.
            any_level: Whether to allow values that are not among the levels.
        """
        if not self.is_of_kind(value):
            return False
        if self.levels is not None and not any_level:
            return self.has_level(value)  # type: ignore[arg-type]
        return self._is_within_limits(value)

    def _is_within_limits(self, value: object) -> bool:
        """Return whether *value*, of the right kind, satisfies the bounds, the length and the pattern."""
        if self.is_array:
            return True
        if isinstance(value, str):
            fits = self.max_length is None or len(value) <= self.max_length
            return fits and (self.pattern is None or re.search(self.pattern, value) is not None)
        if self.kind == "number":
            value = float(value)  # type: ignore[arg-type]  # as a Table stores it
        lower, upper = self.minimum, self.maximum
        return (lower is None or value >= lower) and (upper is None or value <= upper)  # type: ignore[operator]


def _is_finite(value: object) -> bool:
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except (OverflowError, TypeError):  # an integer larger than any float, or not a number
        return False
