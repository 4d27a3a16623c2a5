"""Each layer alone, around an app that is there already."""

import asyncio
import contextvars
import io
from functools import partial

import pytest
import starlette.applications
import starlette.background
import starlette.responses
import starlette.routing

from conftest import KEY
from layers.conftest import asgi_app, wsgi_app
from modelgate import (
    Admission,
    BodyLimit,
    ConfigurationError,
    KeyAuth,
    Model,
    ModelCache,
    Predictor,
    RateLimit,
    RequestId,
    Response,
    Round,
    Schema,
    Scored,
    ServerTiming,
    Validate,
    mount,
)
from modelgate.testing import Client, Clock

KEYS = {KEY: "*"}
BEARER = {"authorization": f"Bearer {KEY}"}


def test_no_layers(wrap):
    """Without layers an app is what it was."""
    answer = Client(wrap()).post("/", body=b"hello")

    assert (answer.status, answer.json()["body"]) == (200, "hello")


def test_key_auth(wrap):
    """Without a key the app is not called; with one it knows whose it is."""
    client = Client(wrap(KeyAuth(KEYS)))
    refused, passed = client.post("/raise"), client.post("/", headers=BEARER)

    assert (refused.status, refused.json()) == (401, {"error": "Missing API key"})
    assert len(passed.json()["key"]) == 12


def test_server_timing(wrap):
    """Who asks, and has a key, is told how long it took."""
    client = Client(wrap(ServerTiming(), KeyAuth(KEYS)), headers={"prefer": "server-timing"})
    answer, refused = client.post("/", headers=BEARER), client.post("/")

    assert answer.header("server-timing").startswith("total;dur=")
    assert (200, 401, None) == (answer.status, refused.status, refused.header("server-timing"))


def test_rate_limit(wrap):
    """The limit holds by address, says how it stands on every answer, and ends when the window does."""
    clock = Clock()
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


def test_rate_limit_by_key(wrap):
    """Behind KeyAuth a limit counts by key, wherever the requests come from."""
    app = wrap(KeyAuth(KEYS), RateLimit("1/minute"))
    statuses = [Client(app, address=f"192.0.2.{at}", headers=BEARER).get("/").status for at in (1, 2)]

    assert statuses == [200, 429]


def test_request_id(wrap):
    """The app knows the id, and the answer has it, also the answer of a layer within."""
    client = Client(wrap(RequestId(), KeyAuth(KEYS)), headers={"x-request-id": "mine"})
    refused, passed = client.get("/"), client.get("/", headers=BEARER)

    assert (refused.header("x-request-id"), passed.header("x-request-id")) == ("mine", "mine")
    assert passed.json()["id"] == "mine"


@pytest.mark.parametrize("streams", [False, True])
def test_body_limit(wrap, streams):
    """A body over the limit is a 413, whether or not its length is told."""
    client = Client(wrap(BodyLimit(10)))
    body = [b"123456", b"123456"] if streams else b"123456123456"

    assert client.post("/", body=body).status == 413
    assert client.post("/", body=b"1234567890").json()["body"] == "1234567890"


def test_body_limit_overrules_what_the_app_made_of_it():
    """An app that turns the broken body into a 500 of its own is overruled, and nothing is raised."""

    async def endpoint(request):
        return starlette.responses.PlainTextResponse(await request.body())

    host = starlette.applications.Starlette(routes=[starlette.routing.Route("/", endpoint, methods=["POST"])])
    answer = Client(mount.asgi.wrap(host, BodyLimit(10))).post("/", body=[b"123456", b"123456"])

    assert answer.status == 413


def test_admission_counts_what_streams():
    """A request is in flight until its answer has been sent."""
    admission = Admission(1)
    app = mount.wsgi.wrap(wsgi_app, admission)
    client = Client(app)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/stream", "wsgi.input": io.BytesIO()}
    streaming = app(environ, lambda *start: None)
    refused = client.get("/")
    streaming.close()

    assert (refused.status, refused.header("retry-after")) == (503, "1")
    assert client.get("/").status == 200
    assert admission.in_flight == 0


