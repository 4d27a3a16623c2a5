"""ONNX graphs with the interface of a scikit-learn estimator."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..schema import Table

__all__ = ["METADATA_KEY", "OnnxMetadata", "OnnxModel"]

logger = logging.getLogger("modelgate")

METADATA_KEY = "modelgate"
"""Key of `OnnxMetadata` in the metadata properties of a graph."""

_Label = bool | int | float | str
_TYPES: Mapping[str, tuple[str, Any]] = {
    "tensor(float)": ("number", np.float32),
    "tensor(double)": ("number", np.float64),
    "tensor(int64)": ("integer", np.int64),
    "tensor(int32)": ("integer", np.int32),
    "tensor(bool)": ("boolean", np.bool_),
    "tensor(string)": ("text", np.object_),
}
_LABELS = ("tensor(int64)", "tensor(int32)", "tensor(string)", "tensor(bool)")
_CLASSLABELS = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")
_PROBES = 8


class OnnxMetadata(msgspec.Struct, forbid_unknown_fields=True):
    """Additional metadata, for which ONNX has no field. `to_onnx` stores it in the graphs that it creates.

    Args:
        columns: Names of the input columns in order; None if the columns have no names.
        classes: Class labels in the order of the probabilities; None if the graph predicts a number.
        probabilities: Whether the graph returns probabilities; None if unknown.
    """

    columns: list[str] | None = None
    classes: list[_Label] | None = None
    probabilities: bool | None = None


class _Input(NamedTuple):
    name: str
    kind: str
    dtype: Any
    width: int


class OnnxModel:
    """ONNX graph with the interface of a scikit-learn estimator. onnxruntime runs the graph on one thread.

    The graph must have one input of shape (rows, columns), or one input of shape (rows, 1) per column. The
    first output must be the prediction. If the prediction is a label, the second output may contain
    probabilities, as an array or as mappings of classes to probabilities (the ``ZipMap`` of skl2onnx).
    A second output with scores that are not probabilities is ignored.

    Args:
        content: Content of the ``.onnx`` file.

    Attributes:
        content: Content of the ``.onnx`` file.
        feature_names_in_: Names of the columns. Not set if the columns have no names.
        n_features_in_: Number of columns.
        input_kinds_: Type of each column, as in `Column.kind`.
        n_outputs_: Number of values predicted per row.

    Raises:
        ConfigurationError: A library is missing, or the graph has unsupported inputs or outputs.
    """

    predict_proba: Callable[[Any], npt.NDArray[np.float64]]

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._session, graph = _create_session(content)
        metadata = _read_metadata(self._session)
        self._inputs = [_parse_input(node) for node in self._session.get_inputs()]
        self._outputs = self._session.get_outputs()
        self._has_single_input = len(self._inputs) == 1
        self._read_columns(metadata.columns)
        output = self._outputs[0]
        if output.type not in _TYPES or len(output.shape) > 2:
            raise ConfigurationError(
                f"output {output.name} of the graph must be labels or numbers"
                f" (got {output.type} {output.shape})"
            )
        self._predicts_labels = output.type in _LABELS
        self.n_outputs_ = _width(output.shape) or 1
        self._labels: dict[Any, _Label] = {}
        if self._predicts_labels:
            self._read_classes(metadata, graph)

    def _read_columns(self, names: list[str] | None) -> None:
        if not self._has_single_input and any(node.width != 1 for node in self._inputs):
            raise ConfigurationError("the graph must have a single input, or inputs of one column each")
        self.input_kinds_ = [node.kind for node in self._inputs for _ in range(node.width)]
        self.n_features_in_ = len(self.input_kinds_)
        # Match inputs and columns by position: skl2onnx may have changed characters in the input names.
        if not self._has_single_input and (names is None or len(names) != len(self._inputs)):
            names = [node.name for node in self._inputs]
        if names is not None:
            if len(names) != self.n_features_in_:
                raise ConfigurationError(
                    f"the metadata of the graph must name {self.n_features_in_} columns (got {len(names)})"
                )
            self.feature_names_in_ = np.array(names, dtype=object)

    def _read_classes(self, metadata: OnnxMetadata, graph: Any) -> None:
        classes, has_probabilities = metadata.classes, metadata.probabilities
        if classes is None or has_probabilities is None:
            detected, has_probabilities = self._detect_classes(graph)
            if None not in (classes, detected) and classes != detected:
                raise ConfigurationError(
                    "the classes in the metadata of the model must be those of its graph: correct the metadata"
                )
            classes = classes or detected
        if classes is None:
            return
        # A graph returns 1 for the label True or 1.0. The dictionary maps 1 to the original label.
        self._labels = {label: label for label in classes}
        self.classes_ = np.array(classes, dtype=None if len(set(map(type, classes))) == 1 else object)
        if has_probabilities:
            self.predict_proba = self._predict_proba

    def _detect_classes(self, graph: Any) -> tuple[list[Any] | None, bool]:
        """Return the classes (None if unknown), and whether the scores are probabilities.

        ONNX has no field that marks scores as probabilities. So the graph scores random rows, and the sums of
        their scores are examined.
        """
        try:
            labels, scores = self._predict_random_rows()
        except Exception:
            if "text" not in self.input_kinds_:
                raise
            logger.warning(
                "ONNX graph: probabilities not detected: the graph rejects the random texts of a test row"
            )
            return None, False
        if labels.size != len(labels):
            raise ConfigurationError("the graph must predict one label per row (got several)")
        classes = list(scores[0]) if isinstance(scores, list) else _read_class_labels(graph, scores)
        if classes is None:
            return None, False
        return classes, _are_probabilities(_to_array(scores, classes), len(labels))

    def _predict_random_rows(self) -> tuple[Any, Any]:
        random = np.random.default_rng(0)

        def make_values(node: _Input) -> Any:
            shape = (_PROBES, node.width)
            return np.full(shape, "?", object) if node.kind == "text" else random.normal(size=shape) * 3

        outputs = self._run({node.name: make_values(node) for node in self._inputs})
        return outputs[0], outputs[1] if len(outputs) > 1 else None

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803  scikit-learn's word
        """Predict labels or numbers for the rows *X*, an array or a DataFrame."""
        return self._to_prediction(self._run(self._to_inputs(X)))[0]

    def _predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        probabilities = self._to_prediction(self._run(self._to_inputs(X)))[1]
        assert probabilities is not None
        return probabilities

    def predict_table(self, table: Table) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None]:
        """Return the results of ``predict`` and ``predict_proba`` for *table* in one run of the graph.

        The second result is None for a graph without probabilities.
        """
        named = hasattr(self, "feature_names_in_")
        return self._to_prediction(self._run(self._to_inputs(table if named else table.to_array())))

    def _to_inputs(self, rows: Any) -> dict[str, Any]:
        if not self._has_single_input:
            columns = zip(self._inputs, self.feature_names_in_, strict=True)
            return {node.name: np.asarray(rows[name]).reshape(-1, 1) for node, name in columns}
        if hasattr(self, "feature_names_in_") and not isinstance(rows, np.ndarray):
            rows = np.column_stack([np.asarray(rows[name]) for name in self.feature_names_in_])
        return {self._inputs[0].name: np.asarray(rows)}

    def _run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        # Ignore warnings about values that are too large for float32, which become infinities.
        with np.errstate(all="ignore"):
            typed = {node.name: inputs[node.name].astype(node.dtype) for node in self._inputs}
        return list(self._session.run(None, typed))

    def _to_prediction(self, outputs: list[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None]:
        values = outputs[0]
        if not self._predicts_labels:
            values = values.astype(np.float64)
            return (values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values), None
        values = values.ravel()
        if self._labels:
            values = np.array([self._labels[label] for label in values.tolist()], dtype=self.classes_.dtype)
        probabilities = _to_array(outputs[1], list(self._labels)) if hasattr(self, "predict_proba") else None
        # 32-bit arithmetic may round probabilities to slightly below 0 or above 1.
        return values, None if probabilities is None else probabilities.clip(0, 1)


def _create_session(content: bytes) -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise ConfigurationError('.onnx files need onnxruntime: pip install "modelgate[onnx]"') from None
    model = onnx.load_model_from_string(content)
    if _has_external_data(model, onnx.TensorProto):
        raise ConfigurationError("the graph has external data: save it in a single file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # Errors are raised; do not print them to the host's stderr as well.
    runtime = {"providers": ["CPUExecutionProvider"], "enable_fallback": 0}
    return onnxruntime.InferenceSession(content, options, **runtime), model.graph


def _has_external_data(message: Any, tensor_type: Any) -> bool:
    """Return whether a tensor in *message* is stored in an external file.

    The graph contains the path of this file, so it could name any file on this machine.
    """
    if isinstance(message, tensor_type):
        return bool(message.data_location == tensor_type.EXTERNAL or message.external_data)
    return any(
        _has_external_data(part, tensor_type)
        for field, value in message.ListFields()
        if field.message_type is not None
        for part in (value if isinstance(value, Iterable) else [value])
    )


def _parse_input(node: Any) -> _Input:
    width = _width(node.shape)
    if node.type in _TYPES and width is not None and isinstance(node.shape[0], int):
        raise ConfigurationError(
            f"input {node.name} of the graph has exactly {node.shape[0]} rows:"
            " export the graph with a dynamic first dimension"
        )
    if node.type not in _TYPES or width is None:
        raise ConfigurationError(
            f"input {node.name} of the graph must be numbers, booleans or text, of shape (rows, columns)"
            f" (got {node.type} {node.shape})"
        )
    return _Input(node.name, *_TYPES[node.type], width)


def _width(shape: Sequence[Any]) -> int | None:
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


def _read_metadata(session: Any) -> OnnxMetadata:
    encoded = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return OnnxMetadata() if encoded is None else msgspec.json.decode(encoded, type=OnnxMetadata)


def _read_class_labels(graph: Any, scores: Any) -> list[Any] | None:
    """Return the class labels stored in the graph, one for each column of *scores*.

    Returns None if the graph has no list of this length, or several lists that differ.
    """
    if scores is None or scores.ndim != 2:
        return None
    from onnx.numpy_helper import to_array

    attributes = [item for node in graph.node for item in node.attribute if item.name in _CLASSLABELS]
    constants = [item for item in graph.initializer if item.name == "classes"]
    candidates = [
        *(_decode_labels(item.strings or item.ints) for item in attributes),
        *(_decode_labels(to_array(item).ravel()) for item in constants),
    ]
    fitting = [labels for labels in candidates if len(labels) == scores.shape[1]]
    return fitting[0] if fitting and all(labels == fitting[0] for labels in fitting) else None


def _decode_labels(labels: Iterable[Any]) -> list[Any]:
    return [label.decode() if isinstance(label, bytes) else label for label in np.asarray(labels).tolist()]


def _to_array(scores: Any, classes: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    """Return *scores* as an array of shape (rows, classes). A ZipMap is a list of one mapping per row."""
    if isinstance(scores, list):
        scores = [[row[label] for label in classes] for row in scores]
    return None if scores is None else np.asarray(scores, dtype=np.float64)


def _are_probabilities(scores: npt.NDArray[np.float64] | None, rows: int) -> bool:
    if scores is None or scores.ndim != 2 or len(scores) != rows or not np.isfinite(scores).all():
        return False
    return bool((scores >= -1e-5).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-4))
