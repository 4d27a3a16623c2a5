"""Booleans sent to models that were fitted on boolean columns and do not store which these are."""

import msgspec
import numpy as np
import pandas
import pytest
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelgate import (
    CSV,
    Column,
    ConfigurationError,
    Deployment,
    Gate,
    InvalidValues,
    ModelPackage,
    Predictor,
    Schema,
    drive,
)
from modelgate.schema.json_schema import to_json_schema
from modelgate.testing import Client

FRAME = pandas.DataFrame({"a": np.arange(40.0) % 7, "on": np.arange(40) % 3 == 0})
TARGET = (FRAME["a"] + 3 * FRAME["on"] > 4).astype(int)
BOOSTED = {"n_estimators": 5, "min_child_samples": 2, "verbose": -1}
MODELS = {
    "linear": LogisticRegression(),
    "forest": RandomForestClassifier(5, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=2),
    "categories": HistGradientBoostingClassifier(max_iter=5, categorical_features=["on"], min_samples_leaf=2),
    "lightgbm": LGBMClassifier(**BOOSTED),
    "remainder": make_pipeline(
        make_column_transformer((StandardScaler(), ["a"]), remainder="passthrough"), LogisticRegression()
    ),
    "encoder": make_pipeline(
        make_column_transformer((OneHotEncoder(), ["on"]), remainder="passthrough"), LogisticRegression()
    ),
}
GUESSED = Schema([Column("n", accepts_booleans=True), Column("i", "integer", accepts_booleans=True)])
BODIES = {
    "json": b'{"a": 5.0, "on": true}',
    "json array": b'[{"on": true, "a": 5}]',
    "csv": CSV(b"a,on\n5,True\n"),
    "quoted csv": CSV(b'a,on\n"5","true"\n'),
    "python": {"a": 5, "on": True},
    "numpy": {"a": np.float64(5), "on": np.bool_(True)},
    "frame": pandas.DataFrame({"a": [5.0], "on": [True]}),
}


def predict(model, schema, rows):
    return drive(Predictor(model, schema).predict((schema or Schema.from_model(model)).read(rows)))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("body", BODIES)
