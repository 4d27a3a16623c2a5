"""Which of two classes is looked for, and how likely it must be."""

import numpy as np
import pytest

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
