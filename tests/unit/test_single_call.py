"""Labels and probabilities by one call: equal to those of two calls, to the last bit."""

import functools
import warnings

import numpy as np
import pytest
from hypothesis import example, given
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
from modelgate.inference import Predictor
from modelgate.inference.single_call import predict_in_one_call
from modelgate.schema import Schema, Table
from support.marks import examples

RANDOM = np.random.default_rng(0)
# Few values, so that leaves and votes tie.
ROWS = RANDOM.integers(0, 4, size=(90, 3)).astype(float)
TWO = np.array(["no", "yes"])[RANDOM.integers(2, size=90)]
THREE = RANDOM.integers(3, size=90) * 10
LABELS = {"two": TWO, "three": THREE}
# So steep that a probability is 1.0 where the score still grows.
STEEP = LogisticRegression(C=1e9, max_iter=2000)


class Unplanned(FunctionTransformer):
    """Transformer without a plan."""


class InputChanging(ClassifierMixin, BaseEstimator):
    """Classifier that changes its input."""

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
    "pipeline": make_pipeline(StandardScaler(), Unplanned(np.abs), "passthrough", STEEP),
    "pipeline in a pipeline": make_pipeline(Unplanned(), make_pipeline(StandardScaler(), GaussianNB())),
    "pipeline with frames": make_pipeline(StandardScaler().set_output(transform="pandas"), STEEP),
    "pipeline of neighbours": make_pipeline(Unplanned(), KNeighborsClassifier()),
    "pipeline of boosting": make_pipeline(Unplanned(), HistGradientBoostingClassifier(max_iter=3)),
    "pipeline of one": make_pipeline(LogisticRegression()),
}
TWICE = {
    "neighbours": KNeighborsClassifier(),
    "stacking": StackingClassifier([("a", GaussianNB())], cv=2),
    "grid search of what is not known": GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9]}, cv=2),
    "what changes its rows": make_pipeline(Unplanned(), InputChanging()),
    "what inherits": type("Own", (RandomForestClassifier,), {})(2),
}
VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 0.5, -1e3, 1e3, 1e9, -1e9])


class CountedModel:
    """Calls ``predict`` and ``predict_proba`` of a model, and counts the calls."""

    def __init__(self, model):
        self.model, self.count = model, 0

    def __call__(self, table):
        self.count += 1
        return self.model.predict(table.to_array()), self.model.predict_proba(table.to_array())


@functools.cache
def build_reference(name, classes):
    """Return the reference that calls a model twice, the function that calls it once, and the schema."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of how it will be fitted one day
        model = clone((ONCE | TWICE)[name]).fit(ROWS, LABELS[classes])
    schema, reference = Schema.from_model(model), CountedModel(model)
    return reference, predict_in_one_call(model, schema, Table.to_array, reference), schema


@pytest.mark.parametrize("classes", LABELS)
@pytest.mark.parametrize("name", ONCE)
@examples(0.2)
@example(rows=ROWS)
@given(rows=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=8))
def test_single_call_equals_two_calls(name, classes, rows):
    """Bit for bit, also where votes tie and where probabilities saturate."""
    reference, predict_once, schema = build_reference(name, classes)
    table = schema.read(np.array(rows))
    with np.errstate(invalid="ignore"):  # of what is far from all that label propagation knows
        labels, probabilities = reference(table)
        count = reference.count
        labels_once, probabilities_once = predict_once(table)

    assert count == reference.count
    assert (labels.dtype, labels.tolist()) == (labels_once.dtype, labels_once.tolist())
    assert (probabilities.dtype, probabilities.shape) == (probabilities_once.dtype, probabilities_once.shape)
    assert np.array_equal(probabilities, probabilities_once, equal_nan=True)


@pytest.mark.parametrize("name", TWICE)
def test_unsupported_model_is_called_twice(name):
    """An unknown class, or one whose verification failed."""
    reference, predict_once, _ = build_reference(name, "two")

    assert predict_once is reference


def test_multi_output_classifier_is_called_once():
    model = RandomForestClassifier(4, max_depth=2, random_state=0).fit(ROWS, np.column_stack([TWO, TWO]))
    schema, reference = Schema.from_model(model), CountedModel(model)
    predict_once = predict_in_one_call(model, schema, Table.to_array, reference)
    table = schema.read(ROWS)
    labels, probabilities = reference(table)
    labels_once, probabilities_once = predict_once(table)

    assert predict_once is not reference
    assert labels.tolist() == labels_once.tolist()
    assert np.array(probabilities).tolist() == np.array(probabilities_once).tolist()


def test_predictor_without_a_plan_calls_the_model_once(monkeypatch):
    model = DecisionTreeClassifier(max_depth=2).fit(ROWS, TWO)
    predictor = Predictor(model, plans=False)
    expected = model.predict(ROWS).tolist()
    monkeypatch.setattr(DecisionTreeClassifier, "predict", None)
    prediction = drive(predictor.predict(predictor.schema.read(ROWS)))

    assert expected == prediction.values.tolist()


@pytest.mark.parametrize(("sample", "called_twice"), [((), False), (ROWS, False), ([[55.0, 0.0, 0.0]], True)])
def test_single_call_must_be_exact_on_the_sample(sample, called_twice):
    """No synthetic row gets the label that is not the most probable one."""
    model = DecisionTreeClassifier(max_depth=2).fit(ROWS, TWO)
    own = model.predict
    model.predict = lambda rows: np.where(rows[:, 0] == 55, "new", own(rows))
    predictor = Predictor(
        model, plans=False, sample=[dict(zip(("x0", "x1", "x2"), row, strict=True)) for row in sample]
    )
    prediction = drive(predictor.predict(predictor.schema.read(np.array([[55.0, 0.0, 0.0]]))))

    assert called_twice is (prediction.values.tolist() == ["new"])
