"""Encode the rows of a DataRobot response as JSON and CSV."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..codecs.csv_writer import iter_csv
from ..codecs.json_writer import Constant, JSONColumns, encode_rows
from ..inference import Output, Prediction
from ..schema import columns_to_records
from ..scoring import Query
from ._explanations import contribution_columns
from ._exposure import adjusted_columns
from ._humility import add_datarobot_humility
from ._streaming import COLUMN_ROWS, row_spans, stream_if_long
from .datarobot_explanations import explanation_members

__all__ = ["rows_to_csv", "rows_to_json"]

_USUAL_THRESHOLD = 0.5


_EXPLANATION_COLUMNS = [
    f"EXPLANATION_{{}}_{field}"
    for field in ("FEATURE_NAME", "ACTUAL_VALUE", "STRENGTH", "QUALITATIVE_STRENGTH")
]


def rows_to_csv(
    prediction: Prediction, query: Query, *, escape_formulas: bool = False
) -> bytes | Iterator[bytes]:
    """Encode *prediction* as CSV with the column names of the page "Output format"; see `stream_if_long`.

    Args:
        prediction: Predictions to encode.
        query: Query of the request.
        escape_formulas: See `iter_csv`.
    """
    columns: list[tuple[str, Any]] = []
    for output in prediction.outputs:
        if output.probabilities is not None and output.classes is not None:
            columns += [
                (f"{output.name}_{output.classes[index]}_PREDICTION", output.probabilities[:, index])
                for index in _class_order(output.classes, output)
            ]
        columns.append((f"{output.name}_PREDICTION", output.values))
        if output.adjusted is not None:
            columns.append((f"{output.name}_ADJUSTED_PREDICTION", output.adjusted))
    threshold = _threshold(prediction)
    if threshold is not None:
        columns += zip(("THRESHOLD", "POSITIVE_CLASS"), threshold, strict=True)
    columns += contribution_columns(prediction, query, _EXPLANATION_COLUMNS)
    columns += (prediction.passthrough_columns or {}).items()
    return stream_if_long(prediction, iter_csv(columns, len(prediction), escape_formulas=escape_formulas))


def rows_to_json(prediction: Prediction, *, is_explanation_route: bool = False) -> bytes | Iterator[bytes]:
    """Encode *prediction* as the JSON body of a response; see `stream_if_long`.

    Args:
        prediction: Predictions to encode.
        is_explanation_route: Whether rows have exactly the members of the section "Making Prediction
            Explanations".
    """
    return stream_if_long(prediction, _json_pieces(prediction, is_explanation_route))


def _json_pieces(prediction: Prediction, is_explanation_route: bool) -> Iterator[bytes]:
    threshold = None if is_explanation_route else _threshold(prediction)
    before = b'{"data":['
    by_column = len(prediction) >= COLUMN_ROWS and _has_plain_rows(prediction)
    for span in row_spans(len(prediction)):
        if by_column:
            yield before + encode_rows(_columns(prediction, span, threshold))
        else:
            rows = _rows(prediction, span, threshold, has_metadata=not is_explanation_route)
            yield before + msgspec.json.encode(rows)[1:-1]
        before = b","
    after = b"]" if len(prediction) else before + b"]"
    if prediction.warnings:
        after += b',"warnings":' + msgspec.json.encode(list(prediction.warnings))
    yield after + b"}"


def _threshold(prediction: Prediction) -> tuple[float | None, Any] | None:
    """Return the threshold and the positive class of a binary classifier, or None for other models.

    If the output has no threshold, the returned threshold is 0.5 if all labels agree with 0.5, else None.
    """
    output = prediction.outputs[0]
    if len(prediction.outputs) > 1 or output.probabilities is None or len(output.classes or ()) != 2:
        return None
    assert output.classes is not None
    threshold = output.threshold
    if threshold is None and _labels_agree(_USUAL_THRESHOLD, output):
        threshold = _USUAL_THRESHOLD
    return threshold, output.classes[output.positive]


def _labels_agree(threshold: float, output: Output) -> bool:
    """Return whether *threshold* could have produced all labels of *output*.

    If a probability equals the threshold, either label is possible. A null label is always possible.
    """
    assert output.probabilities is not None and output.classes is not None
    positive, negative = output.classes[output.positive], output.classes[1 - output.positive]
    labels, probabilities = _model_values(output), output.probabilities[:, output.positive]
    return all(
        label == (positive if probability > threshold else negative)
        or probability == threshold
        or label is None
        for span in row_spans(len(labels))
        for label, probability in zip(labels[span].tolist(), probabilities[span].tolist(), strict=True)
    )


def _model_values(output: Output) -> Any:
    """Return the values that the model predicted, before humility rules override some of them."""
    return output.values if output.model_values is None else output.model_values


def _class_order(classes: Sequence[Any], output: Output) -> list[int]:
    """Return the class indices in the order in which a response lists the classes.

    If there are two classes, the positive class is first.
    """
    return [output.positive, 1 - output.positive] if len(classes) == 2 else list(range(len(classes)))


def _rows(
    prediction: Prediction, span: slice, threshold: tuple[float | None, Any] | None, *, has_metadata: bool
) -> list[dict[str, Any]]:
    """Return the rows in *span* as objects.

    Args:
        prediction: Predictions to encode.
        span: Rows to return.
        threshold: See `_threshold`.
        has_metadata: Whether explained rows have an ``explanationMetadata``.
    """
    values, prediction_values = _values(prediction.outputs, span)
    columns: dict[str, Sequence[Any]] = {"predictionValues": prediction_values}
    if threshold is not None and threshold[0] is not None:
        columns["predictionThreshold"] = [threshold[0]] * len(values)
    columns["prediction"] = values
    columns["rowId"] = range(span.start, span.start + len(values))
    if prediction.outputs[0].explanations is not None:
        columns.update(explanation_members(prediction.outputs, span, has_metadata=has_metadata))
    if prediction.passthrough_columns:
        passthrough = {name: column[span] for name, column in prediction.passthrough_columns.items()}
        columns["passthroughValues"] = columns_to_records(passthrough)
    columns |= adjusted_columns(prediction, span)
    rows = columns_to_records(columns)
    if prediction.humility is not None:
        add_datarobot_humility(rows, prediction, span.start)
    return rows


def _values(outputs: Sequence[Output], span: slice) -> tuple[list[Any], list[list[dict[str, Any]]]]:
    """Return the ``prediction`` and the ``predictionValues`` of each row in *span*."""
    if len(outputs) == 1:
        return outputs[0].values[span].tolist(), _prediction_values(outputs[0], span)
    values = {output.name: output.values[span].tolist() for output in outputs}
    by_output = (_prediction_values(output, span, f"{output.name}_") for output in outputs)
    return (
        columns_to_records(values),
        [[value for part in row for value in part] for row in zip(*by_output, strict=True)],
    )


def _prediction_values(output: Output, span: slice, prefix: str | None = None) -> list[list[dict[str, Any]]]:
    """Return the ``predictionValues`` of one output, one list per row.

    For a classifier, the list contains the probability of each class, or is empty if the model returns no
    probabilities. For a regression, it contains the predicted number, labelled with the target's name.

    Args:
        output: Output of the model.
        span: Rows to return.
        prefix: Text to put before each class label, which distinguishes the classes of several outputs.
    """
    if output.classes is None:
        return [[{"value": value, "label": output.name}] for value in _model_values(output)[span].tolist()]
    if output.probabilities is None:
        return [[] for _ in output.values[span]]
    order = _class_order(output.classes, output)
    labels = [output.classes[index] for index in order]
    if prefix is not None:
        labels = [f"{prefix}{label}" for label in labels]
    rows = output.probabilities[span][:, order].tolist()
    return [[{"value": v, "label": label} for v, label in zip(row, labels, strict=True)] for row in rows]


def _has_plain_rows(prediction: Prediction) -> bool:
    """Return whether the rows have only members that `_columns` returns."""
    output = prediction.outputs[0]
    return prediction.humility is None and output.explanations is None and output.adjusted is None


def _columns(
    prediction: Prediction, span: slice, threshold: tuple[float | None, Any] | None
) -> dict[str, JSONColumns]:
    """Return the rows in *span* as columns. Their content is the same as that of `_rows`."""
    outputs = prediction.outputs
    columns: dict[str, JSONColumns] = {"predictionValues": _value_columns(outputs, span)}
    if threshold is not None and threshold[0] is not None:
        columns["predictionThreshold"] = Constant(threshold[0])
    values: dict[str, JSONColumns] = {output.name: output.values[span] for output in outputs}
    columns["prediction"] = values if len(outputs) > 1 else outputs[0].values[span]
    columns["rowId"] = range(span.start, span.stop)
    if prediction.passthrough_columns:
        columns["passthroughValues"] = {
            name: list(column[span]) for name, column in prediction.passthrough_columns.items()
        }
    return columns


def _value_columns(outputs: Sequence[Output], span: slice) -> JSONColumns:
    columns = list[JSONColumns]()
    for output in outputs:
        if output.classes is None:
            columns.append({"value": _model_values(output)[span], "label": Constant(output.name)})
        elif output.probabilities is not None:
            for index in _class_order(output.classes, output):
                label = output.classes[index]
                label = f"{output.name}_{label}" if len(outputs) > 1 else label
                columns.append({"value": output.probabilities[span, index], "label": Constant(label)})
    return tuple(columns)
