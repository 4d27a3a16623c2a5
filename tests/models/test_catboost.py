"""CatBoost: models and their files predict through a gate as they predict themselves."""

import pickle

import catboost
import numpy as np
import pandas
import pytest

from modelgate import InvalidValues, ModelPackage, Schema
from support.category_frame import BINARY, MULTICLASS, PLAIN, PRICE, SHUFFLED, assert_predicts, score

OPTIONS = {"verbose": 0, "iterations": 4, "allow_writing_files": False}
LABELS = np.where(BINARY, "yes", "no")
NUMBERS = PLAIN[["age", "rooms"]]


@pytest.fixture(scope="module")
def classifier():
    return catboost.CatBoostClassifier(cat_features=["city", "floor"], **OPTIONS).fit(PLAIN, LABELS)


def load_file(model, path):
    model.save_model(str(path))
    return path


MODELS = {
    "estimator": lambda model, path: model,
    "pickled": lambda model, path: pickle.loads(pickle.dumps(model)),
    "loaded": lambda model, path: catboost.CatBoost().load_model(str(load_file(model, path))),
    "file": load_file,
}


@pytest.mark.parametrize("rows", [PLAIN, SHUFFLED], ids=["training order", "another order"])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(
    "schema",
    [None, Schema.from_sample(PLAIN), Schema.of(floor=float, city=str, rooms=int, age=float)],
    ids=["of the model", "of a sample", "by hand"],
)
def test_columns(classifier, make, rows, schema, tmp_path):
    """Categories that are integers stay integers, also in a schema of numbers."""
    model = make(classifier, tmp_path / "m.cbm")

    assert_predicts(model, rows, classifier.predict(PLAIN), classifier.predict_proba(PLAIN), schema=schema)


def test_schema(classifier):
    """CatBoost accepts null in numbers, and not as a category."""
    expected = [
        ("age", "number", True),
        ("city", "any", False),
        ("floor", "any", False),
        ("rooms", "number", True),
    ]

    for model in (classifier, pickle.loads(pickle.dumps(classifier))):
        assert expected == [
            (column.name, column.kind, column.nullable) for column in Schema.from_model(model)
        ]
    with pytest.raises(InvalidValues, match="city must not be null"):
        score(classifier, {"age": 1, "city": None, "floor": 3, "rooms": 1})


@pytest.mark.parametrize("columns", [["city", "age"], ["rooms", "floor"]], ids=["text", "integers"])
def test_categories_of_an_array(columns):
    array = PLAIN[columns].to_numpy()
    model = catboost.CatBoostRegressor(cat_features=[0], **OPTIONS).fit(array, PRICE)

    assert ["x0", "x1"] == list(Schema.from_model(model).names)
    assert_predicts(model, array, model.predict(array))
    by_hand = Schema.of(**{columns[0]: str if columns[0] == "city" else int, columns[1]: float})
    assert_predicts(model, PLAIN[columns], model.predict(array), schema=by_hand)


def test_several_classes_and_outputs():
    model = catboost.CatBoostClassifier(**OPTIONS).fit(NUMBERS, MULTICLASS)
    assert_predicts(model, NUMBERS, model.predict(NUMBERS).ravel(), model.predict_proba(NUMBERS))

    targets = np.column_stack([MULTICLASS > 1, BINARY]).astype(int)
    model = catboost.CatBoostClassifier(loss_function="MultiLogloss", **OPTIONS).fit(NUMBERS, targets)
    outputs = score(model, NUMBERS).outputs
    np.testing.assert_array_equal(
        model.predict(NUMBERS), np.column_stack([output.values for output in outputs])
    )
    np.testing.assert_array_equal(
        model.predict_proba(NUMBERS), np.column_stack([output.probabilities[:, 1] for output in outputs])
    )

    model = catboost.CatBoostRegressor(loss_function="MultiRMSE", **OPTIONS).fit(NUMBERS, targets)
    outputs = score(model, NUMBERS).outputs
    np.testing.assert_array_equal(
        model.predict(NUMBERS), np.column_stack([output.values for output in outputs])
    )


def test_regression_has_no_classes(tmp_path):
    model = catboost.CatBoostRegressor(**OPTIONS).fit(NUMBERS, PRICE)
    model.save_model(str(tmp_path / "m.cbm"))

    for served in (model, tmp_path / "m.cbm", catboost.CatBoost().load_model(str(tmp_path / "m.cbm"))):
        assert_predicts(served, NUMBERS, model.predict(NUMBERS))
        assert score(served, NUMBERS).classes is None


def test_package(classifier, tmp_path):
    package = ModelPackage.from_estimator(classifier, PLAIN, LABELS, format="joblib")
    digest = package.save(tmp_path / "m.mgpkg")
    package = ModelPackage.load(tmp_path / "m.mgpkg", sha256=digest, allow_pickle=True)

    assert [["no", "yes"]] == package.manifest.classes
    assert_predicts(package, PLAIN, classifier.predict(PLAIN), classifier.predict_proba(PLAIN))


def test_null_in_a_number(classifier):
    frame = pandas.DataFrame({"age": [np.nan], "city": ["rome"], "floor": [7], "rooms": [2]})

    assert_predicts(
        classifier,
        [{"age": None, "city": "rome", "floor": 7, "rooms": 2}],
        classifier.predict(frame),
        classifier.predict_proba(frame),
    )
