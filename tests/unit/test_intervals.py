"""Prediction intervals: calibration of a package, and requests for intervals."""

import asyncio
import math
from functools import partial

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError
from sklearn.datasets import make_friedman1
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelgate import (
    ConfigurationError,
    Deployment,
    Exposure,
    Gate,
    InvalidInput,
    ModelPackage,
    Output,
    Prediction,
    Query,
    ResultCache,
    Round,
    Schema,
    drive,
)
from modelgate.client import AsyncClient as AsyncModelClient
from modelgate.client import Client as ModelClient
from modelgate.humility import OutlyingInput, OverridePrediction
from modelgate.models.calibration import Calibration
from modelgate.models.training_rows import TrainingRows
from modelgate.testing import Client, StubHandler
from support.marks import slow
from support.openapi import OpenAPIDocument
from support.tampering import rewrite_package

RANDOM = np.random.default_rng(0)
X = pd.DataFrame({"age": RANDOM.normal(size=400), "plan": RANDOM.choice(["free", "pro"], 400)})
Y = X["age"] * 10 + RANDOM.normal(size=400)
ROW = {"age": 1.5}
NAMED = X[["age"]]


@pytest.fixture(scope="module")
def package():
    model = LinearRegression().fit(NAMED[:200], Y[:200])
    return ModelPackage.from_estimator(model, NAMED[:200], Y[:200], name="price", target="price")


@pytest.fixture(scope="module")
def calibrated(package):
    return package.calibrate(NAMED[200:], Y[200:])


@pytest.fixture(scope="module")
def gate(package, calibrated):
    return Gate([Deployment("price", calibrated), Deployment("bare", package)], keys="open", limits=None)


@pytest.fixture(params=["wsgi", *slow("asgi")])
def client(gate, request):
    return Client(getattr(gate, request.param))


@pytest.mark.slow
def test_intervals_cover_as_many_true_values_as_requested():
    levels = [80, 90, 95]
    coverages = []
    for seed in range(20):
        rows, y = make_friedman1(2600, noise=2.0, random_state=seed)
        model = LinearRegression().fit(rows[:300], y[:300])
        package = ModelPackage.from_estimator(model, rows[:300], y[:300])
        package = package.calibrate(rows[300:600], y[300:600])
        gate = Gate([Deployment("friedman", package)], keys="open")
        intervals = gate.score("friedman", rows[600:], intervals=levels).intervals
        limits = [intervals[str(level)] for level in levels]
        coverages.append(
            [np.mean((low <= y[600:]) & (y[600:] <= high)) for low, high in map(np.transpose, limits)]
        )

    assert [0.8, 0.9, 0.95] == pytest.approx(np.mean(coverages, axis=0).tolist(), abs=0.025)


@given(
    residuals=st.lists(st.floats(0, 1e6), min_size=1, max_size=60).map(sorted),
    level=st.integers(1, 999).map(lambda tenths: tenths / 10),
)
def test_half_width_is_the_smallest_residual_that_covers_enough_rows(residuals, level):
    calibration = Calibration(len(residuals), [residuals])
    tenths = round(level * 10)
    enough = [
        residual
        for residual in residuals
        if sum(other <= residual for other in residuals) * 1000 >= (len(residuals) + 1) * tenths
    ]

    if enough:
        assert min(enough) == calibration.half_width(0, level)
    else:
        with pytest.raises(ValueError, match="at most"):
            calibration.half_width(0, level)


