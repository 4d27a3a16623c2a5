"""Mounts on another event loop than asyncio's."""

import json

import pytest
import starlette.applications
import starlette.requests
import starlette.responses
import starlette.routing
import trio

from modelgate import Gate, RequestId, Schema, mount

gate = Gate(keys="open")
gate.handler("ages", schema=Schema.of(age=float))(lambda table: table["age"])


async def view(request):
    return await gate.handle(request, "ages")


async def own_page(request):
    await trio.sleep(0)
    return starlette.responses.PlainTextResponse("own page")


host = starlette.applications.Starlette(
    routes=[
        starlette.routing.Route("/", own_page),
        starlette.routing.Route("/age", view, methods=["POST"]),
        starlette.routing.Mount("/ml", gate.asgi),
    ]
)


def send_request(app, method, path):
    """Call *app* on trio's event loop, and return the status and the body."""
    sent = []

    async def receive():
        await trio.sleep(0)
        return {"type": "http.request", "body": b'{"age": 1}'}

    async def send(message):
        await trio.sleep(0)
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    trio.run(app, scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize(
    ("app", "method", "path"),
    [
        (host, "POST", "/ml/predict/ages"),
        (host, "GET", "/ml/health/ready"),
        (host, "POST", "/age"),
        (mount.asgi.wrap(host, RequestId()), "GET", "/"),
    ],
    ids=["mount", "readiness", "handle", "wrap"],
)
def test_trio_is_rejected_before_anything_is_awaited(app, method, path, caplog):
    status, body = send_request(app, method, path)

    assert status == 503
    assert "must run asyncio" in json.loads(body)["error"]
    assert "modelgate needs asyncio" in caplog.text


def test_trio_host_is_unharmed():
    send_request(host, "POST", "/ml/predict/ages")

    assert send_request(host, "GET", "/") == (200, b"own page")
