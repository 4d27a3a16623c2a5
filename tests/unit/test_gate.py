"""Deployments and gates: what they are made of, and what they refuse to be."""

import asyncio
import hashlib
import io
import threading

import flask
import joblib
import pandas
import pytest
import skops.io
import starlette.applications
import starlette.responses
import starlette.routing
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import modelgate
from conftest import KEY
from modelgate import (
    BodyLimit,
    Concurrency,
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

AGE = Schema.of(age=float)
DOCUMENT = {"api_key": KEY, "input_data": {"age": 1.239}}


def own_age(table):
    return table["age"]


def ages(**options):
    return Gate([Deployment("ages", own_age, schema=AGE)], **{"keys": {KEY: "ages"}, **options})


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Gate(), "keys.*would serve anyone"),
        (lambda: Gate(keys={}), "keys"),
        (lambda: Gate(keys="open", dialects=["esperanto"]), "dialects.*mlclever"),
        (lambda: Gate(keys="open", dialects=[]), "dialects"),
        (lambda: Gate(keys="open", limits="often"), "rate"),
        (lambda: Gate(keys="open", cache_size=0), "maxsize"),
        (
            lambda: Gate(keys="open", load_timeout=0),
            r"^load_timeout must be a number of seconds above 0 \(got 0\)",
        ),
        (lambda: Gate(keys="open", threads=0), "threads"),
        (lambda: Gate(keys="open", store="no/such/folder"), "folder"),
        (lambda: Gate(layers=[BodyLimit()]), "no KeyAuth"),
        (lambda: Gate(layers=[KeyAuth({KEY: "*"})], limits="1/day"), "layers"),
        (lambda: Gate(layers=[KeyAuth({KEY: "*"})], keys={KEY: "*"}), "layers"),
        (lambda: Gate([Deployment("a", own_age)], keys="open"), "schema"),
        (lambda: Gate([Deployment("a", 7)], keys="open"), "model=7"),
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
        (lambda: Gate(keys={KEY: "*"}, auth_failures="often"), "auth_failures: .*often"),
        (lambda: Gate(keys="open", trusted_proxies="10.0.0.0/8"), "trusted_proxies="),
        (lambda: Gate(keys="open", threads="4"), "threads"),
        (lambda: Gate(layers=RateLimit("1/day"), keys="open"), "layers"),
        (lambda: Gate(layers=[Round(2)], keys="open"), "Round is a scoring layer"),
        (
            lambda: Gate([Deployment("a", "store:a", sha256="0" * 64)], keys="open", store=MemoryStore({})),
            "sha256",
        ),
        (lambda: Gate([Deployment("a", LinearRegression())], keys="open"), "not fitted"),
        (lambda: Gate([Deployment("a", LinearRegression)], keys="open"), "its class"),
        (lambda: Deployment("a", own_age, schema="age"), "schema='age'"),
        (lambda: Deployment("a", own_age, target=[]), "target"),
        (lambda: Deployment("a", own_age, target=5), "target"),
        (lambda: Deployment("../a", own_age), "name"),
        (lambda: Deployment("a" * 65, own_age), "name"),
        (lambda: Deployment("a", own_age, state="on"), "state"),
        (lambda: Deployment("a", own_age, sha256="0" * 64), "sha256"),
        (lambda: Deployment("a", own_age, version=1), "version=1"),
        (lambda: Deployment("a", own_age, version="1/2"), "version='1/2'"),
        (lambda: Deployment("a", own_age, model_id=""), "model_id=''"),
        (lambda: Gate(keys="open", dialects="english"), "dialects='english'"),
        (lambda: Gate(keys="open", dialects=[]), "dialects"),
        (lambda: Gate(keys="open", dialects=["simple", "simple"]), "each once"),
        (lambda: Gate(keys="open", dialects=[Simple]), "dialects"),
        (lambda: Gate(keys="open", dialects=[7]), "dialects"),
        (lambda: Deployment("a", "a.pickle"), "ending in"),
        (lambda: Deployment("a", "no-such.skops"), "no such file"),
    ],
)
def test_refuses(make, told):
    """What cannot work is refused when it is made, and the option named."""
    with pytest.raises(ConfigurationError, match=told):
        make()


