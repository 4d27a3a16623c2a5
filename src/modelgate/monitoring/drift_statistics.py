"""Compute how the values in a window differ from the training data. Pure functions."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from .drift_bins import ColumnReference, DriftCounts, Reference

__all__ = [
    "Assessment",
    "ColumnDrift",
    "Thresholds",
    "Window",
    "assess",
    "join_windows",
    "sustained_alarms",
]

_MIN_SHARE = 0.02
"""Minimum share of the training values in a bin. Rarer bins make the population stability index unstable."""

_DEVIATIONS = 4.753
"""Number of standard deviations that a normal variable exceeds with a probability of 1e-6."""

_NEW_VALUES = 20
"""If unseen values have a total probability of 20/m, all are absent from m rows in only one of 5e8 cases."""


class Thresholds(msgspec.Struct, frozen=True):
    """Thresholds above which a difference counts as drift.

    The difference must also be statistically significant.

    Attributes:
        psi: Threshold of the population stability index.
        share: Threshold of three measures: the change of the share of missing values, the share of unseen
            levels, and the share of numbers out of range.
        min_rows: Minimum number of values for which measures are computed.
    """

    psi: float = 0.1
    share: float = 0.05
    min_rows: int = 500


class ColumnDrift(msgspec.Struct):
    """Difference between the values of a column in a window and in the training data.

    Attributes:
        rows: Number of values, including missing ones.
        psi: Population stability index of the values that are not missing; None with fewer than the minimum
            number of values, or if all training values are in one bin.
        psi_limit: Index above which the column has drifted.
        missing: Share of missing values. All shares are None with too few rows, or without training counts.
        missing_in_training: Share of missing values in the training data.
        unseen: Share of values whose level is not in the training data; None if the levels in the training
            data are not completely known, and for other types of values.
        out_of_range: Share of numbers outside of the training data's range; None for other types of values.
        drifted: Names of the attributes that exceed their limits.
    """

    rows: int
    psi: float | None = None
    psi_limit: float | None = None
    missing: float | None = None
    missing_in_training: float | None = None
    unseen: float | None = None
    out_of_range: float | None = None
    drifted: list[str] = []


class Window(msgspec.Struct):
    """Counts of the rows predicted from *start* up to *end*. Both are in seconds since the epoch."""

    start: float
    end: float
    counts: DriftCounts


class Assessment(msgspec.Struct):
    """Drift of a model in one window.

    Attributes:
        start, end: Start and end of the window, in seconds since the epoch.
        rows: Number of rows.
        columns: Drift by column.
        prediction: Drift of the predictions since the model's first window; None if predictions are not
            monitored.
        humility: Number of rows that have triggered each humility rule.
    """

    start: float
    end: float
    rows: int
    columns: dict[str, ColumnDrift]
    prediction: ColumnDrift | None
    humility: dict[str, int]

    def drifts(self) -> dict[str | None, ColumnDrift]:
        """Return the drift of each column, and that of the predictions under the key None."""
        drifts: dict[str | None, ColumnDrift] = dict(self.columns.items())
        if self.prediction is not None:
            drifts[None] = self.prediction
        return drifts

    def alarms(self) -> set[tuple[str | None, str]]:
        """Return the measures that have drifted, as pairs: column, and attribute of its `ColumnDrift`."""
        return {(name, measure) for name, drift in self.drifts().items() for measure in drift.drifted}


def join_windows(buckets: Iterable[Window], min_rows: int) -> list[Window]:
    """Join consecutive *buckets* so that each window has at least *min_rows* rows.

    The last window may have fewer.
    """
    windows: list[Window] = []
    for bucket in buckets:
        if windows and windows[-1].counts.rows < min_rows:
            windows[-1] = Window(windows[-1].start, bucket.end, windows[-1].counts + bucket.counts)
        else:
            windows.append(bucket)
    return windows


def sustained_alarms(assessments: Sequence[Assessment], times: int) -> set[tuple[str | None, str]]:
    """Return the alarms that occur in all of the last *times* assessments.

    The set is empty if there are fewer assessments.
    """
    if len(assessments) < times:
        return set()
    return set.intersection(*(assessment.alarms() for assessment in assessments[-times:]))


def assess(
    window: Window, reference: Reference, baseline: Sequence[int] | None, thresholds: Thresholds
) -> Assessment:
    """Compare the counts of a window with those of the training data.

    Args:
        window: Counts to compare.
        reference: Training counts.
        baseline: Counts of the predictions in the model's first window, with which later predictions are
            compared; None if there are none yet. Training targets are not suitable, because predictions vary
            less than targets.
        thresholds: Thresholds above which a difference counts as drift.
    """
    counts = window.counts
    prediction = None
    if reference.prediction is not None:
        expected = ColumnReference(reference.prediction.kind, tuple(baseline or ()))
        prediction = _assess_column(expected, counts.prediction, thresholds)
    columns = {
        name: _assess_column(column, counts.columns[name], thresholds)
        for name, column in reference.columns.items()
        if name in counts.columns
    }
    return Assessment(window.start, window.end, counts.rows, columns, prediction, counts.humility)


def _assess_column(
    reference: ColumnReference, observed: Sequence[int], thresholds: Thresholds
) -> ColumnDrift:
    rows, trained = sum(observed), sum(reference.counts)
    drift = ColumnDrift(rows)
    if rows < thresholds.min_rows or not trained:
        return drift
    drift.missing, drift.missing_in_training = observed[0] / rows, reference.counts[0] / trained
    drifted = {
        "missing": _shares_differ(
            drift.missing, drift.missing_in_training, 1 / rows + 1 / trained, thresholds.share
        )
    }
    known, present = trained - reference.counts[0], rows - observed[0]
    if known and present >= thresholds.min_rows:
        _compare_values(drift, reference, observed, thresholds.psi)
        drifted["psi"] = drift.psi is not None and drift.psi_limit is not None and drift.psi > drift.psi_limit
        limit = thresholds.share + _NEW_VALUES / known
        limit += _DEVIATIONS * math.sqrt(limit / present)
        drifted["unseen"] = drift.unseen is not None and drift.unseen > limit
        drifted["out_of_range"] = drift.out_of_range is not None and drift.out_of_range > limit
    drift.drifted = [name for name, exceeds in drifted.items() if exceeds]
    return drift


def _compare_values(
    drift: ColumnDrift, reference: ColumnReference, observed: Sequence[int], threshold: float
) -> None:
    """Set the attributes of *drift* that describe the values that are not missing."""
    expected, actual = reference.counts[1:], observed[1:]
    present, known = sum(actual), sum(expected)
    pairs = list(zip(expected, actual, strict=True))
    if reference.kind == "number":
        drift.out_of_range = (actual[0] + actual[-1]) / present
    elif reference.kind == "level":
        drift.unseen = actual[-1] / present if reference.complete else None
        pairs.sort(key=lambda pair: pair[0], reverse=True)
    bins = _merge_rare(pairs, known)
    if len(bins) > 1:
        drift.psi = _stability_index(bins)
        chance = _chi_square_quantile(len(bins) - 1) * (1 / present + 1 / known)
        drift.psi_limit = max(threshold, chance)


def _merge_rare(pairs: Iterable[tuple[int, int]], total: int) -> list[tuple[int, int]]:
    """Merge bins in which few values are expected with the bins that follow.

    Args:
        pairs: Expected and observed count of each bin.
        total: Sum of the expected counts.
    """
    merged: list[tuple[int, int]] = []
    expected = observed = 0
    for more_expected, more_observed in pairs:
        expected, observed = expected + more_expected, observed + more_observed
        if expected >= _MIN_SHARE * total:
            merged.append((expected, observed))
            expected = observed = 0
    if merged:
        last_expected, last_observed = merged.pop()
        merged.append((last_expected + expected, last_observed + observed))
    return merged


def _stability_index(pairs: Sequence[tuple[int, int]]) -> float:
    """Return the population stability index of bins, each with an expected and an observed count."""
    known = sum(expected for expected, _ in pairs)
    # Add half a value to each bin: an empty bin would make the index infinite.
    present = sum(observed + 0.5 for _, observed in pairs)
    shares = [(expected / known, (observed + 0.5) / present) for expected, observed in pairs]
    return sum((observed - expected) * math.log(observed / expected) for expected, observed in shares)


def _chi_square_quantile(freedom: int) -> float:
    """Return the value that a chi-square variable exceeds with a probability of 1e-6 (Wilson and Hilferty, 1931).

    Without drift, the population stability index divided by 1/n + 1/m is such a variable, where n and m
    are the numbers of values (B. Yurdakul, Statistical Properties of Population Stability Index, 2018).
    """
    variance = 2 / (9 * freedom)
    return float(freedom * (1 - variance + _DEVIATIONS * math.sqrt(variance)) ** 3)


def _shares_differ(observed: float, expected: float, inverse_rows: float, threshold: float) -> bool:
    pooled = max(observed * (1 - observed), expected * (1 - expected))
    difference = abs(observed - expected)
    return difference > threshold and difference > _DEVIATIONS * math.sqrt(pooled * inverse_rows)
