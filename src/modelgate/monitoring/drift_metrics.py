"""Prometheus metrics of drift."""

from collections.abc import Iterator, Mapping

from ..prometheus import Labels, MetricFamily
from .drift_judge import Judgement
from .drift_statistics import Assessment
from .drift_storage import ModelKey

__all__ = ["drift_metrics"]

_MODEL = ("deployment", "version")
_MEASURES = (
    ("psi", "modelgate_drift_psi", "Population stability index of a column in the last judged window."),
    ("missing", "modelgate_drift_missing_ratio", "Share of missing values."),
    ("unseen", "modelgate_drift_unseen_ratio", "Share of levels that the training data does not have."),
    ("out_of_range", "modelgate_drift_out_of_range_ratio", "Share of numbers outside of the training range."),
)


def drift_metrics(judgements: Mapping[ModelKey, Judgement]) -> Iterator[MetricFamily]:
    """Return metrics for each model. They describe its last window with enough rows.

    In metrics of the prediction, the label ``column`` is empty.
    """
    latest: dict[Labels, Assessment] = {}
    alarms: dict[Labels, float] = {}
    for key, judgement in list(judgements.items()):
        labels = key.deployment, key.version
        alarms[labels] = len(judgement.alarms)
        for assessment in judgement.assessments:
            if any(drift.missing is not None for drift in assessment.drifts().values()):
                latest[labels] = assessment
    rows: dict[Labels, float] = {labels: assessment.rows for labels, assessment in latest.items()}
    text = "Rows in the last window of a model that was compared with its training data."
    yield MetricFamily("modelgate_drift_window_rows", "gauge", text, _MODEL, rows)
    text = "Columns and measures whose drift is sustained."
    yield MetricFamily("modelgate_drift_alarms", "gauge", text, _MODEL, alarms)
    for measure, name, text in _MEASURES:
        values: dict[Labels, float] = {
            (*labels, column or ""): value
            for labels, assessment in latest.items()
            for column, drift in assessment.drifts().items()
            if (value := getattr(drift, measure)) is not None
        }
        yield MetricFamily(name, "gauge", text, (*_MODEL, "column"), values)