def test_joblib_needs_a_pin(tmp_path, diabetes):
    """A pickle is refused without its digest, which the refusal tells."""
    path = tmp_path / "model.joblib"
    joblib.dump(diabetes[0], path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    with pytest.raises(ConfigurationError, match=digest):
        Deployment("d", path)
    assert Deployment("d", path, sha256=digest)


def test_files_and_store(tmp_path, diabetes, wine, wine_row):
    """Models come from files and stores, are loaded when first asked for, and kept."""
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
    gate.warm()

    assert hits == ["false", "true"]
    assert gate.cache.cache_info().currsize == 2
    assert gate.score("wine", wine_row).values == gate.score("stored", wine_row).values


def test_store_object(diabetes):
    """Any object that loads by name is a store; a name it does not know is a 404."""
    store = MemoryStore({"known": diabetes[0]})
    gate = Gate([Deployment("a", "store:known"), Deployment("b", "store:unknown")], keys="open", store=store)

    assert len(gate.score("a", diabetes[1][:1])) == 1
    with pytest.raises(NotFound):
        gate.score("b", diabetes[1][:1])


def test_a_store_of_pickles(tmp_path, diabetes):
    """A pickle in a store is refused when the gate is built, and pinned by its deployment."""
    joblib.dump(diabetes[0], tmp_path / "d.joblib")
    digest = hashlib.sha256((tmp_path / "d.joblib").read_bytes()).hexdigest()

    with pytest.raises(ConfigurationError, match=digest):
        Gate([Deployment("d", "store:d")], keys="open", store=tmp_path)
    gate = Gate([Deployment("d", "store:d", sha256=digest)], keys="open", store=tmp_path)
    assert 1 == len(gate.score("d", diabetes[1][:1]))


def test_a_model_that_was_replaced(tmp_path):
    """Loaded anew, a model is asked as it wants to be, though its columns are others."""
    frame = pandas.DataFrame({"a": [1.0, 2, 3], "b": [1.0, 0, 1]})
    skops.io.dump(LinearRegression().fit(frame[["a"]], frame["a"]), tmp_path / "m.skops")
    gate = Gate([Deployment("m", "store:m", decimals=6)], keys="open", store=tmp_path)
    before = gate.score("m", {"a": 2}).values.tolist()
    skops.io.dump(LinearRegression().fit(frame, frame["a"] + frame["b"]), tmp_path / "m.skops")
    gate.cache.cache_clear()

    assert [2.0] == before
    assert [5.0] == gate.score("m", {"a": 2, "b": 3}).values.tolist()
    with pytest.raises(MissingColumns):
        gate.score("m", {"a": 2})


def test_score_inside_a_loop():
    """An async handler is scored from inside a coroutine too: a notebook, an async test."""
    gate = ages(keys={KEY: ["ages", "later"]})

    @gate.handler("later", schema=AGE)
    async def later(table):
        await asyncio.sleep(0)
        return table["age"] + 1

    async def test():
        return gate.score("later", {"age": 1}).values.tolist()

    assert [2.0] == asyncio.run(test())


def test_score(wine, wine_row):
    """Scoring needs no server, no event loop and no key, and raises the errors of the tree."""
    gate = Gate([Deployment("wine", wine[0])], keys={KEY: "wine"})

    assert wine[0].classes_.tolist() == gate.score("wine", wine_row).classes
    with pytest.raises(MissingColumns) as info:
        gate.score("wine", {"hue": 1.0})
    assert info.value.missing_columns == ["alcohol", "malic_acid", "colour"]
    with pytest.raises(NotFound):
        gate.score("beer", wine_row)


def test_schema_outlives_the_model(tmp_path, wine):
    """Once a model was loaded its columns are known: a faulty row does not load it again."""
    skops.io.dump(wine[0], tmp_path / "wine.skops")
    gate = Gate([Deployment("wine", tmp_path / "wine.skops")], keys="open")
    gate.score("wine", [])
    gate.cache.cache_clear()

    with pytest.raises(MissingColumns):
        gate.score("wine", {})
    assert gate.cache.cache_info().misses == 0


def test_open():
    """A gate that is open by name asks for no key, and its only deployment needs no naming."""
    assert Client(ages(keys="open").wsgi).post("/api/predict", json={"input_data": {"age": 1}}).status == 200


def test_keys_from_the_environment(monkeypatch):
    """Keys may come from an environment variable."""
    monkeypatch.setenv("THE_KEYS", f"{KEY}=ages,others")

    assert (
        Client(ages(keys="env:THE_KEYS").wsgi)
        .post("/api/predict", json=DOCUMENT | {"deployment": "ages"})
        .status
        == 200
    )


def test_layers_given_whole():
    """Layers given whole are the only ones."""
    gate = ages(keys=None, layers=[KeyAuth({KEY: "ages"}), RateLimit("1/day")])
    client = Client(gate.asgi)

    assert [client.post("/api/predict", json=DOCUMENT).status for _ in range(2)] == [200, 429]


def test_layers_that_can_be_read_once():
    """All of them are kept, KeyAuth too."""
    gate = ages(
        keys=None,
        layers=(layer for layer in [KeyAuth({KEY: "ages"}), RateLimit("1/day")]),
        scoring=(layer for layer in [Round(1)]),
    )
    gate.add(Deployment("more", own_age, schema=AGE))

    assert 401 == Client(gate.wsgi).post("/api/predict", json={"input_data": {"age": 1}}).status
    assert [1.2] == gate.score("ages", {"age": 1.239}).values == gate.score("more", {"age": 1.239}).values


def test_several_limits():
    """Each of them holds."""
    gate = ages(limits=[RateLimit("9/day"), Concurrency(5), RateLimit("1/day", by="address")])
    client = Client(gate.asgi)

    assert [client.post("/api/predict", json=DOCUMENT).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"trusted_proxies": []}, 429),
        ({"trusted_proxies": ["10.0.0.0/8"]}, 429),
        ({}, 200),
        ({"trusted_proxies": [], "auth_failures": None}, 200),
    ],
)
def test_who_is_locked_out_by_wrong_keys(options, expected):
    """Where nothing is said of proxies, nobody is whose address may be that of one."""
    client = Client(
        ages(**{"auth_failures": "1/day", **options}).wsgi, headers={"x-forwarded-for": "9.9.9.9"}
    )
    client.post("/api/predict", json=DOCUMENT | {"api_key": "wrong"})

    assert expected == client.post("/api/predict", json=DOCUMENT).status


