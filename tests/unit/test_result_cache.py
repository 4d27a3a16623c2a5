"""Cache of the predictions of single rows."""

import gc
import weakref

import numpy as np
import pytest

from modelgate import (
    ConfigurationError,
    Deployment,
    Gate,
    Predictor,
    Query,
    ResultCache,
    Round,
    Schema,
    drive,
    stack,
)
from modelgate.flow import run
from modelgate.inference import Output, Prediction
from modelgate.schema import Column
from modelgate.scoring.score import predict
from modelgate.testing import Client, FakeClock

SCHEMA = Schema([Column("a"), Column("b", "any", required=False, nullable=True)])


class CountedFunction:
    """Function that counts its calls."""

    def __init__(self, factor=1.0):
        self.calls, self.factor = 0, factor

    def __call__(self, table):
        self.calls += 1
        return table["a"] * self.factor


def predict_row(cache, predictor, row, *layers):
    query = Query(row, predictor=predictor, table=SCHEMA.read(row))
    return drive(stack([*layers, cache], predict)(query)).values.tolist()


def test_result_cache_scores_a_row_once():
    """Also if it is written differently, or an outer layer changes the prediction."""
    model, cache = CountedFunction(), ResultCache()
    predictor = Predictor(model, SCHEMA)

    assert [1.25] == predict_row(cache, predictor, {"a": 1.25})
    assert [1.2] == predict_row(cache, predictor, {"b": None, "a": 1.25}, Round(1))
    assert [1.25] == predict_row(cache, predictor, b'[{"a": 125e-2}]')
    assert 1 == model.calls


@pytest.mark.parametrize(
    "other", [{"a": 2.0}, {"a": 1.0, "b": 1}, {"a": 1.0, "b": "1"}, {"a": 1.0, "b": True}]
)
def test_result_cache_distinguishes_rows(other):
    """In Python, True equals 1; to a model it may differ."""
    model, cache = CountedFunction(), ResultCache()
    predictor = Predictor(model, SCHEMA)
    for row in ({"a": 1.0}, {"a": 1.0, "b": 1.0}, {"a": 1.0, "b": False}, {"a": 1.0, "b": 0.0}):
        predict_row(cache, predictor, row)
    predict_row(cache, predictor, other)

    assert 5 == model.calls


def test_result_cache_distinguishes_models():
    """The results of a deleted model are removed."""
    cache = ResultCache()
    one, two = Predictor(CountedFunction(), SCHEMA), Predictor(CountedFunction(2.0), SCHEMA)
    predictions = [predict_row(cache, predictor, {"a": 1.0}) for predictor in (one, two, one)]

    assert [[1.0], [2.0], [1.0]] == predictions
    reference = weakref.ref(one)
    del one
    gc.collect()
    assert reference() is None


def test_result_cache_does_not_cache_several_rows():
    model, cache = CountedFunction(), ResultCache()
    predictor = Predictor(model, SCHEMA)
    rows = [{"a": 1.0}, {"a": 2.0}]

    assert [1.0, 2.0] == predict_row(cache, predictor, rows) == predict_row(cache, predictor, rows)
    assert 2 == model.calls


@pytest.mark.slow
def test_result_cache_stores_no_part_of_a_larger_array():
    """The prediction of a row that was scored in a batch would keep the arrays of the batch in memory."""
    cache, batch = ResultCache(), Prediction([Output("p", np.arange(9.0))]).split([4, 1, 4])
    query = Query({"a": 1.0}, predictor=Predictor(CountedFunction(), SCHEMA), table=SCHEMA.read({"a": 1.0}))
    stored = weakref.ref(batch[1].values.base)
    answer = drive(cache(query, lambda query: run(batch.pop, 1)))
    batch.clear()
    gc.collect()

    assert [4.0] == answer.values.tolist()
    assert stored() is None


def test_result_cache_expires_and_evicts_results():
    clock, model = FakeClock(), CountedFunction()
    cache, predictor = ResultCache(2, ttl=10, clock=clock), Predictor(model, SCHEMA)
    for value in (1.0, 2.0, 3.0, 1.0):
        predict_row(cache, predictor, {"a": value})
    assert 4 == model.calls
    predict_row(cache, predictor, {"a": 1.0})
    assert 4 == model.calls
    clock.advance(11)
    predict_row(cache, predictor, {"a": 1.0})

    assert 5 == model.calls


def test_result_cache_does_not_cache_failures():
    results = iter([RuntimeError("once"), np.array([1.0])])

    def function(table):
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    cache, predictor = ResultCache(), Predictor(function, SCHEMA)
    with pytest.raises(Exception, match="failed to score"):
        predict_row(cache, predictor, {"a": 1.0})

    assert [1.0] == predict_row(cache, predictor, {"a": 1.0})


@pytest.mark.parametrize(
    "options", [{"maxsize": 0}, {"maxsize": 1.5}, {"ttl": 0}, {"ttl": "1"}, {"ttl": True}]
)
def test_result_cache_rejects_invalid_options(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        ResultCache(**options)


def test_result_cache_outside_of_rounding_distinguishes_decimals():
    """One dialect rounds to two decimals, and another does not."""
    deployment = Deployment(
        "double", CountedFunction(), schema=SCHEMA, scoring_layers=[ResultCache(), Round("service")]
    )
    client = Client(Gate([deployment], keys="open").wsgi)
    row = {"a": 1.23456, "b": None}
    rounded = client.post("/api/predict", json={"input_data": row}).json()
    exact = client.post("/deployments/double/predict", json=row).json()

    assert ([1.23], 1.23456) == (rounded["predictions"], exact["prediction"])
