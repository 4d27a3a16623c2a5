"""Requests for explanations, and how contributions are ranked, named and attributed to columns."""

import math
from functools import partial

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from modelgate import (
    Column,
    ConfigurationError,
    Deployment,
    Explain,
    Explanations,
    Gate,
    InvalidInput,
    Schema,
)
from modelgate.client import Client
from modelgate.explanations import PackedExplanations, labels_and_base_values
from modelgate.explanations.attribution import add_up
from modelgate.explanations.describe import describe_rows
from modelgate.explanations.explanation import Contribution, RowExplanation, qualitative_strength, rank

VALUES = np.array([0.1, 0.2, 0.3, 0.5, 0.6])


@pytest.mark.parametrize(
    ("low", "high", "explained"),
    [
        (None, None, [True] * 5),
        (0.2, None, [True, False, False, False, False]),
        (None, 0.5, [False, False, False, False, True]),
        (0.2, 0.5, [True, False, False, False, True]),
        (0.5, 0.2, [True, True, True, True, True]),
        (0.3, 0.3, [True, True, False, True, True]),
        (0.0, 1.0, [False] * 5),
        (0, None, [False] * 5),
        (None, 0, [True] * 5),
    ],
)
def test_explain_selects_rows_outside_the_thresholds(low, high, explained):
    """A prediction equal to a threshold is not outside."""

    assert explained == Explain(3, low, high).select(VALUES).tolist()


@pytest.mark.parametrize("thresholds", [(None, None), (0.2, 0.5)])
def test_explain_selects_no_prediction_that_is_null(thresholds):
    assert [False, True] == Explain(3, *thresholds).select(np.array([np.nan, 0.1])).tolist()


@pytest.mark.parametrize("count", [0, -1, True, 2.0, "3", None])
def test_explain_needs_a_positive_count(count):
    with pytest.raises(InvalidInput, match="must be a whole number of at least 1"):
        Explain(count)


@pytest.mark.parametrize("option", ["3", 2.0, True])
def test_gate_score_and_client_need_a_number_or_an_explain(option):
    gate = Gate([Deployment("d", lambda table: table["a"], schema=Schema.of(a=float))], keys="open")
    client = Client("http://gate/d", http=httpx.Client(transport=httpx.WSGITransport(gate.wsgi)))
    for predict in (partial(gate.score, "d"), client.predict):
        with pytest.raises(InvalidInput, match="must be a whole number of at least 1"):
            predict({"a": 1}, explain=option)


@pytest.mark.parametrize("threshold", [math.nan, math.inf, "0.5", True])
def test_explain_needs_finite_thresholds(threshold):
    with pytest.raises(InvalidInput, match="must be a finite number"):
        Explain(3, threshold_high=threshold)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "shap"}, "method must be 'auto', 'linear', 'tree' or 'permutation'"),
        ({"permutations": 0}, "permutations must be"),
        ({"limit": 0}, "limit must be"),
    ],
)
def test_explanations_check_options(options, message):
    with pytest.raises(ConfigurationError, match=f"explanations: {message}"):
        Explanations(**options)


BELOW = 1 - 1e-12


@pytest.mark.parametrize(
    ("features", "share", "symbols"),
    [
        (1, 1, "+++"),
        (1, 0.001, "+++"),
        (2, 0.001, "+"),
        (2, 0.25, "+"),
        (2, 0.25 / BELOW, "++"),
        (2, 0.75, "++"),
        (2, 0.75 / BELOW, "+++"),
        (4, 1 / 8, "+"),
        (4, 1 / 8 / BELOW, "++"),
        (4, 1 / 2, "++"),
        (4, 1 / 2 / BELOW, "+++"),
        (9, 2 / 9 / BELOW, "+++"),
        (10, 0.05, "+"),
        (10, 0.05 / BELOW, "++"),
        (10, 0.2, "++"),
        (10, 0.2 / BELOW, "+++"),
        (1000, 0.2 / BELOW, "+++"),
    ],
)
def test_qualitative_strength(features, share, symbols):
    """The bounds of DataRobot's page "XEMP qualitative strength", and the same for negative shares."""

    assert symbols == qualitative_strength(share, features)
    assert symbols.replace("+", "-") == qualitative_strength(-share, features)


def describe(strengths, count):
    columns = [f"c{index}" for index in range(len(strengths))]
    unexplained = RowExplanation("y", "linear", "value", 1.0, ())
    (explanation,) = describe_rows(
        [unexplained],
        np.array([strengths]),
        columns,
        lambda row, column: column,
        Explain(count),
        np.ones(len(columns), dtype=bool),
    )
    return explanation


def test_packed_explanations_equal_the_original_ones():
    contributions = [
        Contribution("b", {"any": [1]}, -0.5, "---"),
        Contribution("a", None, 1e-300, "+"),
        Contribution("b", 2**70, 2.0, "++"),
    ]
    rows = [
        RowExplanation("yes", "tree", "margin", 0.25, contributions[:2], -1.5),
        RowExplanation("no", "tree", "margin", 1.0, None),
        RowExplanation(3, "tree", "margin", 1.0, []),
        RowExplanation("yes", "tree", "margin", 0.25, contributions[2:], 0.0),
    ]
    packed = PackedExplanations(["a", "b"], "tree", "margin")
    for row in rows:
        packed.append(row)

    assert rows == list(packed)
    assert rows[1:3] == packed[1:3]
    assert rows[-1] == packed[-1]
    with pytest.raises(IndexError):
        packed[4]
    for explanations in (rows, packed):
        assert [("yes", 0.25), ("no", 1.0), (3, 1.0), ("yes", 0.25)] == list(
            labels_and_base_values(explanations)
        )


