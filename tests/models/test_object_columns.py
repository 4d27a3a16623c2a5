"""Encoders of columns with the dtype object that hold numbers or booleans, and of very large integers."""

import numpy as np
import pandas
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from modelgate import ModelPackage
from support.answers import BLAS, assert_same_predictions

LABELS = [0, 1, 0, 1] * 10
VALUES = {
    "integers": [1, 2, 3, 4],
    "integers and None": [1, 2, None, 4],
    "integers and NaN": [1, 2, np.nan, 4],
    "numbers and None": [1.5, 2.5, None, 4.5],
    "booleans": [True, False, True, False],
    "booleans and None": [True, False, None, False],
    "booleans and NaN": [True, False, np.nan, False],
}


def objects(values):
    return np.array(values * 10, dtype=object)


@pytest.mark.parametrize("served", ["model", "package"])
@pytest.mark.parametrize("form", ["frame", "array", "array with text"])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_encoder_of_objects(values, form, served):
    columns = {"a": objects(values)} | ({"b": objects(["x", "y"] * 2)} if form == "array with text" else {})
    X = pandas.DataFrame(columns) if form == "frame" else np.column_stack(list(columns.values()))
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(X, LABELS)

    package = ModelPackage.from_estimator(model, X) if served == "package" else None
    assert_same_predictions(model, X, BLAS, package)


@pytest.mark.parametrize(
    "encoder",
    [OrdinalEncoder(encoded_missing_value=-1), TargetEncoder(cv=2)],
    ids=lambda encoder: type(encoder).__name__,
)
def test_other_encoders_of_objects(encoder):
    X = pandas.DataFrame(
        {"a": objects(VALUES["integers and None"]), "b": objects(VALUES["booleans and NaN"])}
    )

    assert_same_predictions(make_pipeline(encoder, LogisticRegression()).fit(X, LABELS), X, BLAS)


@pytest.mark.parametrize(
    ("imputer", "missing"),
    [
        (SimpleImputer(strategy="most_frequent", missing_values=None), None),
        (SimpleImputer(strategy="most_frequent"), np.nan),
    ],
    ids=["None", "NaN"],
)
def test_imputed_objects(imputer, missing):
    X = pandas.DataFrame({"a": objects([True, False, missing, False])})
    model = make_pipeline(imputer, OneHotEncoder(), LogisticRegression()).fit(X, LABELS)

    assert_same_predictions(model, X, BLAS)


@pytest.mark.parametrize("served", ["model", "package"])
@pytest.mark.parametrize("make", [pandas.DataFrame, np.asarray], ids=["frame", "array"])
def test_levels_that_a_float_cannot_represent(make, served):
    """Also in an array with other numbers."""
    X = make(np.column_stack([[2**53 + 1, 2**53 + 2, 5, 2**60 + 1] * 10, np.arange(40)]))
    if hasattr(X, "columns"):
        X.columns = ["a", "b"]
    names = list(getattr(X, "columns", range(2)))
    columns = make_column_transformer((OneHotEncoder(), names[:1]), (StandardScaler(), names[1:]))
    model = make_pipeline(columns, LogisticRegression()).fit(X, LABELS)

    package = ModelPackage.from_estimator(model, X) if served == "package" else None
    assert_same_predictions(model, X, BLAS, package)
