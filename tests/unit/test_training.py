"""Column kinds inferred from training rows."""

import lightgbm
import numpy as np
import pandas
import polars
import pytest
import statsmodels.formula.api as smf
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from modelgate import CSV, Column, ConfigurationError, ModelPackage, Predictor, Schema, drive, score
from modelgate.schema.training import columns_without_guesses

ZIPS = pandas.DataFrame({"zip": ["10115", "20095", "80331", None] * 10})
IS_BERLIN = (ZIPS["zip"] == "10115").astype(int)
BOOLEANS = pandas.DataFrame({"on": [True, False, True] * 10, "a": np.arange(30.0)})

COLUMNS = {
    "text": ["a", "b", None],
    "number": [0.5, 2.0, None],
    "integer": [1, 2, 3],
    "boolean": [True, False, True],
}


class FitsAnything:
    """Final step of a pipeline. Accepts any input."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return [0]


def fit_opaque_model(rows):
    """Return a model that stores no column kinds."""
    return make_pipeline(FunctionTransformer(np.shape), FitsAnything()).fit(rows)


def kinds_of(schema):
    return [column.kind for column in schema]


def fit_zip_model(frame=ZIPS):
    """Return a model that accepts any values but recognizes only text."""
    is_berlin = FunctionTransformer(pandas.DataFrame.isin, kw_args={"values": ["10115"]})
    return make_pipeline(is_berlin, LogisticRegression()).fit(frame, IS_BERLIN)


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame], ids=["pandas", "polars"])
def test_unknown_kind_comes_from_the_training_rows(make):
    """The model's information about nulls is unchanged."""
    model = fit_opaque_model(pandas.DataFrame(COLUMNS))

    assert ["any"] * 4 == kinds_of(Schema.from_model(model))
    assert list(COLUMNS) == kinds_of(Schema.from_model(model, make(COLUMNS)))
    assert all(column.nullable for column in Schema.from_model(model, make(COLUMNS)))


def test_training_array_provides_kinds_by_position():
    rows = np.array(list(COLUMNS.values()), dtype=object).T
    model = fit_opaque_model(rows)

    assert list(COLUMNS) == kinds_of(Schema.from_model(model, rows))
    assert ["any"] * 4 == kinds_of(Schema.from_model(model, rows[:, :2]))


@pytest.mark.parametrize("values", [["a", 1, None], [None, None, None], [2**60, 1, 2]], ids=str)
def test_ambiguous_training_values_leave_the_kind_unknown(values):
    """Several types, no values, or integers that float64 cannot represent."""
    frame = pandas.DataFrame({"a": np.array(values, dtype=object)})

    assert ["any"] == kinds_of(Schema.from_model(fit_opaque_model(frame), frame))


def test_training_durations_leave_the_kind_unknown():
    frame = pandas.DataFrame({"a": pandas.to_timedelta(["1h", "2h"])})

    assert ["any"] == kinds_of(Schema.from_model(fit_opaque_model(frame), frame))


