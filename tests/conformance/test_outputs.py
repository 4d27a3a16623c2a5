"""Functions and models that do not return a valid value for each row."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pytest

from modelgate import Deployment, Gate, Schema
from modelgate.testing import Client
from support.wire_formats import NUMBERS_IN, REQUESTS, request_of

JSON = {"content-type": "application/json"}
FAILED = "The model failed to score this request"
COUNT = 3


def repeat(value):
    return [value] * COUNT


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def last(value):
    """Return an output that is invalid in its last row only."""
    return np.array([1.0, "a", value], dtype=object)


NO_VALUE_FOR_EACH_ROW = {
    "short": np.zeros(COUNT - 1),
    "long": np.zeros(COUNT + 1),
    "scalar": 1.0,
    "scalar of numpy": np.float64(1),
    "array without dimensions": np.array(1.0),
    "three dimensions": np.zeros((COUNT, 2, 2)),
    "no outputs": np.zeros((COUNT, 0)),
    "None": None,
    "text": "abc",
    "set": {1, 2, 3},
    "iterator": iter([1, 2, 3]),
    "exception": RuntimeError("secret"),
    "class": int,
}
NO_JSON = {
    "objects": repeat(object()),
    "complex": np.ones(COUNT) * 1j,
    "decimal": repeat(decimal.Decimal("1.1")),
    "datetime": repeat(datetime.datetime(2024, 1, 1)),
    "datetime64": np.array(repeat("2024-01-01"), dtype="M8[s]"),
    "timedelta": repeat(datetime.timedelta(1)),
    "bytes": repeat(b"a"),
    "byte strings": np.array(repeat(b"a")),
    "pandas.NA": repeat(pd.NA),
    "NaT": repeat(pd.NaT),
    "set inside": repeat([{1}]),
    "names that are no text": repeat({1: 2}),
    "records": np.zeros(COUNT, dtype=[("a", "f4")]),
}
NOT_FINITE = {
    "NaN": np.full(COUNT, np.nan),
    "infinities": repeat(float("inf")),
    "too large for float64": np.full(COUNT, np.longdouble("1e400")),
    "missing value of pandas": pd.Series([None] * COUNT, dtype="Int64"),
    "masked": np.ma.masked_all(COUNT),
}
NO_UTF8 = {"text": repeat("\ud800"), "array of text": np.array(repeat("\ud800"))}
ONE_ROW = {
    "object": (last(object()), "is not text, a boolean or a number"),
    "NaN": (last(float("nan")), "is not a finite number"),
    "object and NaN": (
        np.array([1.0, float("nan"), b""], dtype=object),
        "is not text, a boolean or a number",
    ),
    "masked": (np.ma.masked_array([1, 2, 3], [False, False, True]), "is not a finite number"),
    "surrogate": (last("\ud800"), "is text that UTF-8 cannot encode"),
}
VALUES = {
    "integers beyond 64 bits": (repeat(2**70), 2**70),
    "small floats": (np.ones(COUNT, dtype="f2"), 1.0),
    "series": (pd.Series(np.ones(COUNT)), 1.0),
    "categories": (pd.Categorical(repeat("a")), "a"),
    "text of numpy": (repeat(np.str_("a")), "a"),
    "objects of numpy": (np.array([np.int64(2)] * COUNT, dtype=object), 2),
    "nothing masked": (np.ma.masked_array([2, 2, 2]), 2),
}


class Model:
    """Model that returns its output unchanged, once it is served."""

    n_features_in_ = 1

    def __init__(self, output):
        self.output, self.is_served = output, False

    def predict(self, X):
        return self.output if self.is_served else np.zeros(len(X))


def serve_function(output):
    return Gate([Deployment("m", lambda _: output, schema=Schema.of(x0=float), decimals=None)], keys="open")


def serve_model(output):
    model = Model(output)
    gate = Gate([Deployment("m", model, schema=Schema.of(x0=float), decimals=None)], keys="open")
    gate.deployments.warm()
    model.is_served = True
    return gate


def responses(gate):
    """Return the status and the JSON of the response to three rows, by dialect."""
    answers = {}
    for dialect in REQUESTS:
        path, body = request_of(dialect, [1.0] * COUNT)
        answer = Client(gate.wsgi).post(path, body=body, headers=JSON)
        content = json.loads(answer.body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        answers[dialect] = answer.status, content
    return answers


@pytest.fixture(params=[serve_function, serve_model])
def serve(request):
    return request.param


def check_failure(gate, message):
    """Check that every dialect responds with status 500 and *message*."""
    answers = responses(gate)

    assert dict.fromkeys(REQUESTS, 500) == {dialect: status for dialect, (status, _) in answers.items()}
    assert message == answers["native"][1]["detail"]
    assert all(message in json.dumps(content) for _, content in answers.values())


@pytest.mark.slow
@pytest.mark.parametrize("output", NO_VALUE_FOR_EACH_ROW.values(), ids=NO_VALUE_FOR_EACH_ROW)
def test_output_without_a_value_for_each_row(serve, output, caplog):
    check_failure(serve(output), FAILED)

    assert "secret" not in caplog.messages


@pytest.mark.slow
@pytest.mark.parametrize("output", NO_JSON.values(), ids=NO_JSON)
def test_output_that_json_cannot_represent(serve, output):
    check_failure(serve(output), f"{FAILED}: its prediction is not text, a boolean or a number (row 0, 1, 2)")


@pytest.mark.slow
@pytest.mark.parametrize("output", NOT_FINITE.values(), ids=NOT_FINITE)
def test_output_that_is_not_finite(serve, output):
    check_failure(serve(output), f"{FAILED}: its prediction is not a finite number (row 0, 1, 2)")


@pytest.mark.parametrize("output", NO_UTF8.values(), ids=NO_UTF8)
def test_text_that_utf8_cannot_encode(serve, output):
    check_failure(serve(output), f"{FAILED}: its prediction is text that UTF-8 cannot encode (row 0, 1, 2)")


@pytest.mark.slow
@pytest.mark.parametrize(("output", "problem"), ONE_ROW.values(), ids=ONE_ROW)
def test_invalid_output_of_one_row(serve, output, problem):
    """The error names the row, so that the caller can send the others."""
    check_failure(serve(output), f"{FAILED}: its prediction {problem} (row 2): send only the other rows")


@pytest.mark.slow
@pytest.mark.parametrize(("output", "expected"), VALUES.values(), ids=VALUES)
def test_unusual_values_are_encoded(serve, output, expected):
    for dialect, (status, content) in responses(serve(output)).items():
        assert (dialect, 200) == (dialect, status), content
        if dialect not in ("peltarion", "plexe"):
            assert (dialect, [expected] * COUNT) == (dialect, NUMBERS_IN[dialect](content))
