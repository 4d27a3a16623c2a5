"""Column names stored in models. The order of the schema does not matter for such models."""

import lightgbm
import numpy as np
import pandas
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.ensemble import VotingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Predictor, Schema, drive, score

FRAME = pandas.DataFrame({"a": np.arange(40.0) % 7, "b": np.arange(40.0)})
TARGET = FRAME["b"] * 3 + FRAME["a"]
ROW = {"a": 4.0, "b": 39.0}


class CatBoost(RegressorMixin, BaseEstimator):
    """Stores names like CatBoost: for arrays too, and for DataFrames only in ``feature_names_``."""

    def fit(self, X, y):
        columns = getattr(X, "columns", range(X.shape[1]))
        self.feature_names_ = list(map(str, columns))
        self.n_features_in_ = X.shape[1]
        self.weights_ = np.linalg.lstsq(np.asarray(X, float), np.asarray(y, float), rcond=None)[0]
        return self

    def predict(self, X):
        if hasattr(X, "columns") and list(X.columns) != self.feature_names_:
            raise ValueError("other names")
        return np.asarray(X, float) @ self.weights_


class LoadedCatBoost(CatBoost):
    """CatBoost model loaded from a file."""

    def fit(self, X, y):
        super().fit(X, y)
        self.n_features_in_ = 0
        return self


class WithFeatureNames(CatBoost):
    """Stores names in ``feature_names``, and no number of columns."""

    def fit(self, X, y):
        super().fit(X, y)
        self.feature_names = self.feature_names_
        del self.feature_names_, self.n_features_in_
        return self

    def predict(self, X):
        return np.asarray(X[self.feature_names], float) @ self.weights_


class ArrayOnly(WithFeatureNames):
    """Accepts only arrays, and uses its names for reports."""

    def predict(self, X):
        return X[:, : len(self.feature_names)] @ self.weights_


