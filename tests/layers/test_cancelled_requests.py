"""Rate limits of requests that are cancelled, because their caller disconnected: work that was done is charged."""

import asyncio
import io

import pytest

from modelgate import BodyLimit, Deployment, Gate, KeyAuth, RateLimit, Response, Schema, drive, mount
from modelgate.scoring import Query
from modelgate.testing import Client, request
from support.keys import KEY

PATH = "/deployments/double/predict"


class ServerTimeout(BaseException):
    """As the timeouts of gevent, which end a request under WSGI."""


@pytest.mark.parametrize("cost", ["request", "rows"])
@pytest.mark.parametrize(
    ("began", "charge_when", "remaining"),
    [
        (None, None, 9),
        (None, lambda response: True, 9),
        ("model", None, 8),
        ("model", lambda response: response.status == 200, 8),
        ("app", None, 8),
    ],
)
def test_rate_limit_charges_cancelled_requests_if_work_began(cost, began, charge_when, remaining):
    """Whatever `charge_when` says of responses."""
    limit = RateLimit("10/minute", cost=cost, charge_when=charge_when)

    def respond(request):
        for check in request.context.on_rows:
            yield from check(1)
        yield from ()
        return Response(200)

    def cancelled(request):
        yield from respond(request)
        request.context.query = Query([], model_called=began == "model")
        request.context.app_called = began == "app"
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        drive(limit(request(), cancelled))

    assert f"{remaining}" == drive(limit(request(), respond)).header("x-ratelimit-remaining")


def make_gate(redis_uri=None):
    """Return a gate whose model waits forever for a negative amount, and an event that the model sets then."""
    waits = asyncio.Event()

    async def double(table):
        if table["amount"][0] < 0:
            waits.set()
            await asyncio.Event().wait()
        return table["amount"] * 2

    limit = RateLimit("10/minute", storage=redis_uri or "memory://")
    deployment = Deployment("double", double, schema=Schema.of(amount=float))
    return Gate([deployment], layers=[BodyLimit(), KeyAuth({KEY: "double"}), limit]), waits


def count_charges(app, moment, *, sends_body, path=PATH):
    """Cancel a request to an ASGI app when the event *moment* is set. Return the charges of it and of the next one.

    If not *sends_body*, the event is set when the app waits for the body.
    """

    async def stall(scope, receive, send):
        async def receive_nothing():
            moment.set()
            await asyncio.Event().wait()

        await app(scope, receive if sends_body else receive_nothing, send)

    async def send_requests():
        client = Client(app, headers={"x-api-key": KEY}, interface="asgi")
        before = int((await client.apost(path, json={"amount": 1})).header("x-ratelimit-remaining"))
        cancelled = Client(stall, headers={"x-api-key": KEY}, interface="asgi")
        task = asyncio.create_task(cancelled.apost(path, json={"amount": -1}))
        await moment.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        after = await client.apost(path, json={"amount": 1})
        return before - int(after.header("x-ratelimit-remaining"))

    return asyncio.run(send_requests())


@pytest.mark.parametrize("storage", ["memory", "redis"])
@pytest.mark.parametrize(("sends_body", "charges"), [(False, 1), (True, 2)], ids=["upload", "model"])
def test_cancelled_upload_is_not_charged_but_a_call_of_the_model_is(request, storage, sends_body, charges):
    uri = None if storage == "memory" else request.getfixturevalue("redis_server").uri
    gate, waits = make_gate(uri)

    assert charges == count_charges(gate.asgi, waits, sends_body=sends_body)


def test_call_of_a_wrapped_app_is_charged_if_it_is_cancelled():
    waits = asyncio.Event()

    async def app(scope, receive, send):
        if b"-1" in (await receive())["body"]:
            waits.set()
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert 2 == count_charges(mount.asgi.wrap(app, RateLimit("10/minute")), waits, sends_body=True)


class StallingInput(io.BytesIO):
    """Body of a caller who stops sending it."""

    def read(self, *size):
        raise ServerTimeout


def test_upload_that_the_server_ends_is_not_charged_under_wsgi():
    gate, _ = make_gate()

    def stall(environ, start_response):
        return gate.wsgi({**environ, "wsgi.input": StallingInput()}, start_response)

    client = Client(gate.wsgi, headers={"x-api-key": KEY})
    assert "9" == client.post(PATH, json={"amount": 1}).header("x-ratelimit-remaining")
    with pytest.raises(ServerTimeout):
        Client(stall, headers={"x-api-key": KEY}, interface="wsgi").post(PATH, json={"amount": 1})

    assert "8" == client.post(PATH, json={"amount": 1}).header("x-ratelimit-remaining")


def test_call_of_a_wrapped_app_is_charged_if_the_server_ends_it_under_wsgi():
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            raise ServerTimeout
        start_response("200 OK", [])
        return []

    client = Client(mount.wsgi.wrap(app, RateLimit("10/minute")), interface="wsgi")
    with pytest.raises(ServerTimeout):
        client.get("/slow")

    assert "8" == client.get("/").header("x-ratelimit-remaining")