def test_admission_under_asgi():
    """The same on the event loop: what waits is counted, what is over is not."""

    async def scenario():
        release = asyncio.Event()

        async def slow(scope, receive, send):
            await release.wait()
            await asgi_app(scope, receive, send)

        client = Client(mount.asgi.wrap(slow, Admission(1)))
        ask = partial(client._ask_asgi, "GET", "/", "", {}, [b""])
        first = asyncio.create_task(ask())
        await asyncio.sleep(0)
        second = await ask()
        release.set()
        return (await first).status, second.status, (await ask()).status

    assert asyncio.run(scenario()) == (200, 503, 200)


def test_streams_unbuffered_under_asgi():
    """Each piece of a body passes on as it comes, both ways."""
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


def test_streams_unbuffered_under_wsgi():
    """No piece of an answer is made before the one before it is taken."""
    made = []

    def app(environ, start_response):
        start_response("200 OK", [])
        for at in range(3):
            made.append(at)
            yield b"%d" % at

    body = mount.wsgi.wrap(app, RequestId())({"REQUEST_METHOD": "GET"}, lambda *start: None)
    pieces = iter(body)

    assert (next(pieces), made) == (b"0", [0])
    assert (next(pieces), made) == (b"1", [0, 1])
    body.close()


def test_what_the_app_sends_is_untouched(wrap):
    """Status, repeated fields and body of the app are as they were; layers only add."""
    answer = Client(wrap(RequestId())).get("/stream")

    assert (answer.status, answer.body) == (206, b"0,1,2,")
    assert [name for name, _ in answer.headers] == ["x-own", "set-cookie", "set-cookie", "x-request-id"]


def test_the_apps_own_error_passes(wrap):
    """An error of the app goes to whom it would have gone to, and frees what the layers hold."""
    admission = Admission(1)
    client = Client(wrap(admission))

    for _ in range(2):
        with pytest.raises(LookupError, match="the app's own error"):
            client.get("/raise")
    assert admission.in_flight == 0


def test_a_layer_may_answer_in_place_of_the_app(wrap):
    """What a layer gives back is what is sent, also after the app has answered."""

    def instead(request, call_next):
        response = yield from call_next(request)
        return Response(418, b"tea", [("x-was", str(response.status))])

    answer = Client(wrap(RequestId(), instead)).get("/stream")

    assert (answer.status, answer.body, answer.header("x-was")) == (418, b"tea", "206")


def test_a_response_may_start_without_headers():
    """ASGI leaves them out where there are none."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})

    answer = Client(mount.asgi.wrap(app, RequestId())).get("/")

    assert (200, b"hello") == (answer.status, answer.body)


def test_of_two_limits_the_tighter_one_is_told(wrap):
    """One set of fields, of the limit that will refuse first."""
    for layers in (
        [RateLimit("9/minute"), RateLimit("2/hour")],
        [RateLimit("2/hour"), RateLimit("9/minute")],
    ):
        answer = Client(wrap(*layers)).get("/")
        told = [value for name, value in answer.headers if name == "x-ratelimit-remaining"]

        assert ["1"] == told
        assert "2" == answer.header("x-ratelimit-limit")


def test_context_and_background_tasks():
    """The app runs in the caller's own task: what it sets is seen outside, its background work is done."""
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


