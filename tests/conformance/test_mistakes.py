"""Common mistakes of a new caller, and what each response says to change."""

import json

import pytest
import skops.io

from modelgate import Deployment, Gate, NotFound, Schema
from modelgate.testing import Client
from support.keys import KEY, OTHER_KEY
from support.mounts import Mounted, make_gate

BEARER = {"authorization": f"Bearer {KEY}"}
ROW = {"age": 41.0, "plan": "pro"}
PREDICT = "/deployments/churn/predict"
PATHS = [PREDICT, "/simple/churn", "/v2/models/churn/infer", "/predict/churn", "/api/predict"]


def make_churn_gate(**options):
    """Return a gate with two deployments and a key for the first one."""
    schema = options.pop("schema", Schema.of(age=float, plan=["free", "pro"]))
    gate = Gate(**{"keys": {KEY: "churn", OTHER_KEY: ["churn", "price"]}, **options})
    gate.handler("churn", schema=schema)(lambda table: [0] * len(table))
    gate.handler("price", schema=schema)(lambda table: [0] * len(table))
    return gate


@pytest.fixture(scope="module")
def client():
    return Client(make_churn_gate().wsgi)


def read_message(response):
    body = response.json()
    error = body.get("error", body)
    return body.get("detail") or (error["message"] if isinstance(error, dict) else error)


def post(client, path, body, headers=BEARER):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, body=body, headers={"content-type": "application/json", **headers})


class TestMissingKey:
    REMEDY = "send the key in the header field Authorization: Bearer <key>"

    @pytest.mark.parametrize("path", PATHS)
    def test_says_where_to_send_it(self, client, path):
        response = post(client, path, {"input_data": ROW}, {})

        assert (response.status, read_message(response)) == (401, f"Missing API key: {self.REMEDY}")

    @pytest.mark.parametrize(
        ("headers", "query", "reason"),
        [
            ({"authorization": KEY}, "", "the field Authorization lacks the scheme Bearer"),
            ({"authorization": f"Api-Key {KEY}"}, "", "the field Authorization lacks the scheme Bearer"),
            ({"authorization": f"Token {KEY}"}, "", "the field Authorization lacks the scheme Bearer"),
            ({"api-key": KEY}, "", "it is not read from the field api-key"),
            ({}, f"?api_key={KEY}", "it is not read from the query string, which servers log"),
            ({}, f"?a=1&access_token={KEY}", "it is not read from the query string, which servers log"),
        ],
    )
    @pytest.mark.parametrize("path", PATHS)
    def test_says_where_it_was_found(self, client, path, headers, query, reason):
        """The response does not contain the key."""
        response = post(client, path + query, {"input_data": ROW}, headers)

        assert response.status == 401
        assert read_message(response) == f"Missing API key: {reason}: {self.REMEDY}"
        assert KEY not in response.body.decode() + str(response.headers)

    @pytest.mark.parametrize("query", ["?monkey=1", "?keys=1", "?passthrough=api_key"])
    def test_other_options_are_not_taken_for_a_key(self, client, query):
        assert "query string" not in read_message(post(client, PREDICT + query, ROW, {}))


