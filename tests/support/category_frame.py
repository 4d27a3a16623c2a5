"""Training data with columns of several dtypes, and the check that a gate predicts as the model itself."""

import numpy as np
import pandas
import pytest

from modelgate import Deployment, Gate, InvalidValues, Schema

ROWS = 120
_random = np.random.default_rng(0)

FRAME = pandas.DataFrame(
    {
        "age": _random.normal(40, 10, ROWS).round(1),
        "city": pandas.Categorical(_random.choice(["rome", "paris", "oslo"], ROWS)),
        "floor": pandas.Categorical(_random.choice([3, 7, 9], ROWS)),
        "rooms": _random.integers(1, 5, ROWS),
    }
)
"""Two numbers, and two columns with the category dtype of pandas: one of text, one of integers."""

PLAIN = FRAME.astype({"city": object, "floor": "int64"})
"""The same values without categories, as callers send them."""

SHUFFLED = PLAIN[["rooms", "city", "age", "floor"]]

BINARY = ((FRAME["city"] == "rome") ^ (FRAME["age"] > 40)).astype(int)
MULTICLASS = FRAME["rooms"] - 1
PRICE = FRAME["age"] * 2 + PLAIN["floor"]


def score(model, rows, **options):
    """Return the prediction of a gate that serves *model*."""
    return Gate([Deployment("m", model, **options)], keys="open").score("m", rows)


def assert_predicts(model, rows, values, probabilities=None, **options):
    """Check that a gate with *model* returns exactly *values* and *probabilities* for *rows*, together and alone."""
    gate, values = Gate([Deployment("m", model, **options)], keys="open"), np.asarray(values)
    together = gate.score("m", rows)
    alone = [gate.score("m", rows[index : index + 1]) for index in range(min(2, len(rows)))]

    np.testing.assert_array_equal(values, together.values)
    np.testing.assert_array_equal(values[:2], np.concatenate([prediction.values for prediction in alone]))
    if probabilities is None:
        assert together.probabilities is None
    else:
        np.testing.assert_array_equal(np.asarray(probabilities), together.probabilities)


def assert_schema_has_levels(model):
    """Check that the levels of `FRAME` are read from *model*, and that another level is rejected."""
    schema = Schema.from_model(model)

    assert [
        ("age", "number", None),
        ("city", "text", ("oslo", "paris", "rome")),
        ("floor", "integer", (3, 7, 9)),
        ("rooms", "number", None),
    ] == [(column.name, column.kind, column.levels) for column in schema]
    with pytest.raises(InvalidValues, match="must be one of oslo, paris, rome"):
        score(model, {"age": 1, "city": "bern", "floor": 3, "rooms": 1})
