"""XGBoost: estimators, boosters and their files predict through a gate as they predict themselves."""

import numpy as np
import pandas
import pytest
import xgboost

from modelgate import Column, ConfigurationError, InvalidValues, ModelPackage, PredictionError, Schema
from support.category_frame import (
    BINARY,
    FRAME,
    MULTICLASS,
    PLAIN,
    PRICE,
    SHUFFLED,
    assert_predicts,
    assert_schema_has_levels,
    score,
)
from support.versions import XGBOOST_STORES_LEVELS

NUMBERS = FRAME[["age", "rooms"]]
SAMPLED = Schema.from_sample(FRAME)
NEEDED = None if XGBOOST_STORES_LEVELS else SAMPLED
"""The schema that a deployment of the classifier needs."""

SCHEMAS = {"of a sample": SAMPLED}
if XGBOOST_STORES_LEVELS:
    SCHEMAS |= {
        "of the model": None,
        "by hand": Schema.of(floor=[9, 3, 7], city=["rome", "oslo", "paris"], rooms=int, age=float),
    }


@pytest.fixture(scope="module")
def classifier():
    return xgboost.XGBClassifier(n_estimators=4, enable_categorical=True).fit(FRAME, BINARY)


def train(objective, rows=NUMBERS, target=BINARY, **params):
    """Return a booster, and its own predictions for its training rows."""
    matrix = xgboost.DMatrix(rows, target)
    booster = xgboost.train({"objective": objective, "max_depth": 3, **params}, matrix, 3)
    return booster, booster.predict(xgboost.DMatrix(rows))


@pytest.mark.parametrize("rows", [PLAIN, SHUFFLED], ids=["training order", "another order"])
@pytest.mark.parametrize("native", [False, True], ids=["estimator", "booster"])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_category_columns(classifier, native, rows, schema):
    """The levels are those of the model, whatever the order of columns and levels in the schema."""
    model = classifier.get_booster() if native else classifier

    assert_predicts(model, rows, classifier.predict(FRAME), classifier.predict_proba(FRAME), schema=schema)


if XGBOOST_STORES_LEVELS:

    def test_schema_of_category_columns(classifier):
        assert_schema_has_levels(classifier)

    def test_null_is_a_missing_category(classifier):
        row = {"age": None, "city": None, "floor": None, "rooms": None}
        frame = FRAME.astype({"rooms": float}).reindex([-1])

        assert_predicts(classifier, [row], classifier.predict(frame), classifier.predict_proba(frame))

    def test_unknown_level_is_an_error_of_the_model(classifier):
        """XGBoost itself rejects it; it must not become a missing value silently."""
        schema = Schema.from_model(classifier).with_options(unknown_levels="accept")

        with pytest.raises(PredictionError) as info:
            score(classifier, {"age": 1, "city": "zurich", "floor": 3, "rooms": 1}, schema=schema)
        assert "category not in the training set" in str(info.value.__cause__)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_integer_categories_have_the_dtype_of_training(dtype):
    """XGBoost rejects another one."""
    frame = pandas.DataFrame({"floor": pandas.Categorical(PLAIN["floor"].astype(dtype))})
    model = xgboost.XGBClassifier(n_estimators=2, enable_categorical=True).fit(frame, BINARY)

    schema = None if XGBOOST_STORES_LEVELS else Schema.from_sample(frame)
    expected = model.predict(frame), model.predict_proba(frame)

    assert_predicts(model, PLAIN[["floor"]], *expected, schema=schema)


def test_levels_that_the_model_does_not_store_come_from_the_schema(classifier, monkeypatch):
    """XGBoost stores them since version 3.1."""
    monkeypatch.setattr(xgboost.Booster, "save_raw", lambda self, form: b"{}")
    old = xgboost.XGBClassifier(n_estimators=4, enable_categorical=True).fit(FRAME, BINARY)

    assert_predicts(
        old, PLAIN, old.predict(FRAME), old.predict_proba(FRAME), schema=Schema.from_sample(FRAME)
    )
    package = ModelPackage.from_estimator(old, FRAME, format="joblib")
    assert ("oslo", "paris", "rome") == package.schema.columns[1].levels
    assert "category" == package.schema.columns[1].dtype
    with pytest.raises(
        ConfigurationError, match="schema must have the levels of column 'city' in the order of"
    ):
        score(old, PLAIN)


