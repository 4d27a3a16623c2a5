"""The example apps over a socket, under each server."""

import http.client
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from modelgate.dialects import Native
from support.servers import BEARER, KEY, PREDICT, WINE, Response, Server, post
from support.waiting import SOON

REQUEST = {"deployment": "wine", "input_data": WINE}
GOOD = json.dumps(REQUEST).encode()
OVER = 1024 * 1024 + 1
PIECE = 16 * 1024


def assert_cultivar(answer: Response) -> None:
    body = answer.json()

    assert (answer.status, body["predictions"]) == (200, ["cultivar-1"])
    assert pytest.approx(1) == sum(body["confidence_intervals"])


@pytest.mark.parametrize(
    ("path", "extra", "headers"),
    [
        (PREDICT, {"api_key": KEY}, {}),
        (PREDICT, {}, BEARER),
        (PREDICT, {}, {"x-api-key": KEY}),
        (f"{PREDICT}/{KEY}", {}, {}),
    ],
    ids=["body", "bearer", "x-api-key", "path"],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_key_in_body_header_or_path(
    server: Server, path: str, slash: str, extra: dict[str, str], headers: dict[str, str]
) -> None:
    """With and without a slash at the end of the path."""
    answer = server.post(path + slash, {**REQUEST, **extra}, headers)

    assert_cultivar(answer)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-model-cache-hit"] == "true"


def test_regressor_takes_null(server: Server) -> None:
    row = dict.fromkeys(("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"))
    answer = server.post(PREDICT, {"deployment": "diabetes", "input_data": row})

    assert answer.status == 200
    assert list(answer.json()) == ["predictions"]
    assert 25 < answer.json()["predictions"][0] < 346


def test_many_rows_keep_their_order(server: Server) -> None:
    rows = [WINE, {**WINE, "alcohol": 12.0, "proline": 400, "colour": "light", "body": "light"}] * 500
    answer = server.post(PREDICT, {"deployment": "wine", "input_data": rows})

    assert answer.json()["predictions"] == ["cultivar-1", "cultivar-2"] * 500


def test_missing_columns_are_all_listed(server: Server) -> None:
    row = {name: value for name, value in WINE.items() if name not in ("hue", "colour")}
    answer = server.post(PREDICT, {"deployment": "wine", "input_data": row})

    assert answer.status == 400
    assert answer.json()["missing_columns"] == ["hue", "colour"]


def test_handler_is_called_like_a_model(server: Server) -> None:
    """Sync or async."""
    rows = [{"alcohol": 14, "colour": "deep"}, {"alcohol": 12, "colour": "light"}]
    answer = server.post(PREDICT, {"deployment": "serving-temperature", "input_data": rows})

    assert (answer.status, answer.json()) == (200, {"predictions": [17.0, 8.0]})


def test_own_route_can_use_the_gate(server: Server) -> None:
    answer = server.post("/which-cultivar", WINE)

    assert (answer.status, answer.json()["prediction"]) == (200, "cultivar-1")


def test_own_route_requires_a_key(server: Server) -> None:
    assert server.post("/which-cultivar", WINE, {}).status == 401


@pytest.mark.parametrize("chunked", [False, True])
def test_own_route_has_the_body_limit(server: Server, chunked: bool) -> None:
    body = b" " * (Native.max_body + 1)
    with server.connection() as connection:
        answer = post(connection, "/which-cultivar", [body[:PIECE], body[PIECE:]] if chunked else body)

    assert answer.status == 413
    assert server.post("/which-cultivar", WINE).status == 200


def test_own_pages_do_not_pass_the_gate(server: Server) -> None:
    start, cellar = server.get("/"), server.get("/cellar")

    assert (start.status, start.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"/ml/deployments/wine/predict" in start.body
    assert KEY.encode() not in start.body
    assert (cellar.status, cellar.json()[0]["name"]) == (200, "Barolo 2016")
    assert "x-request-id" not in start.headers | cellar.headers


@pytest.mark.parametrize("path", ["/no-such-shelf", "/mlx", "/mlx/api/predict", "/api/predict"])
def test_own_404_page_outside_the_gate(server: Server, path: str) -> None:
    answer = server.get(path)

    assert answer.status == 404
    assert b"<title>No such shelf</title>" in answer.body


def test_unknown_path_in_the_gate_is_a_json_404(server: Server) -> None:
    answer = server.get("/ml/no-such-shelf")

    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"].startswith("Not found: send rows with POST to ")


def test_predictions_require_post(server: Server) -> None:
    answer = server.get(PREDICT)

    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_request_id_is_returned_or_generated(server: Server) -> None:
    answer = server.post(PREDICT, REQUEST, {**BEARER, "X-Request-ID": "cask-17"})
    generated = {server.post(PREDICT, REQUEST).headers["x-request-id"] for _ in range(2)}

    assert answer.headers["x-request-id"] == "cask-17"
    assert len(generated) == 2


def test_concurrent_requests_get_their_own_answers(server: Server) -> None:
    def predict(number: int) -> list[float]:
        row = {"alcohol": 12 + number, "colour": "light"}
        answer = server.post(PREDICT, {"deployment": "serving-temperature", "input_data": row})
        predictions: list[float] = answer.json()["predictions"]
        return predictions

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(predict, range(40)))

    assert answers == [[8 + number / 2] for number in range(40)]


def test_caller_that_disconnects_does_not_disturb_others(server: Server) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: cellar\r\nAuthorization: Bearer {KEY}\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        caller.sendall(f"{head}Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD[:20])

    assert_cultivar(server.post(PREDICT, REQUEST))


def send_raw(server: Server, *fields: str, body: bytes = b"") -> int:
    """Send a request to the dialect ``native``, and return the status while the connection is still open."""
    head = "\r\n".join(["POST /ml/deployments/wine/predict HTTP/1.1", "Host: cellar", *fields, "", ""])
    with socket.create_connection(("127.0.0.1", server.port), SOON) as caller:
        caller.sendall(head.encode() + body)
        response = http.client.HTTPResponse(caller, method="POST")
        response.begin()
        return response.status


AUTHORIZATION = f"Authorization: Bearer {KEY}"


# waitress reads the whole body before it calls the app.
@pytest.mark.parametrize(
    "server", ["uvicorn", "gunicorn-sync", "gunicorn-gthread", "gunicorn-preload"], indirect=True
)
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Content-Length: 1000"], 401),
        (["Authorization: Bearer mg_nobody-knows-this-key", "Transfer-Encoding: chunked"], 401),
        ([AUTHORIZATION, f"Content-Length: {Native.max_body + 1}"], 413),
    ],
)
def test_request_is_rejected_before_its_body_arrives(server: Server, fields: list[str], status: int) -> None:
    assert status == send_raw(server, *fields)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (["Content-Length: -5"], b""),
        (["Content-Length: +2"], b"[]"),
        (["Content-Length: 1_0"], b"[1,2,3,4]\n"),
        (["Content-Length: 2", "Content-Length: 3"], b"[1]"),
        (["Transfer-Encoding: chunked"], b"zz\r\n[]\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], b"-2\r\n[]\r\n0\r\n\r\n"),
    ],
)
def test_invalid_length_is_rejected(server: Server, fields: list[str], body: bytes) -> None:
    assert 400 == send_raw(server, AUTHORIZATION, *fields, body=body)
    assert_cultivar(server.post(PREDICT, REQUEST))


