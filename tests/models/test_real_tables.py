"""Models fitted on real tables, asked for the rows they were fitted on: none is rejected or answered wrongly."""

import functools

import numpy as np
import pytest
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from modelgate import ModelPackage
from support.answers import BLAS, EXACT, assert_same_predictions
from support.fitting import quiet_fit
from support.tables import list_tables
from support.versions import SKLEARN

TABLES = list_tables()
LINEAR = (LogisticRegression(), Ridge())
BOOSTING = (
    HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5),
    HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5),
)
FOREST = (RandomForestClassifier(5, random_state=0), RandomForestRegressor(5, random_state=0))

CODES = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
ONE_HOT = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
IMPUTED = make_pipeline(SimpleImputer(strategy="most_frequent"), ONE_HOT)
SCALED = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())

RECIPES = (
    (LINEAR, SCALED, ONE_HOT),
    (BOOSTING, "passthrough", CODES),
    (FOREST, SimpleImputer(add_indicator=True), IMPUTED),
    # Before scikit-learn 1.4, a TargetEncoder takes no more than two classes.
    (LINEAR, SCALED, TargetEncoder(cv=2, random_state=0) if SKLEARN >= (1, 4) else CODES),
)
"""Classifier and regressor, and the transformers of numbers and of categories; used in turn."""


def split_dates(frame):
    """Return numbers for columns of dates."""
    return np.column_stack([part for name in frame for part in (frame[name].dt.year, frame[name].dt.month)])


def choose_columns(X):
    """Return the columns of *X* by how they are prepared."""
    kinds = {"numbers": [], "booleans": [], "dates": [], "categories": [], "sentences": []}
    for name in X:
        column = X[name]
        if is_bool_dtype(column):
            kind = "booleans"
        elif is_datetime64_any_dtype(column):
            kind = "dates"
        elif is_numeric_dtype(column):
            kind = "numbers"
        elif column.nunique() > 30 and column.notna().all():
            kind = "sentences"
        else:
            kind = "categories"
        kinds[kind].append(name)
    return kinds


def is_quantity(column):
    """Return whether *column* is a target of regressors."""
    return is_numeric_dtype(column) and (column.nunique() > 10 or column.is_unique)


def is_target(column):
    """Return whether something can be learned about *column*."""
    return is_quantity(column) or (column.dtype.kind != "M" and 1 < column.nunique() < len(column) / 2)


@functools.cache
def fit_table(name):
    """Return a model fitted on a table, the rows, and the target: the last column of numbers or few labels."""
    frame = TABLES[name]()
    target = [column for column in frame if is_target(frame[column])][-1]
    is_number = is_quantity(frame[target])
    if not is_number:
        # Labels that occur once cannot be cross-validated.
        frame = frame[frame[target].map(frame[target].value_counts()) > 1]
    frame = frame.dropna(subset=[target]).reset_index(drop=True)
    # TargetEncoder takes whole numbers for labels.
    y = frame[target] + 0.25 if is_number else frame[target].astype(str)
    X = frame.drop(columns=target)
    (classifier, regressor), for_numbers, for_categories = RECIPES[list(TABLES).index(name) % len(RECIPES)]
    kinds = choose_columns(X)
    transformers = [
        (for_numbers, kinds["numbers"]),
        ("passthrough", kinds["booleans"]),
        (FunctionTransformer(split_dates), kinds["dates"]),
        (for_categories, kinds["categories"]),
        *((TfidfVectorizer(analyzer="char", max_features=20), column) for column in kinds["sentences"]),
    ]
    columns = make_column_transformer(*[part for part in transformers if part[1]], sparse_threshold=0)
    return quiet_fit(make_pipeline(columns, regressor if is_number else classifier), X, y), X, y


@pytest.mark.parametrize("served", ["model", "package"])
@pytest.mark.parametrize("name", TABLES)
def test_training_rows_get_the_models_own_predictions(name, served):
    """A model does not store which columns are dates: its deployment says so."""
    model, X, y = fit_table(name)
    package = ModelPackage.from_estimator(model, X, y) if served == "package" else None
    dates = dict.fromkeys(X.select_dtypes("datetime"), "datetime") if package is None else {}
    exact = isinstance(model[-1], (*map(type, BOOSTING), *map(type, FOREST)))

    assert_same_predictions(model, X, EXACT if exact else BLAS, package, columns=dates)


def test_there_are_at_least_100_tables():
    assert 100 <= len(TABLES)