@pytest.mark.parametrize(
    ("levels", "dtype", "warns"),
    [
        (("rome", "oslo", "paris"), None, True),
        (("oslo", "paris", "rome"), None, False),
        (("rome", "oslo", "paris"), "category", False),
    ],
    ids=["unsorted", "sorted", "confirmed"],
)
def test_levels_in_another_order_than_pandas_has_are_logged(monkeypatch, caplog, levels, dtype, warns):
    """A model before version 3.1 reads them by position, and nothing shows the order of its training."""
    monkeypatch.setattr(xgboost.Booster, "save_raw", lambda self, form: b"{}")
    old = xgboost.XGBClassifier(n_estimators=1, enable_categorical=True).fit(FRAME[["city"]], BINARY)
    schema = Schema([Column("city", "text", levels, nullable=True, dtype=dtype)])
    score(old, PLAIN[:1], schema=schema)

    assert warns == any("column city: levels are not sorted" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("rows", "names"),
    [(NUMBERS, ["age", "rooms"]), (NUMBERS.to_numpy(), ["x0", "x1"])],
    ids=["frame", "array"],
)
def test_columns_of_a_booster(rows, names):
    booster, expected = train("reg:squarederror", rows, PRICE)

    assert names == list(Schema.from_model(booster).names)
    assert_predicts(booster, rows, expected)
    with (
        pytest.raises(ConfigurationError, match="schema must have all columns")
        if names[0] == "age"
        else pytest.raises(InvalidValues)
    ):
        score(booster, {"a": "text", "b": 1}, schema=Schema.of(a=float, b=float))


def test_objective_of_a_booster_decides_about_its_classes():
    booster, expected = train("binary:logistic")
    assert_predicts(booster, NUMBERS, expected > 0.5, np.column_stack([1 - expected, expected]))

    booster, expected = train("multi:softprob", target=MULTICLASS, num_class=4)
    assert_predicts(booster, NUMBERS, expected.argmax(axis=1), expected)
    assert [0, 1, 2, 3] == score(booster, NUMBERS).classes

    booster, expected = train("multi:softmax", target=MULTICLASS, num_class=4)
    assert_predicts(booster, NUMBERS, expected)
    assert [0, 1, 2, 3] == score(booster, NUMBERS).classes

    booster, expected = train("binary:logitraw")
    assert_predicts(booster, NUMBERS, expected)
    assert score(booster, NUMBERS).classes is None


def test_several_targets_of_a_booster():
    booster, expected = train("reg:squarederror", target=np.column_stack([PRICE, BINARY]))
    outputs = score(booster, NUMBERS).outputs
    np.testing.assert_array_equal(expected, np.column_stack([output.values for output in outputs]))

    booster, expected = train("binary:logistic", target=np.column_stack([MULTICLASS > 1, BINARY]))
    outputs = score(booster, NUMBERS).outputs
    np.testing.assert_array_equal(
        expected, np.column_stack([output.probabilities[:, 1] for output in outputs])
    )


@pytest.mark.parametrize("suffix", [".ubj", ".json"])
def test_file_of_an_estimator_predicts_as_the_estimator(tmp_path, suffix):
    """Also if it was stopped early, which a booster ignores."""
    model = xgboost.XGBClassifier(n_estimators=50, enable_categorical=True, early_stopping_rounds=1)
    model.fit(FRAME[:80], BINARY[:80], eval_set=[(FRAME[80:], BINARY[80:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    model.save_model(tmp_path / f"m{suffix}")

    expected = model.predict(FRAME), model.predict_proba(FRAME)

    assert_predicts(tmp_path / f"m{suffix}", PLAIN, *expected, schema=NEEDED)


def test_file_of_a_booster(tmp_path):
    booster, expected = train("reg:squarederror", target=PRICE)
    booster.save_model(tmp_path / "m.ubj")

    assert_predicts(tmp_path / "m.ubj", NUMBERS, expected)


@pytest.mark.parametrize("native", [False, True], ids=["estimator", "booster"])
def test_package(classifier, tmp_path, native):
    model = classifier.get_booster() if native else classifier
    package = ModelPackage.from_estimator(model, FRAME, BINARY, format="joblib", threshold=0.5)
    digest = package.save(tmp_path / "m.mgpkg")
    package = ModelPackage.load(tmp_path / "m.mgpkg", sha256=digest, allow_pickle=True)

    assert [[0, 1]] == package.manifest.classes
    assert_predicts(package, PLAIN, classifier.predict(FRAME), classifier.predict_proba(FRAME))
