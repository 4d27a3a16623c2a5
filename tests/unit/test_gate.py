"""Gates and deployments: options, layers, dialects and `Gate.handle`."""

import asyncio
import hashlib
import io
import threading

import flask
import joblib
import numpy as np
import pandas
import pytest
import skops.io
import starlette.applications
import starlette.responses
import starlette.routing
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import modelgate
from modelgate import (
    BodyLimit,
    ConcurrencyLimit,
    ConfigurationError,
    Deployment,
    Gate,
    KeyAuth,
    MemoryStore,
    MissingColumns,
    NotFound,
    Predictor,
    RateLimit,
    Round,
    Schema,
)
from modelgate.dialects import Simple
from modelgate.testing import Client
from support.keys import KEY

AGE = Schema.of(age=float)
DOCUMENT = {"api_key": KEY, "input_data": {"age": 1.239}}


def own_age(table):
    return table["age"]


def predict_ages(**options):
    return Gate([Deployment("ages", own_age, schema=AGE)], **{"keys": {KEY: "ages"}, **options})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gate(), "keys.*would serve anyone"),
        (lambda: Gate(keys={}), "keys"),
        (lambda: Gate(keys="open", dialects=["esperanto"]), "dialects.*mlclever"),
        (lambda: Gate(keys="open", dialects=[]), "dialects"),
        (lambda: Gate(keys="open", limits="often"), "rate"),
        (
            lambda: Gate(keys="open", key_header="x-api-key"),
            "key_header must be None for a gate without keys",
        ),
        (lambda: Gate(keys="open", cache_size=0), "maxsize"),
        (
            lambda: Gate(keys="open", load_timeout=0),
            r"^load_timeout must be a number of seconds above 0 \(got 0\)",
        ),
        (lambda: Gate(keys="open", threads=0), "threads"),
        (lambda: Gate(keys="open", store="no/such/folder"), "folder"),
        (lambda: Gate(layers=[BodyLimit()]), "must contain KeyAuth"),
        (lambda: Gate(layers=[KeyAuth({KEY: "*"})], limits="1/day"), "layers"),
        (lambda: Gate(layers=[KeyAuth({KEY: "*"})], keys={KEY: "*"}), "layers"),
        (lambda: Gate([Deployment("a", own_age)], keys="open"), "schema"),
        (lambda: Gate([Deployment("a", 7)], keys="open"), "got 7"),
        (lambda: Gate([Deployment("a", "store:a")], keys="open"), "store"),
        (lambda: Gate([Deployment("a", own_age, schema=AGE)] * 2, keys="open"), "'a'"),
        (lambda: Gate([Deployment("a", own_age, schema=AGE, decimals=-1)], keys="open"), "decimals"),
        (lambda: Gate(["a"], keys="open"), "deployments"),
        (lambda: Gate({"a": own_age}, keys="open"), "deployments"),
        (lambda: Gate(Deployment("a", own_age, schema=AGE), keys="open"), "deployments"),
        (lambda: Gate(keys="open", limits="sixty"), "limits: .*sixty"),
        (lambda: Gate(keys="open", limits=[RateLimit("1/day"), "1/day"]), "limits: .*'1/day'"),
        (lambda: Gate(keys="open", limits=RateLimit), "limits: .*RateLimit"),
        (lambda: Gate(keys="open", limits=5), "limits: "),
        (lambda: Gate(keys={KEY: "*"}, auth_failure_limit="often"), "auth_failure_limit: .*often"),
        (lambda: Gate(keys="open", trusted_proxies="10.0.0.0/8"), "trusted_proxies must be"),
        (lambda: Gate(keys="open", threads="4"), "threads"),
        (lambda: Gate(layers=RateLimit("1/day"), keys="open"), "layers"),
        (lambda: Gate(layers=[Round(2)], keys="open"), "Round is a scoring layer"),
        (
            lambda: Gate([Deployment("a", "store:a", sha256="0" * 64)], keys="open", store=MemoryStore({})),
            "sha256",
        ),
        (lambda: Gate([Deployment("a", LinearRegression())], keys="open"), "not fitted"),
        (lambda: Gate([Deployment("a", LinearRegression)], keys="open"), "got the class LinearRegression"),
        (lambda: Deployment("a", own_age, schema="age"), "schema must be a Schema.*got 'age'"),
        (lambda: Deployment("a", own_age, target=[]), "target"),
        (lambda: Deployment("a", own_age, target=5), "target"),
        (lambda: Deployment("../a", own_age), "name"),
        (lambda: Deployment("a" * 65, own_age), "name"),
        (lambda: Deployment("a", own_age, state="on"), "state"),
        (lambda: Deployment("a", own_age, sha256="0" * 64), "sha256"),
        (lambda: Deployment("a", own_age, version=1), "version must be .*got 1"),
        (lambda: Deployment("a", own_age, version="1/2"), "version must be .*got '1/2'"),
        (lambda: Deployment("a", own_age, model_id=""), "model_id must be .*got ''"),
        (lambda: Gate(keys="open", dialects="english"), "dialects must be .*got 'english'"),
        (lambda: Gate(keys="open", dialects=[]), "dialects"),
        (lambda: Gate(keys="open", dialects=["simple", "simple"]), "without duplicates"),
        (lambda: Gate(keys="open", dialects=[Simple]), "dialects"),
        (lambda: Gate(keys="open", dialects=[7]), "dialects"),
        (lambda: Deployment("a", "a.sav"), "must end in"),
        (lambda: Deployment("a", "no-such.skops"), "no such file"),
    ],
)
def test_gate_rejects_invalid_options(make, message):
    """Errors name the option."""
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_joblib_file_needs_a_digest(tmp_path, diabetes):
    """The error contains the digest of the file."""
    path = tmp_path / "model.joblib"
    joblib.dump(diabetes[0], path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    with pytest.raises(ConfigurationError, match=digest):
        Deployment("d", path)
    assert Deployment("d", path, sha256=digest)


@pytest.mark.slow
def test_models_are_loaded_from_files_and_stores_on_demand(tmp_path, diabetes, wine, wine_row):
    skops.io.dump(wine[0], tmp_path / "wine.skops")
    gate = Gate(
        [
            Deployment("wine", tmp_path / "wine.skops"),
            Deployment("stored", "store:wine"),
            Deployment("memory", diabetes[0]),
        ],
        keys="open",
        store=tmp_path,
    )
    client = Client(gate.wsgi)
    document = {"deployment": "wine", "input_data": wine_row}
    hits = [client.post("/api/predict", json=document).header("x-model-cache-hit") for _ in range(2)]
    gate.deployments.warm()

    assert hits == ["false", "true"]
    assert gate.deployments.cache.cache_info().currsize == 2
    assert gate.score("wine", wine_row).values == gate.score("stored", wine_row).values


def test_store_may_be_any_object_with_load(diabetes):
    """An unknown name is a 404."""
    store = MemoryStore({"known": diabetes[0]})
    gate = Gate([Deployment("a", "store:known"), Deployment("b", "store:unknown")], keys="open", store=store)

    assert len(gate.score("a", diabetes[1][:1])) == 1
    with pytest.raises(NotFound):
        gate.score("b", diabetes[1][:1])


def test_store_with_pickles_needs_a_digest(tmp_path, diabetes):
    joblib.dump(diabetes[0], tmp_path / "d.joblib")
    digest = hashlib.sha256((tmp_path / "d.joblib").read_bytes()).hexdigest()

    with pytest.raises(ConfigurationError, match=digest):
        Gate([Deployment("d", "store:d")], keys="open", store=tmp_path)
    gate = Gate([Deployment("d", "store:d", sha256=digest)], keys="open", store=tmp_path)
    assert 1 == len(gate.score("d", diabetes[1][:1]))


def test_reloaded_model_uses_its_own_columns(tmp_path):
    frame = pandas.DataFrame({"a": [1.0, 2, 3], "b": [1.0, 0, 1]})
    skops.io.dump(LinearRegression().fit(frame[["a"]], frame["a"]), tmp_path / "m.skops")
    gate = Gate([Deployment("m", "store:m", decimals=6)], keys="open", store=tmp_path)
    before = gate.score("m", {"a": 2}).values.tolist()
    skops.io.dump(LinearRegression().fit(frame, frame["a"] + frame["b"]), tmp_path / "m.skops")
    gate.deployments.cache.cache_clear()

    assert [2.0] == before
    assert [5.0] == gate.score("m", {"a": 2, "b": 3}).values.tolist()
    with pytest.raises(MissingColumns):
        gate.score("m", {"a": 2})


def test_score_runs_inside_an_event_loop():
    """An async handler is scored inside a coroutine, as in a notebook or an async test."""
    gate = predict_ages(keys={KEY: ["ages", "later"]})

    @gate.handler("later", schema=AGE)
    async def later(table):
        await asyncio.sleep(0)
        return table["age"] + 1

    async def test():
        return gate.score("later", {"age": 1}).values.tolist()

    assert [2.0] == asyncio.run(test())


def test_score_needs_no_server_loop_or_key(wine, wine_row):
    gate = Gate([Deployment("wine", wine[0])], keys={KEY: "wine"})

    assert wine[0].classes_.tolist() == gate.score("wine", wine_row).classes
    with pytest.raises(MissingColumns) as info:
        gate.score("wine", {"hue": 1.0})
    assert info.value.missing_columns == ["alcohol", "malic_acid", "colour"]
    with pytest.raises(NotFound):
        gate.score("beer", wine_row)


@pytest.mark.slow
def test_schema_is_known_after_the_model_was_evicted(tmp_path, wine):
    """An invalid row does not load the model again."""
    skops.io.dump(wine[0], tmp_path / "wine.skops")
    gate = Gate([Deployment("wine", tmp_path / "wine.skops")], keys="open")
    gate.score("wine", [])
    gate.deployments.cache.cache_clear()

    with pytest.raises(MissingColumns):
        gate.score("wine", {})
    assert gate.deployments.cache.cache_info().misses == 0


def test_open_gate_needs_no_key():
    """Its only deployment need not be named."""
    assert (
        Client(predict_ages(keys="open").wsgi).post("/api/predict", json={"input_data": {"age": 1}}).status
        == 200
    )


def test_keys_are_read_from_an_environment_variable(monkeypatch):
    monkeypatch.setenv("THE_KEYS", f"{KEY}=ages,others")

    assert (
        Client(predict_ages(keys="env:THE_KEYS").wsgi)
        .post("/api/predict", json=DOCUMENT | {"deployment": "ages"})
        .status
        == 200
    )


def test_custom_layers_replace_the_standard_ones():
    gate = predict_ages(keys=None, layers=[KeyAuth({KEY: "ages"}), RateLimit("1/day")])
    client = Client(gate.asgi)

    assert [client.post("/api/predict", json=DOCUMENT).status for _ in range(2)] == [200, 429]


def test_custom_layers_may_be_an_iterator():
    gate = predict_ages(
        keys=None,
        layers=(layer for layer in [KeyAuth({KEY: "ages"}), RateLimit("1/day")]),
        scoring_layers=(layer for layer in [Round(1)]),
    )
    gate.deployments.add(Deployment("more", own_age, schema=AGE))

    assert 401 == Client(gate.wsgi).post("/api/predict", json={"input_data": {"age": 1}}).status
    assert [1.2] == gate.score("ages", {"age": 1.239}).values == gate.score("more", {"age": 1.239}).values


def test_limits_may_be_several_layers():
    gate = predict_ages(limits=[RateLimit("9/day"), ConcurrencyLimit(5), RateLimit("1/day", by="address")])
    client = Client(gate.asgi)

    assert [client.post("/api/predict", json=DOCUMENT).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"trusted_proxies": []}, 429),
        ({"trusted_proxies": ["10.0.0.0/8"]}, 429),
        ({}, 200),
        ({"trusted_proxies": [], "auth_failure_limit": None}, 200),
    ],
)
def test_auth_failure_limit_skips_forwarded_requests_by_default(options, expected):
    """Without trusted_proxies their address may be that of a proxy."""
    client = Client(
        predict_ages(**{"auth_failure_limit": "1/day", **options}).wsgi,
        headers={"x-forwarded-for": "9.9.9.9"},
    )
    client.post("/api/predict", json=DOCUMENT | {"api_key": "wrong"})

    assert expected == client.post("/api/predict", json=DOCUMENT).status


