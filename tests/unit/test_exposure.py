"""Exposure of the rows of a regression."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

from modelgate import (
    Column,
    ConfigurationError,
    Deployment,
    Exposure,
    Gate,
    InvalidValues,
    MissingColumns,
    ModelPackage,
    Output,
    Prediction,
    PredictionError,
    ResultCache,
    Rollout,
    Schema,
    Shadow,
)
from modelgate.humility import OutlyingInput, OverridePrediction, UncertainPrediction
from modelgate.testing import Client
from support.openapi import OpenAPIDocument
from support.waiting import wait_until

RATE = Exposure("years", model_predicts="rate")
COUNT = Exposure("years", model_predicts="count")
RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame({"age": RANDOM.uniform(18, 80, 300), "power": RANDOM.uniform(0, 1, 300)})
YEARS = RANDOM.uniform(0.1, 2, 300)
CLAIMS = RANDOM.poisson(np.exp(FRAME["power"]) * YEARS)
RATES = PoissonRegressor().fit(FRAME, CLAIMS / YEARS, sample_weight=YEARS)
EXPOSED = FRAME.assign(years=YEARS)


def build_gate(model=RATES, exposure=RATE, **options):
    return Gate([Deployment("d", model, exposure=exposure, **options)], keys="open")


def test_rates_are_multiplied_by_the_exposure():
    """The model sees its own columns only, whatever the order of the request's."""
    rates = RATES.predict(FRAME)
    for frame in (EXPOSED, EXPOSED[["years", "power", "age"]]):
        output = build_gate().score("d", frame).outputs[0]

        assert rates == pytest.approx(output.adjusted, rel=1e-12)
        assert rates * YEARS == pytest.approx(output.values, rel=1e-12)


def test_counts_are_divided_by_the_exposure():
    """Of a model that has the exposure among its input columns."""
    model = LinearRegression().fit(EXPOSED, CLAIMS)
    output = build_gate(model, COUNT).score("d", EXPOSED).outputs[0]

    assert model.predict(EXPOSED) == pytest.approx(output.values, rel=1e-12)
    assert output.values == pytest.approx(output.adjusted * YEARS, rel=1e-12)


NUMBERS = st.floats(1e-6, 1e6)


@pytest.mark.slow
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=40),
    st.sampled_from([RATE, COUNT]),
    st.sampled_from([np.float64, np.float32, np.int64]),
)
def test_adjusted_prediction_times_exposure_is_the_prediction(rows, exposure, dtype):
    values, years = (np.array(column) for column in zip(*rows, strict=True))
    model = lambda table: values.astype(dtype)  # noqa: E731
    gate = build_gate(model, exposure, schema=Schema.of(a=float))
    output = gate.score("d", [{"a": 0, "years": value} for value in years.tolist()]).outputs[0]

    own = output.adjusted if exposure is RATE else output.values
    assert values.astype(dtype).tolist() == own.tolist()
    assert output.values == pytest.approx(output.adjusted * years, rel=1e-12)


WRONG = {
    0: "must be a finite number above 0",
    -1.5: "must be a finite number above 0",
    math.inf: "is too large: send a number from -1.7e308 to 1.7e308",
    math.nan: "must not be null",
    None: "must not be null",
    True: "must be a number",
}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG)
def test_exposure_must_be_a_number_above_zero(wrong):
    """The error names the rows."""
    row = {"age": 20, "power": 0.5, "years": 1}
    with pytest.raises(InvalidValues) as raised:
        build_gate().score("d", [row, {**row, "years": wrong}, row, {**row, "years": wrong}])

    assert {"years": f"{WRONG[wrong]} (row 1, 3)"} == raised.value.errors


def test_exposure_must_be_sent():
    with pytest.raises(MissingColumns) as raised:
        build_gate().score("d", {"age": 20, "power": 0.5})

    assert ["years"] == raised.value.missing_columns


@pytest.mark.parametrize(("exposure", "years"), [(RATE, 1e308), (COUNT, 5e-324)])
def test_exposure_must_leave_the_prediction_finite(exposure, years):
    """Otherwise the request is at fault, and not the model."""
    gate = build_gate(lambda table: [10.0], exposure, schema=Schema.of(a=float))

    with pytest.raises(InvalidValues, match="years must give a finite prediction"):
        gate.score("d", {"a": 0, "years": years})