def test_a_deployment_as_a_whole_may_be_limited():
    """By its name, which the key alone may have told."""
    limit = RateLimit("1/day", by="deployment")
    gate = Gate(
        [Deployment(name, own_age, schema=AGE, layers=[limit]) for name in ("ages", "others")],
        keys={KEY: "ages", KEY + "2": "ages", KEY + "3": "others"},
    )
    told = [
        Client(gate.wsgi).post("/api/predict", json=DOCUMENT | {"api_key": KEY + end})
        for end in ("", "2", "3")
    ]

    assert [200, 429, 200] == [answer.status for answer in told]


def test_scoring_given_whole():
    """Scoring layers given whole take the place of the rounding."""

    def doubled(query, call_next):
        prediction = yield from call_next(query)
        prediction.outputs[0].values = prediction.values * 2
        return prediction

    rounded = Client(ages(scoring=[Round(1)]).wsgi).post("/api/predict", json=DOCUMENT).json()
    custom = Client(ages(scoring=[doubled]).wsgi).post("/api/predict", json=DOCUMENT).json()

    assert (rounded, custom) == ({"predictions": [1.2]}, {"predictions": [2.478]})


def test_what_a_scoring_layer_makes_is_checked(caplog):
    """A layer that lets NaN out is a failure: null would be another answer."""

    def spoil(query, call_next):
        prediction = yield from call_next(query)
        prediction.outputs[0].values = prediction.values * float("nan")
        return prediction

    answer = Client(ages(scoring=[spoil]).wsgi).post("/api/predict", json=DOCUMENT)

    assert 500 == answer.status
    assert "JSON cannot spell" in caplog.text


