"""Answers kept for rows that are asked again."""

import gc
import weakref

import numpy as np
import pytest

from modelgate import ConfigurationError, Predictor, Query, ResultCache, Round, Schema, drive, stack
from modelgate.schema import Column
from modelgate.scoring.score import predict
from modelgate.testing import Clock

SCHEMA = Schema([Column("a"), Column("b", "any", required=False, nullable=True)])


class Counted:
    """A function that counts its calls."""

    def __init__(self, factor=1.0):
        self.calls, self.factor = 0, factor

    def __call__(self, table):
        self.calls += 1
        return table["a"] * self.factor


def ask(cache, predictor, row, *layers):
    query = Query(row, predictor=predictor, table=SCHEMA.read(row))
    return drive(stack([*layers, cache], predict)(query)).values.tolist()


def test_a_row_is_scored_once():
    """Also where it is spelled otherwise, and where a layer outside changes the answer."""
    model, cache = Counted(), ResultCache()
    predictor = Predictor(model, SCHEMA)

    assert [1.25] == ask(cache, predictor, {"a": 1.25})
    assert [1.2] == ask(cache, predictor, {"b": None, "a": 1.25}, Round(1))
    assert [1.25] == ask(cache, predictor, b'[{"a": 125e-2}]')
    assert 1 == model.calls


@pytest.mark.parametrize(
    "other", [{"a": 2.0}, {"a": 1.0, "b": 1}, {"a": 1.0, "b": "1"}, {"a": 1.0, "b": True}]
)
def test_another_row_is_another(other):
    """True is 1 to Python, and not to a model."""
    model, cache = Counted(), ResultCache()
    predictor = Predictor(model, SCHEMA)
    for row in ({"a": 1.0}, {"a": 1.0, "b": 1.0}, {"a": 1.0, "b": False}, {"a": 1.0, "b": 0.0}):
        ask(cache, predictor, row)
    ask(cache, predictor, other)

    assert 5 == model.calls


def test_another_model_is_another():
    """One cache around two, and a model that is gone takes its results with it."""
    cache = ResultCache()
    one, two = Predictor(Counted(), SCHEMA), Predictor(Counted(2.0), SCHEMA)
    answers = [ask(cache, predictor, {"a": 1.0}) for predictor in (one, two, one)]

    assert [[1.0], [2.0], [1.0]] == answers
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


def test_batches_are_scored_each_time():
    """And kept nowhere."""
    model, cache = Counted(), ResultCache()
    predictor = Predictor(model, SCHEMA)
    rows = [{"a": 1.0}, {"a": 2.0}]

    assert [1.0, 2.0] == ask(cache, predictor, rows) == ask(cache, predictor, rows)
    assert 2 == model.calls


def test_results_grow_old_and_few():
    """After *ttl* seconds, and when there are more than *maxsize*."""
    clock, model = Clock(), Counted()
    cache, predictor = ResultCache(2, ttl=10, clock=clock), Predictor(model, SCHEMA)
    for value in (1.0, 2.0, 3.0, 1.0):
        ask(cache, predictor, {"a": value})
    assert 4 == model.calls
    ask(cache, predictor, {"a": 1.0})
    assert 4 == model.calls
    clock.advance(11)
    ask(cache, predictor, {"a": 1.0})

    assert 5 == model.calls


def test_a_failure_is_not_kept():
    """The next one may succeed."""
    results = iter([RuntimeError("once"), np.array([1.0])])

    def function(table):
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    cache, predictor = ResultCache(), Predictor(function, SCHEMA)
    with pytest.raises(Exception, match="failed to score"):
        ask(cache, predictor, {"a": 1.0})

    assert [1.0] == ask(cache, predictor, {"a": 1.0})


@pytest.mark.parametrize(
    "options", [{"maxsize": 0}, {"maxsize": 1.5}, {"ttl": 0}, {"ttl": "1"}, {"ttl": True}]
)
def test_options_that_cannot_be(options):
    """At construction, by name."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        ResultCache(**options)
