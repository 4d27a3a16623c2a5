"""What the adapters do beyond answering requests: documents, dependencies, hooks, and errors of use."""

import asyncio
import io
import sys
import threading
import types

import blacksheep
import bottle
import django
import falcon.asgi
import falcon.testing
import fastapi
import flask
import litestar
import pytest
import quart
import starlette.applications
import starlette.requests
import starlette.responses
import starlette.routing
from django.conf import settings
from flask_cors import CORS
from werkzeug.wrappers import Request as WerkzeugRequest

import modelgate
from modelgate import (
    BodyLimit,
    ConcurrencyLimit,
    ConfigurationError,
    Deployment,
    Gate,
    KeyAuth,
    RateLimit,
    Schema,
)
from modelgate.keys import Principal
from modelgate.testing import Client
from support.keys import KEY, OTHER_KEY

SCHEMA = Schema.of(amount=float)
PREDICT = "/ml/deployments/double/predict"
ORIGIN = {"origin": "https://app.example"}
PREFLIGHT = {**ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="of the host")
    django.setup()

from django.core.signals import got_request_exception  # noqa: E402
from django.test import AsyncClient, override_settings  # noqa: E402
from django.test import Client as DjangoClient  # noqa: E402
from django.urls import include, path  # noqa: E402


def make_gate(**options):
    return Gate([Deployment("double", lambda table: table["amount"] * 2, schema=SCHEMA)], **options)


@pytest.fixture
def gate():
    return make_gate(keys={KEY: "double"})


def make_client(app):
    return Client(app, headers={"x-api-key": KEY})


class TestHandle:
    @pytest.mark.parametrize(
        "request_",
        [
            None,
            {},
            {"environ": {}},
            types.SimpleNamespace(environ={}),
            types.SimpleNamespace(scope={"type": "http"}, receive=None),
            starlette.requests.HTTPConnection({"type": "http"}),
        ],
        ids=["none", "dict", "environ in a dict", "environ", "scope and receive", "connection"],
    )
    def test_unknown_request_is_type_error(self, gate, request_):
        """Also one with the attributes of a known request."""
        with pytest.raises(TypeError, match=r"request must be a request of Flask, FastAPI, .* or Bottle"):
            gate.handle(request_, "double")

    def test_falcon_needs_its_response(self, gate):
        environ = falcon.testing.create_environ(path="/", method="POST")
        with pytest.raises(TypeError, match="response must be the response object of a Falcon responder"):
            gate.handle(falcon.Request(environ), "double")
        with pytest.raises(TypeError, match="None in other frameworks"):
            gate.handle(WerkzeugRequest(environ), "double", response=falcon.Response())

    def test_werkzeug_request_is_known(self, gate):
        environ = {
            "REQUEST_METHOD": "POST",
            "CONTENT_LENGTH": "13",
            "HTTP_X_API_KEY": KEY,
            "wsgi.input": io.BytesIO(b'{"amount": 2}'),
        }

        assert gate.handle(WerkzeugRequest(environ), "double").get_json()["prediction"] == 4


class TestMount:
    def test_blueprint_gets_a_hint(self, gate):
        with pytest.raises(ConfigurationError, match=r"got Blueprint.*mount the gate in the app.*init_app"):
            gate.mount(flask.Blueprint("shop", "shop"), "/ml")

    def test_unknown_app_gets_a_hint(self, gate):
        with pytest.raises(
            ConfigurationError, match=r"app must be an app of Flask.*got function.*mount\.wsgi\.mount"
        ):
            gate.mount(lambda environ, start_response: [], "/ml")

    def test_init_app_is_for_flask(self, gate):
        with pytest.raises(ConfigurationError, match=r"must be a Flask app or blueprint \(got FastAPI\)"):
            gate.init_app(fastapi.FastAPI(), "/ml")

    @pytest.mark.parametrize("prefix", ["ml", "/ml/", "/", "", None])
    @pytest.mark.parametrize("app", [flask.Flask("host"), quart.Quart("host"), fastapi.FastAPI()])
    def test_prefix_must_be_a_path(self, gate, app, prefix):
        with pytest.raises(ConfigurationError, match="prefix must be a path such as"):
            gate.mount(app, prefix)
        with pytest.raises(ConfigurationError, match="prefix must be a path such as"):
            gate.init_app(flask.Flask("host"), prefix)

    def test_two_gates_in_one_app(self, gate):
        app = flask.Flask("host")
        gate.init_app(app, "/ml")
        make_gate(keys="open").init_app(app, "/open/ml")

        assert Client(app).post(PREDICT, json={"amount": 1}).status == 401
        assert Client(app).post("/open" + PREDICT, json={"amount": 1}).status == 200