@pytest.mark.parametrize("rows", [1, 19, 78, 9999])
def test_highest_level_of_a_calibration_can_be_requested(rows):
    calibration = Calibration(rows, [[0.0] * rows])

    assert calibration.half_width(0, calibration.max_level) == 0
    with pytest.raises(ValueError, match="at most"):
        calibration.half_width(0, calibration.max_level + 0.01)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (slice(200, 218), {}, r"levels must be numbers above 0 and at most 94\.73 \(got 95\)"),
        (slice(200, 400), {"levels": [0]}, r"above 0 and at most 99\.5 \(got 0\)"),
        (slice(200, 400), {"levels": [100]}, r"got 100"),
        (slice(200, 400), {"levels": [math.nan]}, r"got nan"),
        (slice(200, 400), {"levels": ["90"]}, r"got '90'"),
        (
            slice(190, 400),
            {},
            r"X must have no training rows \(got at least 10 of 210: row 0, 1, 2, 3, 4, …\)",
        ),
        (slice(0, 0), {}, "X must have at least one row"),
    ],
)
def test_calibrate_rejects_levels_and_rows_that_it_cannot_use(package, rows, options, message):
    with pytest.raises(ConfigurationError, match=message):
        package.calibrate(NAMED[rows], Y[rows], **options)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[200:399], "y must have one value for each of the 200 rows"),
        (np.column_stack([Y, Y])[200:], r"y must have the shape \(200,\) \(got \(200, 2\)\)"),
        (np.full(200, np.nan), "^y must have a finite number in each row for each numeric output$"),
        (["a"] * 200, "y must have a finite number in each row"),
    ],
)
def test_calibrate_rejects_targets_that_do_not_fit(package, y, message):
    with pytest.raises(ConfigurationError, match=message):
        package.calibrate(NAMED[200:], y)


def test_calibrate_rejects_rows_that_do_not_match_the_schema(package):
    with pytest.raises(ConfigurationError, match=r"X must have rows that match the schema.*age"):
        package.calibrate(X[200:][["plan"]], Y[200:])


def test_output_of_labels_has_no_half_width():
    assert Calibration(3, [None, [1.0, 2.0, 3.0]]).half_width(0, 50) is None


def test_calibrate_rejects_classifiers_and_bare_files(package, tmp_path):
    labels = np.where(Y > 0, "yes", "no")
    classifier = LogisticRegression().fit(NAMED[:200], labels[:200])
    bare = ModelPackage(package.model, package.manifest)

    with pytest.raises(ConfigurationError, match="model must predict a number"):
        ModelPackage.from_estimator(classifier, NAMED[:200]).calibrate(NAMED[200:], labels[200:])
    with pytest.raises(ConfigurationError, match=r"create it with ModelPackage.from_estimator"):
        bare.calibrate(NAMED[200:], Y[200:])


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame,
        lambda frame: frame[::-1],
        lambda frame: frame.astype({"age": object, "plan": "category"}),
        lambda frame: frame[["plan", "age", "joined"]],
        lambda frame: frame.replace({"age": {np.nan: None}}),
    ],
    ids=["same", "reversed", "dtypes", "columns", "nulls"],
)
def test_training_rows_are_found_in_any_order_and_dtype(change):
    frame = X[:50].assign(joined=pd.date_range("2020-01-01", periods=50))
    frame.loc[3, "age"] = np.nan
    schema = Schema.of(age=float, plan=str, joined="datetime")
    training_rows = TrainingRows.of(frame, None, schema)

    training_rows.reject(frame.assign(age=frame["age"].fillna(0) + 1), None, schema)
    with pytest.raises(ConfigurationError, match="at least 50 of 50"):
        training_rows.reject(change(frame), None, schema)


def test_training_rows_with_large_arrays_are_told_apart():
    images = list(np.zeros((2, 5000)))
    images[1][2500] = 1
    schema = Schema.of(photo=str)
    training_rows = TrainingRows.of(pd.DataFrame({"photo": images[:1]}), None, schema)

    training_rows.reject(pd.DataFrame({"photo": images[1:]}), None, schema)
    with pytest.raises(ConfigurationError, match="at least 1 of 1"):
        training_rows.reject(pd.DataFrame({"photo": [images[0].copy()]}), None, schema)


def test_training_rows_with_another_target_are_not_the_same_rows(package):
    package.calibrate(NAMED[:200], Y[:200] + 1)

    with pytest.raises(ConfigurationError, match="at least 200 of 200"):
        package.calibrate(NAMED[:200], Y[:200])
    assert package.calibrate(NAMED[:200], Y[:200], allow_training_rows=True).calibration.rows == 200


