"""Which of two classes is looked for, and how likely it must be."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
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
from modelgate.testing import Inner

PROBABILITIES = np.array([[0.8, 0.2], [0.7, 0.3], [0.5, 0.5], [0.1, 0.9]])


def applied(threshold=None, positive_class=None, classes=("no", "yes"), probabilities=PROBABILITIES):
    values = np.array([classes[0], classes[0], classes[0], classes[1]])
    inner = Inner(Prediction([Output("churned", values, list(classes), probabilities)]))
    return drive(Threshold(threshold, positive_class)(Query([]), inner)).outputs[0]


@pytest.mark.parametrize(
    ("threshold", "positive", "expected"),
    [
        (0.3, None, ["no", "yes", "yes", "yes"]),
        (0.9, None, ["no", "no", "no", "yes"]),
        (0.95, "yes", ["no", "no", "no", "no"]),
        (0.6, "no", ["no", "no", "yes", "yes"]),
        (None, "no", ["no", "no", "no", "yes"]),
    ],
)
def test_the_positive_class_is_predicted_from_the_threshold_on(threshold, positive, expected):
    """The threshold itself belongs to it; without one the model decides."""
    output = applied(threshold, positive)

    assert expected == output.values.tolist()
    assert (threshold, int(positive != "no")) == (output.threshold, output.positive)


@pytest.mark.parametrize(
    ("classes", "probabilities"),
    [(["a", "b"], None), (["a", "b", "c"], np.full((4, 3), 1 / 3)), (["x", "y"], PROBABILITIES)],
    ids=["no probabilities", "three classes", "other classes"],
)
def test_other_outputs_stay_as_they_are(classes, probabilities):
    """Of several outputs only those with the class are concerned."""
    output = applied(0.01, "b", classes, probabilities)

    assert [classes[0], classes[0], classes[0], classes[1]] == output.values.tolist()
    assert output.threshold is None


def test_booleans_stay_booleans():
    """The labels keep their type."""

    assert [False, True, True, True] == applied(0.3, True, (False, True)).values.tolist()


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.5, True, "0.5", float("nan")])
def test_a_threshold_that_cannot_be_is_refused(threshold):
    """At construction, also through a deployment."""
    with pytest.raises(ConfigurationError, match="threshold="):
        Threshold(threshold)
    with pytest.raises(ConfigurationError, match="threshold="):
        Gate([Deployment("d", len, schema=Schema.of(a=float), threshold=threshold)], keys="open")


def test_a_deployment_applies_its_threshold(wine, wine_row):
    """Inside of its own scoring layers too; and a class the model does not have is refused when it starts."""
    from sklearn.linear_model import LogisticRegression

    rows = [[0.0], [1.0], [2.0], [3.0]]
    model = LogisticRegression().fit(rows, ["no", "no", "yes", "yes"])
    gate = Gate([Deployment("d", model, threshold=0.01, scoring=[])], keys="open")

    assert ["yes"] * 4 == gate.score("d", np.array(rows)).values.tolist()
    with pytest.raises(
        ConfigurationError, match=r"positive_class='maybe': the model's classes are \[\['no', 'yes'\]\]"
    ):
        Gate([Deployment("d", model, positive_class="maybe")], keys="open")


def test_labels_keep_their_length():
    """Text has the width of what was predicted, and the other label may be longer."""
    output = Output("churned", np.array(["no"]), ["no", "yes"], np.array([[0.6, 0.4]]))
    inner = Inner(Prediction([output]))

    assert ["yes"] == drive(Threshold(0.3)(Query([]), inner)).outputs[0].values.tolist()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (LinearSVC().fit([[0.0], [3.0]], ["no", "yes"]), "threshold=0.9: the model tells no probabilities"),
        (Ridge().fit([[0.0], [3.0]], [0, 1]), r"threshold=0.9: the model's classes are \[None\]"),
    ],
)
def test_a_threshold_nothing_can_be_held_against_is_refused(model, told):
    """It would do nothing, without a word."""
    with pytest.raises(ConfigurationError, match=told):
        Gate([Deployment("d", model, threshold=0.9)], keys="open")


def test_a_function_may_have_a_positive_class():
    """What it gives is known when it has given it."""

    def function(table):
        return Prediction([Output("x", np.array(["a"]), ["a", "b"], np.array([[0.3, 0.7]]))])

    gate = Gate(
        [Deployment("d", function, schema=Schema.of(a=float), positive_class="a", threshold=0.5)], keys="open"
    )

    assert ["b"] == gate.score("d", {"a": 1}).values.tolist()