def test_rate_limit_by_deployment():
    """Also if only the key names the deployment."""
    limit = RateLimit("1/day", by="deployment")
    gate = Gate(
        [Deployment(name, own_age, schema=AGE, layers=[limit]) for name in ("ages", "others")],
        keys={KEY: "ages", KEY + "2": "ages", KEY + "3": "others"},
    )
    responses = [
        Client(gate.wsgi).post("/api/predict", json=DOCUMENT | {"api_key": KEY + end})
        for end in ("", "2", "3")
    ]

    assert [200, 429, 200] == [answer.status for answer in responses]


def test_custom_scoring_layers_replace_rounding():
    def doubled(query, call_next):
        prediction = yield from call_next(query)
        prediction.outputs[0].values = prediction.values * 2
        return prediction

    rounded = Client(predict_ages(scoring_layers=[Round(1)]).wsgi).post("/api/predict", json=DOCUMENT).json()
    custom = Client(predict_ages(scoring_layers=[doubled]).wsgi).post("/api/predict", json=DOCUMENT).json()

    assert (rounded, custom) == ({"predictions": [1.2]}, {"predictions": [2.478]})


def test_scoring_layers_must_not_return_nan(caplog):
    """As JSON null would be a different prediction."""

    def spoil(query, call_next):
        prediction = yield from call_next(query)
        prediction.outputs[0].values = prediction.values * float("nan")
        return prediction

    answer = Client(predict_ages(scoring_layers=[spoil]).wsgi).post("/api/predict", json=DOCUMENT)

    assert 500 == answer.status
    assert "is not a finite number in the rows [0]" in caplog.text