def test_a_layer_that_returns_nothing(caplog):
    """A layer that forgets its return is a 500 with the request id, and its name is in the log."""

    def forgetful(request, call_next):
        yield from call_next(request)

    answer = Client(ages(keys="open", layers=[forgetful]).asgi).post("/api/predict", json=DOCUMENT)

    assert 500 == answer.status
    assert answer.json()["request_id"] == answer.header("x-request-id")
    assert "returned None instead of a Response" in caplog.text


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("store:../../etc/passwd", 'accepts "store:name"'),
        ("store:http://x", 'accepts "store:name"'),
        ("store:", 'accepts "store:name"'),
        ("https://x/y.skops", "no URL"),
    ],
)
def test_a_model_that_is_nowhere(model, told):
    """Is told when the deployment is made."""
    with pytest.raises(ConfigurationError, match=told):
        Deployment("a", model)


@pytest.mark.parametrize("streams", [False, True])
def test_a_handler_may_have_a_tighter_body_limit(streams):
    """Its limit holds also where the body has been read by then."""
    gate = Gate([Deployment("ages", own_age, schema=AGE, layers=[BodyLimit(10)])], keys="open")
    body = b'{"input_data": {"age": 1}}'
    answer = Client(gate.asgi).post("/api/predict", body=[body] if streams else body)

    assert 413 == answer.status


def test_layers_around_a_handler():
    """A decorated handler may have layers of its own, and stays an ordinary function."""
    gate = ages(keys={KEY: ["ages", "price"]})

    @gate.handler("price", schema=AGE, layers=[RateLimit("1/day")], scoring=[Round(0)])
    def price(table):
        return table["age"] * 2

    client = Client(gate.asgi)
    asked = [
        client.post("/api/predict", json=DOCUMENT | {"deployment": name})
        for name in ("price", "price", "ages")
    ]

    assert [answer.status for answer in asked] == [200, 429, 200]
    assert asked[0].json() == {"predictions": [2.0]}
    assert price({"age": 2}) == 4


@pytest.mark.parametrize("offload", [True, False])
def test_offload(offload):
    """A model runs beside the event loop, unless it is told not to."""
    import threading

    threads = []

    def where(table):
        threads.append(threading.current_thread() is threading.main_thread())
        return [1]

    gate = Gate([Deployment("w", where, schema=AGE, offload=offload)], keys="open")

    assert Client(gate.asgi).post("/api/predict", json={"input_data": {"age": 1}}).status == 200
    assert [not offload] == threads


def test_a_broken_layer_is_a_500(caplog):
    """A mistake in a layer is a 500 in the dialect's shape with the request id, and is logged."""

    def broken(request, call_next):
        raise KeyError("a mistake")

    answer = Client(ages(keys="open", layers=[broken]).asgi).post("/api/predict", json=DOCUMENT)

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
            return gate.handle(flask.request, "ages")

        @app.post("/any")
        def any_deployment():
            return gate.handle(flask.request)

        return app

    def starlette_app(self, gate):
        async def score(request):
            assert await request.body()
            return await gate.handle(request, "ages")

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
        return Client(getattr(self, request.param)(ages()))

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
        assert client.post("/score", json={"input_data": {}}).json() == {"error": "Missing API key"}

    @pytest.mark.parametrize("streams", [True, False])
    def test_body_limit(self, client, streams):
        """The body limit holds."""
        body = [b" " * 65536] * 17
        answer = client.post("/any", body=body if streams else b"".join(body), headers={"x-api-key": KEY})

        assert answer.status == 413

    def test_body_limit_bounds_what_is_read(self):
        """What lies beyond the limit is never read, though no length is told."""

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
        app = self.flask_app(ages(keys="open"))
        b"".join(app(environ, lambda *start: started.append(start)))

        assert started[0][0].startswith("413")
        assert body.given < 2 * 1024 * 1024

    def test_unknown_dialect(self):
        """A dialect the gate does not speak is a mistake in the program."""
        with pytest.raises(ConfigurationError, match="dialect"):
            ages().handle(None, dialect="esperanto")

    def test_unknown_framework(self):
        """So is a request of no framework known."""
        with pytest.raises(TypeError, match="int"):
            ages().handle(7)


