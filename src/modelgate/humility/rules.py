"""Humility rules. A rule has a trigger, which detects rows, and an action for these rows.

The triggers and actions are those in DataRobot's user guide, section "Set up humility rules".
"""

import hashlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..inference import Output, Prediction, Target
from ..inference.prediction import TriggeredRule
from ..schema import Column, Schema, Table
from ..spelling import closest_match
from .actions import Action, NoOperation, OverridePrediction

__all__ = [
    "HumilityRule",
    "InputRule",
    "LowObservationRegion",
    "OutlyingInput",
    "UncertainPrediction",
]

_RULE_ID = re.compile(r"[0-9a-f]{24}")
_SMALL = 32
"""Number of rows up to which Python is faster than numpy."""


@dataclass(frozen=True, kw_only=True)
class HumilityRule(ABC):
    """Base class for humility rules.

    Args:
        action: Effect on the rows that trigger the rule.
        name: Name of the rule in responses and metrics; by default the name of its trigger, with the
            feature if it has one.
        rule_id: Id of the rule in responses, 24 hexadecimal digits; by default a digest of the trigger and
            the action, which is the same in every process.

    Raises:
        ConfigurationError: An option is invalid.
    """

    trigger: ClassVar[str]
    action: Action = field(default_factory=NoOperation)
    name: str = ""
    rule_id: str = ""
    report: TriggeredRule = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.action, Action):
            self._reject("action", self.action, "NoOperation(), OverridePrediction(value) or ThrowError()")
        if not isinstance(self.name, str):
            self._reject("name", self.name, "text")
        if self.rule_id and not (isinstance(self.rule_id, str) and _RULE_ID.fullmatch(self.rule_id)):
            self._reject("rule_id", self.rule_id, "24 digits from 0 to 9 and a to f")
        object.__setattr__(self, "name", self.name or self._default_name)
        object.__setattr__(self, "rule_id", self.rule_id or self._digest())
        object.__setattr__(self, "report", TriggeredRule(self.rule_id, self.name, self.action.kind))

    @property
    @abstractmethod
    def _default_name(self) -> str:
        """Name of the rule if none is set."""

    @property
    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Plain values of the trigger's options that are set, by option name."""

    @abstractmethod
    def check(self, schema: Schema, targets: Sequence[Target]) -> None:
        """Check the rule against a model.

        Args:
            schema: Schema of the rows.
            targets: Outputs of the model; empty if they are unknown, as for a function.

        Raises:
            ConfigurationError: The rule does not fit the model.
        """
        if isinstance(self.action, OverridePrediction) and targets:
            self._check_override(self.action.value, self._require_one(targets))

    def _check_override(self, value: Any, target: Target) -> None:
        if target.classes is None:
            if type(value) not in (int, float):
                self._reject("value", value, f"a number, like the predictions of {target.name}")
        elif (type(value), value) not in [(type(label), label) for label in target.classes]:
            self._reject("value", value, f"one of the model's classes {list(target.classes)}")

    def _require_one(self, targets: Sequence[Target]) -> Target:
        if len(targets) > 1:
            raise ConfigurationError(
                f"humility rule {self.name!r}: the model must have one output for this trigger and action"
                f" (got {', '.join(target.name for target in targets)})"
            )
        return targets[0]

    def _digest(self) -> str:
        # The id must be the same for 18 and 18.0.
        options = {key: float(value) if type(value) is int else value for key, value in self.options.items()}
        value = getattr(self.action, "value", None)
        content = msgspec.json.encode([self.trigger, options, self.action.kind, value], order="sorted")
        return hashlib.sha256(content).hexdigest()[:24]

    def _check_bounds(self, lower: Any, upper: Any) -> None:
        for option, value in (("lower", lower), ("upper", upper)):
            if value is not None and not (type(value) in (int, float) and math.isfinite(value)):
                self._reject(option, value, "a finite number, or None for no bound")
        if lower is None and upper is None:
            self._reject("lower and upper", (None, None), "at least one number")
        if lower is not None and upper is not None and lower > upper:
            self._reject("lower", lower, f"at most upper={upper}")

    def _reject(self, option: str, value: object, accepted: str) -> None:
        name = self.name if isinstance(self.name, str) and self.name else type(self).__name__
        raise ConfigurationError(f"humility rule {name!r}: {option} must be {accepted} (got {value!r})")


