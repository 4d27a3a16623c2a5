"""Models that depend on dtypes which JSON and CSV do not carry: they predict callers' rows as training rows."""

import json
from hashlib import sha256

import numpy as np
import pandas
import polars
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from modelgate import CSV, Column, ConfigurationError, Deployment, Gate, InvalidValues, ModelPackage, Schema
from support.versions import PANDAS, SKLEARN

LABELS = [0, 1, 0, 1] * 10


def series(values, dtype):
    return pandas.Series(
        np.array(values * 10, dtype=object) if dtype == "object" else pandas.array(values * 10, dtype)
    )


def read_texts(frame):
    """Depends on each cell's own text: ``1`` and ``1.0`` are different."""
    return frame.astype(str)


def fit_texts(X):
    steps = FunctionTransformer(read_texts), OneHotEncoder(handle_unknown="ignore"), LogisticRegression()
    return make_pipeline(*steps).fit(X, LABELS)


def fit_function(function, X):
    return make_pipeline(FunctionTransformer(function), LinearRegression()).fit(X, np.arange(len(X)) % 7)


def predict(model, rows):
    return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)


def assert_served_alike(model, X):
    """Check that a gate predicts rows of X as the model does: alone, with others, from JSON and from CSV."""
    schema = Schema.from_model(model, X)
    gate = Gate([Deployment("m", model, schema=schema)], keys="open")
    frame = X if hasattr(X, "iloc") else pandas.DataFrame(X, columns=schema.names)
    records = json.loads(frame.to_json(orient="records", double_precision=15))
    bodies = [frame, json.dumps(records).encode(), CSV(frame.to_csv(index=False).encode())]
    requests = [(rows, X) for rows in bodies]
    requests += [([records[index]], X[index : index + 1]) for index in range(4)]

    for rows, training_rows in requests:
        prediction = gate.score("m", rows)
        actual = prediction.values if prediction.probabilities is None else prediction.probabilities
        np.testing.assert_allclose(predict(model, training_rows), actual, rtol=1e-9, atol=1e-12)
    return schema


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "dtype", "column"),
    [
        ([1, 2, None, 4], "Int64", Column("a", "integer", nullable=True, dtype="Int64")),
        ([1, 2, 3, 4], "uint8", Column("a", "integer", nullable=True, dtype="uint8")),
        ([0.1, 0.2, 0.3, 0.4], "float32", Column("a", nullable=True, dtype="float32")),
        ([0.5, None, 0.3, 0.4], "Float64", Column("a", nullable=True, dtype="Float64")),
        ([True, None, False, True], "boolean", Column("a", "boolean", nullable=True, dtype="boolean")),
        (
            [True, None, False, True],
            "object",
            Column("a", "boolean", nullable=True, dtype="object", missing_value="None"),
        ),
        (
            [True, np.nan, False, True],
            "object",
            Column("a", "boolean", nullable=True, dtype="object", missing_value="NaN"),
        ),
        (
            [1, 2, None, 4],
            "object",
            Column("a", "integer", nullable=True, dtype="object", missing_value="None"),
        ),
        (
            [1, 2.5, None, 4],
            "object",
            Column("a", "any", nullable=True, dtype="object", missing_value="None"),
        ),
        # Before pandas 3, the text of a missing value shows the dtype.
        (
            ["1", "2", None, "4"],
            "string",
            Column("a", "text", nullable=True, dtype="string" if PANDAS < (3,) else None),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_training_dtype_is_restored(values, dtype, column):
    X = pandas.DataFrame({"a": series(values, dtype)})
    schema = assert_served_alike(fit_texts(X), X)

    assert {"dtype": column.dtype, "missing_value": column.missing_value, "kind": column.kind} == {
        option: getattr(schema.columns[0], option) for option in ("dtype", "missing_value", "kind")
    }


@pytest.mark.parametrize("make", [pandas.DataFrame, pandas.DataFrame.to_numpy], ids=["frame", "array"])
def test_small_integers_wrap_around_as_in_training(make):
    X = make(pandas.DataFrame({"a": np.arange(40).astype("uint8") * 6}))
    schema = assert_served_alike(fit_function(lambda rows: rows - 200, X), X)

    assert [("uint8", 0, 255)] == [(column.dtype, column.minimum, column.maximum) for column in schema]
    with pytest.raises(InvalidValues, match="a whole number between 0 and 255"):
        schema.read([{schema.names[0]: 256}])


def test_integers_of_an_array_can_be_indices():
    X = np.arange(40)[:, None] % 4

    assert_served_alike(fit_function(lambda rows: np.eye(4)[rows[:, 0]], X), X)


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [False, True], ids=["unordered", "ordered"])
def test_categories_reach_a_function(ordered):
    categories = pandas.Categorical(["b", "a", "c", "b"] * 10, ["c", "b", "a"], ordered=ordered)
    X = pandas.DataFrame({"a": categories})
    read = (
        (lambda frame: frame > "c")
        if ordered
        else (lambda frame: frame.apply(lambda column: column.cat.codes))
    )
    schema = assert_served_alike(fit_function(read, X), X)

    assert [("c", "b", "a")] == [column.levels for column in schema]


def test_levels_of_a_schema_by_hand_get_the_order_of_training():
    X = pandas.DataFrame({"a": pandas.Categorical(["b", "a", "c", "b"] * 10, ["c", "b", "a"])})
    model = fit_function(lambda frame: frame.apply(lambda column: column.cat.codes), X)
    schema = Schema.of(a=["a", "b", "c"]).with_training_dtypes(model, X)
    gate = Gate([Deployment("m", model, schema=schema)], keys="open")

    np.testing.assert_allclose(model.predict(X), gate.score("m", X).values)


if SKLEARN >= (1, 8):  # before, the scaler subtracts the mean with 64 bits

    def test_scaler_computes_with_32_bits_as_in_training():
        X = pandas.DataFrame({"a": np.random.default_rng(0).normal(1e5, 1, 40).astype("float32")})
        model = make_pipeline(StandardScaler(), LinearRegression()).fit(X, np.arange(40) % 7)

        assert ["float32"] == [column.dtype for column in assert_served_alike(model, X)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int32", "Int64", "category"])
def test_dtype_that_changes_no_prediction_is_not_restored(dtype):
    X = pandas.DataFrame({"a": pandas.Series([1, 2, 3, 4] * 10).astype(dtype)})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(X, LABELS)

    assert Schema.from_model(model).columns == Schema.from_model(model, X).columns
    assert_served_alike(model, X)


@pytest.mark.slow
def test_null_that_would_change_another_row_is_rejected():
    """It turns the integers of all rows into floats."""
    X = pandas.DataFrame({"a": [1, 2, 3, 4] * 10})
    schema = assert_served_alike(fit_texts(X), X)

    with pytest.raises(InvalidValues, match=r"a must not be null \(row 1\)"):
        schema.read([{"a": 1}, {"a": None}])


@pytest.mark.slow
@pytest.mark.parametrize("values", [np.arange(40.0), ["10115", "2"] * 20], ids=["number", "text"])
def test_null_for_which_the_model_fails_is_rejected(values):
    """It had none in training."""
    X = pandas.DataFrame({"a": values})
    schema = assert_served_alike(
        fit_function(lambda frame: frame.map(lambda cell: len(str(cell).strip("n"))), X), X
    )
    fails = fit_function(lambda frame: frame.map(lambda cell: 1 / (cell == cell)), X)

    assert [True] == [column.nullable for column in schema]
    with pytest.raises(InvalidValues, match="a must not be null"):
        Schema.from_model(fails, X).read([{"a": None}])


def test_harmless_null_is_accepted():
    X = pandas.DataFrame({"a": [1, 2, 3, 4] * 10})

    assert [True] == [
        column.nullable for column in Schema.from_model(fit_function(pandas.DataFrame.isna, X), X)
    ]


def test_schema_by_hand_gets_the_dtypes():
    """Of a model that stores no columns."""

    class Lengths(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return X.map(lambda value: len(str(value)))

    X = pandas.DataFrame({"a": pandas.array([1, 200, None, 4] * 10, "Int64")})
    model = make_pipeline(Lengths(), LinearRegression()).fit(X, np.arange(40) % 7)
    schema = Schema([Column("a", "integer", nullable=True)])
    package = ModelPackage.from_estimator(model, X, schema=schema, format="joblib")
    gate = Gate([Deployment("m", model, schema=package.schema)], keys="open")

    assert ["Int64"] == [column.dtype for column in package.schema]
    np.testing.assert_allclose(model.predict(X), gate.score("m", X).values)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("X", "function", "message"),
    [
        (
            pandas.DataFrame(
                {"a": pandas.to_datetime(["2024-01-06", "2024-11-17"] * 20).date, "b": range(40)}
            ),
            lambda frame: frame.map(lambda value: len(repr(value))),
            r"X must have values .*makes other predictions for the values of a when",
        ),
        (
            polars.DataFrame({"a": [1.0, 2.0] * 20}),
            lambda frame: frame.select(polars.col("a") * 2),
            r"X must have values .*the model fails for these rows when they come from JSON",
        ),
    ],
    ids=["dates", "polars"],
)
def test_values_that_json_cannot_represent_are_rejected(X, function, message):
    model = make_pipeline(FunctionTransformer(function), LinearRegression()).fit(X, np.arange(40) % 7)

    for create in (Schema.from_model, ModelPackage.from_estimator):
        with pytest.raises(ConfigurationError, match=message):
            create(model, X)


def test_model_that_is_not_deterministic_is_not_rejected():
    X = pandas.DataFrame({"a": np.arange(40.0)})
    random = np.random.default_rng(0)
    model = fit_function(lambda frame: frame + random.normal(size=(len(frame), 1)), X)

    assert ("a",) == Schema.from_model(model, X).names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "number", "dtype": "int8"}, "dtype must be one of float16, .* for the kind number"),
        ({"kind": "datetime", "dtype": "object"}, "dtype must be left out for the kind datetime"),
        ({"kind": "text", "dtype": "category"}, "dtype must be left out for a column without levels"),
        ({"kind": "text", "missing_value": "None"}, "missing_value must be left out without a dtype"),
        ({"kind": "boolean", "dtype": "object", "missing_value": 0}, "missing_value must be 'None' or 'NaN'"),
        ({"kind": "integer", "dtype": "uint8", "levels": (1, 256)}, "levels must be values that"),
    ],
    ids=lambda value: str(value),
)
def test_wrong_dtype_is_rejected(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Column("a", **options)


@pytest.mark.slow
def test_package_stores_the_dtypes(tmp_path):
    X = pandas.DataFrame({"a": series([True, None, False, True], "object")})
    ModelPackage.from_estimator(fit_texts(X), X, format="joblib").save(tmp_path / "m.mgpkg")
    digest = sha256((tmp_path / "m.mgpkg").read_bytes()).hexdigest()
    package = ModelPackage.load(tmp_path / "m.mgpkg", allow_pickle=True, sha256=digest)

    assert [("object", "None")] == [(column.dtype, column.missing_value) for column in package.schema]