class TestFlaskRoutes:
    def test_gate_is_in_the_url_map_and_behind_hooks(self, gate):
        app, seen = flask.Flask("host"), []
        gate.init_app(app, "/ml")
        app.before_request(lambda: seen.append(flask.request.endpoint))
        make_client(app).post(PREDICT, json={"amount": 1})

        assert seen == ["modelgate_ml"]
        assert {"/ml", "/ml/", "/ml/<path:path>"} <= {rule.rule for rule in app.url_map.iter_rules()}

    def test_before_request_may_reject(self, gate):
        app = flask.Flask("host")
        gate.init_app(app, "/ml")
        app.before_request(lambda: ("closed", 418))

        assert make_client(app).post(PREDICT, json={"amount": 1}).status == 418

    def test_blueprint_prefix_is_part_of_the_mount_point(self, gate):
        app, blueprint = flask.Flask("host"), flask.Blueprint("shop", "shop")
        gate.init_app(blueprint, "/ml")
        app.register_blueprint(blueprint, url_prefix="/shop")
        client = make_client(app)

        assert client.post("/shop" + PREDICT, json={"amount": 1}).json()["prediction"] == 2
        page = client.get("/shop/ml", headers={"accept": "text/html"})
        assert (page.status, page.header("location")) == (307, "./ml/")
        assert client.get("/shop/ml/", headers={"accept": "text/html"}).status == 200

    def test_flask_cors_applies(self, gate):
        """To preflight requests, predictions and errors."""
        app = flask.Flask("host")
        gate.init_app(app, "/ml")
        CORS(app, origins=["https://app.example"])
        preflight = Client(app).request("OPTIONS", PREDICT, headers=PREFLIGHT)
        prediction = make_client(app).post(PREDICT, json={"amount": 1}, headers=ORIGIN)
        error = Client(app).post(PREDICT, json={"amount": 1}, headers=ORIGIN)

        assert [preflight.status, prediction.status, error.status] == [200, 200, 401]
        assert preflight.header("access-control-allow-headers") == "x-api-key"
        for response in (preflight, prediction, error):
            assert response.header("access-control-allow-origin") == "https://app.example"

    def test_cors_of_the_gate_applies(self):
        app = flask.Flask("host")
        make_gate(keys={KEY: "double"}, cors=["https://app.example"]).init_app(app, "/ml")
        preflight = Client(app).request("OPTIONS", PREDICT, headers=PREFLIGHT)

        assert (preflight.status, preflight.header("access-control-allow-origin")) == (
            204,
            "https://app.example",
        )

    def test_hidden_chunked_body_is_411(self, gate):
        app, starts = flask.Flask("host"), []
        gate.init_app(app, "/ml")
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": PREDICT,
            "SERVER_NAME": "host",
            "SERVER_PORT": "80",
            "HTTP_X_API_KEY": KEY,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
        }
        b"".join(app(environ, lambda *start: starts.append(start[0])))

        assert starts == ["411 Length Required"]


class TestFastAPI:
    @pytest.fixture
    def app(self, gate):
        app = fastapi.FastAPI()
        gate.mount(app, "/ml")

        @app.get("/history")
        def read_history(caller: Principal = fastapi.Depends(gate.caller)):  # noqa: B008
            return {"deployments": caller.deployments}

        return app

    def test_document_has_paths_of_app_and_gate(self, app):
        document = Client(app).get("/openapi.json").json()

        assert {"/history", PREDICT} <= set(document["paths"])
        body = document["paths"][PREDICT]["post"]["requestBody"]["$ref"].split("/")[-1]
        assert body in document["components"]["requestBodies"]
        assert "native" in [tag["name"] for tag in document["tags"]]
        assert not [path for path in document["paths"] if path.startswith("/ml/ml/")]
        assert Client(app).get("/docs").status == 200

    def test_document_is_valid(self, app):
        from openapi_spec_validator import validate

        validate(Client(app).get("/openapi.json").json())

    def test_document_is_created_off_the_event_loop(self):
        """Because it may load models."""
        app, threads = fastapi.FastAPI(), []

        def describe():
            threads.append(threading.current_thread())
            return {"paths": {}, "components": {}, "tags": []}

        modelgate.mount.fastapi.mount(app, "/ml", make_gate(keys="open"), openapi=describe)
        assert Client(app).get("/openapi.json").status == 200

        assert len(threads) == 1
        assert threads[0] is not threading.main_thread()

    def test_document_leaves_hidden_schemas_out(self):
        app = fastapi.FastAPI()
        schema = SCHEMA.with_options(show_schema=False)
        gate = Gate(
            [Deployment("double", lambda table: table["amount"], schema=schema)], keys={KEY: "double"}
        )
        gate.mount(app, "/ml")

        assert Client(app).get("/openapi.json").json()["paths"] == {}

    def test_app_without_document(self, gate):
        app = fastapi.FastAPI(openapi_url=None)
        gate.mount(app, "/ml")

        assert make_client(app).post(PREDICT, json={"amount": 1}).status == 200

    def test_caller_must_send_a_key(self, app):
        missing, wrong = (
            Client(app).get("/history"),
            Client(app, headers={"x-api-key": OTHER_KEY}).get("/history"),
        )

        assert (missing.status, wrong.status) == (401, 401)
        assert missing.json()["detail"].startswith("Missing API key")
        assert wrong.json()["detail"].startswith("Invalid API key")
        assert missing.header("www-authenticate") == 'Bearer realm="modelgate"'

    def test_caller_is_the_principal(self, app):
        """With the header fields of the limits."""
        answer = make_client(app).get("/history")

        assert (answer.status, answer.json()) == (200, {"deployments": ["double"]})
        assert answer.header("x-ratelimit-remaining") is not None

    def test_caller_is_limited(self):
        app = fastapi.FastAPI()
        gate = make_gate(layers=[BodyLimit(), KeyAuth({KEY: "double"}), RateLimit("1/hour")])
        app.get("/history", dependencies=[fastapi.Depends(gate.caller)])(lambda: "history")
        client = make_client(app)
        first, second = client.get("/history"), client.get("/history")

        assert [first.status, second.status] == [200, 429]
        assert int(second.header("retry-after")) > 3000