# The other workers of gunicorn have one thread each, which reads the body.
@pytest.mark.parametrize("server", ["uvicorn", "gunicorn-gthread", "waitress"], indirect=True)
def test_unfinished_bodies_do_not_delay_others(server: Server) -> None:
    head = f"POST /ml/deployments/wine/predict HTTP/1.1\r\nHost: cellar\r\n{AUTHORIZATION}\r\n"
    with ExitStack() as stack:
        for _ in range(3):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            caller.sendall(f"{head}Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD[:20])

        assert_cultivar(server.post(PREDICT, REQUEST))


def wrong_key(connection: http.client.HTTPConnection) -> Response:
    return post(connection, PREDICT, GOOD, {"Authorization": "Bearer mg_nobody-knows-this-key"})


def no_key(connection: http.client.HTTPConnection) -> Response:
    return post(connection, PREDICT, GOOD, {})


def broken_json(connection: http.client.HTTPConnection) -> Response:
    return post(connection, PREDICT, GOOD[:-1])


def no_body(connection: http.client.HTTPConnection) -> Response:
    return post(connection, PREDICT, b"")


def wrong_type(connection: http.client.HTTPConnection) -> Response:
    return post(connection, PREDICT, GOOD, {**BEARER, "Content-Type": "text/csv"})


def too_large(connection: http.client.HTTPConnection) -> Response:
    return post(connection, PREDICT, GOOD + b" " * OVER)


def too_large_chunked(connection: http.client.HTTPConnection) -> Response:
    return post(connection, PREDICT, [GOOD, *[b" " * PIECE] * (OVER // PIECE + 1)])


def too_large_without_key(connection: http.client.HTTPConnection) -> Response:
    return post(connection, PREDICT, GOOD + b" " * OVER, {})


BAD = {
    no_key: (401, "Missing API key"),
    wrong_key: (401, "Invalid API key"),
    broken_json: (400, "not valid JSON"),
    no_body: (400, "is empty"),
    wrong_type: (415, "application/json"),
    too_large: (413, "larger than the limit of 1048576 bytes"),
    too_large_chunked: (413, "larger than the limit of 1048576 bytes"),
    too_large_without_key: (413, "larger than the limit of 1048576 bytes"),
}
bad_requests = pytest.mark.parametrize(
    ("send_bad_request", "expected"), BAD.items(), ids=[function.__name__ for function in BAD]
)


@bad_requests
def test_bad_request_gets_a_json_error(
    server: Server,
    send_bad_request: Callable[[http.client.HTTPConnection], Response],
    expected: tuple[int, str],
) -> None:
    """A good request on a new connection still works."""
    with server.connection() as connection:
        answer = send_bad_request(connection)

    assert expected[0] == answer.status
    assert answer.headers["content-type"] == "application/json"
    assert expected[1] in answer.json()["error"]
    assert_cultivar(server.post(PREDICT, REQUEST))


@bad_requests
def test_connection_is_usable_after_a_bad_request(
    server: Server,
    send_bad_request: Callable[[http.client.HTTPConnection], Response],
    expected: tuple[int, str],
) -> None:
    """A connection that stays open after a bad request serves the next good one.

    gunicorn's sync worker announces that it closes every connection. Its gthread worker closes one without
    notice if much of a body is unread, so the next request may fail.
    """
    with server.connection() as connection:
        is_open = send_bad_request(connection).kept

        assert is_open is (server.name != "gunicorn-sync")
        if not is_open:
            return
        try:
            answer = post(connection, PREDICT, GOOD)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            assert server.name in ("gunicorn-gthread", "gunicorn-preload")
            assert expected[0] == 413
        else:
            assert_cultivar(answer)


def test_log_has_no_traceback(server: Server) -> None:
    """Keep this test the last one."""
    assert "Traceback" not in server.log.read_text("utf-8", "replace")
