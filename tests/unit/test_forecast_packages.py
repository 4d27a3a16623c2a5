"""Packages of forecasters: plain scikit-learn and JSON, with the spec in the manifest."""

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from modelgate import ConfigurationError, Deployment, FolderStore, Gate, ModelPackage, Predictor, drive, score
from modelgate.forecasting import DirectForecaster
from modelgate.forecasting.read_request import read_request
from modelgate.inference.plans import Plan
from modelgate.models.load_policy import LoadPolicy
from modelgate.models.package_files import read_package_metadata
from modelgate.testing import Client
from support.openapi import OpenAPIDocument, list_examples
from support.series import SPEC, Drift, sales_rows

WEEKLY = msgspec.structs.replace(SPEC, feature_derivation_window=(-13, 0), forecast_window=(1, 7))
ROWS = sales_rows()
NATIVE = "/deployments/sales/predict"


@pytest.fixture(scope="module")
def forecaster():
    return DirectForecaster(HistGradientBoostingRegressor(max_iter=5), WEEKLY, levels=[80, 90]).fit(ROWS)


@pytest.fixture(scope="module")
def path(forecaster, tmp_path_factory):
    path = tmp_path_factory.mktemp("packages") / "sales.mgpkg"
    ModelPackage.from_forecaster(forecaster, name="sales", version="3").save(path)
    return path


def serve(model, **options):
    return Client(Gate([Deployment("sales", model)], keys="open", **options).wsgi)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["skops", "joblib"])
def test_package_makes_the_same_forecasts(forecaster, suffix, tmp_path):
    package = ModelPackage.from_forecaster(forecaster, format=suffix)
    sha256 = package.save(tmp_path / "model.mgpkg")
    loaded = ModelPackage.load(tmp_path / "model.mgpkg", allow_pickle=True, sha256=sha256)
    rows = list(forecaster.example)
    answers = [serve(model).post(NATIVE, json=rows).json()["forecast"] for model in (forecaster, loaded)]

    assert answers[0] == answers[1]
    assert ["80", "90"] == list(answers[0][0]["intervals"])
    assert (forecaster.state, WEEKLY) == (loaded.model.state, loaded.manifest.time_series)


@pytest.mark.slow
def test_package_has_no_pickle(path):
    """Neither for the regressor nor for the rest."""
    assert "forecaster.json" in ModelPackage.load(path).manifest.members
    assert "model.skops" == ModelPackage.load(path).manifest.model


def test_spec_is_known_without_loading_the_model(path):
    manifest, schema = read_package_metadata(path, LoadPolicy())

    assert (WEEKLY, ("date", "store", "sales", "promo")) == (manifest.time_series, schema.names)


@pytest.mark.parametrize("loaded", [False, True])
def test_metadata_states_the_spec(path, loaded, forecaster):
    client = serve(path)
    if loaded:
        assert 200 == client.post(NATIVE, json=list(forecaster.example)).status
    answer = client.get("/deployments/sales").json()

    assert {
        "date_column": "date",
        "target": "sales",
        "step": "1D",
        "feature_derivation_window": [-13, 0],
        "forecast_window": [1, 7],
        "series_id": "store",
        "known_in_advance": ["promo"],
        "unknown_series": "reject",
        "timezone": None,
    } == answer["time_series"]
    assert ["native", "datarobot"] == [request["dialect"] for request in answer["requests"]]


def test_store_serves_a_forecaster(path, tmp_path, forecaster):
    (tmp_path / "sales.mgpkg").write_bytes(path.read_bytes())
    client = serve("store:sales", store=FolderStore(tmp_path))

    assert 200 == client.post(NATIVE, json=list(forecaster.example)).status


def test_openapi_document_has_forecasts_that_work(path):
    gate = Gate([Deployment("sales", path)], keys="open")
    document = OpenAPIDocument(gate.openapi("sales"))
    client = Client(gate.wsgi)

    assert [
        "/deployments/sales/predict",
        "/predApi/v1.0/deployments/sales/predictions",
        "/deployments/sales/predictions",
    ] == [path for path, _ in document.list_operations()]
    for schema, example in list_examples(document.document):
        document.check(schema, example)
    for route, operation in document.list_operations():
        body = document.resolve(operation["requestBody"])["content"]["application/json"]["example"]
        response = client.post(route, json=body)
        document.check_response(operation, response)

        assert 200 == response.status
        assert {"forecast_point", "forecastPoint"} & {
            parameter.get("name") for parameter in operation["parameters"]
        }


