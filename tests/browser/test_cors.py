"""Pages of another origin call a gate in a browser."""

import contextlib
import socket
import threading

import flask
import pytest
import starlette.applications
import starlette.routing
import uvicorn

import modelgate
from support.browser import serve_wsgi
from support.console_gate import KEY, ROW, make_gate
from support.waiting import SOON, wait_until

CALL = """async ([url, row, key]) => {
    const headers = {"Content-Type": "application/json"};
    if (key) headers.Authorization = `Bearer ${key}`;
    const response = await fetch(url, {method: "POST", headers, body: JSON.stringify(row)});
    return [response.status, response.headers.get("Retry-After") !== null, Object.keys(await response.json())];
}"""


@contextlib.contextmanager
def serve_flask(gate):
    app = flask.Flask("host")
    modelgate.mount.flask.mount(app, "/ml", gate)
    with serve_wsgi(app) as address:
        yield address


@contextlib.contextmanager
def serve_starlette(gate):
    app = starlette.applications.Starlette(routes=[starlette.routing.Mount("/ml", gate.asgi)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(SOON)


@pytest.mark.parametrize("serve", [serve_flask, serve_starlette])
def test_pages_of_allowed_origins_read_predictions_and_errors(page, serve):
    with serve_wsgi(flask.Flask("page")) as page_address:
        gate = make_gate(keys={KEY: "*"}, limits="1/hour", cors=[page_address])
        with serve(gate) as address:
            page.goto(page_address)
            url = f"{address}/ml/simple/sum"

            assert [401, False, ["error"]] == page.evaluate(CALL, [url, ROW, ""])
            assert [200, False, ["prediction"]] == page.evaluate(CALL, [url, ROW, KEY])
            assert [429, True, ["error"]] == page.evaluate(CALL, [url, ROW, KEY])


def test_pages_of_other_origins_read_nothing(page):
    gate = make_gate(keys={KEY: "*"}, cors=["https://app.example"])
    with serve_wsgi(flask.Flask("page")) as page_address, serve_flask(gate) as address:
        page.goto(page_address)

        with pytest.raises(Exception, match="Failed to fetch"):
            page.evaluate(CALL, [f"{address}/ml/simple/sum", ROW, KEY])
