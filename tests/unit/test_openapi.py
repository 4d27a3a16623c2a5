"""The OpenAPI document of a deployment."""

from urllib.parse import urljoin

import msgspec
import numpy as np
import pytest
from openapi_spec_validator import validate
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier

from conftest import KEY, OTHER_KEY
from modelgate import Column, Deployment, Gate, ModelPackage, Response, Schema, errors
from modelgate.dialects import DIALECTS, DataRobot, Sample, filled
from modelgate.dialects import Document as DialectDocument
from modelgate.testing import Client
from openapi_reading import Document, contents

X = np.array([[float(a), float(b)] for a in range(6) for b in range(6)])
SIGN = np.where(X[:, 0] > 2, "high", "low")
SCHEMA = Schema.of(
    a=Column("a", minimum=-5, maximum=50, description="in metres", typical=4.5), b=Column("b", nullable=False)
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


def gate_of(model="classifier", schema=SCHEMA, keys=None, dialects=None, **options):
    deployment = Deployment("d", MODELS[model](), schema=schema, version="v 1".replace(" ", "%"), **options)
    return Gate([deployment], keys=keys or {KEY: "d", OTHER_KEY: "other"}, dialects=dialects)


@pytest.mark.parametrize("keys", [None, "open"])
@pytest.mark.parametrize("model", MODELS)
def test_it_is_valid_and_its_examples_are_as_it_says(model, keys):
    """For each kind of model, in all dialects; the specification's own validator says so."""
    document = gate_of(model, keys=keys, target="t", endpoint="/ask").openapi("d")
    reading = Document(document)

    validate(document)
    assert "3.1.0" == document["openapi"]
    assert set(DIALECTS) == {told["operationId"] for _, told in reading.operations()} & set(DIALECTS)
    assert "/ask" in document["paths"]
    for schema, example in contents(document):
        reading.check(schema, example)


def test_every_example_of_a_gate_of_several_deployments_is_answered():
    """On each path that its document names: there is none on which another deployment could be meant."""
    deployments = [Deployment(name, MODELS["classifier"](), schema=SCHEMA) for name in "de"]
    gate = Gate(deployments, keys={KEY: ["d", "e"]})
    reading, paths = Document(gate.openapi("d")), []
    for path, told in reading.operations():
        asked = path.replace("{key}", KEY)
        for kind, content in reading.follow(told["requestBody"])["content"].items():
            if "example" in content:
                example, text = content["example"], kind.startswith("text/")
                body = example.encode() if text else msgspec.json.encode(example)
                headers = {"authorization": f"Bearer {KEY}", "content-type": kind}
                body = body.replace(b"YOUR_API_KEY", KEY.encode())
                assert 200 == Client(gate.wsgi).post(asked, body=body, headers=headers).status, (path, kind)
        paths.append(path)

    assert {"/api/predict", "/mlflow/d/invocations"} < set(paths)
    assert "/invocations" not in paths
    assert "/invocations" in gate_of().openapi("d")["paths"]


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("model", MODELS)
def test_an_example_is_answered_as_it_says(model, name):
    """What the document gives as a request gets a 200 as documented; of an estimator, the very example."""
    gate = gate_of(model, dialects=[name], decimals=None)
    reading = Document(gate.openapi("d"))
    operation = reading.of(name)
    example = reading.follow(operation["requestBody"])["content"]["application/json"]["example"]
    path = next(path for path, told in reading.operations() if told is operation)
    sent = msgspec.json.encode(example).replace(b"YOUR_API_KEY", KEY.encode())
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    answer = Client(gate.wsgi).post(path, body=sent, headers=headers)
    documented = reading.follow(operation["responses"]["200"])["content"]["application/json"]

    assert 200 == answer.status, answer
    reading.check_answer(operation, answer)
    assert (model != "function") == ("example" in documented)
    if name not in ("plexe",) and model != "function":
        assert documented["example"] == answer.json()


class Failing:
    """A fitted model that predicts nothing where the first column is above 0, as in the schema's example."""

    n_features_in_ = 2

    def predict(self, rows):
        if (rows[:, 0] > 0).any():
            raise RuntimeError
        return rows[:, 0]


def asked(name, rows, key=KEY, schema=SCHEMA):
    return filled(DIALECTS[name]().sample, "d", key, schema, rows)


GOOD = {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("name", DIALECTS)
def test_answers_are_as_documented(name, interface, tmp_path):
    """Those of a gate, good and bad: status, body and header fields."""
    gate = gate_of(dialects=[name])
    client, reading = Client(getattr(gate, interface)), Document(gate.openapi("d"))
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

    statuses = {told: answer.status for told, answer in answers.items()}
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
        reading.check_answer(reading.of(name), answer)


@pytest.mark.parametrize("name", DIALECTS)
def test_answers_to_who_asks_too_much_or_a_model_that_fails_are_as_documented(name):
    """429 and 500, and 503 or 403 of a deployment that is paused."""
    for options, limits, status in (
        ({"model": Failing()}, None, {500}),
        ({"model": Failing(), "state": "paused"}, None, {403, 503}),
        ({"model": MODELS["classifier"]()}, "1/hour", {429}),
    ):
        gate = Gate(
            [Deployment("d", schema=SCHEMA, **options)], keys={KEY: "d"}, dialects=[name], limits=limits
        )
        reading = Document(gate_of(dialects=[name]).openapi("d"))
        path, headers, body = asked(name, [GOOD])
        client = Client(gate.wsgi)
        answers = [client.post(path, headers=headers, body=body) for _ in range(2)]

        assert answers[-1].status in status
        reading.check_answer(reading.of(name), answers[-1])


def test_every_error_is_documented():
    """Of each kind there is an example in some status, but for those that come where nothing is scored."""
    document = gate_of(dialects=["mlclever"]).openapi("d")
    codes = {
        code
        for told in document["components"]["responses"].values()
        for content in told["content"].values()
        for code in content.get("examples", {})
    }
    kinds = [getattr(errors, name) for name in errors.__all__]
    told = {kind.code for kind in kinds if issubclass(kind, errors.AnswerableError)}

    assert told - {"bad_request", "forbidden", "method_not_allowed", "unknown_columns"} == {
        code for code in codes if not code[-1].isdigit()
    }


def test_it_speaks_of_the_rows():
    """In the words of the schema; an answer has the classes."""
    schema = Schema.of(
        a=Column("a", minimum=0, maximum=9, description="in metres", typical=4.5),
        b=Column("b", "integer", nullable=True),
        c=Column("c", "text", pattern="^[a-z]", max_length=80, required=False),
        d=[True, False],
        e=Column("e", "text", ("x", "y"), nullable=True, default="y"),
        f=Column("f", "any"),
    )
    gate = Gate(keys="open", dialects=["mlclever"])
    gate.add(Deployment("d", lambda table: table["a"], schema=schema.reading(extra="forbid")))
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


def test_without_an_example_there_is_none():
    """A text with a pattern has no example that can be made up."""
    schema = Schema.of(a=Column("a", "text", pattern="^[0-9]{7}x$"))
    gate = Gate(
        [Deployment("d", lambda table: [1] * len(table), schema=schema)], keys="open", dialects=["simple"]
    )
    document = gate.openapi("d")

    validate(document)
    assert "examples" not in document["components"]["schemas"]["Row"]
    assert "example" not in document["components"]["requestBodies"]["simple"]["content"]["application/json"]


def test_a_function_is_not_called():
    """It may have effects: nobody asked it."""
    called = []
    gate = Gate([Deployment("d", called.append, schema=SCHEMA)], keys="open")
    gate.openapi("d")

    assert [] == called


@pytest.mark.parametrize("spoiled", [False, True])
def test_a_model_in_a_file(spoiled, tmp_path):
    """It is loaded for the example; one that cannot be has the document that its package alone allows."""
    path = tmp_path / "d.mgpkg"
    package = ModelPackage.from_estimator(MODELS["classifier"](), X, SIGN)
    package.save(path, folder=True)
    if spoiled:
        (path / "model.skops").write_bytes(b"spoiled")
    document = Gate([Deployment("d", path)], keys="open", dialects=["simple"]).openapi("d")
    answer = document["components"]["schemas"]["simple_answer"]["anyOf"][0]["properties"]

    validate(document)
    assert {"enum": ["high", "low"]} == answer["prediction"]
    assert spoiled == ("confidence" not in answer)
    assert spoiled == ("example" not in str(document["components"]["responses"]["simple_200"]["content"]))


class Counting:
    """A fitted model that knows how often it was asked."""

    n_features_in_ = 2

    def __init__(self):
        self.asked = 0

    def predict(self, rows):
        self.asked += 1
        return np.zeros(len(rows))


def test_an_estimator_is_asked_once_for_all_dialects_that_round_alike():
    """Those that round to two decimals, and those that do not round."""
    model = Counting()
    gate = Gate([Deployment("d", model, schema=SCHEMA, plans=False)], keys="open")
    gate.openapi("d")
    before = model.asked
    gate.openapi("d")

    assert 2 == model.asked - before


def test_a_model_that_cannot_score_its_example_has_a_document():
    """Without an example of an answer."""
    document = Gate([Deployment("d", Failing(), schema=SCHEMA)], keys="open").openapi("d")

    validate(document)
    assert all("example" not in told["content"]["application/json"]
               for name, told in document["components"]["responses"].items() if name.endswith("_200"))  # fmt: skip


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_where_it_is_served(interface):
    """Beside the metadata, under a name to save it by; its server is where it comes from."""
    gate = gate_of()
    client = Client(getattr(gate, interface), headers={"x-api-key": KEY})
    answer = client.get("/deployments/d/openapi.json")
    document = answer.json()
    base = urljoin("http://host/ml/deployments/d/openapi.json", document["servers"][0]["url"])

    assert 200 == answer.status
    assert 'inline; filename="d.openapi.json"' == answer.header("content-disposition")
    assert gate.openapi("d")["paths"] == document["paths"]
    assert "http://host/ml/" == base


def test_who_may_see_it():
    """Who may see the columns."""
    schema = SCHEMA.reading(reveal=False)
    gate = gate_of(schema=schema)
    with pytest.raises(errors.Forbidden):
        gate.openapi("d")
    with pytest.raises(errors.NotFound):
        gate.openapi("other")
    ask = "/deployments/d/openapi.json"

    assert 403 == Client(gate.wsgi, headers={"x-api-key": KEY}).get(ask).status
    assert 401 == Client(gate_of().wsgi).get(ask).status
    assert 403 == Client(gate_of().wsgi, headers={"x-api-key": OTHER_KEY}).get(ask).status


def test_where_the_key_stands():
    """As each dialect takes it; a gate that asks for none says nothing of keys."""
    document = gate_of(dialects=["mlclever", "plexe", DataRobot(datarobot_key="x")]).openapi("d")
    reading = Document(document)

    assert [{"bearer": []}, {"x-api-key": []}, {}] == reading.of("mlclever")["security"]
    assert [{"bearer": []}, {"x-api-key": []}] == reading.of("plexe")["security"]
    assert {"bearer": [], "datarobot-key": []} == reading.of("datarobot")["security"][0]
    assert {"bearer", "x-api-key", "basic", "token", "datarobot-key"} == set(
        document["components"]["securitySchemes"]
    )
    document = gate_of(keys="open").openapi("d")
    assert {} == document["components"]["securitySchemes"]
    assert not any(
        "401" in told["responses"] or "security" in told for _, told in Document(document).operations()
    )


def test_a_place_for_keys_that_is_none():
    """Is told where a dialect's document is made."""
    with pytest.raises(errors.ConfigurationError) as info:
        DialectDocument("t", {}, lambda targets: {}, {}, keys=[["bearer"], ["cookie"]])

    assert str(info.value).startswith("keys: 'cookie': accepts sequences of bearer, x-api-key")


def test_limits_are_told_where_there_are_some():
    """The fields of the rate limit are those of a gate that has one; who has no key is told of none."""
    limited = gate_of(dialects=["simple"]).openapi("d")["components"]
    free = Gate([Deployment("d", MODELS["regressor"](), schema=SCHEMA)], keys={KEY: "d"}, limits=[])

    assert {"X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} == set(
        limited["headers"]
    )
    assert "X-RateLimit-Limit" in limited["responses"]["simple_200"]["headers"]
    assert "X-RateLimit-Limit" not in limited["responses"]["simple_401"]["headers"]
    assert {"X-Request-ID"} == set(free.openapi("d")["components"]["headers"])


class Terse:
    """A dialect that says nothing of itself."""

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


@pytest.mark.parametrize("sample", [{}, {"sample": Sample("/simple/{deployment}", {}, "{row}")}])
def test_a_dialect_that_says_nothing_of_itself(sample):
    """Is described by what it answers."""
    document = gate_of("regressor", dialects=[Terse(**sample)], keys="open").openapi("d")
    answer = document["components"]["responses"]["very_terse_200"]["content"]

    validate(document)
    assert ["very_terse"] == [told["operationId"] for _, told in Document(document).operations()]
    assert {"text/plain"} == set(document["components"]["responses"]["very_terse_400"]["content"])
    assert (["text/plain"] if sample else ["application/json"]) == list(answer)
    assert bool(sample) == ("example" in str(answer))


def test_what_is_read_leniently():
    """A number may then come as text, and an unknown level as itself."""
    schema = Schema.of(a=float, b=["x"]).reading(lenient=True, unknown_levels="warn")
    document = Gate([Deployment("d", len, schema=schema)], keys="open").openapi("d")
    row = document["components"]["schemas"]["Row"]["properties"]

    assert [{"type": "number"}, {"type": "string", "description": "The same, as text"}] == row["a"]["anyOf"]
    assert {"type": "string", "examples": ["x"]} == row["b"]


def test_a_text_table_is_an_example_too():
    """Where a dialect takes CSV."""
    bodies = gate_of(dialects=["mlflow"]).openapi("d")["components"]["requestBodies"]

    assert "a,b\n4.5,0.0\n" == bodies["mlflow"]["content"]["text/csv"]["example"]