def test_layer_without_return_is_a_500(caplog):
    """The log names the layer, and the response has the request id."""

    def forgetful(request, call_next):
        yield from call_next(request)

    answer = Client(predict_ages(keys="open", layers=[forgetful]).asgi).post("/api/predict", json=DOCUMENT)

    assert 500 == answer.status
    assert answer.json()["request_id"] == answer.header("x-request-id")
    assert "layers must return a Response (got None)" in caplog.text


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("store:../../etc/passwd", 'model must be "store:name"'),
        ("store:http://x", 'model must be "store:name"'),
        ("store:", 'model must be "store:name"'),
        ("https://x/y.skops", "not a URL"),
    ],
)
def test_model_names_are_checked_at_construction(model, message):
    with pytest.raises(ConfigurationError, match=message):
        Deployment("a", model)


@pytest.mark.parametrize("streams", [False, True])
def test_body_limit_of_a_deployment_rejects_large_bodies(streams):
    """Also if the body was read before."""
    gate = Gate([Deployment("ages", own_age, schema=AGE, layers=[BodyLimit(10)])], keys="open")
    body = b'{"input_data": {"age": 1}}'
    answer = Client(gate.asgi).post("/api/predict", body=[body] if streams else body)

    assert 413 == answer.status


def test_handler_accepts_layers():
    """The function remains an ordinary function."""
    gate = predict_ages(keys={KEY: ["ages", "price"]})

    @gate.handler("price", schema=AGE, layers=[RateLimit("1/day")], scoring_layers=[Round(0)])
    def price(table):
        return table["age"] * 2

    client = Client(gate.asgi)
    responses = [
        client.post("/api/predict", json=DOCUMENT | {"deployment": name})
        for name in ("price", "price", "ages")
    ]

    assert [answer.status for answer in responses] == [200, 429, 200]
    assert responses[0].json() == {"predictions": [2.0]}
    assert price({"age": 2}) == 4


