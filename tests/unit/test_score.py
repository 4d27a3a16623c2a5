"""Scoring without a gate, and its layers."""

import numpy as np
import pandas
import pytest
from sklearn.linear_model import LinearRegression

from modelgate.errors import (
    ConfigurationError,
    DeploymentUnavailable,
    InvalidInput,
    InvalidValues,
    MalformedBody,
    MissingColumns,
    NotFound,
    PredictionError,
)
from modelgate.flow import drive
from modelgate.inference import Output, Prediction, Predictor
from modelgate.schema import Schema
from modelgate.scoring import LoadModel, Query, Validate, score
from modelgate.testing import StubHandler

FRAME = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})
MODEL = LinearRegression().fit(FRAME, FRAME["a"] / 3)
SCHEMA = Schema.of(a=float)


@pytest.mark.parametrize(
    "rows",
    [{"a": 1, "b": 0}, [{"a": 1, "b": 0}], b'{"a": 1, "b": 0}', np.array([[1.0, 0.0]]), FRAME[:1]],
    ids=lambda rows: type(rows).__name__,
)
def test_score_accepts_rows_of_any_type(rows):
    assert [0.33] == score(MODEL, rows, decimals=2).values.tolist()


def test_score_does_not_round_by_default():
    assert np.array_equal(MODEL.predict(FRAME), score(MODEL, FRAME).values)


def test_score_names_the_output_by_its_target():
    assert "price" == score(lambda table: table["a"], {"a": 1}, schema=SCHEMA, target="price").outputs[0].name


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ({"b": 1}, MissingColumns),
        ({"a": "x", "b": 1}, InvalidValues),
        (b"{", MalformedBody),
        (np.zeros((1, 3)), InvalidInput),
    ],
)
def test_score_rejects_rows_that_break_the_schema(rows, error):
    with pytest.raises(error):
        score(MODEL, rows)


def test_missing_columns_are_an_attribute_of_the_error():
    with pytest.raises(MissingColumns) as info:
        score(MODEL, {"c": 41})

    assert ["a", "b"] == info.value.missing_columns


def test_score_rejects_a_function_without_a_schema():
    with pytest.raises(ConfigurationError, match="schema"):
        score(lambda table: [1], {"a": 1})


def test_score_raises_a_prediction_error_if_the_model_fails():
    with pytest.raises(PredictionError) as info:
        score(lambda table: 1 / 0, {"a": 1}, schema=SCHEMA)

    assert isinstance(info.value.__cause__, ZeroDivisionError)


# The layers


def prediction():
    return Prediction([Output("a", np.array([1.0]))])


def test_validate_sets_the_table():
    inner, query = StubHandler(prediction()), Query([{"a": 1}])
    drive(Validate(SCHEMA)(query, inner))

    assert [{"a": 1.0}] == query.table.rows()
    assert [query] == inner.requests


@pytest.mark.parametrize(("rows", "passes"), [(2, True), (3, False)])
def test_validate_limits_the_rows(rows, passes):
    inner = StubHandler(prediction())
    flow = Validate(SCHEMA, max_rows=2)(Query([{"a": 1}] * rows), inner)
    if passes:
        drive(flow)
    else:
        with pytest.raises(InvalidInput, match="3 rows are more than the limit of 2"):
            drive(flow)

    assert passes == bool(inner.requests)


def test_validate_accepts_a_function_that_returns_the_schema():
    def find(query):
        yield from ()
        return Schema.of(**{query.deployment: int})

    with pytest.raises(MissingColumns) as info:
        drive(Validate(find)(Query({"a": 1}, deployment="churn"), StubHandler()))

    assert ["churn"] == info.value.missing_columns


@pytest.mark.parametrize(("schema", "max_rows"), [(None, 1), ("a", 1), (SCHEMA, 0), (SCHEMA, 1.5)], ids=repr)
def test_validate_rejects_invalid_options(schema, max_rows):
    with pytest.raises(ConfigurationError):
        Validate(schema, max_rows=max_rows)


PREDICTOR = Predictor(MODEL)


class PredictorSource:
    """Returns the predictor, or raises an error, and counts its calls."""

    def __init__(self, error=None):
        self.calls, self.error = 0, error

    def __call__(self, timeout):
        self.calls += 1
        if self.error:
            raise self.error
        yield from ()
        return PREDICTOR, self.calls > 1


def test_load_model_sets_the_predictor_and_cache_hit():
    """In the query for inner layers, in the prediction for outer ones."""
    layer, inner = LoadModel(PredictorSource()), StubHandler(prediction())
    first, second = Query(None), Query(None)
    cache_hits = [drive(layer(query, inner)).cache_hit for query in (first, second)]

    assert [False, True] == cache_hits == [first.cache_hit, second.cache_hit]
    assert first.predictor is PREDICTOR


def test_load_model_loads_once_per_query():
    """Its `schema` loads the model, which the layer then uses."""
    source, query = PredictorSource(), Query(None)
    layer = LoadModel(source)

    assert PREDICTOR.schema is drive(layer.schema(query))
    assert drive(layer(query, StubHandler(prediction()))).cache_hit is False
    assert 1 == source.calls


def test_load_model_returns_the_last_schema_while_the_model_is_unavailable():
    """So that invalid rows are still reported as such."""
    source = PredictorSource()
    layer = LoadModel(source)
    drive(layer.schema(Query(None)))
    source.error = DeploymentUnavailable()

    assert PREDICTOR.schema is drive(layer.schema(Query(None)))


@pytest.mark.parametrize("error", [DeploymentUnavailable(), NotFound()], ids=repr)
def test_load_model_passes_on_the_error_of_its_source(error):
    layer, inner = LoadModel(PredictorSource(error)), StubHandler(prediction())
    for flow in (layer(Query(None, "churn"), inner), layer.schema(Query(None, "churn"))):
        with pytest.raises(type(error)) as info:
            drive(flow)

        assert error is info.value
    assert [] == inner.requests


def test_load_model_with_a_predictor_is_always_a_cache_hit():
    query = Query(None)

    assert drive(LoadModel(PREDICTOR)(query, StubHandler(prediction()))).cache_hit is True
    assert query.predictor is PREDICTOR
