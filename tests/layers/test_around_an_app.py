"""Each layer alone, around an app."""

import asyncio
import contextvars
import io
from functools import partial

import pytest
import starlette.applications
import starlette.background
import starlette.responses
import starlette.routing

from modelgate import (
    Admission,
    BodyLimit,
    ConfigurationError,
    KeyAuth,
    LoadModel,
    ModelCache,
    Predictor,
    RateLimit,
    RequestId,
    Response,
    Round,
    Schema,
    ServerTiming,
    Validate,
    WithScoring,
    mount,
)
from modelgate.keys.principal import ACTIONS
from modelgate.testing import Client, FakeClock
from support.apps import asgi_app, wsgi_app
from support.keys import KEY

KEYS = {KEY: "*"}
BEARER = {"authorization": f"Bearer {KEY}"}


def test_app_without_layers_is_unchanged(wrap):
    answer = Client(wrap()).post("/", body=b"hello")

    assert (answer.status, answer.json()["body"]) == (200, "hello")


def test_key_auth_requires_key(wrap):
    """The app gets the principal of a valid key."""
    client = Client(wrap(KeyAuth(KEYS)))
    refused, passed = client.post("/raise"), client.post("/", headers=BEARER)

    assert refused.status == 401
    assert refused.json()["error"].startswith("Missing API key")
    assert len(passed.json()["key"]) == 12


EVERY_ACTION = " ".join(f"churn:{action}" for action in ACTIONS)


@pytest.mark.parametrize(
    ("scope", "opens"),
    [
        (None, {"*"}),
        ("*", {"*"}),
        ("churn", {"*", "churn", EVERY_ACTION}),
        (
            "churn:predict",
            {"*", "churn", "churn:predict", EVERY_ACTION, "*:predict"},
        ),
        ("*:read", {"*", "*:read"}),
    ],
)
def test_key_auth_requires_scope(wrap, scope, opens):
    """Without a scope, only a key for everything is accepted."""
    scopes = ["*", "churn", "churn:predict", EVERY_ACTION]
    scopes += ["churn:read", "*:predict", "*:read", "price"]
    keys = {f"a-key-for-the-scope-{index}": scope.split() for index, scope in enumerate(scopes)}
    client = Client(wrap(KeyAuth(keys, scope=scope)))
    answers = {
        scope: client.post("/", headers={"x-api-key": key}) for scope, key in zip(scopes, keys, strict=True)
    }
    refused = answers["price"]

    assert opens == {scope for scope, answer in answers.items() if answer.status == 200}
    assert (403, 'Bearer error="insufficient_scope"') == (refused.status, refused.header("www-authenticate"))
    assert f"send one with the scope {scope or '*'}" in refused.json()["error"]


def test_key_auth_logs_store_error_as_text(wrap, caplog):
    """Log handlers that store local variables therefore get no key."""

    class Broken:
        def find(self, key):
            yield from ()
            raise LookupError("no such table")

    client = Client(wrap(KeyAuth(Broken())))
    answer = client.post("/", headers=BEARER)
    (record,) = caplog.records

    assert (500, {"error": "An unexpected error occurred on the server"}) == (answer.status, answer.json())
    assert "LookupError: no such table" in record.getMessage()
    assert KEY not in record.getMessage()
    assert record.exc_info is None


def test_server_timing_is_sent_on_request(wrap):
    """The caller must have a key."""
    client = Client(wrap(ServerTiming(), KeyAuth(KEYS)), headers={"prefer": "server-timing"})
    answer, refused = client.post("/", headers=BEARER), client.post("/")

    assert answer.header("server-timing").startswith("total;dur=")
    assert (200, 401, None) == (answer.status, refused.status, refused.header("server-timing"))


