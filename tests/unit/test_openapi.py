"""OpenAPI documents of deployments."""

import functools
import re
from urllib.parse import urljoin

import msgspec
import numpy as np
import pytest
from openapi_spec_validator import validate
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier

from modelgate import Column, Deployment, Explanations, Gate, ModelPackage, Response, Schema, errors
from modelgate.dialects import DIALECTS, DataRobot, RequestTemplate, render_request
from modelgate.dialects import OpenAPISpec as DialectDocument
from modelgate.testing import Client
from support.keys import KEY, OTHER_KEY
from support.marks import slow
from support.openapi import OpenAPIDocument, list_examples

X = np.array([[float(a), float(b)] for a in range(6) for b in range(6)])
SIGN = np.where(X[:, 0] > 2, "high", "low")
SCHEMA = Schema.of(
    a=Column("a", minimum=-5, maximum=50, description="in metres", typical_value=4.5),
    b=Column("b", nullable=False),
)
MODELS = {
    "classifier": lambda: LogisticRegression().fit(X, SIGN),
    "regressor": lambda: LinearRegression().fit(X, X[:, 0]),
    "outputs": lambda: LinearRegression().fit(X, X * 2),
    "classifying outputs": lambda: MultiOutputClassifier(LogisticRegression()).fit(
        X, np.c_[SIGN, SIGN[::-1]]
    ),
    "booleans": lambda: LogisticRegression().fit(X, X[:, 0] > 2),
    "no probabilities": lambda: RidgeClassifier().fit(X, SIGN),
    "function": lambda: lambda table: table["a"],
}


@functools.cache
def fit_model(name):
    return MODELS[name]()


def make_gate(model="classifier", schema=SCHEMA, keys=None, dialects=None, idempotency=False, **options):
    deployment = Deployment("d", fit_model(model), schema=schema, version="v 1".replace(" ", "%"), **options)
    keys = keys or {KEY: "d", OTHER_KEY: "other"}
    return Gate([deployment], keys=keys, dialects=dialects, idempotency=idempotency)


@pytest.mark.slow
def test_document_describes_the_idempotency_key():
    gate = make_gate(dialects=["native"], idempotency=True)
    document = gate.openapi("d")

    validate(document)
    operation = document["paths"]["/deployments/d/predict"]["post"]
    assert {"$ref": "#/components/parameters/Idempotency-Key"} in operation["parameters"]
    assert {"409", "422"} <= operation["responses"].keys()
    examples = document["components"]["responses"]["native_409"]["content"]["application/problem+json"][
        "examples"
    ]
    assert 409 == examples["request_in_progress"]["value"]["status"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "keys"),
    [
        ("classifier", None),
        *slow(("classifier", "open"), *((model, None) for model in sorted(MODELS.keys() - {"classifier"}))),
    ],
)
def test_document_is_valid(model, keys):
    """For each kind of model, in all dialects, according to the validator of the specification."""
    document = make_gate(model, keys=keys, target="t", endpoint="/ask").openapi("d")
    reading = OpenAPIDocument(document)

    validate(document)
    assert "3.1.0" == document["openapi"]
    assert set(DIALECTS) == {operation["operationId"] for _, operation in reading.list_operations()} & set(
        DIALECTS
    )
    assert "/ask" in document["paths"]
    for schema, example in list_examples(document):
        reading.check(schema, example)


@pytest.mark.slow
def test_document_of_a_deployment_that_explains():
    """It alone has the parameters and the path of explanations, whose responses fit their schemas."""
    dialects = ["native", "datarobot"]
    explained = make_gate(dialects=dialects, explanations=Explanations(background=[{"a": 1, "b": 2}]))
    client = Client(explained.wsgi, headers={"authorization": f"Bearer {KEY}"})
    document, plain = OpenAPIDocument(explained.openapi("d")), make_gate(dialects=dialects).openapi("d")
    paths = dict(document.list_operations())
    old = "/predApi/v1.0/deployments/d/predictionExplanations"

    validate(document.document)
    assert {old, old.removeprefix("/predApi/v1.0")} == paths.keys() - plain["paths"].keys()
    assert "explain" not in str(plain["paths"]["/deployments/d/predict"]["post"]["parameters"])
    for path, options in {
        "/deployments/d/predict": ["explain", "threshold_low", "threshold_high"],
        "/predApi/v1.0/deployments/d/predictions": ["maxExplanations", "thresholdLow", "thresholdHigh"],
        old: ["maxExplanations", "thresholdLow", "thresholdHigh"],
    }.items():
        parameters = {item.get("name"): item for item in paths[path]["parameters"]}
        query = "&".join(f"{name}={parameters[name]['example']}" for name in options)
        response = client.post(f"{path}?{query}", json={"a": 4, "b": 5})
        assert 200 == response.status
        document.check_response(paths[path], response)


