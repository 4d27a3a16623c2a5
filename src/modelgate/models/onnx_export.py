"""Convert scikit-learn estimators to ONNX graphs, and measure the difference between their predictions."""

import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ..errors import ConfigurationError
from ..flow.fork_safety import reset_after_fork
from ..schema import Schema
from ..schema.introspection.infer_columns import outputs_of
from .onnx import METADATA_KEY, OnnxMetadata, OnnxModel
from .training_sample import predict_to_lists

__all__ = ["Difference", "difference", "measure_onnx", "to_onnx"]

_LONGEST_REASON = 200


class Difference(msgspec.Struct, frozen=True):
    """Measured difference between the predictions of an ONNX graph and of the original estimator.

    Args:
        rows: Number of rows compared.
        labels: Number of rows with different labels.
        largest: Largest absolute difference between two probabilities, or between two predicted numbers.
        greatest: Largest absolute value that the estimator predicted, for comparison with *largest*; None for
            a classifier.
    """

    rows: int
    labels: int
    largest: float
    greatest: float | None = None

    def __str__(self) -> str:
        if self.greatest is not None:
            summary = f"numbers of up to {self.greatest:.3g} differ by at most {self.largest:.2g}"
        else:
            summary = f"{self.labels} labels differ, and probabilities by at most {self.largest:.2g}"
        return f"on {self.rows} rows {summary}"


def to_onnx(model: Any, schema: Schema) -> OnnxModel:
    """Convert a fitted estimator to an ONNX graph.

    Args:
        model: Fitted estimator.
        schema: Schema that contains the types of the columns.

    Raises:
        ConfigurationError: A library is missing, or the estimator cannot be converted.
    """
    try:
        import onnx
        import skl2onnx
    except ImportError:
        raise ConfigurationError('ONNX export needs skl2onnx: pip install "modelgate[onnx]"') from None
    outputs = outputs_of(model)
    if len(outputs) > 1 and outputs[0] is not None:
        raise ConfigurationError("a model that predicts several labels cannot be converted")
    names, inputs = _graph_inputs(model, schema, skl2onnx)
    try:
        graph = _converter.convert(model, inputs, skl2onnx)
        classes = None if outputs[0] is None else list(outputs[0])
        metadata = OnnxMetadata(names, classes, hasattr(model, "predict_proba"))
        graph.metadata_props.add(key=METADATA_KEY, value=msgspec.json.encode(metadata).decode())
        onnx.checker.check_model(graph)
        return OnnxModel(graph.SerializeToString())
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:_LONGEST_REASON]
        raise ConfigurationError(f"skl2onnx cannot convert the model: {reason}") from error


class _Converter:
    """Converter that runs skl2onnx without its warnings, which are meant for authors of converters."""

    def __init__(self) -> None:
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        # `warnings.catch_warnings` is not thread-safe.
        self._lock = threading.Lock()

    def convert(self, model: Any, inputs: list[Any], skl2onnx: Any) -> Any:
        """Return the ONNX graph of *model*."""
        options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
        with self._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return skl2onnx.convert_sklearn(model, initial_types=inputs, options=options)


_converter = _Converter()


def _graph_inputs(model: Any, schema: Schema, skl2onnx: Any) -> tuple[list[str] | None, list[Any]]:
    """Return the column names (None if there are none), and the typed inputs for skl2onnx."""
    types = skl2onnx.common.data_types
    known = {column.name: column for column in schema}
    columns = [known.get(column.name, column) for column in Schema.from_model(model)]
    datetimes = [column.name for column in columns if column.kind == "datetime"]
    if datetimes:
        raise ConfigurationError(f"ONNX cannot represent the datetimes in the columns {', '.join(datetimes)}")
    untyped = [column.name for column in columns if column.kind == "any"]
    if untyped:
        raise ConfigurationError(
            f"columns must have a type for the conversion to ONNX: set one in the schema for {', '.join(untyped)}"
        )
    names = [column.name for column in columns] if hasattr(model, "feature_names_in_") else None
    if not _takes_named_columns(model):
        if not all(column.numeric for column in columns):
            raise ConfigurationError("text columns can only be converted if a ColumnTransformer encodes them")
        return names, [("X", types.FloatTensorType([None, len(columns)]))]
    tensor_types = {True: types.FloatTensorType, False: types.StringTensorType}
    return names, [(column.name, tensor_types[column.numeric]([None, 1])) for column in columns]


def _takes_named_columns(model: Any) -> bool:
    """Return whether the first step of *model* is a ColumnTransformer fitted on named columns."""
    step = getattr(model, "best_estimator_", model)
    while getattr(step, "steps", None):
        step = step.steps[0][1]
    return hasattr(step, "transformers_") and hasattr(step, "feature_names_in_")


def measure_onnx(
    model: Any, schema: Schema, rows: Sequence[Mapping[str, Any]]
) -> tuple[OnnxModel, Difference]:
    """Convert *model* with `to_onnx`, and compare the predictions of both for *rows*.

    Raises:
        ConfigurationError: See `to_onnx` and `difference`.
    """
    try:
        graph = to_onnx(model, schema)
        answers = [predict_to_lists(predictor, schema, rows) for predictor in (model, graph)]
        return graph, difference(*((answer["predict"], answer.get("predict_proba")) for answer in answers))
    except ConfigurationError as error:
        raise ConfigurationError(f'format="onnx": {error}') from error.__cause__


def difference(expected: Any, actual: Any) -> Difference:
    """Measure the difference between two predictions of the same rows.

    Args:
        expected: The estimator's results of ``predict`` and ``predict_proba``, as a pair. The second may be
            None.
        actual: The graph's results, as a pair of the same form.

    Raises:
        ConfigurationError: The outputs have different shapes, or the graph predicts NaN or an infinity.
    """
    (values, probabilities), (graph_values, graph_probabilities) = expected, actual
    values, graph_values = np.asarray(values), np.asarray(graph_values)
    if values.shape != graph_values.shape or (probabilities is None) is not (graph_probabilities is None):
        raise ConfigurationError(
            "the graph must have outputs of the same shapes as the estimator (got other shapes)"
        )
    numbers = values.dtype.kind == "f" and probabilities is None
    pair = (values, graph_values) if numbers else (probabilities, graph_probabilities)
    largest = 0.0 if pair[0] is None else float(np.abs(np.subtract(*pair)).max())
    if not np.isfinite(largest):
        raise ConfigurationError("the graph must predict finite numbers (got NaN or an infinity)")
    if numbers:
        return Difference(len(values), 0, largest, float(np.abs(values).max()))
    return Difference(len(values), int((values != graph_values).sum()), largest)
