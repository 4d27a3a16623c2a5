"""Decision threshold of binary classifiers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC

from modelgate import (
    ConfigurationError,
    Deployment,
    Gate,
    Output,
    Prediction,
    Query,
    Schema,
    Threshold,
    drive,
)
from modelgate.testing import StubHandler

PROBABILITIES = np.array([[0.8, 0.2], [0.7, 0.3], [0.5, 0.5], [0.1, 0.9]])


def apply_threshold(threshold=None, positive_class=None, classes=("no", "yes"), probabilities=PROBABILITIES):
    values = np.array([classes[0], classes[0], classes[0], classes[1]])
    inner = StubHandler(Prediction([Output("churned", values, list(classes), probabilities)]))
    return drive(Threshold(threshold, positive_class)(Query([]), inner)).outputs[0]


@pytest.mark.parametrize(
    ("threshold", "positive", "expected"),
    [
        (0.3, None, ["no", "yes", "yes", "yes"]),
        (0.9, None, ["no", "no", "no", "yes"]),
        (0.95, "yes", ["no", "no", "no", "no"]),
        (0, None, ["yes"] * 4),
        (1, None, ["no"] * 4),
        (0.6, "no", ["no", "no", "yes", "yes"]),
        (None, "no", ["no", "no", "no", "yes"]),
    ],
)
def test_threshold_is_the_least_probability_of_the_positive_class(threshold, positive, expected):
    """Without one the model decides."""
    output = apply_threshold(threshold, positive)

    assert expected == output.values.tolist()
    assert (threshold, int(positive != "no")) == (output.threshold, output.positive)


@pytest.mark.parametrize(
    ("classes", "probabilities"),
    [(["a", "b"], None), (["a", "b", "c"], np.full((4, 3), 1 / 3)), (["x", "y"], PROBABILITIES)],
    ids=["no probabilities", "three classes", "other classes"],
)
def test_threshold_leaves_other_outputs_unchanged(classes, probabilities):
    output = apply_threshold(0.01, "b", classes, probabilities)

    assert [classes[0], classes[0], classes[0], classes[1]] == output.values.tolist()
    assert output.threshold is None


def test_threshold_keeps_the_type_of_labels():
    assert [False, True, True, True] == apply_threshold(0.3, True, (False, True)).values.tolist()


@pytest.mark.parametrize("threshold", [-0.1, 1.5, True, "0.5", float("nan")])
def test_threshold_rejects_invalid_values(threshold):
    """At construction, also by a deployment."""
    with pytest.raises(ConfigurationError, match="threshold must be a number"):
        Threshold(threshold)
    with pytest.raises(ConfigurationError, match="threshold must be a number"):
        Gate([Deployment("d", len, schema=Schema.of(a=float), threshold=threshold)], keys="open")


def test_threshold_of_a_deployment_is_applied(wine, wine_row):
    """Inside its scoring layers; an unknown positive class is rejected at startup."""
    rows = [[0.0], [1.0], [2.0], [3.0]]
    model = LogisticRegression().fit(rows, ["no", "no", "yes", "yes"])
    gate = Gate([Deployment("d", model, threshold=0.01, scoring_layers=[])], keys="open")

    assert ["yes"] * 4 == gate.score("d", np.array(rows)).values.tolist()
    with pytest.raises(
        ConfigurationError,
        match=r"positive_class must be one of the model's two classes \[\['no', 'yes'\]\] \(got 'maybe'\)",
    ):
        Gate([Deployment("d", model, positive_class="maybe")], keys="open")


def test_threshold_does_not_truncate_labels():
    """A text dtype is as wide as the predicted labels, and the other label may be longer."""
    output = Output("churned", np.array(["no"]), ["no", "yes"], np.array([[0.6, 0.4]]))
    inner = StubHandler(Prediction([output]))

    assert ["yes"] == drive(Threshold(0.3)(Query([]), inner)).outputs[0].values.tolist()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            LinearSVC().fit([[0.0], [3.0]], ["no", "yes"]),
            "threshold must be None for a model that predicts no probabilities",
        ),
        (
            Ridge().fit([[0.0], [3.0]], [0, 1]),
            r"threshold must be None unless the model has two classes \(got \[None\]\)",
        ),
    ],
)
def test_threshold_without_effect_is_rejected(model, message):
    with pytest.raises(ConfigurationError, match=message):
        Gate([Deployment("d", model, threshold=0.9)], keys="open")


def test_threshold_applies_to_the_output_of_a_function():
    def function(table):
        return Prediction([Output("x", np.array(["a"]), ["a", "b"], np.array([[0.3, 0.7]]))])

    gate = Gate(
        [Deployment("d", function, schema=Schema.of(a=float), positive_class="a", threshold=0.5)], keys="open"
    )

    assert ["b"] == gate.score("d", {"a": 1}).values.tolist()


@given(st.integers(0, 999))
def test_threshold_includes_the_probability_equal_to_it(index):
    """Compared without rounding, for 1,000 probabilities that occur; also those of float32."""
    probabilities = np.random.default_rng(0).random(1000)
    for dtype in (np.float64, np.float32):
        positive = probabilities.astype(dtype)
        output = apply_threshold(
            float(positive[index]),
            classes=(False, True),
            probabilities=np.column_stack([1 - positive, positive]),
        )

        assert (positive.astype(float) >= float(positive[index])).tolist() == output.values.tolist()


def test_threshold_is_not_rounded_to_float32():
    """0.35 in float32 is less than 0.35."""
    probabilities = np.array([[0.65, 0.35]] * 4, dtype=np.float32)

    assert ["no"] * 4 == apply_threshold(0.35, probabilities=probabilities).values.tolist()