@dataclass(frozen=True)
class UncertainPrediction(HumilityRule):
    """Rule for predictions that are uncertain.

    A prediction is uncertain in these cases:

    * Regression: the predicted number is less than *lower* or greater than *upper*.
    * Classifier with two classes: the probability of the positive class is from *lower* to *upper*.
    * Classifier with more classes: the probability of the predicted class is from *lower* to *upper*.

    Predictions are compared before they are rounded.

    Args:
        lower: Lower bound; None for no lower bound.
        upper: Upper bound; None for no upper bound.
    """

    trigger: ClassVar[str] = "uncertain_prediction"
    _default_name: ClassVar[str] = "Uncertain Prediction Trigger"  # as in DataRobot's documentation
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        self._check_bounds(self.lower, self.upper)
        super().__post_init__()

    @property
    def options(self) -> dict[str, Any]:
        """Plain values of the trigger's options that are set, by option name."""
        return _without_none(lower=self.lower, upper=self.upper)

    def check(self, schema: Schema, targets: Sequence[Target]) -> None:
        """Check the rule against a model; see `HumilityRule.check`."""
        super().check(schema, targets)
        if not targets:
            return
        target = self._require_one(targets)
        if target.classes is None:
            return
        if not target.probabilities:
            raise ConfigurationError(
                f"humility rule {self.name!r}: the model must predict probabilities for this trigger"
            )
        for option, bound in self.options.items():
            if not 0 <= bound <= 1:
                self._reject(option, bound, "a probability from 0 to 1")

    def find_rows(self, prediction: Prediction) -> list[int]:
        """Return the indices of the uncertain rows. A prediction of NaN or null is not uncertain.

        Raises:
            ValueError: A function predicted several outputs, or classes without probabilities.
        """
        if len(prediction.outputs) > 1:
            raise ValueError("an UncertainPrediction rule needs a prediction with a single output")
        output = prediction.outputs[0]
        if output.classes is None:
            return _rows_outside(_numbers(output), self.lower, self.upper)
        if output.probabilities is None:
            raise ValueError("an UncertainPrediction rule needs probabilities")
        return _rows_within(_certainty(output), self.lower, self.upper)


@dataclass(frozen=True)
class InputRule(HumilityRule):
    """Base class for rules about an input column.

    Args:
        feature: Name of the column.
        missing: Whether null triggers the rule: ``"trigger"`` or ``"ignore"``.
    """

    kinds: ClassVar[tuple[str, ...]]
    feature: str
    missing: Literal["ignore", "trigger"] = field(default="ignore", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.feature, str) or not self.feature:
            self._reject("feature", self.feature, "the name of a column")
        if self.missing not in ("ignore", "trigger"):
            self._reject("missing", self.missing, '"ignore" or "trigger"')
        super().__post_init__()

    @property
    def options(self) -> dict[str, Any]:
        """Plain values of the trigger's options that are set, by option name."""
        missing = None if self.missing == "ignore" else self.missing
        return _without_none(feature=self.feature, missing=missing)

    def check(self, schema: Schema, targets: Sequence[Target]) -> None:
        """Check the rule against a model; see `HumilityRule.check`."""
        super().check(schema, targets)
        column = next((column for column in schema if column.name == self.feature), None)
        if column is None:
            match = closest_match(self.feature, schema.names)
            hint = f": did you mean {match!r}?" if match else ""
            raise ConfigurationError(
                f"humility rule {self.name!r}: feature must be a column of the input"
                f" (got {self.feature!r}){hint}"
            )
        if column.kind not in self.kinds:
            kinds = " or ".join(self.kinds)
            self._reject("feature", self.feature, f"a column of the kind {kinds}, not {column.kind}")
        self._check_column(column)

    def _check_column(self, column: Column) -> None:
        """Raise `ConfigurationError` if an option does not fit *column*."""

    @abstractmethod
    def find_rows(self, table: Table) -> list[int]:
        """Return the indices of the rows that the trigger detects."""


@dataclass(frozen=True)
class OutlyingInput(InputRule):
    """Rule for rows in which a number is less than *lower* or greater than *upper*.

    Args:
        feature: Name of a column of numbers.
        lower: Lower bound; None for no lower bound.
        upper: Upper bound; None for no upper bound.
    """

    trigger: ClassVar[str] = "outlying_input"
    kinds: ClassVar[tuple[str, ...]] = ("number", "integer")
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        self._check_bounds(self.lower, self.upper)
        super().__post_init__()

    @property
    def _default_name(self) -> str:
        return f"Outlying Input Trigger ({self.feature})"

    @property
    def options(self) -> dict[str, Any]:
        """Plain values of the trigger's options that are set, by option name."""
        return {**super().options, **_without_none(lower=self.lower, upper=self.upper)}

    def find_rows(self, table: Table) -> list[int]:
        """Return the indices of the rows that the trigger detects."""
        values: Any = table.stored(self.feature)
        return _rows_outside(values, self.lower, self.upper, nan=self.missing == "trigger")


