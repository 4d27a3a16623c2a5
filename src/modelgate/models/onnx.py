"""ONNX graphs as estimators."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..schema import Table

__all__ = ["TOLD", "OnnxModel", "Told"]

logger = logging.getLogger("modelgate")

TOLD = "modelgate"
"""The key in a graph's metadata of what its format has no place for."""

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


class Told(msgspec.Struct, forbid_unknown_fields=True):
    """What a graph that was converted here says of itself.

    Args:
        columns: of its input, in their order; None where they had no names.
        classes: in the order of its probabilities; None for a number.
        probabilities: whether it tells any.
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
    """A graph that onnxruntime computes, as an estimator, on one thread.

    Its input is a block, (rows, columns), or a column each. Its first output is what is predicted;
    where that is a label, the second one may tell probabilities, as an array, or by class (skl2onnx's
    ``ZipMap``). Scores that are none are left out.

    Args:
        content: of the ``.onnx`` file.

    Attributes:
        content: as given.
        feature_names_in_: the names of the columns, where they have names.
        n_features_in_: how many columns there are.
        input_kinds_: of which kind each column is.
        n_outputs_: how many numbers it predicts for a row.

    Raises:
        ConfigurationError: a package is missing, or its inputs or outputs are none of these.
    """

    predict_proba: Callable[[Any], npt.NDArray[np.float64]]

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._session, graph = _opened(content)
        told = _told(self._session)
        self._inputs = [_input(each) for each in self._session.get_inputs()]
        self._outputs = self._session.get_outputs()
        self._block = len(self._inputs) == 1
        self._read_columns(told.columns)
        first = self._outputs[0]
        if first.type not in _TYPES or len(first.shape) > 2:
            raise ConfigurationError(
                f"its output {first.name} is {first.type} {first.shape}: no labels or numbers"
            )
        self._predicts_labels = first.type in _LABELS
        self.n_outputs_ = _width(first.shape) or 1
        self._labels: dict[Any, _Label] = {}
        if self._predicts_labels:
            self._read_classes(told, graph)

    def _read_columns(self, names: list[str] | None) -> None:
        if not self._block and any(each.width != 1 for each in self._inputs):
            raise ConfigurationError("has several inputs, one of them of several columns")
        self.input_kinds_ = [each.kind for each in self._inputs for _ in range(each.width)]
        self.n_features_in_ = len(self.input_kinds_)
        # An input may not be called as any column may: where each has one, they are in the same order.
        if not self._block and (names is None or len(names) != len(self._inputs)):
            names = [each.name for each in self._inputs]
        if names is not None:
            if len(names) != self.n_features_in_:
                raise ConfigurationError("names other columns than it has")
            self.feature_names_in_ = np.array(names, dtype=object)

    def _read_classes(self, told: Told, graph: Any) -> None:
        classes, likely = told.classes, told.probabilities
        if classes is None or likely is None:
            found, likely = self._tried(graph)
            if None not in (classes, found) and classes != found:
                raise ConfigurationError("names other classes than it has")
            classes = classes or found
        if classes is None:
            return
        # What is true or 1.0 for a caller is 1 for a graph, which is equal and not the same.
        self._labels = {label: label for label in classes}
        self.classes_ = np.array(classes, dtype=None if len(set(map(type, classes))) == 1 else object)
        if likely:
            self.predict_proba = self._predict_proba

    def _tried(self, graph: Any) -> tuple[list[Any] | None, bool]:
        """Its classes, and whether its scores are probabilities: no graph tells that."""
        try:
            labels, scores = self._probed()
        except Exception:
            if "text" not in self.input_kinds_:
                raise
            logger.warning("an ONNX graph refuses unknown text: whether it tells probabilities is not known")
            return None, False
        if labels.size != len(labels):
            raise ConfigurationError("predicts several labels at once")
        classes = list(scores[0]) if isinstance(scores, list) else _classes_in(graph, scores)
        if classes is None:
            return None, False
        return classes, _are_probabilities(_block_of(scores, classes), len(labels))

    def _probed(self) -> tuple[Any, Any]:
        """What it says of some rows."""
        random = np.random.default_rng(0)

        def column(each: _Input) -> Any:
            shape = (_PROBES, each.width)
            return np.full(shape, "?", object) if each.kind == "text" else random.normal(size=shape) * 3

        outputs = self._run({each.name: column(each) for each in self._inputs})
        return outputs[0], outputs[1] if len(outputs) > 1 else None

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803  scikit-learn's word
        """Labels, or numbers, of the rows *X*: an array, or a DataFrame."""
        return self._answer(self._run(self._fed(X)))[0]

    def _predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        likely = self._answer(self._run(self._fed(X)))[1]
        assert likely is not None
        return likely

    def answer(self, table: Table) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None]:
        """What ``predict`` and ``predict_proba`` give for *table*, at once; None where there is no latter."""
        named = hasattr(self, "feature_names_in_")
        return self._answer(self._run(self._fed(table if named else table.to_array())))

    def _fed(self, rows: Any) -> dict[str, Any]:
        if not self._block:
            named = zip(self._inputs, self.feature_names_in_, strict=True)
            return {each.name: np.asarray(rows[name]).reshape(-1, 1) for each, name in named}
        if hasattr(self, "feature_names_in_") and not isinstance(rows, np.ndarray):
            rows = np.column_stack([np.asarray(rows[name]) for name in self.feature_names_in_])
        return {self._inputs[0].name: np.asarray(rows)}

    def _run(self, fed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        # What is too large for a float32 becomes an infinity.
        with np.errstate(all="ignore"):
            cast = {each.name: fed[each.name].astype(each.dtype) for each in self._inputs}
        return list(self._session.run(None, cast))

    def _answer(self, outputs: list[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None]:
        values = outputs[0]
        if not self._predicts_labels:
            values = values.astype(np.float64)
            return (values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values), None
        values = values.ravel()
        if self._labels:
            values = np.array([self._labels[label] for label in values.tolist()], dtype=self.classes_.dtype)
        likely = _block_of(outputs[1], list(self._labels)) if hasattr(self, "predict_proba") else None
        # What is computed in 32 bits may be a little less than 0 or more than 1.
        return values, None if likely is None else likely.clip(0, 1)


def _opened(content: bytes) -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise ConfigurationError('.onnx files need onnxruntime: pip install "modelgate[onnx]"') from None
    model = onnx.load_model_from_string(content)
    if _has_external_data(model, onnx.TensorProto):
        raise ConfigurationError("has data in other files: save it in one")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # What is wrong is raised; it need not stand on the host's stderr too.
    on = {"providers": ["CPUExecutionProvider"], "enable_fallback": 0}
    return onnxruntime.InferenceSession(content, options, **on), model.graph


def _has_external_data(message: Any, tensor: Any) -> bool:
    """Whether a tensor anywhere in *message* names a file: of all files, one on this machine."""
    if isinstance(message, tensor):
        return bool(message.data_location == tensor.EXTERNAL or message.external_data)
    return any(
        _has_external_data(each, tensor)
        for field, value in message.ListFields()
        if field.message_type is not None
        for each in (value if isinstance(value, Iterable) else [value])
    )


def _input(told: Any) -> _Input:
    width = _width(told.shape)
    if told.type in _TYPES and width is not None and isinstance(told.shape[0], int):
        raise ConfigurationError(
            f"its input {told.name} takes {told.shape[0]} rows alone: export it with a dynamic first dimension"
        )
    if told.type not in _TYPES or width is None:
        raise ConfigurationError(f"its input {told.name} is {told.type} {told.shape}: no columns of a table")
    return _Input(told.name, *_TYPES[told.type], width)


def _width(shape: Sequence[Any]) -> int | None:
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


def _told(session: Any) -> Told:
    told = session.get_modelmeta().custom_metadata_map.get(TOLD)
    return Told() if told is None else msgspec.json.decode(told, type=Told)


def _classes_in(graph: Any, likely: Any) -> list[Any] | None:
    """The labels that the graph holds for so many columns of scores; None where that is not one list."""
    if likely is None or likely.ndim != 2:
        return None
    from onnx.numpy_helper import to_array

    attributes = [each for node in graph.node for each in node.attribute if each.name in _CLASSLABELS]
    found = [_decoded(each.strings or each.ints) for each in attributes]
    found += [_decoded(to_array(each).ravel()) for each in graph.initializer if each.name == "classes"]
    fitting = [labels for labels in found if len(labels) == likely.shape[1]]
    return fitting[0] if fitting and all(labels == fitting[0] for labels in fitting) else None


def _decoded(labels: Iterable[Any]) -> list[Any]:
    return [label.decode() if isinstance(label, bytes) else label for label in np.asarray(labels).tolist()]


def _block_of(likely: Any, classes: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    """Scores as (rows, classes): ZipMap has made a mapping of each row."""
    if isinstance(likely, list):
        likely = [[row[label] for label in classes] for row in likely]
    return None if likely is None else np.asarray(likely, dtype=np.float64)


def _are_probabilities(block: npt.NDArray[np.float64] | None, rows: int) -> bool:
    if block is None or block.ndim != 2 or len(block) != rows or not np.isfinite(block).all():
        return False
    return bool((block >= -1e-5).all() and np.allclose(block.sum(axis=1), 1, atol=1e-4))
