"""Judge a model by its stored counts: find drift in its latest windows, and new alarms. Pure functions."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from .drift_bins import Reference
from .drift_statistics import (
    Assessment,
    Thresholds,
    Window,
    assess,
    join_windows,
    sustained_alarms,
)
from .drift_storage import ModelKey, MonitoredModel

__all__ = ["DriftAlarm", "Judgement", "judge"]

_GRACE = 30.0
"""Seconds after the end of a window during which other processes may still store counts."""

_RECENT = 3
"""Number of latest complete windows whose alarms may be new. Several may end between two requests."""


class DriftAlarm(msgspec.Struct, frozen=True):
    """Drift in several consecutive windows.

    Attributes:
        deployment: Deployment name.
        version: Version of the model.
        column: Column name; None for the prediction.
        measure: Measure that has drifted: ``psi``, ``missing``, ``unseen`` or ``out_of_range``.
        value: Value of the measure in the last window: an index for ``psi``, otherwise a share of the values.
        rows: Number of rows in the last window.
        start, end: Start and end of the last window, in seconds since the epoch.
        since: Start of the first of the consecutive windows.
    """

    deployment: str
    version: str
    column: str | None
    measure: str
    value: float
    rows: int
    start: float
    end: float
    since: float


class PredictionCounts(msgspec.Struct, frozen=True):
    """Counts of predictions and of training targets, in the same bins.

    Labels have a bin for each class, and one for other labels. Numbers have a bin below the first edge, one
    between consecutive edges, and one above the last edge. A number that equals an edge is counted in the bin
    below the edge, or above it if it is the first edge.

    Attributes:
        kind: ``"number"`` for numbers, ``"level"`` for labels.
        bins: Edges of the numbers, or class labels.
        label: Class whose probability is counted; None if the predicted values are counted.
        counts: Number of predictions in the last window, by bin.
        baseline: Number of predictions in the first complete window; None until there is a later window.
        training: Number of training targets; None if they are unknown, or if probabilities are counted.
    """

    kind: Literal["number", "level"]
    bins: tuple[Any, ...]
    label: Any
    counts: list[int]
    baseline: list[int] | None
    training: list[int] | None


class Judgement(msgspec.Struct):
    """Result of the drift check of a model.

    Attributes:
        key: Identity of the model.
        assessments: Drift in each of the last windows, the oldest first. The last one may be incomplete.
        alarms: Drift in several consecutive windows.
        new_alarms: Alarms that began in one of the last three complete windows.
        baseline: Window with which the predictions of later windows are compared; None if there is none yet.
        predictions: Predictions in the last window; None if they are not monitored.
    """

    key: ModelKey
    assessments: list[Assessment]
    alarms: list[DriftAlarm]
    new_alarms: list[DriftAlarm]
    baseline: Window | None
    predictions: PredictionCounts | None = None


def judge(model: MonitoredModel, thresholds: Thresholds, sustained: int, now: float) -> Judgement:
    """Judge the latest windows of *model*.

    Args:
        model: Stored counts.
        thresholds: Thresholds above which a difference counts as drift.
        sustained: Number of consecutive windows with drift that raise an alarm.
        now: Time in seconds since the epoch. A window that has not ended by this time raises no alarm.
    """
    windows = join_windows(model.buckets, thresholds.min_rows)
    complete = [window for window in windows if _is_complete(window, thresholds.min_rows, now)]
    baseline = model.baseline or next(iter(complete), None)
    assessments = [
        assess(window, model.reference, _baseline_counts(window, baseline), thresholds)
        for window in windows[-sustained - _RECENT - 1 :]
    ]
    judged = [each for each in assessments if complete and each.end <= complete[-1].end]
    new_alarms = []
    for stop in range(max(1, len(judged) - _RECENT + 1), len(judged) + 1):
        names = sustained_alarms(judged[:stop], sustained) - sustained_alarms(judged[: stop - 1], sustained)
        new_alarms += _to_alarms(model.key, judged[:stop][-sustained:], names)
    alarms = _to_alarms(model.key, judged[-sustained:], sustained_alarms(judged, sustained))
    predictions = _count_predictions(windows[-1], model.reference, baseline) if windows else None
    return Judgement(model.key, assessments, alarms, new_alarms, baseline, predictions)


def _count_predictions(
    window: Window, reference: Reference, baseline: Window | None
) -> PredictionCounts | None:
    trained = reference.prediction
    if trained is None or not trained.bins:
        return None
    kind: Literal["number", "level"] = "number" if trained.kind == "number" else "level"
    merge = _merge_number_bins if kind == "number" else _without_missing
    before = _baseline_counts(window, baseline)
    return PredictionCounts(
        kind,
        trained.bins,
        trained.label,
        merge(window.counts.prediction),
        merge(before) if before else None,
        merge(trained.counts) if trained.counts else None,
    )


def _without_missing(counts: Sequence[int]) -> list[int]:
    return list(counts[1:])


def _merge_number_bins(counts: Sequence[int]) -> list[int]:
    """Drop the count of missing values, and count values equal to the first edge in the bin above it."""
    _, below, first, *others = counts
    return [below, first + others[0], *others[1:]]


def _is_complete(window: Window, min_rows: int, now: float) -> bool:
    return window.counts.rows >= min_rows and window.end + _GRACE <= now


def _baseline_counts(window: Window, baseline: Window | None) -> list[int] | None:
    return None if baseline is None or window.start < baseline.end else baseline.counts.prediction


def _to_alarms(
    key: ModelKey, assessments: Sequence[Assessment], names: set[tuple[str | None, str]]
) -> list[DriftAlarm]:
    if not names:
        return []
    first, last = assessments[0], assessments[-1]
    drifts = last.drifts()
    return [
        DriftAlarm(
            key.deployment,
            key.version,
            column,
            measure,
            getattr(drifts[column], measure),
            drifts[column].rows,
            last.start,
            last.end,
            first.start,
        )
        for column, measure in sorted(names, key=str)
    ]