def test_information_in_the_model_takes_precedence():
    """Levels of its encoders, and the kind number for integers."""
    frame = pandas.DataFrame({"plan": ["free", "pro"] * 10, "n": np.arange(20)})
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), (StandardScaler(), ["n"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, frame["n"] > 9)

    assert Schema.from_model(model).columns == Schema.from_model(model, frame).columns


def test_column_missing_in_the_training_rows_is_unchanged():
    model = fit_opaque_model(pandas.DataFrame({"a": ["x"], "b": ["y"]}))

    assert ["any", "text"] == kinds_of(Schema.from_model(model, pandas.DataFrame({"b": ["y"]})))


@pytest.mark.slow
@pytest.mark.parametrize("rows", ["mapping", "csv"])
def test_training_booleans_make_a_boolean_column(rows):
    """The model, which expects a number, gets a boolean as in training."""
    model = LogisticRegression().fit(BOOLEANS, BOOLEANS["a"] > 15)
    package = ModelPackage.from_estimator(model, BOOLEANS)
    sent = {"on": True, "a": 3.5} if rows == "mapping" else CSV(b"on,a\nTrue,3.5\n")

    assert ["boolean", "number"] == kinds_of(package.schema)
    np.testing.assert_allclose(
        model.predict_proba(pandas.DataFrame({"on": [True], "a": [3.5]})),
        score(model, sent, schema=package.schema).probabilities,
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.slow
def test_package_reads_numeric_text_as_text():
    """From CSV and JSON, with the predictions of the model."""
    model = fit_zip_model()
    package = ModelPackage.from_estimator(model, ZIPS, format="joblib")
    predictor = Predictor(model, package.schema)
    bodies = [b'[{"zip": "10115"}, {"zip": "2"}, {"zip": null}]', CSV(b'zip\n10115\n2\n""\n')]
    tables = [package.schema.read(body) for body in bodies]

    assert [Column("zip", "text", nullable=True)] == list(package.schema)
    assert [(), ()] == [tuple(table.warnings) for table in tables]
    assert [[1, 0, 0]] * 2 == [drive(predictor.predict(table)).values.tolist() for table in tables]


@pytest.mark.slow
@pytest.mark.parametrize("value", ["10115", None])
def test_unencoded_text_column_has_the_pandas_text_dtype(value):
    """Also for a single null, as in a DataFrame of the training data."""
    received_dtypes = []
    model = make_pipeline(
        FunctionTransformer(lambda frame: received_dtypes.append(frame.dtypes) or frame.isna()),
        LogisticRegression(),
    )
    model.fit(ZIPS, IS_BERLIN)
    score(model, {"zip": value}, schema=Schema([Column("zip", "text", nullable=True)]))

    assert pandas.Series(["text"]).dtype == received_dtypes[-1]["zip"]


@pytest.mark.parametrize(
    ("body", "warned"),
    [
        (b"code,n\nA1,1\n10115,2\n", True),
        (b'code,n\n"A1",1\n"true",2\n', True),
        (b"code,n\nA1,1\n007,2\n,3\n", False),
        (b"n\n1\n", False),
    ],
)
def test_ambiguous_csv_cells_cause_a_warning(body, warned):
    schema = Schema([Column("code", "any", required=False, nullable=True, default=1), Column("n")])
    faulty = schema.with_options(unknown_levels="warn")
    expected = [
        "code: CSV cells that look like numbers or booleans were read as such: send JSON if they are text"
    ]

    for table in (schema.read(CSV(body)), faulty.read(CSV(body.replace(b"\n", b"\r\n")))):
        assert (expected if warned else []) == list(table.warnings)


def test_ambiguous_csv_cells_cause_a_warning_without_the_fast_path():
    schema = Schema([Column("code", "any"), Column("n", levels=(0.5, 1.0))])

    assert 1 == len(schema.read(CSV(b'code,n\n1,"0.5"\n2, 1.0\n')).warnings)
    assert 0 == len(schema.read(b'[{"code": 1, "n": 0.5}]').warnings)


def test_levels_prevent_the_warning():
    schema = Schema([Column("code", "any", levels=(1, "a"))])

    assert [] == list(schema.read(CSV(b"code\n1\na\n")).warnings)


def test_package_uses_the_names_of_its_rows():
    """LightGBM changes the names."""
    frame = pandas.DataFrame({"a b": np.arange(40.0) % 7, "c": np.arange(40.0)})
    model = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=1, verbose=-1).fit(frame, frame["c"])
    package = ModelPackage.from_estimator(model, frame, format="joblib")

    assert ("a b", "c") == package.schema.names
    np.testing.assert_allclose(
        model.predict(frame[:3]), score(model, frame[:3], schema=package.schema).values, rtol=1e-12
    )


def test_training_rows_without_valid_names_are_ignored():
    """Names that are not text, or occur twice."""
    model = fit_opaque_model(pandas.DataFrame({"a": ["x"]}))

    assert ["any"] == kinds_of(Schema.from_model(model, pandas.DataFrame([["x", "y"]], columns=["a", "a"])))
    assert ["any"] == kinds_of(Schema.from_model(model, pandas.DataFrame([["x", "y"]])))


def test_training_values_without_json_equivalent_are_rejected():
    frame = pandas.DataFrame({"a": [[1], [2]]})
    with pytest.raises(ConfigurationError, match="column 'a': values of the type list cannot be converted"):
        Schema.from_model(fit_opaque_model(frame), frame)


def test_columns_without_guesses_returns_texts_and_booleans():
    """Digits may be a number or a code."""
    values = columns_without_guesses(b"zip,code,on,n,empty\n10115,A1,True,1.5,\n20095,7,,2,\n")

    assert {"zip": None, "code": ["A1", "7"], "on": [True, None], "n": None, "empty": None} == {
        name: None if cells is None else cells.tolist() for name, cells in values.items()
    }


def test_columns_without_guesses_provides_all_names():
    """Also those of ambiguous columns."""
    frame = pandas.DataFrame({"a b": np.arange(40.0), "c": np.arange(40.0)})
    model = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=1, verbose=-1).fit(frame, frame["c"])

    assert ("a b", "c") == Schema.from_model(model, columns_without_guesses(b"c,a b\n1,2\n")).names