def test_training_rows_of_a_large_table_are_sampled():
    rows, schema = np.arange(50_000.0).reshape(-1, 1), Schema.of(age=float)
    training_rows = TrainingRows.of(rows, None, schema)

    assert len(training_rows.hashes) == 16_384 * 8
    training_rows.reject(rows + 0.5, None, schema)
    with pytest.raises(ConfigurationError, match="X must have no training rows"):
        training_rows.reject(rows[1000:1100], None, schema)


@pytest.mark.parametrize("folder", [False, True])
def test_calibration_is_saved_with_the_package(calibrated, tmp_path, folder):
    path = tmp_path / "price.mgpkg"
    calibrated.save(path, folder=folder)
    loaded = ModelPackage.load(path)
    gate = Gate([Deployment("price", path)], keys="open")
    metadata = Client(gate.wsgi).get("/deployments/price/openapi.json").json()

    assert calibrated.calibration == loaded.calibration
    assert calibrated.training_rows == loaded.training_rows
    assert "intervals" in metadata["components"]["schemas"]["native_answer_1"]["properties"]
    assert gate.score("price", ROW, intervals=[90]).intervals["90"].shape == (1, 2)


def test_calibration_for_another_number_of_outputs_is_rejected(calibrated, tmp_path):
    path = tmp_path / "price.mgpkg"
    calibrated.save(path)
    rewrite_package(path, calibration_json=b'{"rows":1,"residuals":[[1.0],[1.0]]}')

    with pytest.raises(ConfigurationError, match="residuals for each of 1 outputs"):
        Gate([Deployment("price", ModelPackage.load(path))], keys="open")


def test_intervals_are_the_prediction_plus_and_minus_the_half_width(gate, calibrated):
    prediction = gate.score("price", [ROW, {"age": -2.0}], intervals=[80, 92.5])

    assert {"80", "92.5"} == prediction.intervals.keys()
    for level, limits in prediction.intervals.items():
        width = calibrated.calibration.half_width(0, float(level))
        assert np.array_equal(np.column_stack([prediction.values - width, prediction.values + width]), limits)


def test_intervals_are_absent_unless_requested(gate, client):
    assert gate.score("price", ROW).intervals is None
    assert b"intervals" not in client.post("/deployments/price/predict", json=ROW).body
    assert (
        b"intervals" not in client.post("/api/predict", json={"deployment": "price", "input_data": ROW}).body
    )


def test_native_returns_intervals_in_json(client, gate):
    low, high = gate.score("price", ROW, intervals=[90]).intervals["90"][0].tolist()
    one = client.post("/deployments/price/predict?intervals=90", json=ROW).json()
    two = client.post("/deployments/price/predict?intervals=80,90.0", json=[ROW, ROW]).json()

    assert {"90": {"low": low, "high": high}} == one["intervals"]
    assert [{"80", "90"}] * 2 == [set(row["intervals"]) for row in two["predictions"]]
    assert {"low": low, "high": high} == two["predictions"][1]["intervals"]["90"]


def test_native_returns_intervals_in_csv_and_ndjson(client, gate):
    prediction = gate.score("price", ROW, intervals=[90])
    (low, high), value = prediction.intervals["90"][0].tolist(), prediction.values[0]
    path = "/deployments/price/predict?intervals=90"
    table = client.post(path, json=ROW, headers={"accept": "text/csv"})
    lines = client.post(path, json=ROW, headers={"accept": "application/x-ndjson"})

    assert f"prediction,low_90,high_90\n{value},{low},{high}\n" == table.body.decode()
    assert {"prediction": value, "intervals": {"90": {"low": low, "high": high}}} == lines.json()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "bare/predict?intervals=90",
            "This deployment has no prediction intervals: leave out the option intervals",
        ),
        ("price/predict?intervals=99.9", "intervals must be percentages above 0 and at most 99.5 (got 99.9)"),
        ("price/predict?intervals=0", "intervals must be percentages above 0 and at most 99.5 (got 0)"),
        ("price/predict?intervals=inf", "intervals must be percentages above 0 and at most 99.5 (got inf)"),
        ("price/predict?intervals=90,", "intervals must be levels in percent, such as intervals=80,90"),
        (f"price/predict?intervals={'90,' * 10}90", "intervals must be at most 10 levels (got 11)"),
    ],
)
def test_native_rejects_intervals_that_the_model_does_not_have(client, path, message):
    response = client.post(f"/deployments/{path}", json=ROW)

    assert (400, message) == (response.status, response.json()["detail"])