@pytest.mark.slow
def test_documents_have_no_rows_of_the_training(path, forecaster):
    """Callers may not see them."""
    client = serve(path)
    client.post(NATIVE, json=list(forecaster.example))
    trained = {row["sales"] for row in ROWS}
    example = client.get("/deployments/sales").json()["example"]
    document = client.get("/deployments/sales/openapi.json").body.decode()

    assert not trained & {row["sales"] for row in example}
    assert not any(str(value) in document for value in list(trained)[:200])


def test_openapi_document_of_a_model_that_is_not_loaded(path):
    document = serve(path).get("/deployments/sales/openapi.json").json()

    assert "example" not in document["components"]["requestBodies"]["native"]["content"]["application/json"]


@pytest.mark.slow
def test_damaged_state_is_rejected(path, tmp_path, forecaster):
    package = ModelPackage.load(path)
    package.model.state = msgspec.structs.replace(forecaster.state, residuals=[])
    with pytest.raises(ConfigurationError, match="residuals must have one list for each step"):
        package.save(tmp_path / "sales.mgpkg")


def test_other_models_are_rejected():
    for model in (Ridge(), Drift(), DirectForecaster(Ridge(), WEEKLY)):
        with pytest.raises(ConfigurationError, match="forecaster must be a fitted DirectForecaster"):
            ModelPackage.from_forecaster(model)
    with pytest.raises(ConfigurationError, match="format must be"):
        ModelPackage.from_forecaster(DirectForecaster(Ridge(), WEEKLY).fit(ROWS), format="onnx")


@pytest.mark.slow
def test_changed_example_is_rejected(path, tmp_path):
    """For example if another version of a library predicts other values."""
    package = ModelPackage.load(path)
    package.example["expected"]["forecast"][0] += 1
    with pytest.raises(ConfigurationError, match="the result of forecast differs from the example"):
        package.save(tmp_path / "sales.mgpkg")


@pytest.mark.slow
@pytest.mark.parametrize(
    "regressor", [Ridge(), HistGradientBoostingRegressor(max_iter=5)], ids=["ridge", "hgb"]
)
def test_exact_plan_of_the_regressor_makes_the_same_forecasts(regressor):
    forecaster = DirectForecaster(regressor, WEEKLY).fit(ROWS)
    planned, unplanned = Predictor(forecaster), Predictor(forecaster, plans=False)
    rows = list(forecaster.example)
    request = read_request(WEEKLY.schema().read(rows), forecaster)
    values = [drive(predictor.predict(request)).values.tolist() for predictor in (planned, unplanned)]

    assert (True, "plans are switched off") == (isinstance(planned.plan, Plan), unplanned.plan)
    assert values[0] == values[1]


class Mean:
    """Regressor of no library."""

    def fit(self, features, targets):
        self.mean = targets.mean()
        return self

    def predict(self, features):
        return np.full(len(features), self.mean)


def test_regressor_of_another_library_has_no_plan():
    forecaster = DirectForecaster(Mean(), WEEKLY, levels=[]).fit(ROWS)
    predictor = Predictor(forecaster)

    assert isinstance(predictor.plan, str)
    assert 7 == len(score(forecaster, list(forecaster.example)))


@pytest.mark.slow
def test_package_of_values_as_numpy_types(tmp_path):
    """As a DataFrame has them."""
    pandas = pytest.importorskip("pandas")
    forecaster = DirectForecaster(Ridge(), WEEKLY).fit(pandas.DataFrame(ROWS))
    ModelPackage.from_forecaster(forecaster).save(tmp_path / "sales.mgpkg")

    assert np.isfinite(ModelPackage.load(tmp_path / "sales.mgpkg").example["expected"]["forecast"]).all()