def test_flask_prefix():
    """A prefix that could not be mounted is refused."""
    for prefix in ("ml", "/ml/", "/"):
        with pytest.raises(ConfigurationError, match="prefix"):
            modelgate.mount.flask.mount(flask.Flask("host"), prefix, ages())


def test_starlette_mount():
    """`mount.starlette.mount` is the twin of Flask's."""
    app = starlette.applications.Starlette()
    modelgate.mount.starlette.mount(app, "/ml", ages())

    assert Client(app).post("/ml/api/predict", json=DOCUMENT).status == 200


def test_alone_under_a_server():
    """Run alone, a gate takes part in the lifespan and declines websockets."""
    import asyncio

    sent = []

    async def play(kind, *types):
        messages = [{"type": kind + "." + each} for each in types]

        async def receive():
            return messages.pop(0)

        async def send(message):
            sent.append(message["type"])

        await ages().asgi({"type": kind}, receive, send)

    asyncio.run(play("lifespan", "startup", "shutdown"))
    asyncio.run(play("websocket", "connect"))

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


def test_dialects_are_chosen_by_name_or_given():
    """The first one also speaks where no other is meant; one that is near a path speaks there."""
    gate = Gate([Deployment("age", own_age, schema=AGE)], keys={KEY: "age"}, dialects=[Simple(), "plexe"])
    client = Client(gate.wsgi)

    assert 200 == client.post("/simple/age", json=[41], headers={"x-api-key": KEY}).status
    assert 404 == client.post("/api/predict", json={}).status
    assert "Not found" == client.post("/nowhere", json={}).json()["error"]
    assert "not_found" == client.post("/predict/age/x", json={}).json()["error"]["code"]


def test_a_large_answer_is_made_beside_the_event_loop():
    """Encoding many rows would hold up everybody else."""
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
def test_what_a_model_predicts_is_known_before_it_is_asked(model, target, expected):
    """From an example row, for estimators tell it in a dozen ways."""

    assert expected == [(told.name, told.classes) for told in Predictor(model, target=target).targets]


def test_what_a_function_predicts_is_what_it_was_said_to():
    """And of a model that cannot score the example too."""

    class Broken:
        n_features_in_ = 1

        def predict(self, rows):
            raise RuntimeError

    assert ["a", "b"] == [told.name for told in Predictor(own_age, AGE, target=["a", "b"]).targets]
    assert ["y"] == [told.name for told in Predictor(Broken(), AGE, target="y").targets]


def test_numbers_are_rounded_as_the_service_spoken_does():
    """ML Clever to two decimals, and no other; a deployment may say otherwise for all."""
    gate = Gate(
        [Deployment("age", own_age, schema=AGE), Deployment("exact", own_age, schema=AGE, decimals=1)],
        keys="open",
    )
    client = Client(gate.wsgi)
    told = [
        (
            client.post("/api/predict", json={"deployment": name, "input_data": {"age": 1.239}}).json()[
                "predictions"
            ],
            client.post(f"/simple/{name}", json=[1.239]).json()["prediction"],
            gate.score(name, {"age": 1.239}).values.tolist(),
        )
        for name in ("age", "exact")
    ]

    assert [([1.24], 1.239, [1.239]), ([1.2], 1.2, [1.2])] == told


def test_head_is_answered_as_get():
    """Without the body, whose length it tells."""
    client = Client(Gate(keys="open").asgi)
    answer = client.request("HEAD", "/health/live")

    assert (200, b"", "13") == (answer.status, answer.body, answer.header("content-length"))
