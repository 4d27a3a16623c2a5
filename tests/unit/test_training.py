"""Kinds of columns that only the rows of the training tell."""

import lightgbm
import numpy as np
import pandas
import polars
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from modelgate import CSV, Column, ConfigurationError, ModelPackage, Predictor, Schema, drive, score
from modelgate.schema.training import certain_columns

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
    """Ends a pipeline."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return [0]


def opaque(rows):
    """A model that stores no kind of a column."""
    return make_pipeline(FunctionTransformer(np.shape), FitsAnything()).fit(rows)


def kinds(schema):
    return [column.kind for column in schema]


def of_zips(frame=ZIPS):
    """A model that takes whatever it is given, and knows text alone."""
    found = FunctionTransformer(pandas.DataFrame.isin, kw_args={"values": ["10115"]})
    return make_pipeline(found, LogisticRegression()).fit(frame, IS_BERLIN)


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame], ids=["pandas", "polars"])
def test_a_column_of_any_is_of_the_kind_of_its_training(make):
    """What the model says of nulls stays: it knows nothing of them."""
    model = opaque(pandas.DataFrame(COLUMNS))

    assert ["any"] * 4 == kinds(Schema.from_model(model))
    assert list(COLUMNS) == kinds(Schema.from_model(model, make(COLUMNS)))
    assert all(column.nullable for column in Schema.from_model(model, make(COLUMNS)))


def test_an_array_tells_kinds_by_place():
    """It has no names."""
    rows = np.array(list(COLUMNS.values()), dtype=object).T
    model = opaque(rows)

    assert list(COLUMNS) == kinds(Schema.from_model(model, rows))
    assert ["any"] * 4 == kinds(Schema.from_model(model, rows[:, :2]))


@pytest.mark.parametrize("values", [["a", 1, None], [None, None, None], [2**60, 1, 2]], ids=str)
def test_what_the_training_does_not_settle_is_any(values):
    """Values of several kinds, none at all, or whole numbers that no number column holds."""
    frame = pandas.DataFrame({"a": np.array(values, dtype=object)})

    assert ["any"] == kinds(Schema.from_model(opaque(frame), frame))


def test_dates_of_the_training_are_no_texts():
    """There is no kind for them."""
    frame = pandas.DataFrame({"a": pandas.to_datetime(["2024-01-06", "2024-01-07"])})

    assert ["any"] == kinds(Schema.from_model(opaque(frame), frame))


def test_what_the_model_knows_better_stays():
    """The levels of its encoders, and that a column is a number, which a whole number is too."""
    frame = pandas.DataFrame({"plan": ["free", "pro"] * 10, "n": np.arange(20)})
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), (StandardScaler(), ["n"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, frame["n"] > 9)

    assert Schema.from_model(model).columns == Schema.from_model(model, frame).columns


def test_a_column_that_the_frame_lacks_stays():
    """The rows are then refused for it."""
    model = opaque(pandas.DataFrame({"a": ["x"], "b": ["y"]}))

    assert ["any", "text"] == kinds(Schema.from_model(model, pandas.DataFrame({"b": ["y"]})))


@pytest.mark.parametrize("rows", ["mapping", "csv"])
def test_a_boolean_of_the_training_is_one_for_callers(rows):
    """The model takes it for a number, and is given a boolean as in its training."""
    model = LogisticRegression().fit(BOOLEANS, BOOLEANS["a"] > 15)
    package = ModelPackage.from_estimator(model, BOOLEANS)
    sent = {"on": True, "a": 3.5} if rows == "mapping" else CSV(b"on,a\nTrue,3.5\n")

    assert ["boolean", "number"] == kinds(package.schema)
    np.testing.assert_allclose(
        model.predict_proba(pandas.DataFrame({"on": [True], "a": [3.5]})),
        score(model, sent, schema=package.schema).probabilities,
        rtol=0,
        atol=1e-12,
    )


def test_a_package_reads_texts_that_look_like_numbers_as_texts():
    """By CSV as by JSON, and as the model itself."""
    model = of_zips()
    package = ModelPackage.from_estimator(model, ZIPS, format="joblib")
    predictor = Predictor(model, package.schema)
    bodies = [b'[{"zip": "10115"}, {"zip": "2"}, {"zip": null}]', CSV(b'zip\n10115\n2\n""\n')]
    tables = [package.schema.read(body) for body in bodies]

    assert [Column("zip", "text", nullable=True)] == list(package.schema)
    assert [(), ()] == [tuple(table.warnings) for table in tables]
    assert [[1, 0, 0]] * 2 == [drive(predictor.predict(table)).values.tolist() for table in tables]


@pytest.mark.parametrize("value", ["10115", None])
def test_a_text_column_that_no_encoder_reads_has_the_dtype_of_text_in_pandas(value):
    """Also where the only value is null: a frame of the training has it too."""
    seen = []
    model = make_pipeline(
        FunctionTransformer(lambda frame: seen.append(frame.dtypes) or frame.isna()), LogisticRegression()
    )
    model.fit(ZIPS, IS_BERLIN)
    score(model, {"zip": value}, schema=Schema([Column("zip", "text", nullable=True)]))

    assert pandas.Series(["text"]).dtype == seen[-1]["zip"]


@pytest.mark.parametrize(
    ("body", "warned"),
    [
        (b"code,n\nA1,1\n10115,2\n", True),
        (b'code,n\n"A1",1\n"true",2\n', True),
        (b"code,n\nA1,1\n007,2\n,3\n", False),
        (b"n\n1\n", False),
    ],
)
def test_cells_of_any_that_were_read_as_numbers_are_warned_of(body, warned):
    """In CSV, whose cells have no kinds; whichever way it is read."""
    schema = Schema([Column("code", "any", required=False, nullable=True, default=1), Column("n")])
    faulty = schema.reading(unknown_levels="warn")
    expected = [
        "code: CSV cells that look like numbers or booleans were read as such: send JSON if they are text"
    ]

    for table in (schema.read(CSV(body)), faulty.read(CSV(body.replace(b"\n", b"\r\n")))):
        assert (expected if warned else []) == list(table.warnings)


def test_a_slow_body_warns_too():
    """One that only `check` reads."""
    schema = Schema([Column("code", "any"), Column("n", levels=(0.5, 1.0))])

    assert 1 == len(schema.read(CSV(b'code,n\n1,"0.5"\n2, 1.0\n')).warnings)
    assert 0 == len(schema.read(b'[{"code": 1, "n": 0.5}]').warnings)


def test_levels_of_any_settle_what_a_cell_is():
    """There is nothing to warn of."""
    schema = Schema([Column("code", "any", levels=(1, "a"))])

    assert [] == list(schema.read(CSV(b"code\n1\na\n")).warnings)


def test_a_package_takes_the_names_of_its_rows():
    """LightGBM has renamed them."""
    frame = pandas.DataFrame({"a b": np.arange(40.0) % 7, "c": np.arange(40.0)})
    model = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=1, verbose=-1).fit(frame, frame["c"])
    package = ModelPackage.from_estimator(model, frame, format="joblib")

    assert ("a b", "c") == package.schema.names
    np.testing.assert_allclose(
        model.predict(frame[:3]), score(model, frame[:3], schema=package.schema).values, rtol=1e-12
    )


def test_a_frame_whose_columns_are_no_names_tells_nothing():
    """Nor does one with a name twice: its rows are refused when they are read."""
    model = opaque(pandas.DataFrame({"a": ["x"]}))

    assert ["any"] == kinds(Schema.from_model(model, pandas.DataFrame([["x", "y"]], columns=["a", "a"])))
    assert ["any"] == kinds(Schema.from_model(model, pandas.DataFrame([["x", "y"]])))


def test_a_column_that_json_cannot_say_is_refused():
    """By name."""
    frame = pandas.DataFrame({"a": [[1], [2]]})
    with pytest.raises(ConfigurationError, match="column 'a': values of the type list cannot be read"):
        Schema.from_model(opaque(frame), frame)


def test_of_csv_only_texts_and_booleans_are_certain():
    """Digits may be a number or a code."""
    told = certain_columns(b"zip,code,on,n,empty\n10115,A1,True,1.5,\n20095,7,,2,\n")

    assert {"zip": None, "code": ["A1", "7"], "on": [True, None], "n": None, "empty": None} == {
        name: None if cells is None else cells.tolist() for name, cells in told.items()
    }


def test_a_sample_in_csv_has_the_names_of_the_training():
    """Also of the columns of which it tells no more."""
    frame = pandas.DataFrame({"a b": np.arange(40.0), "c": np.arange(40.0)})
    model = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=1, verbose=-1).fit(frame, frame["c"])

    assert ("a b", "c") == Schema.from_model(model, certain_columns(b"c,a b\n1,2\n")).names
