"""Response curves: predictions for a grid of values of one column, and their mean over the packaged rows."""

import asyncio

import httpx
import numpy as np
import pandas as pd
import pytest
from jsonschema import ValidationError
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

import modelgate.client
from modelgate import (
    Column,
    Deployment,
    Exposure,
    Gate,
    InvalidInput,
    InvalidValues,
    ModelPackage,
    MultiTarget,
    RateLimit,
    Schema,
    Shadow,
    Table,
)
from modelgate.inference.curve import default_grid
from modelgate.layers import KeyAuth
from modelgate.testing import Client
from support.marks import slow
from support.openapi import OpenAPIDocument
from support.series import SPEC, Drift, drift_rows
from support.waiting import wait_until

RANDOM = np.random.default_rng(0)
X = pd.DataFrame(
    {
        "age": RANDOM.normal(size=300),
        "plan": RANDOM.choice(["free", "pro"], 300),
        "visits": RANDOM.integers(0, 9, 300),
    }
)
WEIGHT = X["age"] ** 2 + X["visits"]
LABELS = np.where(X["age"] > 0, "yes", "no")
KEY = "mg_the-key-of-the-curve-tests"
ROW = {"age": 1.0, "plan": "pro", "visits": 3}
ENCODE = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")


def fit(model, y):
    return make_pipeline(ENCODE, model).fit(X, y)


NUMBERS = fit(RandomForestRegressor(5, random_state=0), WEIGHT)
CLASSIFIER = fit(LogisticRegression(), LABELS)


@pytest.fixture(scope="module")
def package():
    return ModelPackage.from_estimator(NUMBERS, X, WEIGHT)


@pytest.fixture(scope="module")
def gate(package):
    return Gate(
        [
            Deployment("weight", package),
            Deployment("churn", ModelPackage.from_estimator(CLASSIFIER, X, LABELS)),
            Deployment("bare", NUMBERS),
        ],
        keys="open",
    )


@pytest.fixture(params=["wsgi", *slow("asgi")])
def client(gate, request):
    return Client(getattr(gate, request.param))


def curve(client, name, **body):
    response = client.post(f"/deployments/{name}/curves", json=body)
    assert 200 == response.status, response.body
    return response.json()


def by_blocking_client(gate, name, *args, **options):
    with httpx.Client(transport=httpx.WSGITransport(gate.wsgi)) as http:
        return modelgate.client.Client(f"http://app/{name}", http=http).curve(*args, **options)


def by_async_client(gate, name, *args, **options):
    async def call():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate.asgi)) as http:
            client = modelgate.client.AsyncClient(f"http://app/{name}", http=http)
            return await client.curve(*args, **options)

    return asyncio.run(call())


CLIENTS = pytest.mark.parametrize("ask", [by_blocking_client, by_async_client])
IN_PYTHON = pytest.mark.parametrize("ask", [Gate.curve, by_blocking_client, by_async_client])


def rows_with(rows, column, value):
    return [{**row, column: value} for row in rows]


@pytest.mark.slow
def test_curve_holds_the_other_columns(client, gate):
    grid = [-2, 0.5, 3]
    rows = [{**ROW, "age": value} for value in grid]
    answer = curve(client, "weight", row=ROW, column="age", grid=grid)

    assert {"column", "grid", "curve", "model_version", "request_id"} == answer.keys()
    assert ("age", grid) == (answer["column"], answer["grid"])
    assert {"prediction": gate.score("weight", rows).values.tolist()} == answer["curve"]


@pytest.mark.slow
def test_curve_of_a_classifier_has_probabilities(client, gate):
    answer = curve(client, "churn", row=ROW, column="plan")
    prediction = gate.score("churn", [{**ROW, "plan": plan} for plan in ("free", "pro")])

    assert ["free", "pro"] == answer["grid"]
    assert prediction.values.tolist() == answer["curve"]["prediction"]
    assert (
        dict(zip(["no", "yes"], prediction.probabilities.T.tolist(), strict=True))
        == (answer["curve"]["probabilities"])
    )