class TestUnknownDeployment:
    @pytest.mark.parametrize("name", ["chrn", "CHURN"])
    def test_suggests_a_deployment_of_the_key(self, client, name):
        response = post(client, f"/deployments/{name}/predict", ROW)

        assert response.status == 403
        assert response.json()["detail"].endswith("no access to this deployment: did you mean churn?")
        assert response.json()["did_you_mean"] == {name: "churn"}
        assert response.json()["deployments"] == ["churn"]

    @pytest.mark.parametrize("name", ["price", "pricey", "other"])
    def test_says_nothing_of_deployments_the_key_cannot_use(self, client, name):
        """Whether or not they exist."""
        response = post(client, f"/deployments/{name}/predict", ROW)

        assert response.json()["detail"] == (
            "This API key has no access to this deployment: choose from churn"
        )
        assert response.json()["deployments"] == ["churn"]

    def test_in_the_body(self, client):
        response = post(client, "/api/predict", {"deployment": "chrn", "input_data": ROW})

        assert response.json()["did_you_mean"] == {"chrn": "churn"}

    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer " + "x" * 16}])
    @pytest.mark.parametrize("path", ["/deployments/chrn/predict", "/deployments/chrn/console"])
    def test_names_nothing_without_a_valid_key(self, client, path, headers):
        responses = [post(client, path, ROW, headers), client.get(path, headers=headers)]

        assert all(b"churn" not in response.body for response in responses)

    @pytest.mark.parametrize(
        ("method", "path", "names"),
        [("GET", "/deployments/x", ["churn"]), ("POST", "/deployments/x/predict", ["price"])],
    )
    def test_names_those_that_permit_the_action(self, method, path, names):
        """A key that may only read a deployment cannot predict with it."""
        client = Client(make_churn_gate(keys={KEY: ["churn:read", "price:predict"]}).wsgi, headers=BEARER)

        assert client.request(method, path).json()["deployments"] == names

    def test_a_key_for_all(self):
        """It gets 404, and all names."""
        client = Client(make_churn_gate(keys={KEY: "*"}).wsgi, headers=BEARER)
        response = client.post("/deployments/x/predict", json=ROW)

        assert (response.status, response.json()["deployments"]) == (404, ["churn", "price"])

    def test_many_deployments(self):
        gate = Gate(keys="open")
        for index in range(12):
            gate.handler(f"model-{index:02}", schema=Schema.of(age=float))(lambda table: table["age"])
        response = Client(gate.wsgi).post("/deployments/x/predict", json=ROW)

        assert response.json()["detail"].endswith("model-08, model-09 and 2 more")

    def test_in_process(self):
        with pytest.raises(NotFound, match="There is no deployment 'chrun': did you mean churn"):
            make_churn_gate().score("chrun", ROW)


class TestUnknownPath:
    @pytest.mark.parametrize(
        ("path", "example"),
        [
            ("/predict", "/deployments/{deployment}/predict"),
            ("/deployments/churn/score", "/deployments/{deployment}/predict"),
            ("/simple/", "/simple/{deployment}"),
            ("/api/predictions", "/api/predict"),
        ],
    )
    def test_shows_a_path(self, mount, wine, path, example):
        """Below the mount point, in the dialect of the most similar path."""
        mounted = Mounted(mount, make_gate(wine))
        response = mounted.post(path, json={})

        assert response.status == 404
        assert read_message(response) == f"Not found: send rows with POST to {mounted.prefix}{example}"


