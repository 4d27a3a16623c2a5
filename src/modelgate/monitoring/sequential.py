"""Always-valid confidence intervals: they stay valid if you check them repeatedly. Pure functions."""

import math
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Mean", "always_valid_margin", "compare_means"]

_EFFECT = 0.05
"""Difference, in standard deviations of one value, for which the intervals are the narrowest."""


class Mean(NamedTuple):
    """Mean of values that come in groups, such as the rows of a request.

    Attributes:
        values: Number of values.
        groups: Number of groups.
        mean: Mean of the values.
        error: Standard error of the mean. It takes into account that the values within a group are similar.
    """

    values: int
    groups: int
    mean: float
    error: float

    @classmethod
    def from_groups(cls, groups: Iterable[tuple[int, float]]) -> "Mean":
        """Return the mean of groups. Each group is given by the number and the sum of its values."""
        counted = list(groups)
        values = sum(count for count, _ in counted)
        if not values:
            return cls(0, 0, math.nan, math.inf)
        mean = sum(total for _, total in counted) / values
        if len(counted) < 2:
            return cls(values, len(counted), mean, math.inf)
        # Variance of a ratio of two sums (Cochran, Sampling Techniques, 1977, section 2.11).
        squares = sum((total - mean * count) ** 2 for count, total in counted)
        error = math.sqrt(squares * len(counted) / (len(counted) - 1)) / values
        return cls(values, len(counted), mean, error)


def always_valid_margin(error: float, typical: float, alpha: float) -> float:
    """Return the margin of an always-valid confidence interval around an estimate.

    The probability that any of the intervals, computed after each new value, misses the true value is at most
    *alpha*. This is the mixture sequential probability ratio test with a normal mixture (Robbins, 1970; Johari,
    Koomen, Pekelis and Walsh, Always Valid Inference, Operations Research, 2022), inverted. The estimate is
    treated as normal with a known error, which is justified for large samples (Waudby-Smith, Arbour, Sinha,
    Kennedy and Ramdas, Time-uniform central limit theory, Annals of Statistics, 2024).

    Args:
        error: Standard error of the estimate.
        typical: Standard deviation of the mixture. Differences of about this size are detected soonest.
        alpha: Maximum probability that any of the intervals misses the true value.
    """
    if not (0 < error < math.inf and typical > 0):
        return math.inf
    ratio = (typical / error) ** 2
    return error * math.sqrt((1 + ratio) / ratio * math.log((1 + ratio) / alpha**2))


def compare_means(first: Mean, second: Mean, alpha: float) -> tuple[float, float, float]:
    """Return the difference *second* minus *first*, and the limits of its always-valid confidence interval."""
    difference, error = second.mean - first.mean, math.hypot(first.error, second.error)
    if not math.isfinite(error):
        return difference, -math.inf, math.inf
    # The standard deviation of a value; it does not depend on the number of values.
    deviation = error * math.sqrt(first.values * second.values / (first.values + second.values))
    margin = always_valid_margin(error, _EFFECT * deviation, alpha)
    return difference, difference - margin, difference + margin