@pytest.mark.parametrize("offload", [True, False])
def test_offload_runs_models_outside_the_event_loop(offload):
    import threading

    threads = []

    def where(table):
        threads.append(threading.current_thread() is threading.main_thread())
        return [1]

    gate = Gate([Deployment("w", where, schema=AGE, offload=offload)], keys="open")

    assert Client(gate.asgi).post("/api/predict", json={"input_data": {"age": 1}}).status == 200
    assert [not offload] == threads


def test_layer_error_is_a_500_of_the_dialect(caplog):
    """It has the request id, and is logged."""

    def broken(request, call_next):
        raise KeyError("a mistake")

    answer = Client(predict_ages(keys="open", layers=[broken]).asgi).post("/api/predict", json=DOCUMENT)

    assert answer.status == 500
    assert answer.header("x-request-id") == answer.json()["request_id"]
    assert "a mistake" in caplog.text


class TestHandle:
    """`Gate.handle`: an ordinary route hands its request to the gate."""

    def flask_app(self, gate):
        app = flask.Flask("host")

        @app.post("/score")
        def score():
            assert flask.request.get_data()
            return gate.handle(flask.request, "ages", dialect="mlclever")

        @app.post("/any")
        def any_deployment():
            return gate.handle(flask.request, dialect="mlclever")

        return app

    def starlette_app(self, gate):
        async def score(request):
            assert await request.body()
            return await gate.handle(request, "ages", dialect="mlclever")

        async def any_deployment(request):
            return await gate.handle(request, dialect="mlclever")

        return starlette.applications.Starlette(
            routes=[
                starlette.routing.Route("/score", score, methods=["POST"]),
                starlette.routing.Route("/any", any_deployment, methods=["POST"]),
            ]
        )

    @pytest.fixture(params=["flask_app", "starlette_app"])
    def client(self, request):
        return Client(getattr(self, request.param)(predict_ages()))

    @pytest.mark.parametrize("path", ["/score", "/any"])
    def test_answers(self, client, path):
        """The gate's answer is the route's, with its header fields, also where the body was read before."""
        answer = client.post(path, json=DOCUMENT)

        assert (answer.status, answer.json()) == (200, {"predictions": [1.24]})
        assert answer.header("content-type") == "application/json"
        assert [name for name, _ in answer.headers if name == "content-length"] == ["content-length"]
        assert answer.header("x-request-id")

    def test_the_routes_deployment_holds(self, client):
        """A body cannot name another deployment than the route has."""
        answer = client.post("/score", json=DOCUMENT | {"deployment": "others"})

        assert 400 == answer.status
        assert "'ages'" in answer.json()["error"]

    def test_refuses(self, client):
        """Errors come in the dialect too."""
        assert client.post("/score", json={"input_data": {}}).json()["error"].startswith("Missing API key")

    @pytest.mark.parametrize("streams", [True, False])
    def test_body_limit(self, client, streams):
        """The body limit holds."""
        body = [b" " * 65536] * 17
        answer = client.post("/any", body=body if streams else b"".join(body), headers={"x-api-key": KEY})

        assert answer.status == 413

    def test_body_limit_bounds_what_is_read(self):
        """A body without a length is not read beyond the limit."""

        class Endless(io.RawIOBase):
            given = 0

            def readable(self):
                return True

            def readinto(self, buffer):
                self.given += len(buffer)
                buffer[:] = b" " * len(buffer)
                return len(buffer)

        body = Endless()
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/any",
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
        }
        started = []
        app = self.flask_app(predict_ages(keys="open"))
        b"".join(app(environ, lambda *start: started.append(start)))

        assert started[0][0].startswith("413")
        assert body.given < 2 * 1024 * 1024

    def test_default_dialect_is_the_native_one(self):
        app = flask.Flask("host")
        gate = predict_ages(keys="open")
        app.post("/score")(lambda: gate.handle(flask.request, "ages"))

        assert 1.236 == Client(app).post("/score", json={"age": 1.236}).json()["prediction"]

    def test_unknown_dialect(self):
        """A dialect the gate does not speak is a mistake in the program."""
        with pytest.raises(ConfigurationError, match="dialect"):
            predict_ages().handle(None, dialect="esperanto")

    def test_unknown_framework(self):
        """So is a request of no framework known."""
        with pytest.raises(TypeError, match="int"):
            predict_ages().handle(7)