def test_null_predictions_stay_null():
    gate = build_gate(lambda table: [np.nan, 2.0], RATE, schema=Schema.of(a=float), nonfinite="null")
    output = gate.score("d", [{"a": 0, "years": 2}] * 2).outputs[0]

    assert [True, False] == np.isnan(output.values).tolist() == np.isnan(output.adjusted).tolist()


def test_null_is_no_exposure_of_a_nullable_column():
    schema = Schema.of(years=Column("years", nullable=True))

    with pytest.raises(InvalidValues, match="years must be a finite number above 0"):
        build_gate(lambda table: [1.0], COUNT, schema=schema).score("d", {"years": None})


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: Exposure("", "rate"), "column must be the name of the exposure column"),
        (lambda: Exposure("years", "log"), 'model_predicts must be "rate" or "count"'),
        (lambda: build_gate(exposure="years"), "exposure must be an Exposure, for example"),
        (
            lambda: build_gate(LogisticRegression().fit(FRAME, CLAIMS > 1)),
            r"exposure must be None for a classifier \(got the classes \[False, True\]\)",
        ),
        (
            lambda: build_gate(len, schema=Schema.of(years=str)),
            r"exposure must be a column of numbers \(got 'years' of the kind text\)",
        ),
    ],
)
def test_exposure_rejects_invalid_options(create, message):
    with pytest.raises(ConfigurationError, match=message):
        create()


def test_function_must_predict_numbers():
    """Its outputs are not known before it is called."""

    def classify(table):
        return Prediction([Output("y", np.array(["a"]), ["a", "b"])])

    with pytest.raises(PredictionError) as raised:
        build_gate(classify, schema=Schema.of(a=float)).score("d", {"a": 1, "years": 1})
    assert "must be numbers, because the deployment has an exposure" in str(raised.value.__cause__)


@pytest.mark.slow
@pytest.mark.parametrize("loaded", [True, False])
def test_metadata_has_the_column(tmp_path, loaded):
    """Of a package, also before its model is loaded."""
    ModelPackage.from_estimator(RATES, FRAME, CLAIMS / YEARS).save(tmp_path / "m.mgpkg")
    gate = build_gate(tmp_path / "m.mgpkg", example={"age": 20, "power": 0.5, "years": 1})
    if loaded:
        gate.deployments.warm()
    client = Client(gate.wsgi)

    assert ["age", "power", "years"] == [
        column["name"] for column in client.request("GET", "/deployments/d").json()["input"]
    ]
    answer = client.post("/deployments/d/predict", json={"age": 20, "power": 0.5})
    assert ["years"] == answer.json()["missing_columns"]
    assert 200 == client.post("/deployments/d/predict", json={"age": 20, "power": 0.5, "years": 1}).status


def test_schema_of_the_deployment_is_extended():
    """Also if it forbids other columns."""
    schema = Schema.of(age=float, power=float).with_options(extra_columns="forbid")
    gate = build_gate(schema=schema, example={"age": 20, "power": 0.5, "years": 1})

    assert RATES.predict(FRAME[:3]) * YEARS[:3] == pytest.approx(gate.score("d", EXPOSED[:3]).values)


def test_rules_see_the_exposure_and_the_prediction_that_includes_it():
    rules = [
        OutlyingInput("years", upper=10, name="long"),
        UncertainPrediction(upper=19, name="many", action=OverridePrediction(19)),
    ]
    gate = build_gate(lambda table: [2.0] * len(table), schema=Schema.of(a=float), humility=rules)
    prediction = gate.score("d", [{"a": 0, "years": 1}, {"a": 0, "years": 10}, {"a": 0, "years": 11}])

    assert [[], ["many"], ["long", "many"]] == [[r.name for r in rules] for rules in prediction.humility]
    assert [2, 19, 19] == prediction.values.tolist()
    assert [2, 20, 22] == prediction.outputs[0].model_values.tolist()
    assert [2, 2, 2] == prediction.outputs[0].adjusted.tolist()