def test_rate_limit_counts_by_address(wrap):
    """Every response has the state of the limit, which ends with the window."""
    clock = FakeClock()
    app = wrap(RateLimit("2/minute; 3/hour", clock=clock))
    client, neighbour = Client(app), Client(app, address="192.0.2.2")
    first, second, third = (client.get("/") for _ in range(3))
    clock.advance(60)
    fourth, fifth = client.get("/"), client.get("/")

    assert [a.status for a in (first, second, third, fourth, fifth)] == [200, 200, 429, 200, 429]
    assert (first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")) == ("2", "1")
    assert third.header("retry-after") == "60"
    assert str(int(clock.now)) == third.header("x-ratelimit-reset")
    assert fifth.header("retry-after") == "3540"
    assert None is first.header("retry-after")
    assert neighbour.get("/").status == 200


def test_rate_limit_counts_by_key(wrap):
    """Behind `KeyAuth`, from any address."""
    app = wrap(KeyAuth(KEYS), RateLimit("1/minute"))
    statuses = [Client(app, address=f"192.0.2.{host}", headers=BEARER).get("/").status for host in (1, 2)]

    assert statuses == [200, 429]


def test_request_id_is_passed_to_app_and_response(wrap):
    """Responses of inner layers included."""
    client = Client(wrap(RequestId(), KeyAuth(KEYS)), headers={"x-request-id": "mine"})
    refused, passed = client.get("/"), client.get("/", headers=BEARER)

    assert (refused.header("x-request-id"), passed.header("x-request-id")) == ("mine", "mine")
    assert passed.json()["id"] == "mine"


@pytest.mark.parametrize("streams", [False, True])
def test_body_limit_rejects_large_bodies(wrap, streams):
    """With and without a Content-Length."""
    client = Client(wrap(BodyLimit(10)))
    body = [b"123456", b"123456"] if streams else b"123456123456"

    assert client.post("/", body=body).status == 413
    assert client.post("/", body=b"1234567890").json()["body"] == "1234567890"


def test_body_limit_replaces_error_of_app():
    """An app that turns the truncated body into a 500 of its own still gets a 413."""

    async def endpoint(request):
        return starlette.responses.PlainTextResponse(await request.body())

    host = starlette.applications.Starlette(routes=[starlette.routing.Route("/", endpoint, methods=["POST"])])
    answer = Client(mount.asgi.wrap(host, BodyLimit(10))).post("/", body=[b"123456", b"123456"])

    assert answer.status == 413


def test_admission_counts_streamed_responses():
    """A request is in flight until its response has been sent."""
    admission = Admission(1, retry_after=7)
    app = mount.wsgi.wrap(wsgi_app, admission)
    client = Client(app)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/stream", "wsgi.input": io.BytesIO()}
    streaming = app(environ, lambda *start: None)
    refused = client.get("/")
    streaming.close()

    assert (refused.status, refused.header("retry-after")) == (503, "7")
    assert client.get("/").status == 200
    assert admission.in_flight == 0


def test_admission_limits_asgi_requests():
    """Waiting requests are counted, rejected ones are not."""

    async def scenario():
        release = asyncio.Event()

        async def slow(scope, receive, send):
            await release.wait()
            await asgi_app(scope, receive, send)

        client = Client(mount.asgi.wrap(slow, Admission(1)))
        ask = partial(client._call_asgi, "GET", "/", "", {}, [b""])
        first = asyncio.create_task(ask())
        await asyncio.sleep(0)
        second = await ask()
        release.set()
        return (await first).status, second.status, (await ask()).status

    assert asyncio.run(scenario()) == (200, 503, 200)


def test_asgi_streams_are_not_buffered():
    """In both directions."""
    seen = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            message = await receive()
            seen.append(("in", message["body"]))
            await send(
                {"type": "http.response.body", "body": message["body"], "more_body": message["more_body"]}
            )

    async def scenario():
        pieces = [b"1", b"2", b"3"]

        async def receive():
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message):
            seen.append(("out", message.get("body")))

        wrapped = mount.asgi.wrap(app, RequestId(), BodyLimit(10), RateLimit("9/day"))
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await wrapped(scope, receive, send)

    asyncio.run(scenario())

    pieces = [(way, piece) for piece in (b"1", b"2", b"3") for way in ("in", "out")]
    assert [("out", None), *pieces] == seen


def test_wsgi_streams_are_not_buffered():
    """No piece is produced before the previous one was sent."""
    made = []

    def app(environ, start_response):
        start_response("200 OK", [])
        for index in range(3):
            made.append(index)
            yield b"%d" % index

    body = mount.wsgi.wrap(app, RequestId())({"REQUEST_METHOD": "GET"}, lambda *start: None)
    pieces = iter(body)

    assert (next(pieces), made) == (b"0", [0])
    assert (next(pieces), made) == (b"1", [0, 1])
    body.close()


def test_response_of_app_is_unchanged(wrap):
    """Layers only add headers."""
    answer = Client(wrap(RequestId())).get("/stream")

    assert (answer.status, answer.body) == (206, b"0,1,2,")
    assert [name for name, _ in answer.headers] == ["x-own", "set-cookie", "set-cookie", "x-request-id"]


def test_error_of_app_reaches_server(wrap):
    """The layers release their resources."""
    admission = Admission(1)
    client = Client(wrap(admission))

    for _ in range(2):
        with pytest.raises(LookupError, match="the app's own error"):
            client.get("/raise")
    assert admission.in_flight == 0