def test_gate_score_rejects_intervals_that_the_model_does_not_have(gate):
    with pytest.raises(InvalidInput, match="no prediction intervals"):
        gate.score("bare", ROW, intervals=[90])
    with pytest.raises(InvalidInput, match=r"at most 99.5 \(got '90'\)"):
        gate.score("price", ROW, intervals=["90"])


@pytest.mark.parametrize("levels", [90, "90", None])
def test_gate_score_and_client_need_a_list_of_levels(gate, levels):
    client = ModelClient("http://gate/price", http=httpx.Client(transport=httpx.WSGITransport(gate.wsgi)))
    for predict in (partial(gate.score, "price"), client.predict):
        with pytest.raises(InvalidInput, match=r"must be a list of levels in percent, such as \[80, 90\]"):
            predict(ROW, intervals=levels)


def test_gate_score_and_client_take_an_array_of_levels(gate):
    client = ModelClient("http://gate/price", http=httpx.Client(transport=httpx.WSGITransport(gate.wsgi)))
    levels = np.array([80, 90])

    assert gate.score("price", ROW, intervals=levels).intervals.keys() == {"80", "90"}
    assert client.predict(ROW, intervals=levels).intervals[0].keys() == {"80", "90"}


def test_intervals_of_several_outputs():
    y = np.column_stack([Y, Y * 100])
    model = LinearRegression().fit(NAMED[:200], y[:200])
    package = ModelPackage.from_estimator(model, NAMED[:200], y[:200], target=["small", "large"])
    gate = Gate([Deployment("both", package.calibrate(NAMED[200:], y[200:]))], keys="open")
    small, large = gate.score("both", ROW, intervals=[90]).outputs
    answer = Client(gate.wsgi).post("/deployments/both/predict?intervals=90", json=ROW).json()

    assert np.ptp(large.intervals["90"]) == pytest.approx(100 * np.ptp(small.intervals["90"]))
    assert large.intervals["90"][0, 0] == answer["outputs"]["large"]["intervals"]["90"]["low"]


def test_intervals_of_an_estimator_that_does_not_store_its_number_of_outputs():
    y = np.column_stack([Y, Y])
    model = GaussianProcessRegressor(optimizer=None, alpha=1.0).fit(NAMED[:50], y[:50])
    package = ModelPackage.from_estimator(model, NAMED[:50], y[:50]).calibrate(NAMED[200:], y[200:])
    outputs = Gate([Deployment("both", package)], keys="open").score("both", ROW, intervals=[90]).outputs

    assert [(1, 2), (1, 2)] == [output.intervals["90"].shape for output in outputs]


def test_null_predictions_have_null_intervals(calibrated):
    deployment = Deployment("price", calibrated, nonfinite="null")
    client = Client(Gate([deployment], keys="open").wsgi)
    answer = client.post("/deployments/price/predict?intervals=90", json={"age": 1e308}).json()

    assert {"low": None, "high": None} == answer["intervals"]["90"]


@given(
    values=st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e6)), min_size=1),
    decimals=st.integers(0, 6),
)
def test_rounded_intervals_contain_the_exact_ones(values, decimals):
    limits = np.array([(value - width, value + width) for value, width in values])
    exact = Prediction([Output("y", np.array([value for value, _ in values]), intervals={"90": limits})])
    rounded = drive(Round(decimals)(Query(b""), StubHandler(exact))).intervals["90"]

    assert (rounded[:, 0] <= limits[:, 0]).all()
    assert (rounded[:, 1] >= limits[:, 1]).all()
    assert np.abs(rounded - limits).max() <= 10.0**-decimals * (1 + 1e-6) + 1e-6
    assert [[round(limit, decimals) for limit in row] for row in rounded.tolist()] == rounded.tolist()