def test_flask_mount_and_wrap_require_an_app():
    """A blueprint has no app of its own until it is registered."""
    blueprint = flask.Blueprint("shop", "shop")
    with pytest.raises(ConfigurationError, match=r"must be a Flask app \(got Blueprint\): use init_app"):
        modelgate.mount.flask.mount(blueprint, "/ml", Gate(keys="open"))
    with pytest.raises(
        ConfigurationError, match=r"must be a Flask app \(got Blueprint\): use mount.wsgi.wrap"
    ):
        modelgate.mount.flask.wrap(blueprint, modelgate.RequestId())


def test_flask_wrap_puts_layers_around_the_app():
    app = flask.Flask("host")
    app.add_url_rule("/", view_func=lambda: "page")
    modelgate.mount.flask.wrap(app, modelgate.KeyAuth({KEY: "*"}))

    assert [401, 200] == [
        Client(app, headers=headers).get("/").status for headers in ({}, {"x-api-key": KEY})
    ]


def test_flask_mount_rejects_invalid_prefixes():
    for prefix in ("ml", "/ml/", "/"):
        with pytest.raises(ConfigurationError, match="prefix"):
            modelgate.mount.flask.mount(flask.Flask("host"), prefix, predict_ages())


def test_starlette_mount_serves_the_gate():
    app = starlette.applications.Starlette()
    modelgate.mount.starlette.mount(app, "/ml", predict_ages())

    assert Client(app).post("/ml/api/predict", json=DOCUMENT).status == 200