@pytest.mark.parametrize(
    ("column", "grid"), [("age", [-1, 0, 1]), ("plan", ["free", "pro"]), ("visits", [2])]
)
def test_average_is_the_mean_over_the_packaged_rows(client, gate, package, column, grid):
    answer = curve(client, "weight", column=column, grid=grid, average=True)
    by_value = [rows_with(package.background, column, value) for value in grid]
    expected = [gate.score("weight", rows).values.mean() for rows in by_value]
    probabilities = [gate.score("churn", rows).probabilities.mean(axis=0) for rows in by_value]
    shares = curve(client, "churn", column=column, grid=grid, average=True)["average"]["probabilities"]

    assert "curve" not in answer
    assert pytest.approx(expected) == answer["average"]["prediction"]
    assert pytest.approx(np.transpose(probabilities)) == np.array([shares["no"], shares["yes"]])


@pytest.mark.slow
def test_curve_and_average_need_one_call_of_the_model(package):
    calls = []

    class Counting(RandomForestRegressor):
        def predict(self, X):
            calls.append(len(X))
            return super().predict(X)

    model = make_pipeline(ENCODE, Counting(2, random_state=0)).fit(X, WEIGHT)
    gate = Gate([Deployment("weight", ModelPackage.from_estimator(model, X), plans=False)], keys="open")
    calls.clear()
    curve(Client(gate.wsgi), "weight", row=ROW, column="age", points=7, average=True)

    assert [7 * 201] == calls


@pytest.mark.slow
def test_curve_of_several_outputs():
    model = MultiTarget({"weight": NUMBERS, "churn": CLASSIFIER})
    gate = Gate([Deployment("both", ModelPackage.from_estimator(model, X))], keys="open")
    answer = curve(Client(gate.wsgi), "both", row=ROW, column="age", points=4, average=True)

    for part in ("curve", "average"):
        outputs = answer[part]["outputs"]
        assert ["weight", "churn"] == list(outputs)
        assert 4 == len(outputs["weight"]["prediction"]) == len(outputs["churn"]["probabilities"]["no"])
    assert "prediction" not in answer["average"]["outputs"]["churn"]


@pytest.mark.parametrize(
    ("column", "statistics", "grid"),
    [
        (Column("a", "number"), {"deciles": [-100.0, *range(9), 100.0]}, [0, 2, 4, 6, 8]),
        (Column("a", "number"), {"deciles": [-1.0, *[0.0] * 9, 3.0]}, [-1, 0, 1, 2, 3]),
        (Column("a", "number", observed_range=(0, 4)), {}, [0, 1, 2, 3, 4]),
        (Column("a", "number", minimum=2, maximum=4), {}, [2, 2.5, 3, 3.5, 4]),
        (Column("a", "number", minimum=0), {"deciles": [float(n) for n in range(-5, 6)]}, [0, 1, 2, 3, 4]),
        (Column("a", "integer"), {"deciles": [0.0, *[0.0] * 5, *[2.0] * 5]}, [0, 1, 2]),
        (Column("a", "boolean"), {}, [False, True]),
        (Column("a", "text", ("x", "y")), {}, ["x", "y"]),
    ],
)
def test_default_grid(column, statistics, grid):
    assert grid == default_grid(column, statistics, 5)


def test_curve_has_50_points_by_default(client):
    deciles = np.quantile(X["age"], [0.1, 0.9])
    grid = curve(client, "weight", row=ROW, column="age")["grid"]

    assert pytest.approx(np.linspace(*deciles, 50)) == grid


