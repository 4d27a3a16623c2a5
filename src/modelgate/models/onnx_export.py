"""scikit-learn estimators as ONNX graphs, and how far they then answer otherwise."""

import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ..errors import ConfigurationError
from ..schema import Schema
from ..schema.infer import outputs_of
from .onnx import TOLD, OnnxModel, Told
from .sample import answers

__all__ = ["Difference", "difference", "measured_onnx", "to_onnx"]

_LONGEST_REASON = 200

_lock = threading.Lock()


class Difference(msgspec.Struct, frozen=True):
    """How far a graph answered otherwise than the estimator it was made of.

    Args:
        rows: how many both were asked.
        labels: how many of them were given another label.
        largest: the largest difference of two probabilities, or of two predicted numbers.
        greatest: the greatest number predicted, to hold that against; None of classes.
    """

    rows: int
    labels: int
    largest: float
    greatest: float | None = None

    def __str__(self) -> str:
        if self.greatest is not None:
            what = f"numbers of up to {self.greatest:.3g} differ by at most {self.largest:.2g}"
        else:
            what = f"{self.labels} labels differ, and probabilities by at most {self.largest:.2g}"
        return f"on {self.rows} rows {what}"


def to_onnx(model: Any, schema: Schema) -> OnnxModel:
    """The fitted estimator *model* as a graph, which takes the columns of *schema* that it needs.

    Raises:
        ConfigurationError: a package is missing, or it cannot be converted; the reason is told.
    """
    try:
        import onnx
        import skl2onnx
    except ImportError:
        raise ConfigurationError('to make ONNX takes skl2onnx: pip install "modelgate[onnx]"') from None
    outputs = outputs_of(model)
    if len(outputs) > 1 and outputs[0] is not None:
        raise ConfigurationError("several outputs with classes cannot be converted")
    names, inputs = _inputs(model, schema, skl2onnx)
    try:
        # Its own warnings are for who writes converters; and to silence them is nothing for two threads.
        with _lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = _converted(model, inputs, skl2onnx)
        classes = None if outputs[0] is None else list(outputs[0])
        told = Told(names, classes, hasattr(model, "predict_proba"))
        graph.metadata_props.add(key=TOLD, value=msgspec.json.encode(told).decode())
        onnx.checker.check_model(graph)
        return OnnxModel(graph.SerializeToString())
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:_LONGEST_REASON]
        raise ConfigurationError(f"skl2onnx cannot convert it: {reason}") from error


def _converted(model: Any, inputs: list[Any], skl2onnx: Any) -> Any:
    if hasattr(model, "predict_proba"):
        options = {id(model): {"zipmap": False}}
        return skl2onnx.convert_sklearn(model, initial_types=inputs, options=options)
    return skl2onnx.convert_sklearn(model, initial_types=inputs)


def _inputs(model: Any, schema: Schema, skl2onnx: Any) -> tuple[list[str] | None, list[Any]]:
    """The names of the columns, where they have names; and what skl2onnx is to be told of the input."""
    types = skl2onnx.common.data_types
    known = {column.name: column for column in schema}
    told = [known.get(column.name, column) for column in Schema.from_model(model)]
    odd = [column.name for column in told if column.kind == "any"]
    if odd:
        raise ConfigurationError(f"these columns may hold anything: {', '.join(odd)}")
    names = [column.name for column in told] if hasattr(model, "feature_names_in_") else None
    if not _takes_columns(model):
        if not all(column.numeric for column in told):
            raise ConfigurationError("text is converted in the columns of a ColumnTransformer alone")
        return names, [("X", types.FloatTensorType([None, len(told)]))]
    kinds = {True: types.FloatTensorType, False: types.StringTensorType}
    return names, [(column.name, kinds[column.numeric]([None, 1])) for column in told]


def _takes_columns(model: Any) -> bool:
    """Whether it begins with a ColumnTransformer that knows its columns by name."""
    first = getattr(model, "best_estimator_", model)
    while getattr(first, "steps", None):
        first = first.steps[0][1]
    return hasattr(first, "transformers_") and hasattr(first, "feature_names_in_")


def measured_onnx(
    model: Any, schema: Schema, rows: Sequence[Mapping[str, Any]]
) -> tuple[OnnxModel, Difference]:
    """The graph of *model*, and how far it answers *rows* otherwise. Raises as `to_onnx` does."""
    try:
        graph = to_onnx(model, schema)
        told = [answers(each, schema, rows) for each in (model, graph)]
        return graph, difference(*((each["predict"], each.get("predict_proba")) for each in told))
    except ConfigurationError as error:
        raise ConfigurationError(f'format="onnx": {error}') from error.__cause__


def difference(expected: Any, given: Any) -> Difference:
    """How far the answer *given* is from the one *expected*: each what predict and predict_proba told.

    Raises:
        ConfigurationError: they cannot be compared: one has other outputs, or what is no number.
    """
    (values, likely), (values_here, likely_here) = expected, given
    values, values_here = np.asarray(values), np.asarray(values_here)
    if values.shape != values_here.shape or (likely is None) is not (likely_here is None):
        raise ConfigurationError("the graph has other outputs than the estimator")
    numbers = values.dtype.kind == "f" and likely is None
    pair = (values, values_here) if numbers else (likely, likely_here)
    largest = 0.0 if pair[0] is None else float(np.abs(np.subtract(*pair)).max())
    if not np.isfinite(largest):
        raise ConfigurationError("the graph predicts what is no number")
    if numbers:
        return Difference(len(values), 0, largest, float(np.abs(values).max()))
    return Difference(len(values), int((values != values_here).sum()), largest)
