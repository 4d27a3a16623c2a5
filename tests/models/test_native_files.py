"""Native files of boosting libraries that cannot be loaded."""

import pytest
import xgboost

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
from modelgate.models.inspection import report_on
from support.category_frame import BINARY, FRAME


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