def test_null_members_of_a_request_for_a_curve_count_as_left_out(client):
    nulls = dict.fromkeys(["points", "grid", "average"])
    bodies = [{"column": "age", "row": ROW}, {"column": "age", "row": ROW, **nulls}]
    bodies += [{"column": "age", "average": True}, {"column": "age", "average": True, "row": None}]
    answers = [client.post("/deployments/weight/curves", json=body).json() for body in bodies]
    for answer in answers:
        del answer["request_id"]

    assert (answers[0], answers[2]) == (answers[1], answers[3])
    assert "curve" in answers[0]
    assert "average" in answers[2]


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        (
            "weight",
            {"column": "ages", "row": ROW},
            "column must be a column of the model (got 'ages'): did you",
        ),
        ("weight", {"column": "?" * 500, "row": ROW}, "column must be a column of the model"),
        ("weight", {"column": "age"}, "row must be an object of feature names and values"),
        ("weight", {"column": "age", "row": [1]}, "row must be an object of feature names and values"),
        ("weight", {"column": "age", "row": 1, "average": True}, "row must be an object"),
        ("weight", {"column": "age", "row": ROW, "points": 201}, "must have 1 to 200 points (got 201)"),
        ("weight", {"column": "age", "row": ROW, "points": 0}, "must have 1 to 200 points (got 0)"),
        ("weight", {"column": "age", "row": ROW, "grid": [0] * 201}, "must have 1 to 200 points (got 201)"),
        ("weight", {"column": "age", "row": ROW, "grid": []}, "must have 1 to 200 points (got 0)"),
        ("weight", {"column": "age", "row": ROW, "grid": [1], "points": 1}, "points must be left out"),
        ("weight", {"column": "plan", "row": ROW, "grid": ["free", "?"]}, "plan must be one of free, pro"),
        ("weight", {"column": "age", "row": {"age": 1}}, "missing input data"),
        ("weight", {"colum": "age", "row": ROW}, "unknown field `colum`"),
        ("bare", {"column": "age", "row": ROW}, "The range of age is not known: send the values"),
        ("bare", {"column": "plan", "average": True}, "has no packaged rows: leave out average"),
    ],
)
def test_curve_rejects_invalid_requests(client, name, body, message):
    response = client.post(f"/deployments/{name}/curves", json=body)

    assert 400 == response.status
    assert message in response.json()["detail"]


def test_null_members_count_as_left_out(client):
    body = {"column": "plan", "average": True}
    nulls = dict.fromkeys(["row", "grid", "points"])

    assert curve(client, "weight", **body)["average"] == curve(client, "weight", **body, **nulls)["average"]


def test_curve_has_no_options_in_the_query_string(client):
    response = client.post("/deployments/weight/curves?intervals=90", json={"column": "age", "row": ROW})

    assert "members of the body" in response.json()["detail"]


@pytest.mark.slow
def test_average_needs_numbers_or_probabilities():
    package = ModelPackage.from_estimator(fit(LinearSVC(max_iter=10_000), LABELS), X)
    client = Client(Gate([Deployment("churn", package)], keys="open").wsgi)
    response = client.post("/deployments/churn/curves", json={"column": "age", "average": True})

    assert "has neither numbers nor probabilities to average" in response.json()["detail"]
    assert 50 == len(curve(client, "churn", column="age", row=ROW)["curve"]["prediction"])


def test_hidden_schema_is_not_shown_by_a_curve(package):
    schema = package.schema.with_options(show_schema=False)
    client = Client(Gate([Deployment("weight", package, schema=schema)], keys="open").wsgi)
    hidden = client.post("/deployments/weight/curves", json={"column": "age", "row": ROW})
    unknown = client.post("/deployments/weight/curves", json={"column": "ages", "row": ROW})

    assert "does not show its schema" in hidden.json()["detail"]
    assert "did you mean" not in unknown.json()["detail"]
    assert [1.0] == curve(client, "weight", column="age", row=ROW, grid=[1])["grid"]


