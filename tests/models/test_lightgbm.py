"""LightGBM: estimators, boosters and their files predict through a gate as they predict themselves."""

import lightgbm
import numpy as np
import pandas
import pytest
from sklearn.model_selection import GridSearchCV

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
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

NUMBERS = FRAME[["age", "rooms"]]
OPTIONS = {"n_estimators": 4, "min_child_samples": 2, "verbose": -1}


@pytest.fixture(scope="module")
def classifier():
    return lightgbm.LGBMClassifier(**OPTIONS).fit(FRAME, BINARY)


MODELS = {
    "estimator": lambda model: model,
    "booster": lambda model: model.booster_,
    "booster from text": lambda model: lightgbm.Booster(model_str=model.booster_.model_to_string()),
}


@pytest.mark.parametrize("rows", [PLAIN, SHUFFLED], ids=["training order", "another order"])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(
    "schema",
    [
        None,
        Schema.from_sample(FRAME),
        Schema.of(floor=[9, 3, 7], city=["rome", "oslo", "paris"], rooms=int, age=float),
    ],
    ids=["of the model", "of a sample", "by hand"],
)
def test_category_columns(classifier, make, rows, schema):
    """The levels are those of the model, whatever the order of columns and levels in the schema."""
    assert_predicts(
        make(classifier), rows, classifier.predict(FRAME), classifier.predict_proba(FRAME), schema=schema
    )


def test_schema_of_category_columns(classifier):
    assert_schema_has_levels(classifier)


@pytest.mark.parametrize("city", [None, "bern"], ids=["null", "unknown level"])
def test_missing_category(classifier, city):
    """LightGBM itself treats an unknown level as a missing value."""
    row = {"age": 41.5, "city": city, "floor": 3, "rooms": 1}
    frame = FRAME[:1].assign(
        age=41.5, city=pandas.Categorical([city], ["bern"]), floor=pandas.Categorical([3]), rooms=1
    )
    schema = Schema.from_model(classifier).with_options(unknown_levels="accept")

    assert_predicts(
        classifier, [row], classifier.predict(frame), classifier.predict_proba(frame), schema=schema
    )


def test_category_columns_inside_a_search():
    model = GridSearchCV(lightgbm.LGBMClassifier(**OPTIONS), {"num_leaves": [3]}, cv=2).fit(FRAME, BINARY)

    assert_predicts(model, PLAIN, model.predict(FRAME), model.predict_proba(FRAME))


@pytest.mark.parametrize("features", [["rooms"], ["city", "rooms"]], ids=["fewer", "others"])
def test_category_columns_that_the_model_does_not_name(features):
    """With ``categorical_feature=``, LightGBM does not store which columns had the category dtype."""
    model = lightgbm.LGBMClassifier(**OPTIONS).fit(FRAME, BINARY, categorical_feature=features)

    assert_predicts(
        model, PLAIN, model.predict(FRAME), model.predict_proba(FRAME), schema=Schema.from_sample(FRAME)
    )
    with pytest.raises(
        ConfigurationError, match="schema must have the levels of the model's categorical col"
    ):
        score(model, PLAIN)


def test_objective_of_a_booster_decides_about_its_classes():
    model = lightgbm.LGBMClassifier(**OPTIONS).fit(NUMBERS, MULTICLASS)
    assert_predicts(model.booster_, NUMBERS, model.predict(NUMBERS), model.predict_proba(NUMBERS))
    assert [0, 1, 2, 3] == score(model.booster_, NUMBERS).classes

    model = lightgbm.LGBMRegressor(**OPTIONS).fit(NUMBERS, PRICE)
    assert_predicts(model.booster_, NUMBERS, model.predict(NUMBERS))

    def squared_error(labels, scores):
        return scores - labels, np.ones_like(scores)

    model = lightgbm.LGBMRegressor(**OPTIONS, objective=squared_error).fit(NUMBERS, PRICE)
    assert_predicts(model.booster_, NUMBERS, model.predict(NUMBERS))
    assert score(model.booster_, NUMBERS).classes is None


def test_booster_fitted_on_an_array():
    array = NUMBERS.to_numpy()
    model = lightgbm.LGBMClassifier(**OPTIONS).fit(array, BINARY)

    positive = model.booster_.predict(array)

    assert ("x0", "x1") == Schema.from_model(model.booster_).names
    assert_predicts(model.booster_, array, positive > 0.5, np.column_stack([1 - positive, positive]))


def test_null_in_a_column_of_a_booster():
    """Boosters accept it in every column, as their estimators do."""
    model = lightgbm.LGBMRegressor(**OPTIONS).fit(NUMBERS, PRICE)
    expected = model.predict(pandas.DataFrame({"age": [np.nan], "rooms": [2.0]}))

    assert_predicts(model.booster_, [{"age": None, "rooms": 2}], expected)


def test_file(classifier, tmp_path):
    classifier.booster_.save_model(tmp_path / "m.txt")
    expected = classifier.predict(FRAME), classifier.predict_proba(FRAME)

    assert_predicts(tmp_path / "m.txt", PLAIN, *expected)
    gate = Gate([Deployment("m", "store:m")], keys="open", store=str(tmp_path))
    np.testing.assert_array_equal(expected[1], gate.score("m", PLAIN).probabilities)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_package(classifier, make, tmp_path):
    package = ModelPackage.from_estimator(make(classifier), FRAME, BINARY, format="joblib")
    digest = package.save(tmp_path / "m.mgpkg")
    package = ModelPackage.load(tmp_path / "m.mgpkg", sha256=digest, allow_pickle=True)

    assert [[0, 1]] == package.manifest.classes
    assert_predicts(package, PLAIN, classifier.predict(FRAME), classifier.predict_proba(FRAME))
