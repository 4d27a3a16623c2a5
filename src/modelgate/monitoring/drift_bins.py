"""Count the inputs and predictions of a model in bins that are derived from its training statistics."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from ..inference import Prediction
from ..models.training_sample import MAX_LEVELS
from ..schema import Table
from ..schema.coerce import to_json_value
from .prediction_hook import PredictionRecord

__all__ = ["ColumnReference", "DriftCounts", "ModelBins", "Reference"]

_Counts: TypeAlias = npt.NDArray[np.int64]

_PROBABILITIES = (
    0,
    0.001,
    0.003,
    0.01,
    0.03,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.97,
    0.99,
    0.997,
    0.999,
    1,
)
"""Edges between ranges of probabilities. Ranges near 0 and 1 are narrow, for rare and frequent classes."""


class ColumnReference(msgspec.Struct, frozen=True):
    """Counts of the training rows in the bins of a column. The first bin is for missing values.

    Attributes:
        kind: Meaning of the other bins. ``"number"``: one bin for numbers below the first edge, one for
            numbers equal to it, one up to each further edge, and one above the last edge. ``"level"``: one
            bin for each level, and one for all other levels. ``"value"``: one bin for any value.
        counts: Number of training rows in each bin; empty if the training data is unknown.
        complete: Whether all levels of the training data have a bin.
        bins: For predictions, the edges or the class labels. Empty for an input column, because its levels
            may be names of people, which must not be stored.
        label: Class whose probability is counted; None if the predicted values are counted.
    """

    kind: Literal["number", "level", "value"]
    counts: tuple[int, ...] = ()
    complete: bool = True
    bins: tuple[Any, ...] = ()
    label: Any = None


class Reference(msgspec.Struct, frozen=True):
    """Counts of the training data, for each input column and for the target.

    *prediction* counts the training targets in the bins of the predictions. It is None if predictions are not
    monitored. If the bins are for probabilities, its counts are empty.
    """

    columns: dict[str, ColumnReference]
    prediction: ColumnReference | None


class DriftCounts(msgspec.Struct):
    """Counts of predicted rows. The sum of two `DriftCounts` has the counts of both.

    Attributes:
        rows: Number of rows.
        columns: Number of values in each bin, by column.
        prediction: Number of predictions in each bin.
        humility: Number of rows that have triggered each humility rule.
    """

    rows: int = 0
    columns: dict[str, list[int]] = {}
    prediction: list[int] = []
    humility: dict[str, int] = {}

    def __add__(self, other: "DriftCounts") -> "DriftCounts":
        names = self.columns | other.columns
        rules = self.humility | other.humility
        return DriftCounts(
            self.rows + other.rows,
            {name: _add(self.columns.get(name, []), other.columns.get(name, [])) for name in names},
            _add(self.prediction, other.prediction),
            {rule: self.humility.get(rule, 0) + other.humility.get(rule, 0) for rule in rules},
        )


def _add(counts: list[int], others: list[int]) -> list[int]:
    if not counts or not others:
        return counts or others
    return [count + other for count, other in zip(counts, others, strict=True)]


class _NumberBins:
    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = np.unique(np.asarray(edges, dtype=np.float64))
        self.definition: list[Any] = self.edges.tolist()

    def count(self, values: Any) -> _Counts:
        values = np.asarray(values, dtype=np.float64)
        present = values[~np.isnan(values)]
        indices = np.searchsorted(self.edges, present) + 2
        indices[present < self.edges[0]] = 1
        counts = np.bincount(indices, minlength=len(self.edges) + 3)
        counts[0] = len(values) - len(present)
        return counts


class _LevelBins:
    def __init__(self, levels: Sequence[Any]) -> None:
        # In Python, True equals 1, but they are different levels.
        self.definition = list(levels)
        self.indices = {(isinstance(level, bool), level): index for index, level in enumerate(levels, 1)}

    def count(self, values: Any) -> _Counts:
        counts = np.zeros(len(self.indices) + 2, dtype=np.int64)
        for value, count in Counter(values.tolist() if isinstance(values, np.ndarray) else values).items():
            missing = value is None or value != value
            counts[0 if missing else self.indices.get((isinstance(value, bool), value), -1)] += count
        return counts


class _ValueBins:
    definition: Sequence[Any] = ()

    def count(self, values: Any) -> _Counts:
        missing = sum(value is None or value != value for value in values)
        return np.array([missing, len(values) - missing])


_Bins: TypeAlias = _NumberBins | _LevelBins | _ValueBins


class ModelBins:
    """Bins of one model, in which its input rows and predictions are counted.

    Args:
        record: Record of any prediction of the model.
        ignore: Columns that are not counted.

    Attributes:
        reference: Counts of the training data in these bins.
        digest: Digest of the bins and the training counts.
    """

    def __init__(self, record: PredictionRecord, ignore: Collection[str] = ()) -> None:
        self.training = record.training
        statistics, rows = (
            ({}, 0) if record.training is None else (record.training.statistics, record.training.rows)
        )
        columns = {
            name: bins
            for name, kind in record.table.kinds.items()
            if name in statistics
            and name not in ignore
            and (bins := _column_bins(kind, statistics[name], rows)) is not None
        }
        self._columns = {name: bins for name, (bins, _) in columns.items()}
        self._prediction = None if record.prediction.forecast else _prediction_bins(record)
        prediction = None if self._prediction is None else _prediction_reference(record, self._prediction)
        self.reference = Reference({name: reference for name, (_, reference) in columns.items()}, prediction)
        definitions = {name: bins.definition for name, bins in self._columns.items()}
        self.digest = hashlib.sha256(
            msgspec.json.encode([self.reference, definitions], enc_hook=str)
        ).hexdigest()

    def count(self, records: Sequence[PredictionRecord]) -> DriftCounts:
        """Return the counts of the rows and predictions of *records*."""
        table = Table.concat([record.table for record in records])
        predictions = [record.prediction for record in records]
        counts = DriftCounts(
            len(table),
            {name: bins.count(table.stored(name)).tolist() for name, bins in self._columns.items()},
            humility=dict(
                Counter(
                    rule.name
                    for prediction in predictions
                    for row in prediction.humility or ()
                    for rule in row
                )
            ),
        )
        if self._prediction is not None:
            values = np.concatenate([_predicted_values(prediction) for prediction in predictions])
            counts.prediction = self._prediction.count(values).tolist()
        return counts


def _column_bins(kind: str, statistics: Mapping[str, Any], rows: int) -> tuple[_Bins, ColumnReference] | None:
    nulls = statistics.get("nulls", 0)
    if "deciles" in statistics:
        numbers = _NumberBins(statistics["deciles"])
        return numbers, ColumnReference("number", (nulls, 0, *_decile_counts(statistics, rows - nulls), 0))
    if "levels" in statistics and kind == "text":
        levels = statistics["levels"]
        counts = [count for _, count in levels]
        others = rows - nulls - sum(counts)
        reference = ColumnReference("level", (nulls, *counts, others), len(levels) < MAX_LEVELS)
        return _LevelBins([level for level, _ in levels]), reference
    is_scalar = kind in ("text", "datetime", "number", "integer", "boolean")
    return (_ValueBins(), ColumnReference("value", (nulls, rows - nulls))) if rows and is_scalar else None


def _decile_counts(statistics: Mapping[str, Any], known: int) -> list[int]:
    """Return the number of training values up to the minimum, and between consecutive deciles.

    *known* is the number of training values that are not missing.
    """
    deciles = np.asarray(statistics["deciles"])
    # Packages of earlier versions do not have the exact numbers.
    nominal = np.linspace(0, known, len(deciles)).astype(np.int64)
    at_most = np.asarray(statistics.get("at_most", nominal))
    # Of equal deciles, the last one counts all values that are equal to it.
    last = np.append(deciles[1:] != deciles[:-1], True)
    counts: list[int] = np.diff(at_most[last], prepend=0).tolist()
    return counts


def _prediction_bins(record: PredictionRecord) -> _NumberBins | _LevelBins | None:
    output = record.prediction.outputs[0]
    if output.classes is not None:
        is_binary = output.probabilities is not None and len(output.classes) == 2
        return _NumberBins(_PROBABILITIES) if is_binary else _LevelBins(list(output.classes))
    targets = record.training.target_statistics if record.training is not None else ()
    deciles = _target_deciles(targets[0]) if targets else None
    return _NumberBins(deciles) if deciles and output.values.dtype.kind in "iuf" else None


def _prediction_reference(record: PredictionRecord, bins: _NumberBins | _LevelBins) -> ColumnReference:
    output, training = record.prediction.outputs[0], record.training
    edges = tuple(map(to_json_value, bins.definition))
    if isinstance(bins, _NumberBins) and output.classes is not None:
        return ColumnReference("number", bins=edges, label=to_json_value(output.classes[output.positive]))
    kind: Literal["number", "level"] = "number" if isinstance(bins, _NumberBins) else "level"
    statistics = training.target_statistics[0] if training is not None and training.target_statistics else {}
    levels, counts = statistics.get("levels", ()), ()
    if 0 < len(levels) < MAX_LEVELS:
        values = np.array([level for level, _ in levels], dtype=None if kind == "number" else object)
        counts = bins.count(np.repeat(values, [count for _, count in levels])).tolist()
    elif "deciles" in statistics and training is not None and kind == "number":
        nulls = statistics.get("nulls", 0)
        counts = (nulls, 0, *_decile_counts(statistics, training.rows - nulls), 0)
    return ColumnReference(kind, tuple(counts), bins=edges)


def _target_deciles(statistics: Mapping[str, Any]) -> Sequence[float] | None:
    """Return the deciles of a numeric training target, or None if they are unknown."""
    levels = statistics.get("levels", ())
    # For whole numbers, the statistics count each value, or the most frequent ones if there are many.
    if not 0 < len(levels) < MAX_LEVELS or not all(isinstance(level, int) for level, _ in levels):
        return statistics.get("deciles")
    numbers, counts = zip(*levels, strict=True)
    deciles: list[float] = np.quantile(np.repeat(numbers, counts), np.linspace(0, 1, 11)).tolist()
    return deciles


def _predicted_values(prediction: Prediction) -> npt.NDArray[Any]:
    output = prediction.outputs[0]
    if output.classes is not None and output.probabilities is not None and len(output.classes) == 2:
        return output.probabilities[:, output.positive]
    return output.values if output.model_values is None else output.model_values