class WithoutInputNames(TransformerMixin, BaseEstimator):
    """Transformer that stores nothing about its input."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


def fit_lightgbm(frame=FRAME):
    return lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=1, verbose=-1).fit(frame, TARGET)


MODELS = {
    "lightgbm": fit_lightgbm,
    "lightgbm booster": lambda: fit_lightgbm().booster_,
    "catboost": lambda: CatBoost().fit(FRAME, TARGET),
    "loaded": lambda: LoadedCatBoost().fit(FRAME, TARGET),
    "listed": lambda: WithFeatureNames().fit(FRAME, TARGET),
    "pipeline": lambda: make_pipeline("passthrough", CatBoost()).fit(FRAME, TARGET),
    "passthrough": lambda: make_pipeline("passthrough", LinearRegression()).fit(FRAME, TARGET),
    "search": lambda: GridSearchCV(CatBoost(), {}, cv=2).fit(FRAME, TARGET),
    "ensemble": lambda: VotingRegressor([("one", CatBoost()), ("two", LinearRegression())]).fit(
        FRAME, TARGET
    ),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.mark.parametrize(
    "schema",
    [Schema.of(a=float, b=float), Schema.of(b=float, a=float), Schema.of(b=float, c=float, a=float), None],
)
def test_columns_have_the_order_of_the_model(model, schema):
    """The schema may have another order and extra columns."""
    row = ROW if schema is None or "c" not in schema.names else ROW | {"c": 1.0}

    np.testing.assert_allclose(
        model.predict(pandas.DataFrame([ROW])), score(model, row, schema=schema).values, rtol=1e-12
    )


@pytest.mark.parametrize("schema", [Schema.of(a=float, b=float), Schema.of(b=float, c=float, a=float), None])
def test_model_without_dataframe_support_gets_an_array(schema):
    """Its columns have the order of the names in the model."""
    model = ArrayOnly().fit(FRAME, TARGET)
    row = ROW if schema is None or "c" not in schema.names else ROW | {"c": 1.0}
    expected = model.predict(np.array([[ROW["a"], ROW["b"]]]))

    np.testing.assert_allclose(expected, score(model, row, schema=schema).values, rtol=1e-12)


def test_schema_has_the_columns_of_the_model(model):
    assert ("a", "b") == Schema.from_model(model).names


def test_schema_with_other_names_is_rejected(model):
    """When the gate is created."""
    with pytest.raises(ConfigurationError, match="schema must have all columns the model needs: add b"):
        Gate([Deployment("m", model, schema=Schema.of(a=float, z=float))], keys="open")


@pytest.mark.parametrize(
    "make", [CatBoost, LoadedCatBoost, lightgbm.LGBMRegressor], ids=lambda make: make.__name__
)
def test_model_fitted_on_an_array_identifies_columns_by_position(make):
    """Its placeholders are not column names, so a schema may use any."""
    options = (
        {"n_estimators": 5, "min_child_samples": 1, "verbose": -1} if make.__module__ != __name__ else {}
    )
    model = make(**options).fit(FRAME.to_numpy(), TARGET)
    booster = getattr(model, "booster_", model)
    expected = booster.predict(np.array([[4.0, 39.0]]))

    assert ("x0", "x1") == Schema.from_model(booster).names
    np.testing.assert_allclose(
        expected, score(booster, ROW, schema=Schema.of(a=float, b=float)).values, rtol=1e-12
    )
    np.testing.assert_allclose(expected, score(booster, {"x0": 4.0, "x1": 39.0}).values, rtol=1e-12)


def test_placeholders_are_names_if_the_schema_has_them():
    """A DataFrame with numbered columns looks like an array."""
    model = CatBoost().fit(FRAME.to_numpy(), TARGET)
    schema = Schema.of(**{"1": float, "0": float})

    np.testing.assert_allclose(
        model.predict(FRAME.to_numpy()[-1:]),
        score(model, {"0": FRAME["a"].iloc[-1], "1": FRAME["b"].iloc[-1]}, schema=schema).values,
        rtol=1e-12,
    )


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline("passthrough", model)])
def test_numeric_names_of_scikit_learn_are_names(wrap):
    """They come from a DataFrame with ``X.columns.astype(str)``."""
    model = wrap(LinearRegression()).fit(FRAME.set_axis(["0", "1"], axis=1), TARGET)

    assert ("0", "1") == Schema.from_model(model).names
    np.testing.assert_allclose([4.0 + 39.0 * 3], score(model, {"1": 39.0, "0": 4.0}).values, rtol=1e-12)


@pytest.mark.parametrize(
    "names", [{"feature_names": []}, {"feature_name": lambda self, index: "x"}], ids=list
)
def test_unrelated_attributes_are_not_names(names):
    """A custom model may have an empty list, or a method with a parameter."""
    model = type("Own", (), {"predict": lambda self, X: X[:, 0] + X[:, 1], **names})()

    assert [43.0] == score(model, ROW, schema=Schema.of(a=float, b=float)).values.tolist()


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: GridSearchCV(model, {}, cv=2)])
def test_last_step_provides_the_names_if_the_first_has_none(wrap):
    """If they are the names of the schema, both steps were fitted on a DataFrame."""
    model = wrap(make_pipeline(WithoutInputNames(), CatBoost())).fit(FRAME, TARGET)
    schema = Schema.of(b=float, a=float)

    np.testing.assert_allclose(
        model.predict(pandas.DataFrame([ROW])), score(model, ROW, schema=schema).values, rtol=1e-12
    )


def test_last_step_with_other_names_is_ignored():
    """An earlier step created these names from an array."""

    class Named(WithoutInputNames):
        def transform(self, X):
            return pandas.DataFrame(np.asarray(X), columns=["p", "q"])

    model = make_pipeline(Named(), CatBoost()).fit(FRAME.to_numpy(), TARGET)
    expected = model.predict(np.array([[4.0, 39.0]]))

    np.testing.assert_allclose(
        expected, score(model, ROW, schema=Schema.of(a=float, b=float)).values, rtol=1e-12
    )


@pytest.mark.parametrize(
    "make",
    [
        fit_lightgbm,
        lambda frame: fit_lightgbm(frame).booster_,
        lambda frame: make_pipeline("passthrough", fit_lightgbm(frame)),
    ],
    ids=["estimator", "booster", "pipeline"],
)
def test_lightgbm_accepts_the_original_names(make):
    """It stores a space as an underscore."""
    frame = FRAME.rename(columns={"a": "a b"})
    model = make(frame)
    schema = Schema.from_sample(frame[["b", "a b"]])

    assert ("a_b", "b") == Schema.from_model(model).names
    np.testing.assert_allclose(
        model.predict(frame), drive(Predictor(model, schema).predict(schema.read(frame))).values, rtol=1e-12
    )


def test_package_of_a_model_with_array_names_predicts_its_example(model):
    package = ModelPackage.from_estimator(model, FRAME, format="joblib")

    np.testing.assert_allclose(model.predict(FRAME[:3]), package.example["expected"]["predict"], rtol=1e-12)


def test_catboost_accepts_texts_and_numbers_as_categories():
    """Its other columns are numbers, although its tags claim categories."""

    class Categories(CatBoost):
        def get_cat_feature_indices(self):
            return [1]

        def get_text_feature_indices(self):
            return []

    model = Categories().fit(FRAME, TARGET)

    assert ["number", "any"] == [column.kind for column in Schema.from_model(model)]