class TestRows:
    @pytest.mark.parametrize(
        ("value", "rule"),
        [
            (b"1e400", "is too large: send a number from -1.7e308 to 1.7e308"),
            (b"-1e400", "is too large: send a number from -1.7e308 to 1.7e308"),
            (b"9" * 350, "is too large: send a number from -1.7e308 to 1.7e308"),
            (b'"13,5"', "must be a number, with a decimal point instead of a comma"),
            (b'"13.5"', "must be a number, without quotes"),
            (b'"much"', "must be a number"),
            (b'"1,234,567"', "must be a number"),
            (b"true", "must be a number"),
        ],
    )
    def test_numbers_written_in_another_way(self, client, value, rule):
        response = post(client, PREDICT, b'{"age": %s, "plan": "pro"}' % value)

        assert (response.status, response.json()["errors"]) == (400, {"age": rule})

    @pytest.mark.parametrize(
        ("cell", "rule"), [('"13,5"', ", with a decimal point instead of a comma"), ("x", "")]
    )
    def test_cells_of_csv(self, client, cell, rule):
        headers = {**BEARER, "content-type": "text/csv"}
        response = client.post(PREDICT, body=f"age,plan\n{cell},pro\n".encode(), headers=headers)

        assert response.json()["errors"] == {"age": f"must be a number{rule}"}

    def test_whole_numbers(self):
        client = Client(make_churn_gate(schema=Schema.of(age=int)).wsgi, headers=BEARER)
        values = {2**60: "is too large: send a number from -9007199254740992 to 9007199254740992"}
        values |= {"3,5": "must be a whole number", "3": "must be a whole number, without quotes"}

        for value, rule in values.items():
            assert client.post(PREDICT, json={"age": value}).json()["errors"] == {"age": rule}

    @pytest.mark.parametrize("path", [PREDICT, "/simple/churn"])
    @pytest.mark.parametrize("body", [{"input": ROW}, {"instances": [ROW]}, [{"row": ROW}]])
    def test_one_level_too_deep(self, client, path, body):
        name = next(iter(body[0] if isinstance(body, list) else body))
        message = read_message(post(client, path, body))

        assert message.endswith(f": the row is one level too deep, send the value of {name!r} alone")

    @pytest.mark.parametrize("body", [{}, {"age": {"plan": "pro"}}, {"input": {"other": 1}}, {"x" * 70: ROW}])
    def test_not_one_level_too_deep(self, client, body):
        """There are no columns within, or the name is too long to repeat."""
        response = post(client, PREDICT, body)

        assert (response.status, response.json()["code"]) == (400, "missing_columns")
        assert "too deep" not in response.json()["detail"]

    def test_a_hidden_schema_stays_hidden(self):
        schema = Schema.of(age=float, plan=["free", "pro"]).with_options(show_schema=False)
        client = Client(make_churn_gate(schema=schema).wsgi)

        for body in ({"input": ROW}, {"age": "13,5", "plan": "pro"}):
            assert post(client, PREDICT, body).json()["detail"] == "Invalid input data"


EXAMPLE = {"age": 0.0, "plan": "free"}


class TestEmptyBody:
    @pytest.mark.parametrize(
        ("path", "example"),
        [
            (PREDICT, EXAMPLE),
            ("/simple/churn", [EXAMPLE]),
            ("/predict/churn", EXAMPLE),
            ("/api/predict", {"deployment": "churn", "input_data": EXAMPLE}),
        ],
    )
    def test_shows_an_example(self, client, path, example):
        """It scores."""
        response = post(client, path, b"")
        message = read_message(response)

        assert response.status == 400
        assert message.startswith("The body is empty: send a JSON object. Example: {"[:-1])
        assert json.loads(message.partition("Example: ")[2]) == example
        assert post(client, path, example).status == 200

    def test_without_input_data(self, client):
        response = post(client, "/api/predict", ROW)

        assert response.json()["example"] == {"deployment": "churn", "input_data": EXAMPLE}

    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer " + "x" * 16}])
    @pytest.mark.parametrize("path", PATHS)
    def test_shows_none_without_a_valid_key(self, client, path, headers):
        response = post(client, path, b"", headers)

        assert b"xample" not in response.body and b"plan" not in response.body

    def test_shows_none_of_a_hidden_schema(self):
        schema = Schema.of(age=float).with_options(show_schema=False)
        response = post(Client(make_churn_gate(schema=schema).wsgi), PREDICT, b"")

        assert response.json()["detail"] == "The body is empty: send a JSON object"

    def test_loads_no_model(self, tmp_path, wine):
        """The schema of a model that is not in memory is not known."""
        skops.io.dump(wine[0], tmp_path / "wine.skops")
        gate = Gate([Deployment("churn", tmp_path / "wine.skops")], keys={KEY: "churn"})
        response = post(Client(gate.wsgi), PREDICT, b"")
        gate.deployments.warm()
        after = post(Client(gate.wsgi), PREDICT, b"")

        assert response.json()["detail"] == "The body is empty: send a JSON object"
        assert "example" in after.json()

    def test_shows_no_long_example(self):
        schema = Schema.of(**{f"column_{index}": float for index in range(100)})
        response = post(Client(make_churn_gate(schema=schema).wsgi), PREDICT, b"")

        assert "example" not in response.json()