def list_schemas(part):
    """Yield each object in a document, which may be a schema."""
    for value in part.values() if isinstance(part, dict) else part:
        if isinstance(value, dict | list):
            yield from list_schemas(value)
    if isinstance(part, dict):
        yield part


@pytest.mark.parametrize("model", ["outputs", *slow(*sorted(MODELS.keys() - {"outputs"}))])
def test_schemas_suit_generators(model):
    """Each array has items, and each inner object of an answer, an error or a request has a name."""
    gate = make_gate(model, target="a name, with characters")
    client = Client(gate.wsgi, headers={"authorization": f"Bearer {KEY}"})
    documents = [gate.openapi("d"), gate.openapi(), client.get("/deployment/d/openapi.json").json()]
    arrays = [
        schema
        for document in documents
        for schema in list_schemas(document)
        if "array" in (schema.get("type") if isinstance(schema.get("type"), list) else [schema.get("type")])
    ]
    components = {
        name: schema
        for name, schema in documents[0]["components"]["schemas"].items()
        if name not in ("Row", "Columns")
    }
    inner = [part for schema in components.values() for part in list_schemas(schema) if part is not schema]

    assert len(arrays) > 50
    assert [] == [schema for schema in arrays if "items" not in schema]
    assert [] == [part for part in inner if part.get("type") == "object"]
    # openapi-python-client writes invalid code for a constant that is no text.
    assert [] == [part for part in inner if isinstance(part.get("const"), bool)]
    for name in components:
        assert re.fullmatch(r"[\w.-]+", name, re.ASCII)


@pytest.mark.slow
def test_request_examples_work_with_several_deployments():
    """The document only has paths that select its deployment."""
    deployments = [Deployment(name, fit_model("classifier"), schema=SCHEMA) for name in "de"]
    gate = Gate(deployments, keys={KEY: ["d", "e"]})
    reading, paths = OpenAPIDocument(gate.openapi("d")), []
    for path, operation in reading.list_operations():
        asked = path.replace("{key}", KEY)
        for kind, content in reading.resolve(operation["requestBody"])["content"].items():
            if "example" in content:
                example, text = content["example"], kind.startswith("text/")
                body = example.encode() if text else msgspec.json.encode(example)
                headers = {"authorization": f"Bearer {KEY}", "content-type": kind}
                body = body.replace(b"YOUR_API_KEY", KEY.encode())
                assert 200 == Client(gate.wsgi).post(asked, body=body, headers=headers).status, (path, kind)
        paths.append(path)

    assert {"/api/predict", "/mlflow/d/invocations"} < set(paths)
    assert "/invocations" not in paths
    assert "/invocations" in make_gate().openapi("d")["paths"]


@pytest.mark.slow
@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("model", ["classifier", *slow(*sorted(MODELS.keys() - {"classifier"}))])
def test_request_examples_get_the_documented_response(model, name):
    gate = make_gate(model, dialects=[name], decimals=None)
    reading = OpenAPIDocument(gate.openapi("d"))
    operation = reading.find_operation(name)
    example = reading.resolve(operation["requestBody"])["content"]["application/json"]["example"]
    path = next(path for path, listed in reading.list_operations() if listed is operation)
    sent = msgspec.json.encode(example).replace(b"YOUR_API_KEY", KEY.encode())
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    answer = Client(gate.wsgi).post(path, body=sent, headers=headers)
    documented = reading.resolve(operation["responses"]["200"])["content"]["application/json"]

    assert 200 == answer.status, answer
    reading.check_response(operation, answer)
    assert (model != "function") == ("example" in documented)
    # These responses have the id of the request, or its time.
    if name not in ("plexe", "native") and model != "function":
        assert documented["example"] == answer.json()


class Failing:
    """Estimator that fails for rows whose first column is positive, as in the schema's example."""

    n_features_in_ = 2

    def predict(self, rows):
        if (rows[:, 0] > 0).any():
            raise RuntimeError
        return rows[:, 0]


def asked(name, rows, key=KEY, schema=SCHEMA):
    return render_request(DIALECTS[name]().request_template, "d", key, schema, rows)