def test_layer_may_replace_response(wrap):
    """Also after the app has responded."""

    def instead(request, call_next):
        response = yield from call_next(request)
        return Response(418, b"tea", [("x-was", str(response.status))])

    answer = Client(wrap(RequestId(), instead)).get("/stream")

    assert (answer.status, answer.body, answer.header("x-was")) == (418, b"tea", "206")


def test_asgi_response_may_start_without_headers():

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})

    answer = Client(mount.asgi.wrap(app, RequestId())).get("/")

    assert (200, b"hello") == (answer.status, answer.body)


def test_rate_limit_headers_describe_tightest_limit(wrap):
    """There is one set of headers."""
    for layers in (
        [RateLimit("9/minute"), RateLimit("2/hour")],
        [RateLimit("2/hour"), RateLimit("9/minute")],
    ):
        answer = Client(wrap(*layers)).get("/")
        remaining = [value for name, value in answer.headers if name == "x-ratelimit-remaining"]

        assert ["1"] == remaining
        assert "2" == answer.header("x-ratelimit-limit")


def test_asgi_app_runs_in_task_of_server():
    """Context variables are visible outside, and background tasks run."""
    variable = contextvars.ContextVar("variable", default="unset")
    done = []

    async def endpoint(request):
        variable.set("set by the app")
        task = starlette.background.BackgroundTask(done.append, "done")
        return starlette.responses.PlainTextResponse("hello", background=task)

    host = starlette.applications.Starlette(routes=[starlette.routing.Route("/", endpoint)])
    seen = []

    async def outside(scope, receive, send):
        await mount.asgi.wrap(host, RequestId(), RateLimit("9/day"))(scope, receive, send)
        seen.append(variable.get())

    assert Client(outside).get("/").body == b"hello"
    assert (seen, done) == (["set by the app"], ["done"])