def test_prediction_split_divides_intervals():
    limits = np.arange(6.0).reshape(3, 2)
    first, second = Prediction([Output("y", np.arange(3.0), intervals={"90": limits})]).split([1, 2])

    assert [[0, 1]] == first.intervals["90"].tolist()
    assert [[2, 3], [4, 5]] == second.intervals["90"].tolist()


def test_result_cache_separates_requests_with_other_intervals(calibrated):
    deployment = Deployment("price", calibrated, scoring_layers=[ResultCache(), Round(2)])
    gate = Gate([deployment], keys="open")

    assert gate.score("price", ROW).intervals is None
    assert gate.score("price", ROW, intervals=[90]).intervals.keys() == {"90"}
    assert gate.score("price", ROW, intervals=[80]).intervals.keys() == {"80"}
    assert gate.score("price", ROW).intervals is None


def test_openapi_describes_intervals_of_calibrated_models_only(gate, client):
    documents = [OpenAPIDocument(gate.openapi(name)) for name in ("price", "bare")]
    schemas = [document.document["components"]["schemas"] for document in documents]
    answer = client.post("/deployments/price/predict?intervals=80,90", json=ROW).json()

    assert [True, False] == ["intervals" in schema["native_answer_1"]["properties"] for schema in schemas]
    documents[0].check(schemas[0]["native_answer"], answer)
    with pytest.raises(ValidationError):
        documents[0].check(schemas[0]["native_answer"], {**answer, "intervals": {"90": {"low": 1}}})


@pytest.mark.slow
@pytest.mark.parametrize("model_predicts", ["rate", "count"])
def test_intervals_include_the_exposure(calibrated, gate, model_predicts):
    exposed = Deployment("price", calibrated, exposure=Exposure("years", model_predicts=model_predicts))
    row = {**ROW, "years": 2.0}
    prediction = Gate([exposed], keys="open").score("price", row, intervals=[90])
    factor = 2 if model_predicts == "rate" else 1

    assert (factor * gate.score("price", ROW, intervals=[90]).intervals["90"]).tolist() == (
        prediction.intervals["90"].tolist()
    )


def test_intervals_are_those_of_the_model_if_a_humility_rule_overrides_it(calibrated, gate):
    humility = [OutlyingInput("age", 0, 1, action=OverridePrediction(0.0))]
    deployment = Deployment("price", calibrated, humility=humility)
    prediction = Gate([deployment], keys="open").score("price", ROW, intervals=[90])

    assert [0.0] == prediction.values.tolist()
    assert gate.score("price", ROW, intervals=[90]).intervals["90"].tolist() == (
        prediction.intervals["90"].tolist()
    )


def test_client_returns_intervals(gate):
    rows = [{"age": float(age)} for age in range(5)]
    http = httpx.Client(transport=httpx.WSGITransport(gate.wsgi))
    client = ModelClient("http://gate/price", http=http, batch_rows=2)
    predictions = client.predict(rows, intervals=[80, 90])
    limits = gate.score("price", rows, intervals=[90]).intervals["90"]

    assert client.predict(rows).values == predictions.values
    assert [tuple(row) for row in limits.tolist()] == [row["90"] for row in predictions.intervals]
    assert client.predict(rows).intervals is None
    with pytest.raises(InvalidInput, match=r"at most 99.5"):
        client.predict(rows, intervals=[99.9])


def test_async_client_returns_intervals_by_output():
    y = np.column_stack([Y, Y])
    model = LinearRegression().fit(NAMED[:200], y[:200])
    package = ModelPackage.from_estimator(model, NAMED[:200], y[:200], target=["a", "b"])
    gate = Gate([Deployment("both", package.calibrate(NAMED[200:], y[200:]))], keys="open")

    async def predict():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate.asgi)) as http:
            return await AsyncModelClient("http://gate/both", http=http).predict(ROW, intervals=[90])

    predictions = asyncio.run(predict())
    assert {"a", "b"} == predictions.values[0].keys() == predictions.outputs.keys()
    assert predictions.intervals is None
    assert predictions.outputs["a"].intervals[0]["90"][0] < predictions.values[0]["a"]
