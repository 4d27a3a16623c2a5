"""Measure the accuracy of model versions, and compare versions that serve at the same time. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from .sequential import Mean, compare_means

__all__ = [
    "ALPHA",
    "CALIBRATION_BINS",
    "ArmComparison",
    "CalibrationBin",
    "VersionAccuracy",
    "calibration_error",
    "compare_arms",
    "measure_accuracy",
]

ALPHA = 0.05
"""Maximum probability that any confidence interval of a deployment ever misses the true difference."""

CALIBRATION_BINS = 10
"""Number of bins of equal width, from a probability of 0 to 1."""

_MIN_EVENTS = 10
"""Smallest number of right and of wrong predictions for which the difference of two shares is nearly normal."""

Measure = Literal["error_rate", "absolute_error"]


class CalibrationBin(msgspec.Struct):
    """Predictions with similar probabilities of the predicted class.

    Attributes:
        rows: Number of predictions.
        probability: Mean predicted probability.
        accuracy: Share of correct predictions. For a calibrated model, it equals *probability*.
    """

    rows: int
    probability: float
    accuracy: float


class VersionAccuracy(msgspec.Struct):
    """Accuracy of a model version, measured on the predictions with a known outcome.

    Attributes:
        version: Version of the model.
        predictions: Number of predicted rows.
        outcomes: Number of rows with an outcome.
        measure: ``error_rate`` for labels, ``absolute_error`` for numbers.
        error: Share of wrong labels, or mean absolute error of numbers; None with too few outcomes.
        calibration: Calibration bins that contain predictions; empty for numbers, or with too few outcomes.
        calibration_error: Mean absolute difference between probability and accuracy over the bins, weighted
            by their rows; None if there are no bins.
    """

    version: str
    predictions: int
    outcomes: int
    measure: Measure
    error: float | None = None
    calibration: list[CalibrationBin] = []
    calibration_error: float | None = None


class ArmComparison(msgspec.Struct):
    """Comparison of the errors of two versions, in the period in which both served.

    Attributes:
        versions: The two versions.
        outcomes: Number of rows with an outcome, for each version.
        measure: ``error_rate`` or ``absolute_error``.
        difference: Error of the second version minus error of the first version; None with too few outcomes.
        low, high: Limits of a confidence interval for the difference. They are valid even if you check
            them repeatedly.
        alpha: Maximum probability that the interval, at any check, does not contain the true difference.
        winner: Version with the smaller error; None if the interval contains zero.
    """

    versions: tuple[str, str]
    outcomes: tuple[int, int]
    measure: Measure
    alpha: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    winner: str | None = None


def measure_accuracy(
    version: str,
    predictions: int,
    measure: Measure,
    errors: Mean,
    bins: Sequence[CalibrationBin],
    min_rows: int,
) -> VersionAccuracy:
    """Return the accuracy of a version. With fewer than *min_rows* outcomes, only the counts are set."""
    accuracy = VersionAccuracy(version, predictions, errors.values, measure)
    if errors.values >= min_rows:
        accuracy.error, accuracy.calibration = errors.mean, list(bins)
        accuracy.calibration_error = calibration_error(bins)
    return accuracy


def calibration_error(bins: Sequence[CalibrationBin]) -> float | None:
    """Return the expected calibration error (Naeini et al., 2015), or None if there are no bins."""
    rows = sum(each.rows for each in bins)
    return sum(each.rows * abs(each.probability - each.accuracy) for each in bins) / rows if rows else None


def compare_arms(
    errors: Mapping[tuple[str, str], tuple[Mean, Mean]], measure: Measure, min_rows: int
) -> list[ArmComparison]:
    """Compare pairs of versions that served at the same time.

    The error probabilities of the pairs are ``ALPHA`` times 1/2, 1/6, 1/12 and so on. For any number of
    pairs, their sum is at most ``ALPHA``. If all pairs had the same probability, each new version would lower
    it, and a comparison could lose its winner.

    Args:
        errors: Errors by pair of versions, in the period in which both served. The oldest pair is first.
        measure: ``error_rate`` or ``absolute_error``.
        min_rows: Minimum number of groups per version. A group is, for example, a request.
    """
    comparisons = []
    for number, (versions, (first, second)) in enumerate(errors.items(), 1):
        alpha = ALPHA / (number * (number + 1))
        comparison = ArmComparison(versions, (first.values, second.values), measure, alpha)
        comparisons.append(comparison)
        if any(not _is_large(each, measure, min_rows) for each in (first, second)):
            continue
        difference, low, high = compare_means(first, second, comparison.alpha)
        comparison.difference, comparison.low, comparison.high = difference, low, high
        if low > 0 or high < 0:
            comparison.winner = versions[0] if low > 0 else versions[1]
    return comparisons


def _is_large(errors: Mean, measure: Measure, min_rows: int) -> bool:
    if measure == "error_rate" and min(errors.mean, 1 - errors.mean) * errors.groups < _MIN_EVENTS:
        return False
    return errors.groups >= min_rows