def test_boolean_predicts_as_in_the_training_data(name, body):
    model = MODELS[name].fit(FRAME, TARGET)
    expected = model.predict_proba(pandas.DataFrame({"a": [5.0], "on": [True]}))

    prediction = predict(model, None, BODIES[body])

    np.testing.assert_allclose(expected, prediction.outputs[0].probabilities, rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_training_rows_can_be_scored_and_packed(name):
    model = MODELS[name].fit(FRAME, TARGET)
    gate = Gate([Deployment("m", model)], keys="open")
    package = ModelPackage.from_estimator(model, FRAME, TARGET, format="joblib")

    np.testing.assert_allclose(
        model.predict_proba(FRAME), gate.score("m", FRAME).outputs[0].probabilities, rtol=1e-12
    )
    assert ["number", "boolean"] == [column.kind for column in package.schema]
    np.testing.assert_allclose(
        model.predict_proba(FRAME), predict(model, package.schema, FRAME).outputs[0].probabilities, rtol=1e-12
    )


def test_model_fitted_on_an_array_of_booleans():
    rows = FRAME.astype(bool).to_numpy()
    model = LogisticRegression().fit(rows, TARGET)

    np.testing.assert_allclose(
        model.predict_proba(rows), predict(model, None, rows).outputs[0].probabilities, rtol=1e-12
    )
    assert ["boolean"] * 2 == [column.kind for column in Schema.from_model(model, rows)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_booleans_in_csv_count_as_numbers(end, quote):
    """Also between numbers, and in another case."""
    rows = [b"n,i", b"True," + quote + b"false" + quote, b"0.5,1", b" TRUE,3"]

    table = GUESSED.read(CSV(end.join(rows)))

    assert [[1.0, 0.0], [0.5, 1.0], [1.0, 3.0]] == table.numbers.tolist()


def test_booleans_in_json_count_as_numbers():
    table = GUESSED.read(b'[{"n": true, "i": 2}, {"n": 0.5, "i": false}]')

    assert [[1.0, 2.0], [0.5, 0.0]] == table.numbers.tolist()
    assert ["float64", "int64"] == [str(table[name].dtype) for name in table]


@pytest.mark.parametrize(
    "body", [b'{"n": true}', CSV(b"n,m\ntrue,1\n"), {"n": True}], ids=["json", "csv", "python"]
)
@pytest.mark.parametrize(
    "column", [Column("n"), Column("n", minimum=2, accepts_booleans=True)], ids=["declared", "bound"]
)
def test_boolean_is_rejected_by_a_declared_number_or_a_bound(column, body):
    with pytest.raises(InvalidValues, match="n must be a number"):
        Schema([column]).read(body)


def test_level_may_be_sent_as_a_boolean():
    column = Column("n", levels=(0.0, 1.0), accepts_booleans=True)

    assert [[1.0], [0.0]] == Schema([column]).read(b'[{"n": true}, {"n": 0}]').numbers.tolist()
    with pytest.raises(InvalidValues, match=r"n must be one of 2\.0"):
        Schema([Column("n", levels=(2.0,), accepts_booleans=True)]).read(b'{"n": true}')


def test_training_rows_of_numbers_confirm_the_kind():
    numbers = FRAME.astype(float)
    model = LogisticRegression().fit(numbers, TARGET)

    assert [True, True] == [column.accepts_booleans for column in Schema.from_model(model)]
    assert [False, False] == [column.accepts_booleans for column in Schema.from_model(model, numbers)]


def test_accepting_booleans_survives_a_schema_file(tmp_path):
    GUESSED.save(tmp_path / "schema.toml")

    loaded = Schema.load(tmp_path / "schema.toml")

    assert [True, True] == [column.accepts_booleans for column in loaded]


def test_published_schema_shows_what_to_send():
    """A number: otherwise each number of each model would be a union type in generated clients."""
    assert "number" == to_json_schema(Column("n", accepts_booleans=True))["type"]


def test_accepting_booleans_needs_a_number():
    with pytest.raises(ConfigurationError, match="accepts_booleans must be left out for the kind text"):
        Column("a", "text", accepts_booleans=True)


def test_column_of_a_deployment_can_be_overridden():
    """Without a schema for the other columns."""
    model = LogisticRegression().fit(FRAME, TARGET)
    gate = Gate([Deployment("m", model, columns={"on": "boolean"})], keys="open")
    described = msgspec.json.decode(Client(gate.wsgi).get("/deployments/m").body)
    wrong = Client(gate.wsgi).post("/api/predict", json={"deployment": "m", "input_data": {"a": 1, "on": 1}})

    assert ["number", "boolean"] == [column["type"] for column in described["input"]]
    assert {"on": "must be true or false, instead of 1 or 0"} == wrong.json()["errors"]
    np.testing.assert_allclose(
        model.predict_proba(FRAME), gate.score("m", FRAME).outputs[0].probabilities, rtol=1e-12
    )


def test_column_of_a_package_can_be_overridden(tmp_path):
    """Before it is loaded, too."""
    model = LogisticRegression().fit(FRAME, TARGET)
    ModelPackage.from_estimator(model, FRAME).save(tmp_path / "m.mgpkg")
    gate = Gate([Deployment("m", tmp_path / "m.mgpkg", columns={"a": [1.0, 2.0]})], keys="open")

    described = msgspec.json.decode(Client(gate.wsgi).get("/deployments/m").body)

    assert [1.0, 2.0] == described["input"][0]["levels"]
    with pytest.raises(InvalidValues, match=r"a must be one of 1\.0, 2\.0"):
        gate.score("m", {"a": 3.0, "on": True})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (bool, Column("a", "boolean", nullable=True, required=False, description="in metres")),
        ("text", Column("a", "text", nullable=True, required=False, description="in metres")),
        ([1, 2], Column("a", "integer", (1, 2), nullable=True, required=False, description="in metres")),
        (Column("b", "integer", minimum=1), Column("a", "integer", minimum=1)),
    ],
    ids=["type", "name", "levels", "column"],
)
def test_overridden_column_keeps_its_other_rules(spec, expected):
    schema = Schema([Column("a", nullable=True, required=False, description="in metres", minimum=3)])

    assert (expected,) == schema.with_columns({"a": spec}).columns


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"onn": bool}}, r"columns must be names of .* \(got 'onn'\): did you mean 'on'"),
        ({"columns": {"on": "bool"}}, "column 'on' must be one of float, int, bool, str, datetime, the name"),
        ({"columns": ["on"]}, "columns must be a mapping"),
        ({"columns": {"on": bool}, "schema": GUESSED}, "columns must be left out if schema is set"),
    ],
)
def test_invalid_override_is_rejected(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Gate([Deployment("m", LogisticRegression().fit(FRAME, TARGET), **options)], keys="open")


def test_schema_of_takes_names_of_kinds():
    assert (Column("a", "any"), Column("b", "integer")) == Schema.of(a="any", b="integer").columns