@dataclass(frozen=True)
class LowObservationRegion(InputRule):
    """Rule for rows with a value that is rare in the training data, that is, not among *values*.

    If the column has levels, a value that is not one of them is rejected before rules are applied, unless the
    deployment sets ``unknown_levels="accept"`` or ``"warn"``.

    Args:
        feature: Name of a column of texts, numbers or booleans.
        values: Common values, which do not trigger the rule.
    """

    trigger: ClassVar[str] = "low_observation_region"
    kinds: ClassVar[tuple[str, ...]] = ("text", "integer", "boolean", "number", "any")
    values: Sequence[bool | int | float | str]
    _known: frozenset[Any] = field(default=frozenset(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        is_list = isinstance(self.values, Sequence | set | frozenset) and not isinstance(self.values, str)
        if not is_list or not self.values or not all(map(_is_level, self.values)):
            self._reject("values", self.values, "a list of at least one text, finite number or boolean")
        # The order of the values must not change the id of the rule.
        object.__setattr__(
            self, "values", tuple(sorted(self.values, key=lambda value: (str(type(value)), value)))
        )
        object.__setattr__(self, "_known", frozenset(map(_level_key, self.values)))
        super().__post_init__()

    @property
    def _default_name(self) -> str:
        return f"Low Observation Region Trigger ({self.feature})"

    @property
    def options(self) -> dict[str, Any]:
        """Plain values of the trigger's options that are set, by option name."""
        return {**super().options, "values": list(self.values)}

    def _check_column(self, column: Column) -> None:
        for value in self.values:
            if not column.is_of_kind(value):
                self._reject("values", value, f"values of the kind {column.kind}")

    def find_rows(self, table: Table) -> list[int]:
        """Return the indices of the rows that the trigger detects."""
        values, known, on_null = table.stored(self.feature), self._known, self.missing == "trigger"
        if isinstance(values, np.ndarray):
            # In a column of booleans, true is stored as 1.0.
            numbers = {value for _, value in known}
            if len(values) > _SMALL:
                is_unknown = ~np.isin(values, np.array([*numbers], dtype=np.float64))
                return np.flatnonzero(is_unknown if on_null else is_unknown & (values == values)).tolist()
            return [
                index
                for index, value in enumerate(values.tolist())
                if (on_null if value != value else value not in numbers)
            ]
        return [
            index
            for index, value in enumerate(values)
            if (on_null if value is None else _level_key(value) not in known)
        ]


def _without_none(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _is_level(value: object) -> bool:
    return isinstance(value, bool | str) or (type(value) in (int, float) and math.isfinite(value))  # type: ignore[arg-type]


def _level_key(value: Any) -> tuple[bool, Any]:
    # In Python, True equals 1.
    return isinstance(value, bool), value


def _numbers(output: Output) -> npt.NDArray[Any]:
    if output.values.dtype.kind == "O":
        return np.array([np.nan if value is None else value for value in output.values], dtype=np.float64)
    return output.values.astype(np.float64)


def _certainty(output: Output) -> npt.NDArray[Any]:
    """Return the probability of the positive class if there are two classes, else of the predicted class."""
    assert output.probabilities is not None and output.classes is not None
    if len(output.classes) == 2:
        return output.probabilities[:, output.positive].astype(np.float64)
    return np.array(output.confidences(), dtype=np.float64)


def _rows_outside(
    values: npt.NDArray[Any], lower: float | None, upper: float | None, *, nan: bool = False
) -> list[int]:
    """Return the indices of the values outside of the bounds. If *nan* is True, NaN counts as outside."""
    low, high = -math.inf if lower is None else lower, math.inf if upper is None else upper
    if len(values) <= _SMALL:
        return [
            index
            for index, value in enumerate(values.tolist())
            if value < low or value > high or (nan and value != value)
        ]
    outside = (values < low) | (values > high)
    return np.flatnonzero(outside | np.isnan(values) if nan else outside).tolist()


def _rows_within(values: npt.NDArray[Any], lower: float | None, upper: float | None) -> list[int]:
    low, high = -math.inf if lower is None else lower, math.inf if upper is None else upper
    if len(values) <= _SMALL:
        return [index for index, value in enumerate(values.tolist()) if low <= value <= high]
    return np.flatnonzero((values >= low) & (values <= high)).tolist()