@pytest.mark.slow
def test_shadow_compares_predictions_that_include_the_exposure():
    package = ModelPackage.from_estimator(RATES, FRAME, version="2")
    gate = build_gate(shadow=Shadow(package), rollout=Rollout({package: 0}))
    gate.score("d", EXPOSED)
    wait_until(lambda: gate.deployments.shadow_report("d").rows)
    report = gate.deployments.shadow_report("d")

    assert (300, 300, 0) == (report.rows, report.agreed, report.failed)


def test_rounding_applies_to_adjusted_predictions():
    gate = build_gate(lambda table: [0.126], schema=Schema.of(a=float), decimals=2)
    output = gate.score("d", {"a": 0, "years": 3}).outputs[0]

    assert ([0.38], [0.13]) == (output.values.tolist(), output.adjusted.tolist())


def test_split_distributes_adjusted_predictions():
    first, second = build_gate().score("d", EXPOSED[:3]).split([1, 2])

    assert RATES.predict(FRAME[:3]).tolist() == [*first.outputs[0].adjusted, *second.outputs[0].adjusted]


@pytest.mark.parametrize(
    ("dialect", "path"),
    [
        ("native", "/deployments/d/predict?adjusted=true"),
        ("datarobot", "/deployments/d/predictions?excludeAdjustedPredictions=false"),
    ],
)
def test_document_describes_adjusted_predictions(dialect, path):
    """And how to ask for them."""
    client = Client(build_gate().wsgi)
    document = client.request("GET", "/deployments/d/openapi.json").json()
    answer = client.post(path, json={"age": 20, "power": 0.5, "years": 1})

    assert b"adjusted" in answer.body
    OpenAPIDocument(document).check_response(OpenAPIDocument(document).find_operation(dialect), answer)
    name = path.partition("?")[2].partition("=")[0]
    assert f'"name":"{name}"' in json.dumps(document, separators=(",", ":"))


def test_native_returns_adjusted_predictions_on_request():
    """Also if the result cache has the same row without one; not for a deployment without exposure."""
    model = TransformedTargetRegressor(LinearRegression()).fit([[0.0], [1.0]], [0.0, 4.0])
    client = Client(build_gate(model, scoring_layers=[ResultCache()]).wsgi)
    row, path = {"x0": 0.5, "years": 0.5}, "/deployments/d/predict"

    for query, members in [("", {}), ("?adjusted=1", {"adjusted_prediction": 2.0}), ("?adjusted=False", {})]:
        answer = client.post(path + query, json=row).json()
        assert {"prediction": 1.0, "model_version": "1", **members} == {
            name: value for name, value in answer.items() if name != "request_id"
        }
    as_csv = client.post(f"{path}?adjusted=true", json=row, headers={"accept": "text/csv"})
    assert b"prediction,adjusted_prediction\n1.0,2.0\n" == as_csv.body
    for gate, value, message in [
        (build_gate(), "maybe", "'adjusted': value must be true or false"),
        (
            build_gate(model, None),
            "true",
            "adjusted must be false for this deployment, which has no exposure",
        ),
    ]:
        answer = Client(gate.wsgi).post(f"{path}?adjusted={value}", json=row)
        assert (400, message) == (answer.status, answer.json()["detail"])


@pytest.mark.slow
@pytest.mark.parametrize("exposure", [RATE, COUNT], ids=["rate", "count"])
def test_explanations_do_not_list_the_exposure(exposure):
    """They explain the model's own prediction, to which they still add up, and not an override."""
    frame = FRAME if exposure is RATE else EXPOSED
    target = FRAME["power"] * YEARS * 3 + frame.get("years", 0)
    model = LinearRegression().fit(frame, target)
    rule = OutlyingInput("age", upper=0, action=OverridePrediction(-5))
    gate = build_gate(
        ModelPackage.from_estimator(model, frame), exposure, explanations="auto", humility=[rule]
    )
    output = gate.score("d", EXPOSED[:5], explain=3).outputs[0]

    own = model.predict(frame[:5])
    for explanation, prediction in zip(output.explanations, own, strict=True):
        strengths = [contribution.strength for contribution in explanation.contributions]
        assert {"age", "power"} == {contribution.feature for contribution in explanation.contributions}
        assert prediction == pytest.approx(explanation.base_value + sum(strengths) + explanation.remaining)
    assert [-5] * 5 == output.values.tolist()
