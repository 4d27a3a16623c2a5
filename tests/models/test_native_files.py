"""Native files of boosting libraries."""

import catboost
import lightgbm
import numpy as np
import pandas
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
from modelgate.models.inspection import report_on
from support.category_frame import BINARY, FRAME, PLAIN, assert_predicts


@pytest.mark.parametrize(
    ("name", "content", "library"),
    [
        ("m.ubj", b"no model", "xgboost"),
        ("m.json", b'{"column": []}', "xgboost"),
        ("m.txt", b"numpy>=2\n", "lightgbm"),
        ("m.cbm", b"no model at all", "catboost"),
    ],
)
def test_file_of_something_else(tmp_path, name, content, library):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigurationError, match=rf"is not a \.\w+ model of {library}: ") as info:
        ModelPackage.load(tmp_path / name)
    assert len(str(info.value).splitlines()) == 1


@pytest.mark.parametrize(
    "model",
    [
        xgboost.XGBClassifier(n_estimators=3, enable_categorical=True),
        lightgbm.LGBMClassifier(n_estimators=3, verbose=-1),
        catboost.CatBoostClassifier(
            iterations=3, cat_features=["city", "floor"], verbose=0, allow_writing_files=False
        ),
    ],
    ids=lambda model: type(model).__name__,
)
def test_package_without_a_pickle(model, tmp_path):
    """It needs neither a digest nor `allow_pickle`."""
    rows = PLAIN if isinstance(model, catboost.CatBoost) else FRAME
    model.fit(rows, BINARY)
    package = ModelPackage.from_estimator(model, rows, BINARY, format="native", threshold=0.5)
    package.save(tmp_path / "m.mgpkg")

    assert [[0, 1]] == ModelPackage.load(tmp_path / "m.mgpkg").manifest.classes
    assert_predicts(tmp_path / "m.mgpkg", PLAIN, model.predict(rows), model.predict_proba(rows))


def test_labels_that_a_native_file_does_not_store():
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(FRAME, np.where(BINARY, "yes", "no"))

    with pytest.raises(ConfigurationError, match=r"must have the labels 0, 1, … for a \.txt file"):
        ModelPackage.from_estimator(model, FRAME, format="native")


def test_native_format_of_another_library():
    model = LogisticRegression().fit(FRAME[["age"]], BINARY)

    with pytest.raises(ConfigurationError, match="of another library than XGBoost, LightGBM and CatBoost"):
        ModelPackage.from_estimator(model, FRAME[["age"]], format="native")


def test_missing_library(tmp_path, monkeypatch):
    (tmp_path / "m.cbm").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "catboost", None)

    with pytest.raises(ConfigurationError, match=r'need catboost: pip install "modelgate\[catboost\]"'):
        ModelPackage.load(tmp_path / "m.cbm")


def test_file_needs_a_signature_where_signatures_are_required(tmp_path, key_pair):
    xgboost.XGBClassifier(n_estimators=1, enable_categorical=True).fit(FRAME, BINARY).save_model(
        tmp_path / "m.ubj"
    )

    with pytest.raises(ConfigurationError, match="is not signed"):
        Gate([Deployment("m", tmp_path / "m.ubj")], keys="open", public_keys=[key_pair[1]])


def test_inspection(tmp_path):
    model = xgboost.XGBClassifier(n_estimators=1, enable_categorical=True).fit(FRAME, BINARY)
    model.save_model(tmp_path / "m.ubj")
    report = report_on(tmp_path / "m.ubj")

    assert ("ubj", "XGBClassifier", []) == (report.format, report.model, report.warnings)
    assert Schema.from_model(model).columns == report.schema.columns


@pytest.mark.parametrize("loss", ["RMSE", "Poisson", "Tweedie:variance_power=1.5", "RMSEWithUncertainty"])
def test_catboost_file_restores_the_loss_function(tmp_path, loss):
    """It decides the unit of predictions: CatBoost itself ignores it in a model that it reads from memory."""
    rows = pandas.DataFrame({"v": np.arange(8.0)})
    model = catboost.CatBoostRegressor(loss_function=loss, iterations=3, verbose=0, allow_writing_files=False)
    model.fit(rows, rows["v"] + 1).save_model(str(tmp_path / "m.cbm"))
    ModelPackage.from_estimator(model, rows, format="native").save(tmp_path / "m.mgpkg")

    for name in ("m.cbm", "m.mgpkg"):
        prediction = Gate([Deployment("m", tmp_path / name)], keys="open").score("m", rows)
        values = np.column_stack([output.values for output in prediction.outputs])
        np.testing.assert_array_equal(model.predict(rows).reshape(values.shape), values)