def test_curve_of_dates_and_text_needs_a_grid():
    def length(table):
        days = table["day"].astype("datetime64[D]").astype(int).tolist()
        return [len(name) + day for name, day in zip(table["name"], days, strict=True)]

    schema = Schema.of(name=str, day="datetime")
    client = Client(Gate([Deployment("length", length, schema=schema)], keys="open").wsgi)
    row = {"name": "abc", "day": "1970-01-02"}

    assert [1, 5] == curve(client, "length", column="name", row=row, grid=["", "abcd"])["curve"]["prediction"]
    assert [3, 13] == curve(client, "length", column="day", row=row, grid=["1970-01-01", "1970-01-11"])[
        "curve"
    ]["prediction"]
    assert (
        "The range of day is not known"
        in (client.post("/deployments/length/curves", json={"column": "day", "row": row}).json()["detail"])
    )


def test_rate_limit_counts_the_rows_of_a_curve(package):
    layers = [KeyAuth({KEY: "weight"}), RateLimit("1000/minute", cost="rows")]
    gate = Gate([Deployment("weight", package)], layers=layers)
    client = Client(gate.wsgi, headers={"x-api-key": KEY})
    statuses = [
        client.post("/deployments/weight/curves", json={"column": "age", "row": ROW, "points": 150}).status
        for _ in range(7)
    ]

    assert [200] * 6 + [429] == statuses


def test_average_of_a_deployment_with_an_exposure_is_rejected(package):
    """The packaged rows have none."""
    deployment = Deployment("claims", package, exposure=Exposure("years", model_predicts="rate"))
    client = Client(Gate([deployment], keys="open").wsgi)
    response = client.post("/deployments/claims/curves", json={"column": "age", "average": True})

    assert 400 == response.status
    assert "no packaged rows with an exposure: leave out average" in response.json()["detail"]


@pytest.mark.slow
def test_shadow_does_not_score_curves(package):
    deployment = Deployment("weight", package, shadow=Shadow(package, sample=1.0))
    gate = Gate([deployment], keys="open")
    curve(Client(gate.wsgi), "weight", column="age", row=ROW)
    gate.score("weight", ROW)
    gate.score("weight", ROW, context=True)
    wait_until(lambda: gate.deployments.shadow_report("weight").rows == 2)

    assert (2, 0) == gate.deployments.shadow_report("weight")[0::3]


def test_openapi_describes_curves(gate, client):
    for name in ("weight", "churn"):
        document = OpenAPIDocument(gate.openapi(name))
        operation = document.document["paths"][f"/deployments/{name}/curves"]["post"]
        request = document.resolve(operation["requestBody"])["content"]["application/json"]
        response = document.resolve(operation["responses"]["200"])["content"]["application/json"]
        answer = curve(client, name, **request["example"], average=True)

        document.check(request["schema"], request["example"])
        document.check(response["schema"], answer)
        with pytest.raises(ValidationError):
            document.check(response["schema"], {**answer, "curve": {"prediction": [{}]}})


def test_table_cross_keeps_nulls_and_kinds():
    schema = Schema(
        [Column("a", "number", nullable=True), Column("b", "text", nullable=True), Column("c", "boolean")]
    )
    table = schema.read([{"a": 1, "b": "x", "c": True}, {"a": None, "b": None, "c": False}])
    crossed = table.cross(schema.read_column(schema.columns[1], ["y", None]))

    assert isinstance(crossed, Table)
    assert [
        {"a": 1.0, "b": "y", "c": True},
        {"a": None, "b": "y", "c": False},
        {"a": 1.0, "b": None, "c": True},
        {"a": None, "b": None, "c": False},
    ] == crossed.rows()


def test_curve_is_rounded_as_predictions_are():
    model = LinearRegression().fit(X[["age"]], WEIGHT)
    gate = Gate([Deployment("weight", model, decimals=1)], keys="open")
    points = curve(Client(gate.wsgi), "weight", column="age", row=ROW, grid=[0.1, 0.2])["curve"]["prediction"]

    assert [round(point, 1) for point in points] == points