def test_asgi_app_handles_lifespan_and_rejects_websockets():
    import asyncio

    sent = []

    async def play(kind, *types):
        messages = [{"type": kind + "." + each} for each in types]

        async def receive():
            return messages.pop(0)

        async def send(message):
            sent.append(message["type"])

        await predict_ages().asgi({"type": kind}, receive, send)

    asyncio.run(play("lifespan", "startup", "shutdown"))
    asyncio.run(play("websocket", "connect"))

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


def test_dialects_are_names_or_objects():
    """The first one answers unknown paths, unless they are similar to those of another."""
    gate = Gate([Deployment("age", own_age, schema=AGE)], keys={KEY: "age"}, dialects=[Simple(), "plexe"])
    client = Client(gate.wsgi)

    assert 200 == client.post("/simple/age", json=[41], headers={"x-api-key": KEY}).status
    assert 404 == client.post("/api/predict", json={}).status
    assert client.post("/nowhere", json={}).json()["error"].startswith("Not found")
    assert "not_found" == client.post("/predict/age/x", json={}).json()["error"]["code"]


def test_large_responses_are_encoded_in_a_thread():
    threads = set()

    class Watched(Simple):
        def encode(self, request, query, prediction):
            threads.add(threading.current_thread() is threading.main_thread())
            return super().encode(request, query, prediction)

    gate = Gate([Deployment("age", own_age, schema=AGE)], keys="open", dialects=[Watched()])
    client = Client(gate.asgi)
    answers = [client.post("/simple/age", json=[[41]] * rows).json() for rows in (500, 501)]

    assert [500, 501] == list(map(len, answers))
    assert {True, False} == threads


@pytest.mark.parametrize(
    ("model", "target", "expected"),
    [
        (LinearRegression().fit([[0.0], [1.0]], [0, 1]), "y", [("y", None)]),
        (LinearRegression().fit([[0.0], [1.0]], [[0, 1], [1, 0]]), ["p", "q"], [("p", None), ("q", None)]),
        (LogisticRegression().fit([[0.0], [1.0]], ["a", "b"]), "y", [("y", ["a", "b"])]),
        (
            KNeighborsClassifier(1).fit([[0.0], [1.0]], [["a", "c"], ["b", "d"]]),
            "y",
            [("y_0", ["a", "b"]), ("y_1", ["c", "d"])],
        ),
    ],
)
def test_targets_are_known_before_the_first_request(model, target, expected):
    """They come from an example row."""

    assert expected == [(known.name, known.classes) for known in Predictor(model, target=target).targets]


def test_targets_of_a_function_come_from_its_options():
    """Also those of a model that cannot score the example."""

    class Broken:
        n_features_in_ = 1

        def predict(self, rows):
            raise RuntimeError

    assert ["a", "b"] == [known.name for known in Predictor(own_age, AGE, target=["a", "b"]).targets]
    assert ["y"] == [known.name for known in Predictor(Broken(), AGE, target="y").targets]


def test_decimals_default_to_those_of_the_service():
    """ML Clever rounds to two decimals, and no other service rounds."""
    gate = Gate(
        [Deployment("age", own_age, schema=AGE), Deployment("exact", own_age, schema=AGE, decimals=1)],
        keys="open",
    )
    client = Client(gate.wsgi)
    rounded = [
        (
            client.post("/api/predict", json={"deployment": name, "input_data": {"age": 1.239}}).json()[
                "predictions"
            ],
            client.post(f"/simple/{name}", json=[1.239]).json()["prediction"],
            gate.score(name, {"age": 1.239}).values.tolist(),
        )
        for name in ("age", "exact")
    ]

    assert [([1.24], 1.239, [1.239]), ([1.2], 1.2, [1.2])] == rounded


def test_head_returns_the_headers_of_get():
    """With the length of the body."""
    client = Client(Gate(keys="open").asgi)
    answer = client.request("HEAD", "/health/live")

    assert (200, b"", "13") == (answer.status, answer.body, answer.header("content-length"))


@pytest.mark.parametrize("plans", [True, False])
def test_classifiers_with_more_probabilities_than_classes_are_rejected(plans):
    """As `HistGradientBoostingClassifier` is if the target has only one class, also with an exact plan."""
    rows = np.arange(40.0).reshape(20, 2)
    model = HistGradientBoostingClassifier(max_iter=2).fit(rows, np.zeros(20))

    with pytest.raises(ConfigurationError, match="must have a probability for each row and class"):
        Gate([Deployment("constant", model, plans=plans)], keys="open")
