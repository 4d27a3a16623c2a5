"""Laws of explanations."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelgate import Deployment, Explanations, Gate, Schema
from modelgate.explanations.attribution import LINKS
from modelgate.explanations.permutation import PermutationMethod
from support.marks import examples

NAMES = ["a", "b", "c", "d"]
NUMBERS = st.floats(-100, 100, width=32)
ROWS = st.fixed_dictionaries(
    {"a": NUMBERS, "b": NUMBERS, "c": st.sampled_from(["x", "y", "z"]), "d": st.booleans()}
)
KINDS = {"a": float, "b": float, "c": str, "d": bool}


def predict(table):
    """Return numbers in which all columns interact."""
    lengths = np.array([len(text) + ord(text[0]) % 5 for text in table["c"]])
    return (
        table["a"] * np.where(table["d"], 1, -1) + np.abs(table["b"]) * lengths + table["a"] * table["b"] / 50
    )


def strengths(order, background, row, model=predict, method="permutation"):
    """Return the strength of each column in a deployment whose columns are in this order."""
    schema = Schema.of(**{name: KINDS[name] for name in order})
    options = Explanations(method, background=background, limit=10)
    deployment = Deployment(
        "d", model, schema=schema, explanations=options, decimals=None, unknown_levels="accept"
    )
    explanation = Gate([deployment], keys="open").score("d", row, explain=4).explanations[0]
    found = {item.feature: item.strength for item in explanation.contributions}
    return {name: found.get(name, 0.0) for name in NAMES}


@examples(0.5)
@given(st.permutations(NAMES), st.lists(ROWS, min_size=1, max_size=3), ROWS)
def test_order_of_the_columns_changes_no_strength(order, background, row):
    expected = strengths(NAMES, background, row)
    actual = strengths(order, background, dict(sorted(row.items(), key=lambda item: order.index(item[0]))))

    assert pytest.approx(expected, rel=1e-9, abs=1e-9) == actual


random = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "a": random.normal(size=100),
        "b": random.normal(size=100),
        "c": random.choice(["x", "y", "z"], 100),
        "d": random.random(100) < 0.5,
    }
)
TARGET = FRAME["a"] + 2 * (FRAME["c"] == "x") - FRAME["d"]


def fit(final, target):
    columns = make_column_transformer(
        (StandardScaler(), ["a", "b"]),
        (OneHotEncoder(handle_unknown="ignore"), ["c"]),
        ("passthrough", ["d"]),
    )
    return make_pipeline(columns, final).fit(FRAME, target)


FITTED = {
    "linear": fit(LogisticRegression(), TARGET > 0),
    "tree": fit(RandomForestRegressor(5, random_state=0), TARGET),
}


@pytest.mark.parametrize("method", FITTED)
@examples(0.2)
@given(order=st.permutations(NAMES), row=ROWS)
def test_order_of_the_columns_of_a_request_changes_no_strength(method, order, row):
    """Nor does the order of the schema that the caller sees."""
    background = FRAME.head(20).to_dict("records")
    model = FITTED[method]

    assert strengths(NAMES, background, row, model, method) == strengths(
        order, background, {name: row[name] for name in order}, model, method
    )


@given(
    st.lists(ROWS, min_size=1, max_size=3),
    st.lists(ROWS, min_size=1, max_size=3),
    st.integers(1, 3),
)
def test_permutation_adds_up_for_any_function(background, rows, pairs):
    """And gives nothing to a column that has the background's value in all rows."""
    schema = Schema.of(**KINDS)
    table, reference = schema.read(rows), schema.read(background)
    method = PermutationMethod(
        lambda part: predict(part)[:, None], schema.columns, reference, pairs, LINKS["value"][0]
    )
    predicted = predict(table)[:, None]
    result = method.attribute(table, predicted)

    np.testing.assert_allclose(method.base_values + result.sum(axis=1), predicted, rtol=1e-12, atol=1e-9)
    for index, name in enumerate(NAMES):
        if len({row[name] for row in [*rows, *background]}) == 1:
            assert not result[:, index].any() or np.abs(result[:, index]).max() < 1e-9


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6), st.floats(-1e6, 1e6))
def test_permutation_of_an_additive_model_is_exact(values, offset):
    """A column contributes its value minus its mean in the background."""
    schema = Schema.of(**{f"c{index}": float for index in range(len(values))})
    background = schema.read([dict.fromkeys(schema.names, offset), dict.fromkeys(schema.names, -offset)])
    method = PermutationMethod(
        lambda part: part.numbers.sum(axis=1, keepdims=True), schema.columns, background, 2, LINKS["value"][0]
    )
    table = schema.read([dict(zip(schema.names, values, strict=True))])
    result = method.attribute(table, np.array([[math.fsum(values)]]))

    np.testing.assert_allclose(result[0, :, 0], values, rtol=1e-9, atol=1e-6)
