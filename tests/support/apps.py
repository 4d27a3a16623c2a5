"""The same small app as WSGI and as ASGI."""

import json


def wsgi_app(environ, start_response):
    """Echo the request, or do what its path names."""
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise LookupError("the app's own error")
    body = environ["wsgi.input"].read() if path != "/unread" else b""
    request = environ.get("modelgate.request")
    if path == "/stream":
        start_response("206 Partly", [("X-Own", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return (b"%d," % number for number in range(3))
    if path == "/predict":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"predictions": [0.12345, "a"], "rows": len(body)}).encode()]
    echo = {"body": body.decode(), "id": getattr(request, "id", None)}
    if request is not None:
        context = request.context
        if context.principal is not None:
            echo["key"] = context.principal.id
        if context.query is not None and context.query.table is not None:
            echo["table"] = context.query.table.rows()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(echo).encode()]


async def asgi_app(scope, receive, send):
    """Do the same as `wsgi_app`."""
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
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d," % number, "more_body": number < 2})
        return
    if path == "/predict":
        echo = {"predictions": [0.12345, "a"], "rows": len(body)}
    else:
        echo = {"body": body.decode(), "id": getattr(request, "id", None)}
        if request is not None:
            context = request.context
            if context.principal is not None:
                echo["key"] = context.principal.id
            if context.query is not None and context.query.table is not None:
                echo["table"] = context.query.table.rows()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(echo).encode()})
