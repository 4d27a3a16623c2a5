"""Scoring in isolation, and its layers."""

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
from modelgate.schema import Schema
from modelgate.scoring import Model, Output, Prediction, Predictor, Query, Validate, held, score
from modelgate.testing import Inner

FRAME = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})
MODEL = LinearRegression().fit(FRAME, FRAME["a"] / 3)
SCHEMA = Schema.of(a=float)


@pytest.mark.parametrize(
    "rows",
    [{"a": 1, "b": 0}, [{"a": 1, "b": 0}], b'{"a": 1, "b": 0}', np.array([[1.0, 0.0]]), FRAME[:1]],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_of_any_shape_are_scored(rows):
    """No server, no event loop."""

    assert [0.33] == score(MODEL, rows, decimals=2).values.tolist()


def test_numbers_stay_as_they_are_unless_decimals_are_asked():
    """A test sees the model's own value."""

    assert np.array_equal(MODEL.predict(FRAME), score(MODEL, FRAME).values)


def test_a_target_names_the_output():
    """As it does in a deployment."""

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
def test_rows_that_break_the_schema_are_refused(rows, error):
    """With the errors that a caller would be told."""
    with pytest.raises(error):
        score(MODEL, rows)


def test_missing_columns_are_attributes():
    """As the design has it."""
    with pytest.raises(MissingColumns) as info:
        score(MODEL, {"c": 41})

    assert ["a", "b"] == info.value.missing_columns


def test_a_function_without_a_schema_is_refused():
    """There is nothing to check against."""
    with pytest.raises(ConfigurationError, match="schema"):
        score(lambda table: [1], {"a": 1})


def test_a_failing_model_is_a_prediction_error():
    """Its own error is the cause."""
    with pytest.raises(PredictionError) as info:
        score(lambda table: 1 / 0, {"a": 1}, schema=SCHEMA)

    assert isinstance(info.value.__cause__, ZeroDivisionError)


# The layers


def prediction():
    return Prediction([Output("a", np.array([1.0]))])


def test_validate_makes_the_table():
    """Query.table is what the schema read."""
    inner, query = Inner(prediction()), Query([{"a": 1}])
    drive(Validate(SCHEMA)(query, inner))

    assert [{"a": 1.0}] == query.table.rows()
    assert [query] == inner.requests


@pytest.mark.parametrize(("rows", "passes"), [(2, True), (3, False)])
def test_validate_bounds_the_rows(rows, passes):
    """As many as max_rows pass; more never reach the model."""
    inner = Inner(prediction())
    flow = Validate(SCHEMA, max_rows=2)(Query([{"a": 1}] * rows), inner)
    if passes:
        drive(flow)
    else:
        with pytest.raises(InvalidInput, match="3 rows are more than the 2"):
            drive(flow)

    assert passes == bool(inner.requests)


def test_validate_finds_its_schema_for_a_query():
    """A schema that is told by the model is asked for first."""

    def find(query):
        yield from ()
        return Schema.of(**{query.deployment: int})

    with pytest.raises(MissingColumns) as info:
        drive(Validate(find)(Query({"a": 1}, deployment="churn"), Inner()))

    assert ["churn"] == info.value.missing_columns


@pytest.mark.parametrize(("schema", "max_rows"), [(None, 1), ("a", 1), (SCHEMA, 0), (SCHEMA, 1.5)], ids=repr)
def test_validate_refuses_what_cannot_work(schema, max_rows):
    """At construction."""
    with pytest.raises(ConfigurationError):
        Validate(schema, max_rows=max_rows)


PREDICTOR = Predictor(MODEL)


class Source:
    """Gives the predictor, or fails, and counts how often it was asked."""

    def __init__(self, error=None):
        self.asked, self.error = 0, error

    def __call__(self, timeout):
        self.asked += 1
        if self.error:
            raise self.error
        yield from ()
        return PREDICTOR, self.asked > 1


def test_model_takes_the_predictor_and_tells_the_truth_of_the_cache():
    """In the query for the layers within, in the prediction for those without."""
    layer, inner = Model(Source()), Inner(prediction())
    first, second = Query(None), Query(None)
    told = [drive(layer(query, inner)).cache_hit for query in (first, second)]

    assert [False, True] == told == [first.cache_hit, second.cache_hit]
    assert first.predictor is PREDICTOR


def test_model_takes_a_predictor_once_for_a_query():
    """Its schema asks first, and the layer has it then."""
    source, query = Source(), Query(None)
    layer = Model(source)

    assert PREDICTOR.schema is drive(layer.schema(query))
    assert drive(layer(query, Inner(prediction()))).cache_hit is False
    assert 1 == source.asked


def test_a_schema_once_known_does_while_the_model_cannot_be_had():
    """A faulty row is told all the same."""
    source = Source()
    layer = Model(source)
    drive(layer.schema(Query(None)))
    source.error = DeploymentUnavailable()

    assert PREDICTOR.schema is drive(layer.schema(Query(None)))


@pytest.mark.parametrize("error", [DeploymentUnavailable(), NotFound()], ids=repr)
def test_a_model_that_cannot_be_had(error):
    """What its source says reaches the caller, and nothing is scored."""
    layer, inner = Model(Source(error)), Inner(prediction())
    for flow in (layer(Query(None, "churn"), inner), layer.schema(Query(None, "churn"))):
        with pytest.raises(type(error)) as info:
            drive(flow)

        assert error is info.value
    assert [] == inner.requests


def test_a_predictor_that_is_held_is_always_a_hit():
    """It is in memory for good."""

    assert (PREDICTOR, True) == held(PREDICTOR)(None)