GOOD = {"a": 1.0, "b": 2.0}


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["wsgi", *slow("asgi")])
@pytest.mark.parametrize("name", DIALECTS)
def test_responses_match_the_document(name, interface, tmp_path):
    """Status, body and headers, of successes and errors."""
    gate = make_gate(dialects=[name])
    client, reading = Client(getattr(gate, interface)), OpenAPIDocument(gate.openapi("d"))
    path, headers, body = asked(name, [GOOD, GOOD])
    answers = {
        "rows": client.post(path, headers=headers, body=body),
        "broken": client.post(path, headers=headers, body=body[:-3]),
        "empty": client.post(path, headers=headers, body=b"{}"),
        "wrong": client.post(path, headers=headers, body=asked(name, [{"a": 70, "b": "x"}]).body),
        "null": client.post(path, headers=headers, body=asked(name, [{"a": 1}]).body),
        "nobody": client.post(path, headers=asked(name, [GOOD], "no key").headers, body=asked(name, [GOOD], "no key").body),
        "kind": client.post(path, headers={**headers, "Content-Type": "image/png"}, body=body),
        "coding": client.post(path, headers={**headers, "Content-Encoding": "br"}, body=body),
        "long": client.post(path, headers=headers, body=b" " * (51 * 1024 * 1024)),
    }  # fmt: skip
    other = asked(name, [GOOD], OTHER_KEY)
    answers["forbidden"] = client.post(path, headers=other.headers, body=other.body)

    statuses = {case: answer.status for case, answer in answers.items()}
    bad = 422 if name == "datarobot" else 400
    expected = {
        "rows": 200,
        "broken": 400,
        "nobody": 401,
        "forbidden": 403,
        "kind": 415,
        "coding": 415,
        "long": 413,
    }
    assert {**statuses, **expected, "wrong": bad} == statuses
    for answer in answers.values():
        reading.check_response(reading.find_operation(name), answer)


@pytest.mark.slow
@pytest.mark.parametrize("name", DIALECTS)
def test_error_responses_match_the_document(name):
    """429, 500, and 503 or 403 of a paused deployment."""
    for options, limits, status in (
        ({"model": Failing()}, None, {500}),
        ({"model": Failing(), "state": "paused"}, None, {403, 503}),
        ({"model": fit_model("classifier")}, "1/hour", {429}),
    ):
        gate = Gate(
            [Deployment("d", schema=SCHEMA, **options)], keys={KEY: "d"}, dialects=[name], limits=limits
        )
        reading = OpenAPIDocument(make_gate(dialects=[name]).openapi("d"))
        path, headers, body = asked(name, [GOOD])
        client = Client(gate.wsgi)
        answers = [client.post(path, headers=headers, body=body) for _ in range(2)]

        assert answers[-1].status in status
        reading.check_response(reading.find_operation(name), answers[-1])


def test_document_has_an_example_of_every_error():
    """Except errors of routes that do not score."""
    deployment = Deployment("d", fit_model("classifier"), schema=SCHEMA)
    document = Gate([deployment], keys={KEY: "d"}, dialects=["mlclever"], idempotency=True).openapi("d")
    codes = {
        code
        for response in document["components"]["responses"].values()
        for content in response["content"].values()
        for code in content.get("examples", {})
    }
    kinds = [getattr(errors, name) for name in errors.__all__]
    raised = {kind.code for kind in kinds if issubclass(kind, errors.AnswerableError)}

    unscored = {"bad_request", "forbidden", "method_not_allowed", "unknown_columns"}

    assert raised - unscored == {code for code in codes if not code[-1].isdigit()}


def test_document_describes_columns_and_classes():
    schema = Schema.of(
        a=Column("a", minimum=0, maximum=9, description="in metres", typical_value=4.5),
        b=Column("b", "integer", nullable=True),
        c=Column("c", "text", pattern="^[a-z]", max_length=80, required=False),
        d=[True, False],
        e=Column("e", "text", ("x", "y"), nullable=True, default="y"),
        f=Column("f", "any"),
    )
    gate = Gate(keys="open", dialects=["mlclever"])
    gate.deployments.add(
        Deployment("d", lambda table: table["a"], schema=schema.with_options(extra_columns="forbid"))
    )
    schemas = gate.openapi("d")["components"]["schemas"]
    bounds = {"minimum": -(2**53), "maximum": 2**53}

    assert {
        "type": "object",
        "properties": {
            "a": {
                "type": "number",
                "minimum": 0,
                "maximum": 9,
                "description": "in metres",
                "examples": [4.5],
            },
            "b": {"type": ["integer", "null"], **bounds, "examples": [0]},
            "c": {"type": "string", "maxLength": 80, "pattern": "^[a-z]", "examples": ["text"]},
            "d": {"type": "boolean", "enum": [True, False], "examples": [True]},
            "e": {"type": ["string", "null"], "enum": ["x", "y", None], "default": "y", "examples": ["y"]},
            "f": {"type": ["number", "string", "boolean"], "examples": [0]},
        },
        "required": ["a", "b", "d", "f"],
        "additionalProperties": False,
        "examples": [{"a": 4.5, "b": 0, "c": "text", "d": True, "e": "y", "f": 0}],
    } == schemas["Row"]
    assert ({"array"}, 6) == ({schemas["Values"]["type"]}, len(schemas["Values"]["prefixItems"]))
    assert {"type": "array", "items": schemas["Row"]["properties"]["a"]} == schemas["Columns"]["properties"][
        "a"
    ]


