"""Thresholds of scikit-learn's own classifiers with a threshold, which are new in scikit-learn 1.5."""

import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelgate import Deployment, Gate
from support.marks import slow

FIXED = FixedThresholdClassifier(GaussianNB(), threshold=0.2, pos_label=0)
AUTO = FixedThresholdClassifier(GaussianNB())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (FIXED, (0.2, 0)),
        (make_pipeline(StandardScaler(), FIXED), (0.2, 0)),
        (AUTO, (0.5, 1)),
        (GridSearchCV(AUTO, {"threshold": [0.9]}, cv=2), (0.9, 1)),
        (FixedThresholdClassifier(GaussianNB(), threshold=1.5), (None, 1)),
        (
            make_pipeline(
                StandardScaler(),
                FixedThresholdClassifier(
                    LogisticRegression(), threshold=0.3, response_method="decision_function"
                ),
            ),
            (None, 1),
        ),
    ],
    ids=["fixed", "pipeline", "auto", "search", "not a probability", "margin"],
)
def test_threshold_of_a_model_is_adopted(model, expected):
    """The labels are those of the model itself."""
    rows, labels = load_breast_cancer(return_X_y=True)
    model.fit(rows, labels)
    output = Gate([Deployment("d", model)], keys="open").score("d", rows).outputs[0]

    assert expected == (output.threshold, output.positive)
    assert model.predict(rows).tolist() == output.values.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("positive", [0, *slow(1)])
def test_threshold_of_a_tuned_model_is_adopted(positive):
    rows, labels = load_breast_cancer(return_X_y=True)
    scorer = make_scorer(f1_score, pos_label=positive)
    model = TunedThresholdClassifierCV(GaussianNB(), scoring=scorer, cv=3).fit(rows, labels)
    output = Gate([Deployment("d", model)], keys="open").score("d", rows).outputs[0]

    assert (model.best_threshold_, positive) == (output.threshold, output.positive)
    assert model.predict(rows).tolist() == output.values.tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"threshold": 0.7}, (0.7, 1)),
        ({"positive_class": 0}, (0.2, 0)),
        ({"positive_class": 1}, (None, 1)),
    ],
)
def test_threshold_of_a_deployment_takes_precedence(options, expected):
    """A model's own threshold is not the one of the other class."""
    rows, labels = load_breast_cancer(return_X_y=True)
    gate = Gate([Deployment("d", FIXED.fit(rows, labels), **options)], keys="open")
    output = gate.score("d", rows[:3]).outputs[0]

    assert expected == (output.threshold, output.positive)