def simplify(explanation):
    """Return the parts of an explanation. Strengths are rounded, because the model adds up many rows in another order."""
    items = [
        (item.feature, item.value, round(item.strength, 9), item.qualitative_strength)
        for item in explanation.contributions
    ]
    remaining = explanation.remaining
    return explanation.label, items, remaining if remaining is None else round(abs(remaining), 9)


@pytest.mark.parametrize("columns", [["a", "b"], ["b"]])
def test_explanations_of_many_rows_equal_those_of_each_row(columns):
    """Also the values that the caller did not send, and that are sent for two targets."""
    rng = np.random.default_rng(0)
    data, numbers = rng.normal(size=(50, 2)), rng.normal(size=(1500, 2)).round(3).tolist()
    model = LinearRegression().fit(data, data @ [[1, 2], [3, -1]])
    schema = Schema.of(a=Column("a", default=0.5), b=float)
    deployment = Deployment(
        "d", model, schema=schema, target=["u", "v"], explanations=Explanations(background=data)
    )
    gate = Gate([deployment], keys="open")
    rows = [{name: row["ab".index(name)] for name in columns} for row in numbers]
    explain = Explain(2, threshold_low=0.1)
    outputs = gate.score("d", rows, explain=explain).outputs
    indices = [0, 1023, 1024, 1499, int(np.argmin(outputs[1].values))]
    lone = [gate.score("d", rows[index], explain=explain).outputs for index in indices]

    assert any(part[0].explanations[0].contributions for part in lone)
    for position, output in enumerate(outputs):
        assert len(rows) == len(output.explanations)
        expected = [part[position].explanations[0] for part in lone]
        assert [*map(simplify, expected)] == [simplify(output.explanations[index]) for index in indices]


def test_contributions_are_ranked_by_absolute_strength():
    """Equal ones are in the order of the columns."""
    explanation = describe([0.5, -2.0, 0.5, 1.0], 3)

    assert ["c1", "c3", "c0"] == [item.feature for item in explanation.contributions]
    assert [1, 3, 0] == [item.value for item in explanation.contributions]
    assert 0.5 == explanation.remaining


def test_contributions_without_effect_are_left_out():
    """Those below a thousandth only if not all are requested."""
    strengths = [1.0, 0.0, 0.0005]

    assert ["c0"] == [item.feature for item in describe(strengths, 2).contributions]
    assert ["+++", "+"] == [item.qualitative_strength for item in describe(strengths, 3).contributions]
    assert [] == list(describe([0.0, 0.0], 2).contributions)


def test_shares_are_of_the_ten_largest_strengths():
    order, shares = rank(np.array([[2.0] + [-1.0] * 20]), 2)

    assert [[0, 1]] == order.tolist()
    assert [[2 / 11, -1 / 11]] == shares.tolist()


def test_explanations_of_the_largest_numbers():
    """The sum of a mean exceeds the largest float."""
    deployment = Deployment(
        "d",
        lambda table: table["a"],
        schema=Schema.of(a=float, b=float),
        explanations=Explanations(background=[{"a": 1, "b": 1}, {"a": 2, "b": 2}], permutations=1),
    )
    [explanation] = Gate([deployment], keys="open").score("d", {"a": 1e308, "b": 0}, explain=2).explanations

    assert ("a", 1e308) == (explanation.contributions[0].feature, explanation.contributions[0].strength)


def explain_large(function, row):
    """Explain a row of *function* of the columns a, b and c by permutation."""
    background = [{"a": 1, "b": 2, "c": 1}, {"a": -1, "b": 1, "c": 2}]
    options = Explanations(background=background)
    deployment = Deployment("d", function, schema=Schema.of(a=float, b=float, c=float), explanations=options)
    return Gate([deployment], keys="open").score("d", row, explain=3).explanations[0]


def test_strengths_whose_sum_exceeds_the_largest_float_are_ranked():
    order, shares = rank(np.array([[1.5e308, -1e308, 0.0]]), 2)

    assert [[0, 1]] == order.tolist()
    assert [pytest.approx([0.6, -0.4])] == shares.tolist()


def test_large_strengths_may_cancel_each_other_out():
    """Their rounding errors exceed the prediction."""
    explanation = explain_large(lambda table: table["a"] - table["b"], {"a": 1.7e308, "b": 1.7e308, "c": 0})
    strengths = {item.feature: item.strength for item in explanation.contributions}

    assert {"a": pytest.approx(1.7e308), "b": pytest.approx(-1.7e308)} == strengths
    assert ["++", "--"] == [item.qualitative_strength for item in explanation.contributions]


def test_sums_of_strengths_do_not_overflow():
    strengths = np.array([[1.5e308, 1.5e308, -1.5e308]])

    assert [pytest.approx(1.5e308)] == add_up(strengths).tolist()
    explanation = describe(strengths[0].tolist(), 2)

    assert [1.5e308, 1.5e308] == [item.strength for item in explanation.contributions]
    assert pytest.approx(-1.5e308) == explanation.remaining


def jump(table):
    """Return the largest numbers if b or c is large, with the opposite sign unless a is large."""
    is_large = {name: np.abs(table[name]) > 1e300 for name in "abc"}
    return np.where(is_large["b"] | is_large["c"], np.where(is_large["a"], 1.7e308, -1.7e308), 0.0)


@pytest.mark.parametrize(
    ("function", "last"),
    [(lambda table: table["a"] * (table["b"] * table["c"]), 0), (jump, 1e308)],
    ids=["combination of rows", "strength"],
)
def test_explanations_beyond_the_largest_float_are_rejected(function, last):
    with (
        np.errstate(over="ignore"),
        pytest.raises(
            InvalidInput, match="exceeds the largest number: send the request without explanations"
        ),
    ):
        explain_large(function, {"a": 1.7e308, "b": -1e308, "c": last})