@pytest.mark.slow
def test_document_without_example_row():
    """A text column with a pattern has no generated example."""
    schema = Schema.of(a=Column("a", "text", pattern="^[0-9]{7}x$"))
    gate = Gate(
        [Deployment("d", lambda table: [1] * len(table), schema=schema)], keys="open", dialects=["simple"]
    )
    document = gate.openapi("d")

    validate(document)
    assert "examples" not in document["components"]["schemas"]["Row"]
    assert "example" not in document["components"]["requestBodies"]["simple"]["content"]["application/json"]


def test_document_does_not_call_functions():
    """They may have side effects."""
    called = []
    gate = Gate([Deployment("d", called.append, schema=SCHEMA)], keys="open")
    gate.openapi("d")

    assert [] == called


@pytest.mark.slow
@pytest.mark.parametrize("spoiled", [False, True])
def test_document_loads_a_model_for_its_example(spoiled, tmp_path):
    """If that fails, the document contains what the package describes."""
    path = tmp_path / "d.mgpkg"
    package = ModelPackage.from_estimator(fit_model("classifier"), X, SIGN)
    package.save(path, folder=True)
    if spoiled:
        (path / "model.skops").write_bytes(b"spoiled")
    document = Gate([Deployment("d", path)], keys="open", dialects=["simple"]).openapi("d")
    schema = document["components"]["schemas"]["simple_answer"]["anyOf"][0]
    answer = OpenAPIDocument(document).resolve(schema)["properties"]

    validate(document)
    assert {"enum": ["high", "low"]} == answer["prediction"]
    assert spoiled == ("confidence" not in answer)
    assert spoiled == ("example" not in str(document["components"]["responses"]["simple_200"]["content"]))


class Counting:
    """Estimator that counts its calls."""

    n_features_in_ = 2

    def __init__(self):
        self.asked = 0

    def predict(self, rows):
        self.asked += 1
        return np.zeros(len(rows))


def test_example_is_scored_once_for_dialects_that_round_alike():
    model = Counting()
    gate = Gate([Deployment("d", model, schema=SCHEMA, plans=False)], keys="open")
    gate.openapi("d")
    before = model.asked
    gate.openapi("d")

    assert 2 == model.asked - before


@pytest.mark.slow
def test_document_without_example_response():
    """The model cannot score the example row."""
    document = Gate([Deployment("d", Failing(), schema=SCHEMA)], keys="open").openapi("d")

    validate(document)
    assert all("example" not in response["content"]["application/json"]
               for name, response in document["components"]["responses"].items() if name.endswith("_200"))  # fmt: skip


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_document_endpoint(interface):
    """Its servers entry is relative to its path."""
    gate = make_gate()
    client = Client(getattr(gate, interface), headers={"x-api-key": KEY})
    answer = client.get("/deployments/d/openapi.json")
    document = answer.json()
    base = urljoin("http://host/ml/deployments/d/openapi.json", document["servers"][0]["url"])

    assert 200 == answer.status
    assert 'inline; filename="d.openapi.json"' == answer.header("content-disposition")
    assert gate.openapi("d")["paths"] == document["paths"]
    assert "http://host/ml/" == base


def test_document_needs_access_to_the_schema():
    schema = SCHEMA.with_options(show_schema=False)
    gate = make_gate(schema=schema)
    with pytest.raises(errors.Forbidden):
        gate.openapi("d")
    with pytest.raises(errors.NotFound):
        gate.openapi("other")
    ask = "/deployments/d/openapi.json"

    assert 403 == Client(gate.wsgi, headers={"x-api-key": KEY}).get(ask).status
    assert 401 == Client(make_gate().wsgi).get(ask).status
    assert 403 == Client(make_gate().wsgi, headers={"x-api-key": OTHER_KEY}).get(ask).status