class PickAge(TransformerMixin, BaseEstimator):
    """Transformer that stores nothing about its columns."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X[["age"]]


RENT = pandas.DataFrame({"age": np.arange(40.0), "city": ["rome", "oslo"] * 20, "rent": np.arange(40.0) % 7})
ROWS = RENT[["age", "city"]]
IS_OLD = [0, 1] * 20


@pytest.mark.parametrize(
    ("model", "rows", "columns"),
    [
        (
            make_pipeline(PickAge(), LogisticRegression()).fit(ROWS, IS_OLD),
            ROWS,
            [("age", "number", None, True), ("city", "text", None, True)],
        ),
        (
            make_pipeline(DictVectorizer(), LogisticRegression()).fit(ROWS.to_dict("records"), IS_OLD),
            [*ROWS[:39].to_dict("records"), {"city": "rome"}],
            [("age", "number", None, False), ("city", "text", None, True)],
        ),
        (
            smf.ols("rent ~ np.log(age + 1) + C(city)", RENT).fit(),
            RENT,
            [("age", "number", None, True), ("city", "text", ("oslo", "rome"), True)],
        ),
        (
            make_pipeline(
                FunctionTransformer(lambda texts: [text.lower() for text in texts]), TfidfVectorizer()
            ).fit(["Good day", "bad night"]),
            ["Good day", "bad night"],
            [("text", "text", None, True)],
        ),
    ],
    ids=["own transformer", "dictionaries", "formula", "texts"],
)
def test_columns_that_the_model_does_not_store_are_those_of_the_training_rows(model, rows, columns):
    """A formula names the variables that it uses, and rejects unknown levels."""
    schema = Schema.from_model(model, rows)

    assert columns == [(column.name, column.kind, column.levels, column.required) for column in schema]


@pytest.mark.parametrize("make", [list, pandas.Series, np.array], ids=lambda make: make.__name__)
def test_package_of_texts(make):
    texts = ["good day", "bad night"] * 10
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 10)
    package = ModelPackage.from_estimator(model, make(texts), [1, 0] * 10)

    assert {"text": "good day"} == package.background[0]
    assert model.predict(texts[:3]).tolist() == package.example["expected"]["predict"]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [ROWS, ROWS.to_dict("records")], ids=["frame", "dictionaries"])
def test_package_of_a_model_that_stores_no_columns(rows):
    model = make_pipeline(PickAge(), LogisticRegression()).fit(ROWS, IS_OLD)
    package = ModelPackage.from_estimator(model, rows, format="joblib")

    assert [20, 20] == [count for _, count in package.statistics["columns"]["city"]["levels"]]
    assert model.predict(ROWS).tolist() == score(model, ROWS, schema=package.schema).values.tolist()


def test_package_of_an_unfitted_model_is_rejected():
    with pytest.raises(
        ConfigurationError, match=r"model must be able to predict its example rows .got NotFittedError"
    ):
        ModelPackage.from_estimator(LogisticRegression(), ROWS[["age"]])
