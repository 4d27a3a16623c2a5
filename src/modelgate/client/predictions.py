"""Predictions that a client receives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET

from ..explanations import Contribution, RowExplanation
from .errors import UnexpectedResponse

__all__ = ["OutputPredictions", "Predictions", "TriggeredRule", "decode_predictions", "join_predictions"]


class TriggeredRule(msgspec.Struct, frozen=True):
    """Humility rule that a row has triggered.

    Attributes:
        rule_id: Id of the rule, 24 hexadecimal digits.
        name: Name of the rule.
        action: ``"no_operation"``, or ``"override"`` if the rule replaces the prediction.
    """

    rule_id: str
    name: str
    action: str


@dataclass(slots=True)
class OutputPredictions:
    """Predictions of one output, in the order of the rows.

    Args:
        values: Prediction of each row: a class, a number, or any value returned by a function.
        classes: Classes in the model's order; None if the model returns no probabilities.
        probabilities: Probability of each class for each row; None if *classes* is None.
        explanations: Explanation of each row; None if the call did not request them.
        intervals: Prediction intervals of each row: a lower and an upper limit for each level in percent,
            such as ``{"90": (1.5, 2.5)}``. None if the call requested no intervals, or the predictions are
            labels.
        adjusted: Predictions for one unit of exposure; None if the call did not request them.
    """

    values: list[Any] = field(default_factory=list)
    classes: list[Any] | None = None
    probabilities: list[list[float]] | None = None
    explanations: list[RowExplanation] | None = None
    intervals: list[dict[str, tuple[float | None, float | None]]] | None = None
    adjusted: list[float] | None = None


@dataclass(slots=True)
class Predictions(OutputPredictions):
    """Predictions, in the order of the rows.

    If the model has several outputs, *outputs* contains the predictions of each output, and *values* contains
    a dict for each row, with the prediction of each output. The attributes *classes*, *probabilities* and
    *intervals* are then None.

    Args:
        outputs: Predictions by output; empty for a model with one output.
        passthrough: Values of the requested passthrough columns for each row; None if the call requested no
            columns.
        context: For each row, a comparison of its values with the training data, by column: the percentile
            of a number, or the share of training rows with any other value. None if the call did not request
            it.
        humility: Humility rules that each row has triggered; None if no row has triggered a rule.
        version: Version of the model.
        warnings: Problems with rows that did not prevent the predictions.
        request_ids: Ids of the requests, as in the server's log.
    """

    outputs: dict[str, OutputPredictions] = field(default_factory=dict)
    passthrough: list[dict[str, Any]] | None = None
    context: list[dict[str, dict[str, Any]]] | None = None
    humility: list[list[TriggeredRule]] | None = None
    version: str | None = None
    warnings: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)


class _Explanation(msgspec.Struct):
    method: str
    space: str
    base_values: dict[str, Any]


class _Limits(msgspec.Struct):
    low: float | None
    high: float | None


class _Row(msgspec.Struct):
    prediction: Any = UNSET
    probabilities: dict[str, Any] | None = None
    intervals: dict[str, _Limits] | None = None
    outputs: "dict[str, _Row] | None" = None
    passthrough: dict[str, Any] | None = None
    context: dict[str, dict[str, Any]] | None = None
    explanations: list[Contribution] | None = None
    explanation_label: Any = None
    remaining_strength: float | None = None
    adjusted_prediction: Any = UNSET
    humility: list[TriggeredRule] = []

    def __post_init__(self) -> None:
        if self.prediction is UNSET and self.outputs is None:
            raise ValueError("Object missing required field `prediction`")


class _Response(msgspec.Struct):
    predictions: list[_Row]
    model_version: str
    request_id: str | None = None
    explanation: _Explanation | None = None
    warnings: list[str] = []


_DECODER = msgspec.json.Decoder(_Response)


def decode_predictions(content: bytes) -> Predictions:
    """Decode a response of the dialect ``native``.

    Raises:
        msgspec.DecodeError: The content is not a valid response, or its rows have different members.
    """
    response = _DECODER.decode(content)
    rows = response.predictions
    predictions = Predictions(
        version=response.model_version,
        warnings=response.warnings,
        request_ids=[] if response.request_id is None else [response.request_id],
    )
    if rows and rows[0].outputs is not None:
        by_row = [row.outputs or {} for row in rows]
        if any(row.keys() != by_row[0].keys() for row in by_row):
            raise msgspec.ValidationError("Rows have different outputs")
        predictions.values = [{name: output.prediction for name, output in row.items()} for row in by_row]
        for name in rows[0].outputs:
            predictions.outputs[name] = OutputPredictions()
            _fill(predictions.outputs[name], [row[name] for row in by_row])
    else:
        _fill(predictions, rows)
    if response.explanation is not None:
        try:
            _explain_outputs(predictions, rows, response.explanation)
        except (KeyError, TypeError):
            raise msgspec.ValidationError("Base values of the explanations are missing") from None
    if rows and rows[0].passthrough is not None:
        predictions.passthrough = [row.passthrough or {} for row in rows]
    if rows and rows[0].context is not None:
        predictions.context = [row.context or {} for row in rows]
    if any(row.humility for row in rows):
        predictions.humility = [row.humility for row in rows]
    return predictions


def _explain_outputs(predictions: Predictions, rows: Sequence[_Row], explanation: _Explanation) -> None:
    for name, output in predictions.outputs.items():
        output_rows = [(row.outputs or {})[name] for row in rows]
        _explain(output, output_rows, explanation, explanation.base_values[name])
    if not predictions.outputs:
        _explain(predictions, rows, explanation, explanation.base_values)


def _fill(output: OutputPredictions, rows: Sequence[_Row]) -> None:
    # *classes* and *probabilities* are only right if all rows have the same classes, in the same order.
    if any(row.prediction is UNSET for row in rows) or len(set(map(_members, rows))) > 1:
        raise msgspec.ValidationError("Rows have different members")
    output.values = [row.prediction for row in rows]
    if rows and rows[0].probabilities is not None:
        labels = list(rows[0].probabilities)
        # Names of JSON members are always text. Labels of other types are written as JSON in the name.
        output.classes = labels if isinstance(output.values[0], str) else [_label(text) for text in labels]
        output.probabilities = [list((row.probabilities or {}).values()) for row in rows]
    if rows and rows[0].intervals is not None:
        output.intervals = [
            {level: (limits.low, limits.high) for level, limits in (row.intervals or {}).items()}
            for row in rows
        ]
    if rows and rows[0].adjusted_prediction is not UNSET:
        output.adjusted = [row.adjusted_prediction for row in rows]


def _members(row: _Row) -> tuple[Any, ...]:
    """Return the classes and interval levels of *row*, and whether *row* has no adjusted prediction.

    The result must be the same for all rows of a response.
    """
    return (
        None if row.probabilities is None else tuple(row.probabilities),
        None if row.intervals is None else tuple(row.intervals),
        row.adjusted_prediction is UNSET,
    )


def _explain(
    output: OutputPredictions, rows: Sequence[_Row], how: _Explanation, base_values: Mapping[str, float]
) -> None:
    texts = [_member_name(row.explanation_label) for row in rows]
    output.explanations = [
        RowExplanation(
            row.explanation_label,
            how.method,
            how.space,
            base_values[text],
            row.explanations,
            row.remaining_strength,
        )
        for row, text in zip(rows, texts, strict=True)
    ]


def _member_name(label: Any) -> str:
    """Return the name of the member for *label*. Text is unchanged; any other label is written as JSON."""
    return label if isinstance(label, str) else msgspec.json.encode(label).decode()


def _label(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def join_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate the predictions of consecutive batches.

    Raises:
        UnexpectedResponse: The outputs or classes differ between batches.
    """
    joined = Predictions()
    _extend(joined, parts)
    for part in parts:
        joined.request_ids += part.request_ids
        joined.warnings += [warning for warning in part.warnings if warning not in joined.warnings]
    if parts:
        first, joined.version = parts[0], parts[-1].version
        if any(part.outputs.keys() != first.outputs.keys() for part in parts):
            raise _model_replaced()
        for name in first.outputs:
            joined.outputs[name] = OutputPredictions()
            _extend(joined.outputs[name], [part.outputs[name] for part in parts])
        if first.passthrough is not None:
            joined.passthrough = [row for part in parts for row in part.passthrough or ()]
        if first.context is not None:
            joined.context = [row for part in parts for row in part.context or ()]
        if any(part.humility for part in parts):
            joined.humility = [
                rules for part in parts for rules in part.humility or [[] for _ in part.values]
            ]
    return joined


def _extend(joined: OutputPredictions, parts: Sequence[OutputPredictions]) -> None:
    for part in parts:
        joined.values += part.values
        if part.classes != parts[0].classes:
            raise _model_replaced()
    if parts and parts[0].classes is not None:
        joined.classes = parts[0].classes
        joined.probabilities = [row for part in parts for row in part.probabilities or ()]
    if parts and parts[0].explanations is not None:
        joined.explanations = [row for part in parts for row in part.explanations or ()]
    if parts and parts[0].intervals is not None:
        joined.intervals = [row for part in parts for row in part.intervals or ()]
    if parts and parts[0].adjusted is not None:
        joined.adjusted = [value for part in parts for value in part.adjusted or ()]


def _model_replaced() -> UnexpectedResponse:
    return UnexpectedResponse(
        200, "The outputs or classes have changed: the model was replaced during the call"
    )
