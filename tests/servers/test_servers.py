"""The example apps, asked over a socket, under each server."""

import http.client
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from servers.serving import BEARER, KEY, PREDICT, WINE, Answer, Server, post

ASKED = {"deployment": "wine", "input_data": WINE}
GOOD = json.dumps(ASKED).encode()
OVER = 1024 * 1024 + 1
PIECE = 16 * 1024


def assert_cultivar(answer: Answer) -> None:
    told = answer.json()

    assert (answer.status, told["predictions"]) == (200, ["cultivar-1"])
    assert pytest.approx(1) == sum(told["confidence_intervals"])


@pytest.mark.parametrize(
    ("path", "beside", "headers"),
    [
        (PREDICT, {"api_key": KEY}, {}),
        (PREDICT, {}, BEARER),
        (PREDICT, {}, {"x-api-key": KEY}),
        (f"{PREDICT}/{KEY}", {}, {}),
    ],
    ids=["body", "bearer", "x-api-key", "path"],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_key_places(
    server: Server, path: str, slash: str, beside: dict[str, str], headers: dict[str, str]
) -> None:
    """The key may stand in the body, a header field or the path, and the path may end in a slash."""
    answer = server.post(path + slash, {**ASKED, **beside}, headers)

    assert_cultivar(answer)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-model-cache-hit"] == "true"


def test_regressor(server: Server) -> None:
    """The second model answers a number, and its imputer takes null."""
    row = dict.fromkeys(("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"))
    answer = server.post(PREDICT, {"deployment": "diabetes", "input_data": row})

    assert answer.status == 200
    assert list(answer.json()) == ["predictions"]
    assert 25 < answer.json()["predictions"][0] < 346


def test_many_rows(server: Server) -> None:
    """A thousand rows are answered in order."""
    rows = [WINE, {**WINE, "alcohol": 12.0, "proline": 400, "colour": "light", "body": "light"}] * 500
    answer = server.post(PREDICT, {"deployment": "wine", "input_data": rows})

    assert answer.json()["predictions"] == ["cultivar-1", "cultivar-2"] * 500


def test_missing_columns(server: Server) -> None:
    """A row that lacks columns is told all of them."""
    row = {name: value for name, value in WINE.items() if name not in ("hue", "colour")}
    answer = server.post(PREDICT, {"deployment": "wine", "input_data": row})

    assert answer.status == 400
    assert answer.json()["missing_columns"] == ["hue", "colour"]


def test_handler(server: Server) -> None:
    """A function of the app's own, sync or async, is asked like a model."""
    rows = [{"alcohol": 14, "colour": "deep"}, {"alcohol": 12, "colour": "light"}]
    answer = server.post(PREDICT, {"deployment": "serving-temperature", "input_data": rows})

    assert (answer.status, answer.json()) == (200, {"predictions": [17.0, 8.0]})


def test_ordinary_route(server: Server) -> None:
    """A route of the app may have the gate answer, and needs no deployment named."""
    assert_cultivar(server.post("/which-cultivar", {"input_data": WINE}))


def test_ordinary_route_needs_key(server: Server) -> None:
    """A route that hands over to the gate is guarded as the gate is."""
    assert server.post("/which-cultivar", {"input_data": WINE}, {}).status == 401


def test_ordinary_route_keeps_its_deployment(server: Server) -> None:
    """A body cannot ask a route of the app for another deployment than the route's own."""
    answer = server.post("/which-cultivar", {"deployment": "diabetes", "input_data": WINE})

    assert answer.status == 400
    assert "wine" in answer.json()["error"]


@pytest.mark.parametrize("chunked", [False, True])
def test_ordinary_route_body_limit(server: Server, chunked: bool) -> None:
    """A body over the gate's limit is refused in a route of the app too."""
    body = GOOD + b" " * OVER
    with server.connection() as connection:
        answer = post(connection, "/which-cultivar", [body[:PIECE], body[PIECE:]] if chunked else body)

    assert answer.status == 413
    assert_cultivar(server.post("/which-cultivar", ASKED))


def test_own_pages(server: Server) -> None:
    """The app's own pages and routes know nothing of the gate."""
    start, cellar = server.get("/"), server.get("/cellar")

    assert (start.status, start.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"/ml/api/predict" in start.body
    assert KEY.encode() not in start.body
    assert (cellar.status, cellar.json()[0]["name"]) == (200, "Barolo 2016")
    assert "x-request-id" not in start.headers | cellar.headers


@pytest.mark.parametrize("path", ["/no-such-shelf", "/mlx", "/mlx/api/predict", "/api/predict"])
def test_own_not_found_page(server: Server, path: str) -> None:
    """A path outside the gate is the app's own 404 page."""
    answer = server.get(path)

    assert answer.status == 404
    assert b"<title>No such shelf</title>" in answer.body


def test_not_found_in_gate(server: Server) -> None:
    """An unknown path inside the gate is answered by the gate, in JSON."""
    answer = server.get("/ml/no-such-shelf")

    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert "error" in answer.json()


def test_get_is_not_allowed(server: Server) -> None:
    """A prediction is asked with POST alone."""
    answer = server.get(PREDICT)

    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_request_id(server: Server) -> None:
    """The request id the caller sent comes back; without one there is a new one each time."""
    told = server.post(PREDICT, ASKED, {**BEARER, "X-Request-ID": "cask-17"})
    made = {server.post(PREDICT, ASKED).headers["x-request-id"] for _ in range(2)}

    assert told.headers["x-request-id"] == "cask-17"
    assert len(made) == 2


def test_at_once(server: Server) -> None:
    """Requests that come at once are each given their own answer."""

    def ask(at: int) -> list[float]:
        row = {"alcohol": 12 + at, "colour": "light"}
        answer = server.post(PREDICT, {"deployment": "serving-temperature", "input_data": row})
        told: list[float] = answer.json()["predictions"]
        return told

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(40)))

    assert answers == [[8 + at / 2] for at in range(40)]