class TestDjango:
    @pytest.fixture
    def urlconf(self, gate):
        module = types.ModuleType("urlconf")
        module.urlpatterns = [path("ml/", include(modelgate.mount.django.urls(gate)))]
        middleware = [
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ]
        with override_settings(ROOT_URLCONF=module, MIDDLEWARE=middleware, DATA_UPLOAD_MAX_MEMORY_SIZE=1000):
            yield

    def post(self, body, **options):
        client = DjangoClient(enforce_csrf_checks=True, headers={"x-api-key": KEY})
        return client.post(PREDICT, body, content_type="application/json", **options)

    def test_test_client_and_csrf_middleware(self, urlconf):
        answer = self.post({"amount": 2})

        assert (answer.status_code, answer.json()["prediction"]) == (200, 4)

    def test_async_test_client(self, urlconf):
        client, headers = AsyncClient(enforce_csrf_checks=True), {"x-api-key": KEY}
        posted = client.post(PREDICT, {"amount": 2}, content_type="application/json", headers=headers)
        answer = asyncio.run(posted)

        assert (answer.status_code, answer.json()["prediction"]) == (200, 4)

        assert (answer.status_code, answer.json()["prediction"]) == (200, 4)

    def test_path_without_slash_is_redirected(self, urlconf):
        answer = DjangoClient().get("/ml")

        assert (answer.status_code, answer.headers["location"]) == (301, "/ml/")
        assert DjangoClient().get("/ml/").json()["openapi"] == "openapi.json"

    @pytest.mark.parametrize("client", [DjangoClient, AsyncClient])
    def test_exceptions_are_sent_with_the_signal(self, client):
        """Once, as the current exception; error tracking for Django listens to it. Not mistakes of callers."""
        broken, error, seen = types.ModuleType("urlconf"), ValueError("a fault"), []

        def fail(table):
            raise error

        def receive(sender, request, **options):
            seen.append((request.path, sys.exc_info()[1].__cause__))

        gate = Gate([Deployment("broken", fail, schema=SCHEMA)], keys="open")
        broken.urlpatterns = [path("ml/", include(modelgate.mount.django.urls(gate)))]
        sender = client(raise_request_exception=False)
        got_request_exception.connect(receive)
        with override_settings(ROOT_URLCONF=broken):
            answers = [
                sender.post("/ml/simple/broken", {"amount": amount}, content_type="application/json")
                for amount in (1, "x")
            ]
            if client is AsyncClient:
                answers = [asyncio.run(answer) for answer in answers]
        got_request_exception.disconnect(receive)

        assert [500, 400] == [answer.status_code for answer in answers]
        assert [("/ml/simple/broken", error)] == seen

    def test_limit_of_django_is_413(self, urlconf):
        answer = self.post({"amount": 2, "note": "x" * 1000})

        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert "1000 bytes" in answer.json()["detail"]


def quart_app(gate, *, read_first):
    app = quart.Quart("host")

    @app.post("/double")
    async def double():
        if read_first:
            await quart.request.get_data()
        return await gate.handle(quart.request, "double")

    return app


def litestar_app(gate, *, read_first):
    @litestar.post("/double")
    async def double(request: litestar.Request) -> litestar.Response:
        if read_first:
            await request.body()
        return await gate.handle(request, "double")

    return litestar.Litestar([double], logging_config=None)


