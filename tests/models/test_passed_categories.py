"""Columns with the category dtype that reach LightGBM and XGBoost through other steps of a pipeline."""

import lightgbm
import numpy as np
import pandas
import pytest
import xgboost
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
from support.answers import EXACT, assert_same_predictions
from support.versions import XGBOOST_STORES_LEVELS

FRAMES = {
    "text": pandas.DataFrame(
        {"c": pandas.Categorical(["b", "a", "c", "b"] * 10, list("cba")), "n": np.arange(40.0)}
    ),
    "integer": pandas.DataFrame({"c": pandas.Categorical([3, 7, 9, 7] * 10), "n": np.arange(40.0)}),
}
CLASSIFIERS = {
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=1, verbose=-1),
    "xgboost": xgboost.XGBClassifier(n_estimators=5, enable_categorical=True),
}


def double(frame):
    return frame.assign(twice=frame["n"] * 2)


def fit(step, library, X):
    return make_pipeline(step, clone(CLASSIFIERS[library])).fit(X, [0, 1, 0, 1] * 10)


@pytest.mark.parametrize("served", ["model", "package"])
@pytest.mark.parametrize(
    "columns",
    [
        make_column_transformer((StandardScaler(), ["n"]), remainder="passthrough"),
        make_column_transformer(("passthrough", ["c"]), (StandardScaler(), ["n"])),
    ],
    ids=["remainder", "passthrough"],
)
@pytest.mark.parametrize("library", CLASSIFIERS)
@pytest.mark.parametrize("X", FRAMES.values(), ids=FRAMES)
def test_category_passed_by_a_column_transformer(X, library, columns, served):
    """The levels are those that the model stores, in the order of training."""
    model = fit(columns.set_output(transform="pandas"), library, X)
    stored = library == "lightgbm" or XGBOOST_STORES_LEVELS
    package, options = None, {} if stored else {"schema": Schema.from_sample(X)}
    if served == "package":
        package, options = ModelPackage.from_estimator(model, X, format="joblib"), {}

    assert_same_predictions(model, X, EXACT, package, **options)
    if stored:
        assert tuple(X["c"].cat.categories) == Schema.from_model(model).columns[0].levels


@pytest.mark.parametrize("library", CLASSIFIERS)
@pytest.mark.parametrize("X", FRAMES.values(), ids=FRAMES)
def test_category_passed_by_a_function(X, library):
    """Only the training rows show that the column is a category."""
    model = fit(FunctionTransformer(double), library, X)

    assert_same_predictions(model, X, EXACT, ModelPackage.from_estimator(model, X, format="joblib"))


def test_passed_categories_have_the_dtype_of_training():
    """XGBoost rejects integers of another size."""
    X = FRAMES["integer"].assign(c=pandas.Series([3, 7, 9, 7] * 10, dtype="int32").astype("category"))
    columns = make_column_transformer(("passthrough", ["c"]), (StandardScaler(), ["n"]))
    model = fit(columns.set_output(transform="pandas"), "xgboost", X)

    package = ModelPackage.from_estimator(model, X, format="joblib")
    for served in (None, package) if XGBOOST_STORES_LEVELS else (package,):
        assert_same_predictions(model, X, EXACT, served)


@pytest.mark.parametrize("X", FRAMES.values(), ids=FRAMES)
def test_passed_categories_that_the_model_does_not_store_come_from_the_schema(X, monkeypatch):
    """XGBoost stores them since version 3.1. Before, it would read any integers as indices of levels."""
    monkeypatch.setattr(xgboost.Booster, "save_raw", lambda self, form: b"{}")
    columns = make_column_transformer(("passthrough", ["c"]), (StandardScaler(), ["n"]))
    model = fit(columns.set_output(transform="pandas"), "xgboost", X)

    assert_same_predictions(model, X, EXACT, schema=Schema.from_sample(X))
    assert_same_predictions(model, X, EXACT, ModelPackage.from_estimator(model, X, format="joblib"))
    with pytest.raises(ConfigurationError, match="schema must have the levels of column 'c' in the order of"):
        Gate([Deployment("m", model)], keys="open")


@pytest.mark.parametrize("other", [None, pandas.Categorical(["x", "y"] * 20)], ids=["alone", "with another"])
@pytest.mark.parametrize("library", CLASSIFIERS)
def test_ordered_categories(library, other):
    """LightGBM stores their levels, but not their columns."""
    ordered = pandas.Categorical(["b", "a", "c", "b"] * 10, list("cba"), ordered=True)
    X = pandas.DataFrame({"c": ordered, "n": np.arange(40.0)})
    X = X if other is None else X.assign(other=other)
    model = clone(CLASSIFIERS[library]).fit(X, [0, 1, 0, 1] * 10)
    package = ModelPackage.from_estimator(model, X, format="joblib")

    assert_same_predictions(model, X, EXACT, package)


def test_model_whose_categories_are_unknown_is_rejected():
    """LightGBM raises the same ValueError for any row, which would otherwise be the error of each request."""
    model = fit(FunctionTransformer(double), "lightgbm", FRAMES["text"])
    message = r"model must be able to score a row of its schema \(got ValueError"

    with pytest.raises(ConfigurationError, match=message):
        Gate([Deployment("m", model)], keys="open")
