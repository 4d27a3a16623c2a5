"""The same small app as WSGI and as ASGI, and layers around it."""

import json

import pytest

from modelgate import mount


def wsgi_app(environ, start_response):
    """Echoes; or does what its path says."""
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise LookupError("the app's own error")
    body = environ["wsgi.input"].read() if path != "/unread" else b""
    request = environ.get("modelgate.request")
    if path == "/stream":
        start_response("206 Partly", [("X-Own", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return (b"%d," % at for at in range(3))
    if path == "/predict":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"predictions": [0.12345, "a"], "rows": len(body)}).encode()]
    told = {"body": body.decode(), "id": getattr(request, "id", None)}
    if request is not None and request.principal is not None:
        told["key"] = request.principal.id
    if request is not None and request.query is not None and request.query.table is not None:
        told["table"] = request.query.table.rows()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


async def asgi_app(scope, receive, send):
    """Does the same."""
    path = scope["path"]
    if path == "/raise":
        raise LookupError("the app's own error")
    body, more = b"", path != "/unread"
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    request = scope.get("modelgate.request")
    if path == "/stream":
        headers = [(b"x-own", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await send({"type": "http.response.start", "status": 206, "headers": headers})
        for at in range(3):
            await send({"type": "http.response.body", "body": b"%d," % at, "more_body": at < 2})
        return
    if path == "/predict":
        told = {"predictions": [0.12345, "a"], "rows": len(body)}
    else:
        told = {"body": body.decode(), "id": getattr(request, "id", None)}
        if request is not None and request.principal is not None:
            told["key"] = request.principal.id
        if request is not None and request.query is not None and request.query.table is not None:
            told["table"] = request.query.table.rows()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


@pytest.fixture(params=["wsgi", "asgi"])
def wrap(request):
    """Puts layers around the app, once for each interface."""
    if request.param == "wsgi":
        return lambda *layers: mount.wsgi.wrap(wsgi_app, *layers)
    return lambda *layers: mount.asgi.wrap(asgi_app, *layers)