def test_forecaster_has_neither_curves_nor_context():
    gate = Gate([Deployment("sales", Drift(SPEC))], keys="open")
    client, row = Client(gate.wsgi), drift_rows()[0]
    curve_response = client.post(
        "/deployments/sales/curves", json={"column": "date", "row": row, "grid": ["x"]}
    )
    context = client.post("/deployments/sales/predict?context=true", json=drift_rows())

    assert "which have no response curves" in curve_response.json()["detail"]
    assert "leave out context" in context.json()["detail"]
    assert "/deployments/sales/curves" not in gate.openapi("sales")["paths"]


def test_gate_returns_the_curve_of_a_row(gate):
    prediction = gate.curve("weight", "age", pd.DataFrame([ROW]), grid=np.array([-2, 0.5]))
    rows = [{**ROW, "age": -2}, {**ROW, "age": 0.5}]

    assert gate.score("weight", rows).values.tolist() == prediction.values.tolist()
    assert ("age", [-2, 0.5], None) == (
        prediction.curve.column,
        prediction.curve.grid,
        prediction.curve.average,
    )


def test_gate_returns_the_average_alone(gate, client):
    prediction = gate.curve("churn", "plan", average=True)
    average = curve(client, "churn", column="plan", average=True)["average"]["probabilities"]

    assert 0 == len(prediction)
    assert list(average.values()) == prediction.curve.average[0].probabilities.T.tolist()


@CLIENTS
@pytest.mark.parametrize("name", ["weight", "churn"])
def test_clients_return_the_curve_and_the_average(gate, client, ask, name):
    row = {**ROW, "age": np.float64(1)}
    result = ask(gate, name, "visits", row, points=3, average=True)
    answer = curve(client, name, column="visits", row=ROW, points=3, average=True)

    assert answer["grid"] == result.grid
    assert answer["curve"]["prediction"] == result.curve.values
    assert answer["average"].get("prediction") == result.average.values
    assert answer["curve"].get("probabilities") == result.curve.probabilities
    assert ("visits", "1", []) == (result.column, result.version, result.warnings)
    assert result.request_id


@pytest.mark.slow
@CLIENTS
def test_clients_return_curves_of_several_outputs(ask):
    model = MultiTarget({"weight": NUMBERS, "churn": CLASSIFIER})
    gate = Gate([Deployment("both", model)], keys="open")
    result = ask(gate, "both", "age", ROW, grid=np.array([-1.0, 1.0]))

    assert result.average is None
    assert gate.score("both", rows_with([ROW], "age", 1.0)).values.tolist() == [
        result.curve.outputs["weight"].values[1]
    ]


@IN_PYTHON
@pytest.mark.parametrize(
    ("args", "options", "kind", "message"),
    [
        (("ages", ROW), {}, InvalidInput, "column must be a column of the model"),
        (("age",), {}, InvalidInput, "it can be left out only if average is true"),
        (("age", ROW), {"points": 0}, InvalidInput, "must have 1 to 200 points"),
        (("age", ROW), {"points": 3, "grid": [1]}, InvalidInput, "points must be left out"),
        (("plan", ROW), {"grid": ["?"]}, InvalidValues, "plan"),
    ],
)
def test_invalid_curves_raise_the_same_errors_in_python(gate, ask, args, options, kind, message):
    with pytest.raises(kind, match=message):
        ask(gate, "weight", *args, **options)


def test_curve_of_several_rows_is_rejected(gate):
    with pytest.raises(InvalidInput, match=r"row must be a single row \(got 2 rows\)"):
        gate.curve("weight", "age", [ROW, ROW])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"column": "age", "model_version": "1"}, "is not a curve: .*`grid`"),
        ({"column": "age", "grid": [], "model_version": "1"}, "lacks the requested curve"),
    ],
)
def test_client_rejects_other_responses(answer, message):
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer))
    client = modelgate.client.Client("http://app/weight", http=httpx.Client(transport=transport))
    with pytest.raises(modelgate.client.UnexpectedResponse, match=message):
        client.curve("age", ROW)
