"""Estimators of your own classes, and what scikit-learn's meta-estimators hide: kinds, labels, probabilities."""

import narwhals
import numpy as np
import pandas
import polars
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier, OutputCodeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelgate import Column, Deployment, Gate, InvalidValues, ModelPackage, Schema, score

FRAME = pandas.DataFrame({"plan": ["free", "pro"] * 20, "age": np.arange(40.0) % 7})
IS_PRO = (FRAME["plan"] == "pro").to_numpy()


class PlanClassifier(ClassifierMixin, BaseEstimator):
    """Reads text, stores names and sets no tags, as classes of one's own do."""

    classes_ = np.array(["no", "yes"])
    probabilities = staticmethod(np.asarray)

    def fit(self, X, y=None):
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return np.array(["yes" if plan == "pro" else "no" for plan in X["plan"]])

    def predict_proba(self, X):
        return self.probabilities([[0.25, 0.75] if plan == "pro" else [0.5, 0.5] for plan in X["plan"]])


def kinds_of(model):
    return [column.kind for column in Schema.from_model(model)]


def with_attributes(**attributes):
    return type("Changed", (PlanClassifier,), attributes)().fit(FRAME)


def test_final_estimator_of_your_own_reads_any_kind():
    model = PlanClassifier().fit(FRAME)

    assert ["any", "any"] == kinds_of(model)
    assert ["yes", "no"] == score(
        model, [{"plan": "pro", "age": 1}, {"plan": "free", "age": 2}]
    ).values.tolist()


def test_final_estimator_behind_a_scaler_reads_numbers():
    """Its columns are those of the scaler."""
    scaled = make_column_transformer((StandardScaler(), ["age"])).set_output(transform="pandas")
    model = make_pipeline(scaled, PlanClassifier()).fit(FRAME)

    assert ["number"] == kinds_of(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "classes",
    [["no", "yes"], ("no", "yes"), [np.str_("no"), np.str_("yes")], pandas.Index(["no", "yes"])],
    ids=["list", "tuple", "numpy", "index"],
)
def test_labels_may_be_a_list(classes):
    model = with_attributes(classes_=classes)
    output = score(model, {"plan": "pro", "age": 1}).outputs[0]

    assert (["no", "yes"], [[0.25, 0.75]]) == (output.classes, output.probabilities.tolist())
    assert ("no", "yes") == tuple(
        ModelPackage.from_estimator(model, FRAME, format="joblib").manifest.classes[0]
    )


def test_labels_of_different_types_stay_as_they_are():
    model = with_attributes(classes_=[0, "many"], predict=lambda self, X: np.array([0] * len(X), object))

    assert [0, "many"] == score(model, {"plan": "pro", "age": 1}).outputs[0].classes


@pytest.mark.parametrize(
    "convert", [pandas.DataFrame, list, tuple, lambda rows: [np.array(row) for row in rows]]
)
def test_probabilities_may_be_a_frame_or_lists(convert):
    model = with_attributes(probabilities=staticmethod(convert))
    package = ModelPackage.from_estimator(model, FRAME, format="joblib")
    rows = [{"plan": "pro", "age": 1}, {"plan": "free", "age": 2}]

    assert [[0.25, 0.75], [0.5, 0.5]] == score(model, rows).outputs[0].probabilities.tolist()
    assert [0.5, 0.5] == package.example["expected"]["predict_proba"][0]


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame], ids=["pandas", "polars"])
def test_narwhals_frame_is_scored_like_its_native_frame(make):
    model = PlanClassifier().fit(FRAME)
    gate = Gate([Deployment("m", model)], keys="open")
    frame = narwhals.from_native(make({"plan": ["pro", "free"], "age": [1.0, 2.0]}))

    assert ["yes", "no"] == gate.score("m", frame).values.tolist()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")
@pytest.mark.parametrize("labels", [[True, False], [False, True]], ids=["first", "last"])
def test_label_that_always_occurs_hides_no_columns(labels):
    """scikit-learn fits a constant for it, which says nothing about the columns."""
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    targets = np.column_stack([np.where(always, True, IS_PRO) for always in labels])
    model = OneVsRestClassifier(make_pipeline(columns, LogisticRegression())).fit(FRAME, targets)
    gate = Gate([Deployment("m", model)], keys="open")

    assert ("free", "pro") == Schema.from_model(model).columns[0].levels
    assert (
        model.predict(FRAME).tolist()
        == np.column_stack([output.values for output in gate.score("m", FRAME).outputs]).tolist()
    )
    with pytest.raises(InvalidValues, match="plan must be one of free, pro"):
        gate.score("m", {"plan": 1, "age": 2.0})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_constant_member_of_output_codes_hides_no_columns(seed):
    """Imputed columns may be null, and dropped ones are not required, although the model checks their names."""
    columns = make_column_transformer((SimpleImputer(), ["age"]), ("drop", ["plan"]))
    model = OutputCodeClassifier(
        make_pipeline(columns, LogisticRegression()), code_size=3, random_state=seed
    ).fit(FRAME, IS_PRO)
    gate = Gate([Deployment("m", model)], keys="open")

    assert [
        Column("plan", "any", required=False, nullable=True),
        Column("age", nullable=True, typical_value=FRAME["age"].mean()),
    ] == list(Schema.from_model(model))
    assert model.predict(FRAME).tolist() == gate.score("m", FRAME[["age"]]).values.tolist()