def test_document_has_the_security_schemes_of_each_dialect():
    """An open gate has none."""
    document = make_gate(dialects=["mlclever", "plexe", DataRobot(datarobot_key="x")]).openapi("d")
    reading = OpenAPIDocument(document)

    assert [{"bearer": []}, {"x-api-key": []}, {}] == reading.find_operation("mlclever")["security"]
    assert [{"bearer": []}, {"x-api-key": []}] == reading.find_operation("plexe")["security"]
    assert {"bearer": [], "datarobot-key": []} == reading.find_operation("datarobot")["security"][0]
    assert {"bearer", "x-api-key", "basic", "token", "datarobot-key"} == set(
        document["components"]["securitySchemes"]
    )
    document = make_gate(keys="open").openapi("d")
    assert {} == document["components"]["securitySchemes"]
    assert not any(
        "401" in operation["responses"] or "security" in operation
        for _, operation in OpenAPIDocument(document).list_operations()
    )


def test_unknown_security_scheme_is_rejected():
    with pytest.raises(errors.ConfigurationError) as info:
        DialectDocument("t", {}, lambda targets: {}, {}, keys=[["bearer"], ["cookie"]])

    assert str(info.value).startswith("keys must be lists of names from bearer, x-api-key")


def test_rate_limit_headers_are_documented_if_there_are_limits():
    """Responses with 401 do not have them."""
    limited = make_gate(dialects=["simple"]).openapi("d")["components"]
    free = Gate([Deployment("d", MODELS["regressor"](), schema=SCHEMA)], keys={KEY: "d"}, limits=[])

    assert {"X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} == set(
        limited["headers"]
    )
    assert "X-RateLimit-Limit" in limited["responses"]["simple_200"]["headers"]
    assert "X-RateLimit-Limit" not in limited["responses"]["simple_401"]["headers"]
    assert {"X-Request-ID"} == set(free.openapi("d")["components"]["headers"])


class Terse:
    """Dialect without an OpenAPI description."""

    name = "very terse"
    max_body = 1000
    routes = (*DIALECTS["simple"].routes,)

    def __init__(self, **more):
        self.__dict__.update(more)

    def credentials(self, request):
        yield from ()
        return None

    def decode(self, request):
        return DIALECTS["simple"]().decode(request)

    def encode(self, request, query, prediction):
        return Response(
            200, str(prediction.values[0]).encode(), [("content-type", "text/plain; charset=utf-8")]
        )

    def encode_error(self, request, error):
        return Response(error.status, error.message.encode(), [("content-type", "text/plain")])


@pytest.mark.slow
@pytest.mark.parametrize(
    "template", [{}, {"request_template": RequestTemplate("/simple/{deployment}", {}, "{row}")}]
)
def test_dialect_without_description_is_described_by_its_responses(template):
    document = make_gate("regressor", dialects=[Terse(**template)], keys="open").openapi("d")
    answer = document["components"]["responses"]["very_terse_200"]["content"]

    validate(document)
    assert ["very_terse"] == [
        operation["operationId"] for _, operation in OpenAPIDocument(document).list_operations()
    ]
    assert {"text/plain"} == set(document["components"]["responses"]["very_terse_400"]["content"])
    assert (["text/plain"] if template else ["application/json"]) == list(answer)
    assert bool(template) == ("example" in str(answer))


def test_lenient_schema_accepts_text():
    """A number may be text, and an unknown level is accepted."""
    schema = Schema.of(a=float, b=["x"]).with_options(coerce_strings=True, unknown_levels="warn")
    document = Gate([Deployment("d", len, schema=schema)], keys="open").openapi("d")
    row = document["components"]["schemas"]["Row"]["properties"]

    assert [{"type": "number"}, {"type": "string", "description": "The value as text"}] == row["a"]["anyOf"]
    assert {"type": "string", "examples": ["x"]} == row["b"]


def test_csv_is_an_example_too():
    bodies = make_gate(dialects=["mlflow"]).openapi("d")["components"]["requestBodies"]

    assert "a,b\n4.5,0.0\n" == bodies["mlflow"]["content"]["text/csv"]["example"]


@pytest.mark.slow
def test_merged_document_is_valid_and_its_examples_work():
    gate = Gate(
        [Deployment(name, fit_model("classifier"), schema=SCHEMA) for name in ("d", "e")], keys={KEY: "*"}
    )
    client = Client(gate.wsgi, headers={"authorization": f"Bearer {KEY}"})
    document = client.get("/openapi.json").json()
    reading = OpenAPIDocument(document)

    validate(document)
    assert "/api/predict" not in document["paths"]
    for name in ("d", "e"):
        operation = reading.find_operation(f"{name}_native")
        body = reading.resolve(operation["requestBody"])["content"]["application/json"]["example"]
        response = client.post(f"/deployments/{name}/predict", json=body)

        assert 200 == response.status
        reading.check_response(operation, response)
