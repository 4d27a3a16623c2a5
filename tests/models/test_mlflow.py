"""MLflow's ``PyFuncModel``. The package is too large for the tests: a stand-in copies what MLflow 3.17.2 does."""

import numpy as np
import pandas
import pytest

from modelgate import ConfigurationError, InvalidValues, Schema
from support.category_frame import score

SIGNATURE = [
    {"name": "i", "type": "integer", "required": True},
    {"name": "l", "type": "long", "required": True},
    {"name": "f", "type": "float", "required": True},
    {"name": "b", "type": "boolean", "required": True},
    {"name": "s", "type": "string", "required": True},
    {"name": "t", "type": "datetime", "required": True},
    {"name": "o", "type": "double", "required": False},
]
DTYPES = {"i": "int32", "l": "int64", "f": "float32", "b": "bool", "t": "datetime64[ns]", "o": "float64"}
ROW = {"s": "x", "i": 3, "l": 4, "f": 0.5, "b": True, "t": "2024-01-06T10:00:00"}


class DataType:
    def __init__(self, name):
        self.name = name


class Columns:
    """``mlflow.types.Schema``."""

    def __init__(self, specs):
        self.inputs = specs

    def input_names(self):
        return [spec["name"] for spec in self.inputs]

    def input_types(self):
        return [DataType(spec["type"]) for spec in self.inputs]


class PyFuncModel:
    def __init__(self, predict, inputs):
        self.metadata = self
        self.get_input_schema = lambda: inputs
        self._predict = predict

    def predict(self, frame):
        if self.get_input_schema() is not None:
            for name, dtype in DTYPES.items():
                if not frame[name].isna().any() and frame[name].dtype != dtype:
                    raise TypeError(f"Can not safely convert {frame[name].dtype} to {dtype}")
        return self._predict(frame)


PyFuncModel.__module__ = "mlflow.pyfunc"


def test_signature_is_the_schema():
    model = PyFuncModel(lambda frame: frame["i"], Columns(SIGNATURE))

    assert Schema.from_signature(SIGNATURE).columns == Schema.from_model(model).columns
    with pytest.raises(InvalidValues, match="i must be a whole number"):
        score(model, ROW | {"i": 0.5})


@pytest.mark.parametrize(
    "optional", [{}, {"o": 2.0}], ids=["without optional column", "with optional column"]
)
def test_frame_has_the_dtypes_and_the_order_of_the_signature(optional):
    frames = []
    model = PyFuncModel(lambda frame: frames.append(frame) or frame["i"] * 2, Columns(SIGNATURE))

    assert [6] == score(model, ROW | optional).values.tolist()
    assert list("ilfbsto") == list(frames[-1].columns)


@pytest.mark.parametrize(
    ("convert", "expected"),
    [
        (
            lambda values: pandas.DataFrame({"a": values, "b": list("xy"[: len(values)])}),
            [[1.0, 2.0], ["x", "y"]],
        ),
        (lambda values: pandas.Series(values), [[1.0, 2.0]]),
        (list, [[1.0, 2.0]]),
        (np.asarray, [[1.0, 2.0]]),
    ],
    ids=["frame", "series", "list", "array"],
)
def test_output_of_any_type(convert, expected):
    model = PyFuncModel(lambda frame: convert(frame["a"].tolist()), None)
    outputs = score(model, [{"a": 1.0}, {"a": 2.0}], schema=Schema.of(a=float), example={"a": 1.0}).outputs

    assert expected == [output.values.tolist() for output in outputs]


def test_model_without_a_signature_needs_a_schema():
    with pytest.raises(ConfigurationError, match=r"set schema=Schema\.of"):
        score(PyFuncModel(len, None), ROW)
