"""Predictions that are NaN or infinite, in every wire format and through every mount."""

import csv
import io
import json
import struct

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from modelgate import (
    ConfigurationError,
    Deployment,
    Gate,
    Output,
    Prediction,
    PredictionError,
    Round,
    Schema,
    Threshold,
)
from support.keys import KEY
from support.mounts import Mounted
from support.openapi import OpenAPIDocument
from support.wire_formats import NUMBERS_IN, REQUESTS, request_of

BAD = {1.0: np.nan, 2.0: np.inf, 3.0: -np.inf}


class Regressor(RegressorMixin, BaseEstimator):
    """A regressor that predicts twice its input, and no finite number for 1, 2 and 3."""

    n_features_in_ = 1

    def predict(self, X):
        return np.array([BAD.get(x, 2 * x) for x in X[:, 0].tolist()])


class Classifier(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are NaN for 1, 2 and 3, where it predicts its first class."""

    n_features_in_ = 1

    def __init__(self, classes=("no", "yes")):
        self.classes = classes
        self.classes_ = np.array(classes)

    def predict_proba(self, X):
        positive = np.array([BAD.get(x, x / 10) for x in X[:, 0].tolist()])
        return np.column_stack([1 - positive, positive])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def handler(table):
    return np.array([BAD.get(x, 2 * x) for x in table["x0"].tolist()])


async def coroutine(table):
    return [BAD.get(x, 2 * x) for x in table["x0"].tolist()]


SCHEMA = Schema.of(x0=float)
REGRESSORS = {"estimator": Regressor(), "function": handler, "coroutine": coroutine}
JSON = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}


def serve(mount, model, **options):
    deployment = Deployment("m", model, schema=SCHEMA, decimals=None, **options)
    return Mounted(mount, Gate([deployment], keys={KEY: "m"}))


def rows_of(values):
    return [{"x0": value} for value in values]


@pytest.mark.parametrize("model", REGRESSORS.values(), ids=REGRESSORS)
@pytest.mark.parametrize("options", [{}, {"scoring_layers": [Round(2)]}, {"batch": False}], ids=" ".join)
def test_error_names_the_rows_to_the_caller_and_in_the_log(mount, caplog, model, options):
    served = serve(mount, model, **options)
    answer = served.post("/simple/m", json=rows_of([5, 1, 7, 2]), headers=JSON)

    message = "The model failed to score this request: its prediction is not a finite number"
    assert (500, f"{message} (row 1, 3): send only the other rows") == (
        answer.status,
        answer.json()["error"],
    )
    assert "output 'prediction' is not a finite number in the rows [1, 3] (2 of 4)" in caplog.text
    alone = served.post("/simple/m", json={"x0": 1}, headers=JSON)
    assert (500, message) == (alone.status, alone.json()["error"])


def test_error_names_the_rows_of_probabilities(mount):
    many = [1.0] * 8 + [5.0]
    answer = serve(mount, Classifier()).post("/simple/m", json=rows_of(many), headers=JSON)

    assert "not a finite number (row 0, 1, 2, 3, 4 and 3 more)" in answer.json()["error"]


SENT = [5, 1, 2, 3, 7]


def answer_with_null(mount, model, dialect, **options):
    """Return the response to `SENT`, after checking that it is JSON that the OpenAPI document describes."""
    served = serve(mount, model, nonfinite="null", **options)
    path, body = request_of(dialect, SENT)
    answer = served.post(path, body=body, headers=JSON)
    assert 200 == answer.status, answer.body
    content = json.loads(answer.body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    document = OpenAPIDocument(served.request("GET", "/deployments/m/openapi.json", headers=JSON).json())
    document.check_response(document.find_operation(dialect), answer)
    return content


NUMBERS = [10.0, None, None, None, 14.0]


@pytest.mark.slow
@pytest.mark.parametrize("dialect", REQUESTS)
def test_null_answers_the_other_rows(mount, dialect):
    answer = answer_with_null(mount, Regressor(), dialect)

    assert NUMBERS == NUMBERS_IN[dialect](answer)
    if dialect == "open_inference":
        assert "FP64" == answer["outputs"][0]["datatype"]
    if dialect not in ("simple", "open_inference"):
        warning = "The model returned no finite number for row 1, 2, 3"
        assert [warning] == answer["warnings"]


NO, YES = [0.5, 0.5], [1 - 0.7, 0.7]
NULL = [None, None]
LABELS_IN = {
    "native": lambda answer: [
        (row["prediction"], max_or_none(row["probabilities"].values())) for row in answer["predictions"]
    ],
    "simple": lambda answer: [(row["prediction"], row["confidence"]) for row in answer],
    "plexe": lambda answer: [(row["predicted_class"], row["confidence"]) for row in answer["result"]],
    "mlclever": lambda answer: list(
        zip(answer["predictions"], map(max_or_none, answer["confidence_intervals"]), strict=True)
    ),
    "datarobot": lambda answer: [
        (row["prediction"], max_or_none([value["value"] for value in row["predictionValues"]]))
        for row in answer["data"]
    ],
}


def max_or_none(values):
    return None if None in values else max(values)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", LABELS_IN)
@pytest.mark.parametrize(
    "options", [{}, {"threshold": 0.6}, {"scoring_layers": [Threshold(0.6)]}], ids=" ".join
)
@pytest.mark.parametrize("classes", [("no", "yes"), (0, 1)])
def test_null_is_the_label_of_a_row_without_probabilities(mount, dialect, options, classes):
    """The first class, which NaN would be mistaken for, would be a wrong answer."""
    answer = answer_with_null(mount, Classifier(classes), dialect, **options)

    expected = [(classes[0], 0.5), (None, None), (None, None), (None, None), (classes[1], 0.7)]
    assert expected == LABELS_IN[dialect](answer)


@pytest.mark.slow
def test_null_is_the_label_in_the_other_wire_formats(mount):
    peltarion = answer_with_null(mount, Classifier(), "peltarion")["rows"]
    assert {"no": 0.5, "yes": 0.5} == peltarion[0]["prediction"]
    assert {"no": None, "yes": None} == peltarion[1]["prediction"]
    for dialect in ("mlflow", "tf_serving"):
        assert ["no", None, None, None, "yes"] == answer_with_null(mount, Classifier(), dialect)[
            "predictions"
        ]
    labels, probabilities = answer_with_null(mount, Classifier(), "open_inference")["outputs"]
    assert ("BYTES", ["no", "null", "null", "null", "yes"]) == (labels["datatype"], labels["data"])
    assert [0.5, 0.5, *NULL * 3] == probabilities["data"][:8]


def test_null_is_an_empty_cell_of_csv(mount):
    served = serve(mount, Classifier(), nonfinite="null")
    headers = {**JSON, "accept": "text/csv"}
    answer = served.post("/deployments/m/predictions", json=rows_of(SENT), headers=headers)
    rows = list(csv.reader(io.StringIO(answer.body.decode())))

    assert ["prediction_yes_PREDICTION", "prediction_no_PREDICTION", "prediction_PREDICTION"] == rows[0][:3]
    assert (["0.5", "0.5", "no"], ["", "", ""]) == (rows[1][:3], rows[2][:3])
    numbers = serve(mount, Regressor(), nonfinite="null").post(
        "/mlflow/m/invocations", json={"instances": rows_of(SENT)}, headers=headers
    )
    assert b'10.0\n""\n""\n""\n14.0\n' == numbers.body


def test_null_is_nan_or_empty_in_an_npy_file(mount):
    headers = {**JSON, "accept": "application/x-npy"}
    numbers, labels = (
        serve(mount, model, nonfinite="null").post(
            "/deployments/m/predict", json=rows_of(SENT), headers=headers
        )
        for model in (Regressor(), Classifier())
    )

    np.testing.assert_array_equal([10.0, np.nan, np.nan, np.nan, 14.0], np.load(io.BytesIO(numbers.body)))
    assert ["no", "", "", "", "yes"] == np.load(io.BytesIO(labels.body)).tolist()


def test_null_is_nan_in_binary_data(mount):
    body = {
        "inputs": [{"name": "x0", "shape": [3], "datatype": "FP64", "data": [5, 1, 2]}],
        "parameters": {"binary_data_output": True},
    }
    answer = serve(mount, Regressor(), nonfinite="null").post("/v2/models/m/infer", json=body, headers=JSON)
    values = struct.unpack("<3d", answer.body[int(answer.header("inference-header-content-length")) :])

    np.testing.assert_array_equal([10.0, np.nan, np.nan], values)


@pytest.mark.parametrize("model", REGRESSORS.values(), ids=REGRESSORS)
def test_null_is_nan_or_none_without_a_server(model):
    gate = Gate([Deployment("m", model, schema=SCHEMA, nonfinite="null", decimals=1)], keys="open")
    prediction = gate.score("m", rows_of(SENT))

    np.testing.assert_array_equal([10.0, np.nan, np.nan, np.nan, 14.0], prediction.values.astype(float))
    assert ["The model returned no finite number for row 1, 2, 3"] == prediction.warnings


def test_null_is_told_to_the_caller_of_its_row_alone():
    """Although rows of several callers are scored in one call."""
    gate = Gate([Deployment("m", Regressor(), nonfinite="null")], keys="open")

    assert [[], [], []] == [list(gate.score("m", {"x0": value}).warnings) for value in (5, 6, 7)]
    assert 1 == len(gate.score("m", {"x0": 1}).warnings)


def test_null_replaces_numbers_of_mixed_outputs():
    def mixed(table):
        objects = np.array(["x", np.nan, 3, None], dtype=object)
        return Prediction([Output("a", objects), Output("b", np.array([1.0, 2.0, np.inf, 4.0]))])

    gate = Gate([Deployment("m", mixed, schema=SCHEMA, nonfinite="null")], keys="open")
    prediction = gate.score("m", rows_of([1, 2, 3, 4]))

    assert ["x", None, 3, None] == prediction.outputs[0].values.tolist()
    np.testing.assert_array_equal([1.0, 2.0, np.nan, 4.0], prediction.outputs[1].values)
    assert ["The model returned no finite number for row 1, 2"] == list(prediction.warnings)


def test_null_does_not_hide_other_invalid_predictions():
    gate = Gate(
        [Deployment("m", lambda table: [np.nan, object()], schema=SCHEMA, nonfinite="null")], keys="open"
    )
    with pytest.raises(PredictionError) as info:
        gate.score("m", rows_of([1, 2]))

    assert "is not text, a boolean or a number in the rows [1]" in str(info.value.__cause__)


def test_nonfinite_must_be_known():
    with pytest.raises(ConfigurationError, match="nonfinite must be 'error' or 'null' \\(got 'nan'\\)"):
        Deployment("m", Regressor(), nonfinite="nan")
