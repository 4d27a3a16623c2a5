"""Run ONNX graphs as estimators."""

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
"""Key of `OnnxMetadata` in a graph's metadata properties."""

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
    """Facts about a graph converted by `to_onnx` for which ONNX has no field.

    Args:
        columns: Names of the input columns in order, or None if they have no names.
        classes: Class labels in the order of the probabilities, or None if the graph predicts a number.
        probabilities: Whether the graph returns probabilities.
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
    """An ONNX graph with the interface of an estimator. onnxruntime runs it on one thread.

    The graph has one input of shape (rows, columns), or one input of shape (rows, 1) per column. Its
    first output is the prediction. If that is a label, the second output may contain probabilities, as an
    array or as mappings from class to probability (skl2onnx's ``ZipMap``). Scores that are not
    probabilities are ignored.

    Args:
        content: Content of the ``.onnx`` file.

    Attributes:
        content: Content of the ``.onnx`` file.
        feature_names_in_: Names of the columns; not set if they have no names.
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
                f"its output {output.name} must be labels or numbers (got {output.type} {output.shape})"
            )
        self._predicts_labels = output.type in _LABELS
        self.n_outputs_ = _width(output.shape) or 1
        self._labels: dict[Any, _Label] = {}
        if self._predicts_labels:
            self._read_classes(metadata, graph)

    def _read_columns(self, names: list[str] | None) -> None:
        if not self._has_single_input and any(node.width != 1 for node in self._inputs):
            raise ConfigurationError("has several inputs, one of them with several columns")
        self.input_kinds_ = [node.kind for node in self._inputs for _ in range(node.width)]
        self.n_features_in_ = len(self.input_kinds_)
        # Column names may contain characters that input names cannot: inputs are matched by position.
        if not self._has_single_input and (names is None or len(names) != len(self._inputs)):
            names = [node.name for node in self._inputs]
        if names is not None:
            if len(names) != self.n_features_in_:
                raise ConfigurationError(
                    f"its metadata names {len(names)} columns, but it has {self.n_features_in_}"
                )
            self.feature_names_in_ = np.array(names, dtype=object)

    def _read_classes(self, metadata: OnnxMetadata, graph: Any) -> None:
        classes, has_probabilities = metadata.classes, metadata.probabilities
        if classes is None or has_probabilities is None:
            detected, has_probabilities = self._detect_classes(graph)
            if None not in (classes, detected) and classes != detected:
                raise ConfigurationError("the classes in its metadata differ from those of the graph")
            classes = classes or detected
        if classes is None:
            return
        # A graph returns 1 for the labels True and 1.0: equal keys find the original label.
        self._labels = {label: label for label in classes}
        self.classes_ = np.array(classes, dtype=None if len(set(map(type, classes))) == 1 else object)
        if has_probabilities:
            self.predict_proba = self._predict_proba

    def _detect_classes(self, graph: Any) -> tuple[list[Any] | None, bool]:
        """Return the classes, or None if they are unknown, and whether the scores are probabilities.

        ONNX has no field for the latter: it is determined from the scores of random rows.
        """
        try:
            labels, scores = self._predict_random_rows()
        except Exception:
            if "text" not in self.input_kinds_:
                raise
            logger.warning("ONNX graph: probabilities unavailable: the graph rejects unknown text")
            return None, False
        if labels.size != len(labels):
            raise ConfigurationError("predicts several labels per row")
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

    def answer(self, table: Table) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None]:
        """Return the results of ``predict`` and ``predict_proba`` for *table* in one run.

        The second is None for a graph without probabilities.
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
        # Values that are too large for a float32 become infinities.
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
        raise ConfigurationError("has external data: save it in a single file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # Errors are raised; do not print them to the host's stderr as well.
    runtime = {"providers": ["CPUExecutionProvider"], "enable_fallback": 0}
    return onnxruntime.InferenceSession(content, options, **runtime), model.graph


def _has_external_data(message: Any, tensor_type: Any) -> bool:
    """Return whether a tensor in *message* refers to a file: it could name any file of this machine."""
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
            f"its input {node.name} has exactly {node.shape[0]} rows:"
            " export it with a dynamic first dimension"
        )
    if node.type not in _TYPES or width is None:
        raise ConfigurationError(
            f"its input {node.name} must be (rows, columns) of numbers, booleans or text"
            f" (got {node.type} {node.shape})"
        )
    return _Input(node.name, *_TYPES[node.type], width)


def _width(shape: Sequence[Any]) -> int | None:
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


def _read_metadata(session: Any) -> OnnxMetadata:
    encoded = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return OnnxMetadata() if encoded is None else msgspec.json.decode(encoded, type=OnnxMetadata)


def _read_class_labels(graph: Any, scores: Any) -> list[Any] | None:
    """Return the class labels stored in the graph: the list with one label for each column of *scores*.

    Returns None if the graph has no such list, or several that differ.
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
    """Return *scores* as an array of shape (rows, classes); ZipMap's are a list with a mapping per row."""
    if isinstance(scores, list):
        scores = [[row[label] for label in classes] for row in scores]
    return None if scores is None else np.asarray(scores, dtype=np.float64)


def _are_probabilities(scores: npt.NDArray[np.float64] | None, rows: int) -> bool:
    if scores is None or scores.ndim != 2 or len(scores) != rows or not np.isfinite(scores).all():
        return False
    return bool((scores >= -1e-5).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-4))