def test_caller_who_leaves(server: Server) -> None:
    """A caller who leaves in the middle of a body disturbs nobody."""
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: cellar\r\nAuthorization: Bearer {KEY}\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        caller.sendall(f"{head}Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD[:20])

    assert_cultivar(server.post(PREDICT, ASKED))


def wrong_key(connection: http.client.HTTPConnection) -> Answer:
    return post(connection, PREDICT, GOOD, {"Authorization": "Bearer mg_nobody-knows-this-key"})


def no_key(connection: http.client.HTTPConnection) -> Answer:
    return post(connection, PREDICT, GOOD, {})


def broken_json(connection: http.client.HTTPConnection) -> Answer:
    return post(connection, PREDICT, GOOD[:-1])


def no_body(connection: http.client.HTTPConnection) -> Answer:
    return post(connection, PREDICT, b"")


def wrong_type(connection: http.client.HTTPConnection) -> Answer:
    return post(connection, PREDICT, GOOD, {**BEARER, "Content-Type": "text/csv"})


def too_large(connection: http.client.HTTPConnection) -> Answer:
    return post(connection, PREDICT, GOOD + b" " * OVER)


def too_large_chunked(connection: http.client.HTTPConnection) -> Answer:
    return post(connection, PREDICT, [GOOD, *[b" " * PIECE] * (OVER // PIECE + 1)])


def too_large_without_key(connection: http.client.HTTPConnection) -> Answer:
    return post(connection, PREDICT, GOOD + b" " * OVER, {})


BAD = {
    no_key: (401, "Missing API key"),
    wrong_key: (401, "Invalid API key"),
    broken_json: (400, "not valid JSON"),
    no_body: (400, "is empty"),
    wrong_type: (415, "application/json"),
    too_large: (413, "larger than the 1048576 bytes"),
    too_large_chunked: (413, "larger than the 1048576 bytes"),
    too_large_without_key: (413, "larger than the 1048576 bytes"),
}
bad_requests = pytest.mark.parametrize(
    ("ask_badly", "expected"), BAD.items(), ids=[function.__name__ for function in BAD]
)


@bad_requests
def test_bad_request(
    server: Server,
    ask_badly: Callable[[http.client.HTTPConnection], Answer],
    expected: tuple[int, str],
) -> None:
    """A bad request is refused in JSON, and a good one after it, on a new connection, is answered."""
    with server.connection() as connection:
        answer = ask_badly(connection)

    assert expected[0] == answer.status
    assert answer.headers["content-type"] == "application/json"
    assert expected[1] in answer.json()["error"]
    assert_cultivar(server.post(PREDICT, ASKED))


@bad_requests
def test_connection_after_bad_request(
    server: Server,
    ask_badly: Callable[[http.client.HTTPConnection], Answer],
    expected: tuple[int, str],
) -> None:
    """A connection that stays open after a bad request answers the next good one.

    gunicorn's sync worker closes every connection, and says so. Its gthread worker says nothing and
    yet closes one on which much of a body was left unread: there the next request may find the
    connection closed, and then gets no answer at all.
    """
    with server.connection() as connection:
        kept = ask_badly(connection).kept

        assert kept is (server.name != "gunicorn-sync")
        if not kept:
            return
        try:
            answer = post(connection, PREDICT, GOOD)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            assert server.name in ("gunicorn-gthread", "gunicorn-preload")
            assert expected[0] == 413
        else:
            assert_cultivar(answer)


def test_nothing_went_wrong(server: Server) -> None:
    """After all of this the server's log holds no traceback. (Keep this test the last one.)"""
    assert "Traceback" not in server.log.read_text("utf-8", "replace")