def test_other_asgi_scopes_reach_app():
    """Lifespan and websockets."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    for kind in ("lifespan", "websocket"):
        asyncio.run(mount.asgi.wrap(app, KeyAuth(KEYS))({"type": kind}, None, None))

    assert seen == ["lifespan", "websocket"]


class TestWithScoring:
    def test_validate_rejects_invalid_rows(self, wrap):
        """The app gets valid rows as a table."""
        app = wrap(
            BodyLimit(), WithScoring(Validate(Schema.of(age=float, plan=["free", "pro"])), predictions=None)
        )
        refused = Client(app).post("/", json={"input_data": {"age": "x"}})
        passed = Client(app).post("/", json={"input_data": {"age": 41, "plan": "pro"}})

        assert refused.status == 400
        assert (
            refused.json()["missing_columns"],
            refused.json()["errors"],
        ) == (["plan"], {"age": "must be a number"})
        assert passed.json()["table"] == [{"age": 41.0, "plan": "pro"}]
        assert passed.json()["body"] == '{"input_data":{"age":41,"plan":"pro"}}'

    def test_rows_may_be_the_body(self, wrap):
        app = wrap(WithScoring(Validate(Schema.of(age=float)), rows=None))

        assert Client(app).post("/", json=[{"age": 1}, {"age": 2}]).json()["table"] == [
            {"age": 1.0},
            {"age": 2.0},
        ]
        assert Client(app).post("/", json=[{}]).status == 400

    def test_round_changes_predictions(self, wrap):
        """The content length is updated."""
        answer = Client(wrap(WithScoring(Round(2)))).post("/predict", json={"input_data": {}})

        assert answer.json() == {"predictions": [0.12, "a"], "rows": 17}
        assert str(len(answer.body)) == answer.header("content-length")

    def test_load_model_sets_predictor(self, wrap):
        """The app gets it with the request."""
        loads = []

        def load(name):
            loads.append(name)
            return Predictor(lambda table: table["age"], Schema.of(age=float))

        cache = ModelCache(load)
        layers = [LoadModel(partial(cache.get, "ages")), Validate(Schema.of(age=float))]
        client = Client(wrap(WithScoring(*layers, predictions=None)))
        for _ in range(2):
            assert client.post("/", json={"input_data": {"age": 1}}).status == 200

        assert (loads, cache.cache_info().hits) == (["ages"], 1)

    def test_round_changes_lists_per_row(self):

        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b'{"predictions": [[1.236, 2, "a"], [0.005, 3, "b"]]}']

        answer = Client(mount.wsgi.wrap(app, WithScoring(Round(2)))).post("/", json={"input_data": {}})

        assert {"predictions": [[1.24, 2, "a"], [0.01, 3, "b"]]} == answer.json()

    def test_response_without_predictions_is_unchanged(self):
        """Layers get a prediction without rows. A 204 gets no content length."""
        seen = []

        def look(query, call_next):
            prediction = yield from call_next(query)
            seen.append(len(prediction))
            return prediction

        def app(environ, start_response):
            start_response("204 No Content", [])
            return []

        answer = Client(mount.wsgi.wrap(app, WithScoring(look))).post("/", json={"input_data": {}})

        assert (204, [], [0]) == (answer.status, answer.headers, seen)

    @pytest.mark.parametrize("path", ["/stream", "/"])
    def test_other_responses_are_unchanged(self, wrap, path):
        plain = Client(wrap()).post(path, json={"input_data": {}})
        scored = Client(wrap(WithScoring(Round(2)))).post(path, json={"input_data": {}})

        assert (plain.status, plain.body) == (scored.status, scored.body)

    def test_other_paths_are_unchanged(self, wrap):
        """And other methods than POST."""
        client = Client(wrap(WithScoring(Validate(Schema.of(age=float)), paths=["/score"])))

        assert client.post("/other", body=b"hello").json()["body"] == "hello"
        assert client.get("/score").status == 200
        assert client.post("/score", json={"input_data": {}}).status == 400

    @pytest.mark.parametrize(
        "body", [b"", b"[", b"{}", b'{"input_data": 1}', b'{"input_data": {}, "input_data": {}}']
    )
    def test_invalid_body_is_400(self, wrap, body):
        assert Client(wrap(WithScoring(Validate(Schema.of(age=float))))).post("/", body=body).status == 400


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: RateLimit("5 per fortnite"), "rate"),
        (lambda: RateLimit("0/minute"), "rate"),
        (lambda: RateLimit("5/minute", by="color"), "by"),
        (lambda: BodyLimit(0), "limit"),
        (lambda: Admission(0), "limit"),
        (lambda: Admission(retry_after=0), "retry_after"),
        (lambda: KeyAuth({}), "keys"),
        (lambda: KeyAuth({"short": "wine"}), "keys"),
        (lambda: KeyAuth({7: "wine"}), "keys"),
        (lambda: KeyAuth({KEY: []}), "keys"),
        (lambda: KeyAuth("keys.txt"), "keys"),
        (lambda: KeyAuth("env:"), "keys"),
        (lambda: KeyAuth("env:NO_SUCH_VARIABLE"), "keys"),
        (lambda: KeyAuth(7), "keys"),
        (lambda: KeyAuth(KEYS, scope="churn:write"), "scope must be .*'churn:write'"),
        (lambda: KeyAuth(KEYS, scope=["churn"]), "scope must be"),
        (lambda: KeyAuth(KEYS, max_bodies=0), "max_bodies"),
        (lambda: KeyAuth(KEYS, max_look_ups="many"), "max_look_ups"),
        (lambda: KeyAuth(KEYS, body_timeout=0), "body_timeout must be"),
        (lambda: KeyAuth(KEYS, body_timeout=True), "body_timeout must be"),
        (lambda: Round(-1), "decimals"),
        (lambda: Round(True), "decimals"),
        (lambda: Validate("age"), "schema"),
        (lambda: Validate(Schema.of(age=float), max_rows=0), "max_rows"),
        (lambda: WithScoring("Validate"), "layers"),
        (lambda: mount.wsgi.wrap(wsgi_app, Validate(Schema.of(a=float))), r"Validate.*WithScoring"),
        (lambda: mount.asgi.wrap(asgi_app, Round(2)), r"Round.*WithScoring"),
        (lambda: KeyAuth({KEY: "wine,beer"}), "wine,beer"),
        (lambda: mount.wsgi.wrap(wsgi_app, RequestId), "layers"),
        (lambda: mount.asgi.wrap(asgi_app, "KeyAuth"), "layers"),
    ],
)
def test_layers_reject_invalid_options(make, named):
    """When they are created."""
    with pytest.raises(ConfigurationError, match=named):
        make()


def test_object_of_columns_is_rejected_around_an_app(wrap):
    """The app would get the body as it is, and may read rows only."""
    client = Client(wrap(WithScoring(Validate(Schema.of(age=float)))))
    answers = [client.post("/", json={"input_data": {"age": value}}) for value in ({"0": 1}, 1)]

    assert [400, 200] == [answer.status for answer in answers]
    assert {"age": "must be a number"} == answers[0].json()["errors"]