def blacksheep_app(gate, *, read_first):
    app = blacksheep.Application(router=blacksheep.Router())

    @app.router.post("/double")
    async def double(request: blacksheep.Request):
        if read_first:
            await request.read()
        return await gate.handle(request, "double")

    asyncio.run(app.start())
    return app


def bottle_app(gate, *, read_first):
    app = bottle.Bottle()

    @app.post("/double")
    def double():
        if read_first:
            bottle.request.body.read()
        return gate.handle(bottle.request, "double")

    return app


def falcon_app(gate, *, read_first=False):
    class Double:
        async def on_post(self, req, resp):
            await gate.handle(req, "double", response=resp)

    app = falcon.asgi.App()
    app.add_route("/double", Double())
    return app


class TestBodies:
    @pytest.mark.parametrize("create_app", [quart_app, litestar_app, blacksheep_app, bottle_app])
    def test_view_may_read_the_body_first(self, gate, create_app):
        answer = make_client(create_app(gate, read_first=True)).post("/double", json={"amount": 2})

        assert (answer.status, answer.json()["prediction"]) == (200, 4)

    @pytest.mark.parametrize("create_app", [quart_app, litestar_app, blacksheep_app, bottle_app, falcon_app])
    @pytest.mark.parametrize("chunked", [False, True])
    def test_large_body_is_413(self, create_app, chunked):
        """Also if its length is not known before."""
        keyed = make_gate(layers=[BodyLimit(1000), KeyAuth({KEY: "double"})])
        body = b'{"amount": 2, "note": "' + b"x" * 2000 + b'"}'
        answer = make_client(create_app(keyed, read_first=False)).post(
            "/double", body=[body[:900], body[900:]] if chunked else body
        )

        assert (answer.status, answer.json()["code"]) == (413, "body_too_large")
        assert "1000 bytes" in answer.json()["detail"]

    def test_limit_of_quart_is_413(self, gate):
        app = quart_app(gate, read_first=False)
        app.config["MAX_CONTENT_LENGTH"] = 1000
        answer = make_client(app).post("/double", json={"amount": 2, "note": "x" * 1000})

        assert (answer.status, answer.json()["code"]) == (413, "body_too_large")
        assert "1000 bytes" in answer.json()["detail"]

    def test_limit_of_litestar_is_413(self, gate):
        app = litestar_app(gate, read_first=False)
        answer = make_client(app).post("/double", body=[b" " * 6_000_000] * 2)

        assert (answer.status, answer.json()["code"]) == (413, "body_too_large")
        assert "10000000 bytes" in answer.json()["detail"]


LONG = [{"amount": 1}] * 9000


def flask_app(gate, drops):
    app = flask.Flask("host")

    @app.post("/double")
    def double():
        answer = gate.handle(flask.request, "double")
        return "dropped" if drops else answer

    return app


def starlette_app(gate, drops):
    async def double(request):
        answer = await gate.handle(request, "double")
        return starlette.responses.PlainTextResponse("dropped") if drops else answer

    return starlette.applications.Starlette(
        routes=[starlette.routing.Route("/double", double, methods=["POST"])]
    )


@pytest.mark.parametrize("create_app", [flask_app, starlette_app])
@pytest.mark.parametrize("drops", [False, True], ids=["sent", "dropped"])
def test_streamed_answer_of_a_view_ends_the_request(create_app, drops):
    """Also if the view does not return it."""
    client = make_client(create_app(make_gate(layers=[KeyAuth({KEY: "double"}), ConcurrencyLimit(1)]), drops))
    answers = [client.post("/double", json=LONG) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    for answer in answers:
        assert (answer.body == b"dropped") if drops else (len(answer.json()["predictions"]) == 9000)


@pytest.mark.parametrize("mount", [modelgate.mount.wsgi, modelgate.mount.asgi])
def test_mount_keeps_neighbouring_paths(gate, mount):
    host = make_gate(keys="open")
    app = mount.mount(host.wsgi if mount is modelgate.mount.wsgi else host.asgi, "/ml", gate)

    assert make_client(app).post(PREDICT, json={"amount": 1}).status == 200
    assert Client(app).post(PREDICT, json={"amount": 1}).status == 401
    assert Client(app).post(PREDICT.removeprefix("/ml"), json={"amount": 1}).status == 200
    assert Client(app).post("/mlx" + PREDICT, json={"amount": 1}).status == 404


def test_asgi_mount_below_a_root_path(gate):
    """The path includes it, or a proxy has removed it."""
    app = modelgate.mount.asgi.mount(make_gate(keys="open").asgi, "/ml", gate)

    async def with_root_path(scope, receive, send):
        await app({**scope, "root_path": "/shop"}, receive, send)

    for prefix in ("/shop", ""):
        answer = make_client(with_root_path).post(prefix + PREDICT, json={"amount": 1})

        assert (answer.status, answer.json()["prediction"]) == (200, 2)
