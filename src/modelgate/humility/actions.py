"""Actions of humility rules."""

import math
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import ConfigurationError

__all__ = ["Action", "NoOperation", "OverridePrediction", "ThrowError"]

_EXACT = 2**53
"""Whole numbers up to this are exact as float64."""


@dataclass(frozen=True)
class NoOperation:
    """Action that reports the rule with the prediction, and changes nothing."""

    kind = "no_operation"


@dataclass(frozen=True)
class OverridePrediction:
    """Action that replaces the prediction.

    Probabilities do not change, nor do the ``predictionValues`` in responses of the dialect ``datarobot``.

    Args:
        value: Number for a regression, or one of the labels of a classifier.

    Raises:
        ConfigurationError: *value* is NaN, infinite, an integer beyond 2**53, or of another type than number,
            text or boolean.
    """

    value: bool | int | float | str
    kind = "override"

    def __post_init__(self) -> None:
        value = self.value
        is_number = type(value) in (int, float)
        if type(value) not in (bool, str) and not (is_number and _is_exact(value)):
            raise ConfigurationError(
                "value must be a finite number (integers from -2**53 to 2**53), a text or a boolean"
                f" (got {value!r})"
            )


@dataclass(frozen=True)
class ThrowError:
    """Action that rejects the entire request with `HumilityError`, status 480, without any prediction."""

    kind = "throw_error"


Action: TypeAlias = NoOperation | OverridePrediction | ThrowError


def _is_exact(value: bool | int | float | str) -> bool:
    return abs(value) <= _EXACT if isinstance(value, int) else math.isfinite(value)  # type: ignore[arg-type]