def test_other_scopes_pass():
    """Lifespan and websockets are the app's own affair."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    for kind in ("lifespan", "websocket"):
        asyncio.run(mount.asgi.wrap(app, KeyAuth(KEYS))({"type": kind}, None, None))

    assert seen == ["lifespan", "websocket"]


class TestScored:
    def test_validate(self, wrap):
        """A faulty row is refused before the app sees it; a good one the app has as a table too."""
        app = wrap(
            BodyLimit(), Scored(Validate(Schema.of(age=float, plan=["free", "pro"])), predictions=None)
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

    def test_rows_are_the_body(self, wrap):
        """The body may be the rows themselves."""
        app = wrap(Scored(Validate(Schema.of(age=float)), rows=None))

        assert Client(app).post("/", json=[{"age": 1}, {"age": 2}]).json()["table"] == [
            {"age": 1.0},
            {"age": 2.0},
        ]
        assert Client(app).post("/", json=[{}]).status == 400

    def test_round(self, wrap):
        """Numbers among the predictions of the app's answer are rounded, and its length is true."""
        answer = Client(wrap(Scored(Round(2)))).post("/predict", json={"input_data": {}})

        assert answer.json() == {"predictions": [0.12, "a"], "rows": 17}
        assert str(len(answer.body)) == answer.header("content-length")

    def test_model(self, wrap):
        """A model is taken from a cache and given to the app with the request."""
        loads = []

        def load(name):
            loads.append(name)
            return Predictor(lambda table: table["age"], Schema.of(age=float))

        cache = ModelCache(load)
        layers = [Model(partial(cache.get, "ages")), Validate(Schema.of(age=float))]
        client = Client(wrap(Scored(*layers, predictions=None)))
        for _ in range(2):
            assert client.post("/", json={"input_data": {"age": 1}}).status == 200

        assert (loads, cache.cache_info().hits) == (["ages"], 1)

    def test_round_rows_of_several_outputs(self):
        """A list a row is rounded too."""

        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b'{"predictions": [[1.236, 2, "a"], [0.005, 3, "b"]]}']

        answer = Client(mount.wsgi.wrap(app, Scored(Round(2)))).post("/", json={"input_data": {}})

        assert {"predictions": [[1.24, 2, "a"], [0.01, 3, "b"]]} == answer.json()

    def test_an_answer_without_predictions_has_an_empty_output(self):
        """A layer sees a prediction of no rows, and the answer is untouched: no length is told of a 204."""
        seen = []

        def look(query, call_next):
            prediction = yield from call_next(query)
            seen.append(len(prediction))
            return prediction

        def app(environ, start_response):
            start_response("204 No Content", [])
            return []

        answer = Client(mount.wsgi.wrap(app, Scored(look))).post("/", json={"input_data": {}})

        assert (204, [], [0]) == (answer.status, answer.headers, seen)

    @pytest.mark.parametrize("path", ["/stream", "/"])
    def test_other_answers_pass(self, wrap, path):
        """An answer without predictions is untouched."""
        plain = Client(wrap()).post(path, json={"input_data": {}})
        scored = Client(wrap(Scored(Round(2)))).post(path, json={"input_data": {}})

        assert (plain.status, plain.body) == (scored.status, scored.body)

    def test_other_paths_pass(self, wrap):
        """Only the paths named are concerned, and only POST."""
        client = Client(wrap(Scored(Validate(Schema.of(age=float)), paths=["/score"])))

        assert client.post("/other", body=b"hello").json()["body"] == "hello"
        assert client.get("/score").status == 200
        assert client.post("/score", json={"input_data": {}}).status == 400

    @pytest.mark.parametrize(
        "body", [b"", b"[", b"{}", b'{"input_data": 1}', b'{"input_data": {}, "input_data": {}}']
    )
    def test_bad_body(self, wrap, body):
        """Whatever is wrong with the body, the answer is a 400."""
        assert Client(wrap(Scored(Validate(Schema.of(age=float))))).post("/", body=body).status == 400


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
        (lambda: Round(-1), "decimals"),
        (lambda: Round(True), "decimals"),
        (lambda: Validate("age"), "schema"),
        (lambda: Validate(Schema.of(age=float), max_rows=0), "max_rows"),
        (lambda: Scored("Validate"), "layers"),
        (lambda: mount.wsgi.wrap(wsgi_app, Validate(Schema.of(a=float))), r"Validate.*Scored"),
        (lambda: mount.asgi.wrap(asgi_app, Round(2)), r"Round.*Scored"),
        (lambda: KeyAuth({KEY: "wine,beer"}), "wine,beer"),
        (lambda: mount.wsgi.wrap(wsgi_app, RequestId), "layers"),
        (lambda: mount.asgi.wrap(asgi_app, "KeyAuth"), "layers"),
    ],
)
def test_bad_options(make, named):
    """A layer that cannot work is refused when it is made, and the option named."""
    with pytest.raises(ConfigurationError, match=named):
        make()
