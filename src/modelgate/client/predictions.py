"""Predictions as received by a client."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..explanations import Contribution, RowExplanation

__all__ = ["Predictions", "decode_predictions", "join_predictions"]


@dataclass(slots=True)
class Predictions:
    """Predictions for some rows, in their order.

    Args:
        values: Prediction of each row: a class, a number, or any value returned by a function; for a
            model with several outputs, a dict by output.
        classes: Classes in the order of the probabilities; with two classes, the positive one is first. None
            if the model returns no probabilities or has several outputs.
        probabilities: Probability of each class, per row; None if *classes* is None.
        explanations: Explanation of each row; None if none were requested, or for several outputs.
        version: Version of the model.
        warnings: Problems of rows that were scored anyway.
        request_ids: Ids of the requests, to find them in the server's log.
    """

    values: list[Any] = field(default_factory=list)
    classes: list[Any] | None = None
    probabilities: list[list[float]] | None = None
    explanations: list[RowExplanation] | None = None
    version: str | None = None
    warnings: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)


class _Value(msgspec.Struct):
    value: Any
    label: Any


class _Contribution(msgspec.Struct, rename="camel"):
    feature: str
    feature_value: Any
    strength: float
    qualitative_strength: str


class _Metadata(msgspec.Struct, rename="camel"):
    label: Any
    method: str
    space: str
    base_value: float
    remaining_total: float | None


class _Row(msgspec.Struct, rename="camel"):
    prediction: Any
    prediction_values: list[_Value]
    prediction_explanations: list[_Contribution] | None = None
    explanation_metadata: list[_Metadata] = []


class _Answer(msgspec.Struct):
    data: list[_Row]
    warnings: list[str] = []


_DECODER = msgspec.json.Decoder(_Answer)


def decode_predictions(content: bytes) -> Predictions:
    """Decode a response of the dialect ``datarobot``.

    Raises:
        msgspec.DecodeError: The content is not such a response.
    """
    answer = _DECODER.decode(content)
    values = [row.prediction for row in answer.data]
    predictions = Predictions(values, warnings=answer.warnings)
    first = answer.data[0] if answer.data else None
    if first is not None and len(first.explanation_metadata) == 1:
        predictions.explanations = [_explanation(row) for row in answer.data]
    if first is not None and _has_classes(first):
        predictions.classes = [value.label for value in first.prediction_values] or None
    if predictions.classes is not None:
        predictions.probabilities = [[value.value for value in row.prediction_values] for row in answer.data]
    return predictions


def _explanation(row: _Row) -> RowExplanation:
    (metadata,) = row.explanation_metadata
    contributions = row.prediction_explanations
    return RowExplanation(
        metadata.label,
        metadata.method,
        metadata.space,
        metadata.base_value,
        None
        if contributions is None
        else [
            Contribution(item.feature, item.feature_value, item.strength, item.qualitative_strength)
            for item in contributions
        ],
        metadata.remaining_total,
    )


def _has_classes(row: _Row) -> bool:
    """Return True if the ``predictionValues`` of *row* are the probabilities of one classifier.

    The values are not probabilities in two cases:

    - Regression: the only value is the predicted number, labelled with the target's name.
    - Several outputs: each label joins an output and a class (``a_b_c``) and cannot be split again.
    """
    if isinstance(row.prediction, dict):
        return False
    if len(row.prediction_values) != 1:
        return True
    only = row.prediction_values[0]
    return not (
        only.value == row.prediction and (only.label != row.prediction or isinstance(only.value, str))
    )


def join_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate the predictions of consecutive batches."""
    joined = Predictions()
    for part in parts:
        joined.values += part.values
        joined.request_ids += part.request_ids
        joined.warnings += [warning for warning in part.warnings if warning not in joined.warnings]
    if parts:
        joined.classes, joined.version = parts[0].classes, parts[-1].version
    if parts and parts[0].explanations is not None:
        joined.explanations = [row for part in parts for row in part.explanations or ()]
    if joined.classes is not None:
        joined.probabilities = [row for part in parts for row in part.probabilities or ()]
    return joined
