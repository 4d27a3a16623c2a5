"""Labels and probabilities by one call: those that two calls give, to the last bit."""

import functools
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from modelgate.flow import drive
from modelgate.schema import Schema, Table
from modelgate.scoring import Predictor
from modelgate.scoring.labels import asking_once

RANDOM = np.random.default_rng(0)
# Few values, so that leaves and votes tie.
ROWS = RANDOM.integers(0, 4, size=(90, 3)).astype(float)
TWO = np.array(["no", "yes"])[RANDOM.integers(2, size=90)]
THREE = RANDOM.integers(3, size=90) * 10
LABELS = {"two": TWO, "three": THREE}
# So steep that a probability is 1.0 where the score still grows.
STEEP = LogisticRegression(C=1e9, max_iter=2000)


class Odd(FunctionTransformer):
    """A step that no plan is made of."""


class Careless(ClassifierMixin, BaseEstimator):
    """Changes the rows it is given."""

    def fit(self, rows, labels):
        self.classes_, self.n_features_in_ = np.unique(labels), rows.shape[1]
        return self

    def predict(self, rows):
        rows += 1
        return self.classes_[(rows[:, 0] > 2).astype(int)]

    def predict_proba(self, rows):
        rows += 1
        return np.column_stack([rows[:, 0], -rows[:, 0]])


ONCE = {
    "tree": DecisionTreeClassifier(max_depth=2),
    "extra tree": ExtraTreeClassifier(max_depth=2, random_state=0),
    "forest": RandomForestClassifier(4, max_depth=2, random_state=0),
    "extra trees": ExtraTreesClassifier(4, max_depth=2, random_state=0),
    "bagging": BaggingClassifier(n_estimators=4, random_state=0),
    "bagging without probabilities of its parts": BaggingClassifier(
        CalibratedClassifierCV(GaussianNB(), cv=2), n_estimators=2, random_state=0
    ),
    "calibrated": CalibratedClassifierCV(GaussianNB(), cv=3, method="isotonic"),
    "soft voting": VotingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier())], voting="soft"),
    "network": MLPClassifier((4,), max_iter=1000, tol=0.1, random_state=0),
    "label propagation": LabelPropagation(),
    "label spreading": LabelSpreading(),
    "logistic": LogisticRegression(),
    "logistic, steep": STEEP,
    "logistic, searched": LogisticRegressionCV(Cs=2, cv=2),
    "discriminant": LinearDiscriminantAnalysis(),
    "grid search": GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2),
    "random search": RandomizedSearchCV(LogisticRegression(), {"C": [1e-3]}, n_iter=1, cv=2),
    "pipeline": make_pipeline(StandardScaler(), Odd(np.abs), "passthrough", STEEP),
    "pipeline in a pipeline": make_pipeline(Odd(), make_pipeline(StandardScaler(), GaussianNB())),
    "pipeline with frames": make_pipeline(StandardScaler().set_output(transform="pandas"), STEEP),
    "pipeline of neighbours": make_pipeline(Odd(), KNeighborsClassifier()),
    "pipeline of boosting": make_pipeline(Odd(), HistGradientBoostingClassifier(max_iter=3)),
    "pipeline of one": make_pipeline(LogisticRegression()),
}
TWICE = {
    "neighbours": KNeighborsClassifier(),
    "stacking": StackingClassifier([("a", GaussianNB())], cv=2),
    "grid search of what is not known": GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9]}, cv=2),
    "what changes its rows": make_pipeline(Odd(), Careless()),
    "what inherits": type("Own", (RandomForestClassifier,), {})(2),
}
VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 0.5, -1e3, 1e3, 1e9, -1e9])


class Asked:
    """Both calls of a model, and how often they were made."""

    def __init__(self, model):
        self.model, self.count = model, 0

    def __call__(self, table):
        self.count += 1
        return self.model.predict(table.to_array()), self.model.predict_proba(table.to_array())


@functools.cache
def asking(name, classes):
    """What asks a model for both, what asks it once, and its schema."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of how it will be fitted one day
        model = clone((ONCE | TWICE)[name]).fit(ROWS, LABELS[classes])
    schema, asked = Schema.from_model(model), Asked(model)
    return asked, asking_once(model, schema, Table.to_array, asked), schema


@pytest.mark.parametrize("classes", LABELS)
@pytest.mark.parametrize("name", ONCE)
@settings(max_examples=20, deadline=None)
@example(rows=ROWS)
@given(rows=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=8))
def test_one_call_gives_what_two_give(name, classes, rows):
    """Labels and probabilities bit for bit, where votes tie and where probabilities saturate too."""
    asked, once, schema = asking(name, classes)
    table = schema.read(np.array(rows))
    with np.errstate(invalid="ignore"):  # of what is far from all that label propagation knows
        labels, told = asked(table)
        count = asked.count
        given_labels, given_told = once(table)

    assert count == asked.count
    assert (labels.dtype, labels.tolist()) == (given_labels.dtype, given_labels.tolist())
    assert (told.dtype, told.shape) == (given_told.dtype, given_told.shape)
    assert np.array_equal(told, given_told, equal_nan=True)


@pytest.mark.parametrize("name", TWICE)
def test_whose_label_may_be_another_is_asked_twice(name):
    """Nothing is guessed of a class that is not known, nor of one that answered otherwise."""
    asked, once, _ = asking(name, "two")

    assert once is asked


def test_a_classifier_of_several_outputs_is_asked_once():
    """Each output has its labels and probabilities."""
    model = RandomForestClassifier(4, max_depth=2, random_state=0).fit(ROWS, np.column_stack([TWO, TWO]))
    schema, asked = Schema.from_model(model), Asked(model)
    once = asking_once(model, schema, Table.to_array, asked)
    table = schema.read(ROWS)
    labels, told = asked(table)
    given_labels, given_told = once(table)

    assert once is not asked
    assert labels.tolist() == given_labels.tolist()
    assert np.array(told).tolist() == np.array(given_told).tolist()


def test_a_predictor_without_a_plan_asks_once(monkeypatch):
    """The label comes with the probabilities."""
    model = DecisionTreeClassifier(max_depth=2).fit(ROWS, TWO)
    predictor = Predictor(model, plans=False)
    expected = model.predict(ROWS).tolist()
    monkeypatch.setattr(DecisionTreeClassifier, "predict", None)
    prediction = drive(predictor.predict(predictor.schema.read(ROWS)))

    assert expected == prediction.values.tolist()


@pytest.mark.parametrize(("sample", "odd"), [((), False), (ROWS, False), ([[55.0, 0.0, 0.0]], True)])
def test_a_model_is_asked_once_where_that_is_right_for_the_sample(sample, odd):
    """Rows made up do not go where its label is not the likeliest."""
    model = DecisionTreeClassifier(max_depth=2).fit(ROWS, TWO)
    own = model.predict
    model.predict = lambda rows: np.where(rows[:, 0] == 55, "odd", own(rows))
    predictor = Predictor(
        model, plans=False, sample=[dict(zip(("x0", "x1", "x2"), row, strict=True)) for row in sample]
    )
    told = drive(predictor.predict(predictor.schema.read(np.array([[55.0, 0.0, 0.0]]))))

    assert odd is (told.values.tolist() == ["odd"])
