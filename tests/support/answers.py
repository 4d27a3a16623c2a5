"""Predictions of a model behind a gate, requested in every way, compared with those of the model itself."""

import json
from dataclasses import dataclass

import numpy as np
import pandas

from modelgate import Deployment, Gate
from modelgate.testing import Client

EXACT = {"rtol": 0, "atol": 0}
BLAS = {"rtol": 1e-12, "atol": 1e-12}
"""The order of a BLAS sum depends on the memory layout of the input and on the number of rows."""

JSON, CSV = {"content-type": "application/json"}, {"content-type": "text/csv"}


@dataclass
class Expected:
    """Predictions of the model itself."""

    values: np.ndarray
    probabilities: list[np.ndarray] | None


def predict_itself(model, rows):
    """Return the predictions of *model* for *rows*, in the form in which it was fitted."""
    values = np.asarray(model.predict(rows))
    if not hasattr(model, "predict_proba"):
        return Expected(values, None)
    probabilities = model.predict_proba(rows)
    return Expected(values, probabilities if isinstance(probabilities, list) else [probabilities])


def request_predictions(model, rows, **options):
    """Return the predictions of a gate by way: ``gate.score``, and JSON and CSV through a mount.

    *options* are those of the deployment.

    Raises:
        AssertionError: A request was rejected, or its response has other values than the prediction.
    """
    predictions = []

    def record(query, call_next):
        prediction = yield from call_next(query)
        predictions.append(prediction)
        return prediction

    gate = Gate(
        [Deployment("m", model, scoring_layers=[record], **options)], keys="open", dialects=["mlflow"]
    )
    frame = as_frame(rows, gate.deployments.predictor("m").schema.names)
    gate.score("m", rows)
    client = Client(gate.wsgi)
    for headers, body in ((JSON, to_json(frame)), (CSV, frame.to_csv(index=False))):
        response = client.post("/mlflow/m/invocations", headers=headers, body=body.encode())
        assert 200 == response.status, response.body.decode()
        columns = {output.name: output.values.tolist() for output in predictions[-1].outputs}
        records = pandas.DataFrame(columns).to_dict("records")
        expected = records if len(columns) > 1 else next(iter(columns.values()))
        assert expected == response.json()["predictions"]
    return dict(zip(("score", "json", "csv"), predictions, strict=True))


def as_frame(rows, names):
    """Return *rows* as a DataFrame, as a caller has them who sends names."""
    return rows if isinstance(rows, pandas.DataFrame) else pandas.DataFrame(rows, columns=list(names))


def to_json(frame):
    """Return the body of a caller who sends the rows of *frame* with every digit."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return json.dumps({"dataframe_records": rows}, default=to_plain)


def to_plain(value):
    """Return a numpy value as a Python value, and a date as its text."""
    return value.item() if isinstance(value, np.generic) else value.isoformat()


def assert_same_predictions(model, rows, tolerance, served=None, **options):
    """Check that a gate answers as *model* does itself, in every way; it serves *served*, or *model*."""
    expected = predict_itself(model, rows)
    for way, prediction in request_predictions(model if served is None else served, rows, **options).items():
        try:
            assert_equal(expected, prediction, tolerance)
        except AssertionError as error:
            error.add_note(f"requested by {way}")
            raise


def assert_equal(expected, prediction, tolerance):
    """Check values and probabilities: labels are the same, numbers differ by *tolerance* at most."""
    columns = expected.values.reshape(len(prediction), -1).T
    assert len(columns) == len(prediction.outputs)
    for column, output in zip(columns, prediction.outputs, strict=True):
        if column.dtype.kind == "f" and output.classes is None:
            np.testing.assert_allclose(output.values.astype(float), column, **tolerance)
        else:
            assert column.tolist() == output.values.tolist()
    if expected.probabilities is not None:
        assert_probabilities_equal(expected.probabilities, prediction.outputs, tolerance)


def assert_probabilities_equal(expected, outputs, tolerance):
    """Check the probabilities; those of a multilabel model are one column per label."""
    if len(expected) == 1 < len(outputs):
        expected = [np.column_stack([1 - present, present]) for present in expected[0].T]
    for probabilities, output in zip(expected, outputs, strict=True):
        assert output.probabilities is not None, "the gate has no probabilities"
        np.testing.assert_allclose(output.probabilities, probabilities, **tolerance)
