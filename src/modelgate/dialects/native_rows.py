"""Encode predictions in the native wire format as JSON, CSV, NDJSON and ``.npy``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ..codecs.csv_writer import iter_csv
from ..codecs.json_writer import JSONColumns, encode_rows
from ..codecs.npy import to_npy_dtype, write_npy
from ..inference import Output, Prediction
from ..schema import columns_to_records
from ..scoring import Query
from ._explanations import contribution_columns
from ._humility import add_native_humility, humility_column
from ._streaming import COLUMN_ROWS, row_spans, stream_if_long
from .native_explanations import EXPLANATION_COLUMNS, describe_explanations, explanation_columns

__all__ = ["ENCODERS", "JSON", "NPY", "labels", "to_columns"]

JSON = "application/json"
NPY = "application/x-npy"


def _encode_json(prediction: Prediction, query: Query, members: Mapping[str, Any]) -> bytes | Iterator[bytes]:
    """Encode *prediction* as a JSON object to which *members* are added.

    If the query has a single row, the object is the prediction of this row. Otherwise, the object has an
    array ``predictions``.
    """
    if prediction.warnings:
        members = {**members, "warnings": list(prediction.warnings)}
    if prediction.explanations:
        members = {**members, "explanation": describe_explanations(prediction)}
    if query.single:
        row = _plain_row(prediction) or _rows(prediction, slice(0, 1))[0]
        return msgspec.json.encode({**row, **members})
    return stream_if_long(prediction, _json_pieces(prediction, members))


def _json_pieces(prediction: Prediction, members: Mapping[str, Any]) -> Iterator[bytes]:
    before = b'{"predictions":['
    for rows in _encode_steps(prediction, b","):
        yield before + rows
        before = b","
    yield (b"]," if len(prediction) else before + b"],") + msgspec.json.encode(members)[1:]


def _encode_ndjson(prediction: Prediction, query: Query) -> bytes | Iterator[bytes]:  # noqa: ARG001  as all encoders
    """Encode one object per row, each on its own line."""
    lines = (rows + b"\n" for rows in _encode_steps(prediction, b"\n"))
    return stream_if_long(prediction, lines)


def _encode_csv(prediction: Prediction, query: Query, *, escape_formulas: bool) -> bytes | Iterator[bytes]:
    columns = to_columns(prediction, query)
    pieces = iter_csv(columns, len(prediction), escape_formulas=escape_formulas)
    return stream_if_long(prediction, pieces)


def to_columns(prediction: Prediction, query: Query) -> list[tuple[str, Any]]:
    """Return the columns of CSV as names and values.

    The passthrough columns come first, then ``prediction`` and a column for each class. Each level of
    prediction intervals has two columns, such as ``low_90`` and ``high_90``. The last columns contain the
    explanations and, if the deployment has humility rules, the names of the triggered rules.
    """
    columns: list[tuple[str, Any]] = list((prediction.passthrough_columns or {}).items())
    for output in prediction.outputs:
        prefix = f"{output.name}_" if len(prediction.outputs) > 1 else ""
        columns.append((f"{prefix}prediction", output.values))
        if output.probabilities is not None:
            columns += [
                (f"{prefix}probability_{label}", column)
                for label, column in zip(labels(output.classes), output.probabilities.T, strict=True)
            ]
        for level, limits in (output.intervals or {}).items():
            columns += [(f"{prefix}low_{level}", limits[:, 0]), (f"{prefix}high_{level}", limits[:, 1])]
        if output.adjusted is not None:
            columns.append((f"{prefix}adjusted_prediction", output.adjusted))
    columns += contribution_columns(prediction, query, EXPLANATION_COLUMNS)
    if prediction.humility is not None:
        columns.append(("humility", humility_column(prediction.humility)))
    return columns


def _encode_npy(prediction: Prediction, query: Query) -> bytes:  # noqa: ARG001  as all encoders
    """Encode an array of shape (rows,), or of shape (rows, outputs) for several outputs.

    If the types of the outputs differ, encode a structured array of shape (rows,) with a field per output.
    """
    columns = {output.name: to_npy_dtype(output.values) for output in prediction.outputs}
    values = list(columns.values())
    if len(values) == 1:
        return write_npy(values[0])
    if len({column.dtype.kind for column in values}) == 1:
        return write_npy(np.column_stack(values))
    table = np.empty(len(prediction), dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return write_npy(table)


ENCODERS: Mapping[str, Callable[..., bytes | Iterator[bytes]]] = {
    JSON: _encode_json,
    "text/csv": _encode_csv,
    "application/x-ndjson": _encode_ndjson,
    NPY: _encode_npy,
}
"""Encoders by the media type of their result. The first one is the default."""


def _encode_steps(prediction: Prediction, separator: bytes) -> Iterator[bytes]:
    """Yield the JSON of at most `PIECE_ROWS` rows at a time: one object per row, joined by *separator*."""
    by_column = len(prediction) >= COLUMN_ROWS and _has_plain_rows(prediction)
    for span in row_spans(len(prediction)):
        if by_column:
            yield encode_rows(_row_columns(prediction, span), separator)
        else:
            yield separator.join(map(msgspec.json.encode, _rows(prediction, span)))


def _rows(prediction: Prediction, span: slice) -> list[dict[str, Any]]:
    """Return the rows in *span* as objects."""
    if len(prediction.outputs) == 1:
        columns = _columns(prediction.outputs[0], span)
    else:
        outputs = {output.name: columns_to_records(_columns(output, span)) for output in prediction.outputs}
        columns = {"outputs": columns_to_records(outputs)}
    if prediction.passthrough_columns:
        passthrough = {name: column[span] for name, column in prediction.passthrough_columns.items()}
        columns["passthrough"] = columns_to_records(passthrough)
    if prediction.context is not None:
        columns["context"] = list(prediction.context[span])
    rows = columns_to_records(columns)
    if prediction.humility is not None:
        add_native_humility(rows, prediction, span.start)
    return rows


def _plain_row(prediction: Prediction) -> dict[str, Any] | None:
    """Return the first row as an object, like `_rows` but faster.

    Return None unless the only members are the prediction and the probabilities of one output.
    """
    output = prediction.outputs[0]
    if not (
        len(prediction.outputs) == 1
        and output.intervals is None
        and output.adjusted is None
        and output.explanations is None
        and prediction.passthrough_columns is None
        and prediction.context is None
        and prediction.humility is None
    ):
        return None
    row = {"prediction": output.values.tolist()[0]}
    if output.probabilities is not None:
        row["probabilities"] = dict(
            zip(labels(output.classes), output.probabilities.tolist()[0], strict=True)
        )
    return row


def _columns(output: Output, span: slice) -> dict[str, list[Any]]:
    columns = {"prediction": output.values[span].tolist()}
    if output.probabilities is not None:
        names = labels(output.classes)
        rows = output.probabilities[span].tolist()
        columns["probabilities"] = [dict(zip(names, row, strict=True)) for row in rows]
    if output.intervals is not None:
        intervals = {
            level: [{"low": low, "high": high} for low, high in limits[span].tolist()]
            for level, limits in output.intervals.items()
        }
        columns["intervals"] = columns_to_records(intervals)
    if output.adjusted is not None:
        columns["adjusted_prediction"] = output.adjusted[span].tolist()
    if output.explanations is not None:
        columns |= explanation_columns(output.explanations[span])
    return columns


def _has_plain_rows(prediction: Prediction) -> bool:
    """Return whether the rows have only members that `_row_columns` returns."""
    return (
        prediction.context is None
        and prediction.humility is None
        and all(output.explanations is None for output in prediction.outputs)
    )


def _row_columns(prediction: Prediction, span: slice) -> dict[str, JSONColumns]:
    """Return the rows in *span* as columns. Their content is the same as that of `_rows`."""
    first, *others = prediction.outputs
    row = _output_columns(first, span)
    if others:
        row = {"outputs": {output.name: _output_columns(output, span) for output in prediction.outputs}}
    if prediction.passthrough_columns:
        row["passthrough"] = {
            name: list(column[span]) for name, column in prediction.passthrough_columns.items()
        }
    return row


def _output_columns(output: Output, span: slice) -> dict[str, JSONColumns]:
    columns: dict[str, JSONColumns] = {"prediction": output.values[span]}
    if output.probabilities is not None:
        probabilities = output.probabilities[span].T
        columns["probabilities"] = dict(zip(labels(output.classes), probabilities, strict=True))
    if output.intervals is not None:
        columns["intervals"] = {
            level: {"low": limits[span, 0], "high": limits[span, 1]}
            for level, limits in output.intervals.items()
        }
    if output.adjusted is not None:
        columns["adjusted_prediction"] = output.adjusted[span]
    return columns


def labels(classes: Sequence[Any] | None) -> list[str]:
    """Return class labels as member names. Text is unchanged; any other value is written as JSON."""
    return [
        label if isinstance(label, str) else msgspec.json.encode(label).decode() for label in classes or ()
    ]
