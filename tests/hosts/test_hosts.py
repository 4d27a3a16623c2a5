"""One battery of questions for every host and server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.servers import BEARER, Server, post, send_request

PREDICT = "/ml/deployments/double/predict"
HIDES_CHUNKED = ("hypercorn-wsgi", "eventlet", "uwsgi")
SENDS_CHUNKED = ("uvicorn", "gthread", "waitress")
MEBIBYTE = 1024 * 1024


def views(server: Server) -> list[str]:
    """Return the paths at which *server* predicts: below the mount, and in views of the host."""
    return [PREDICT, "/double", *(["/double-async"] if server.name.startswith("django") else [])]


def test_predictions_are_right(server: Server) -> None:
    for path in views(server):
        for amount in (0, -1.5, 3e300):
            answer = server.post(path, {"amount": amount})

            assert (answer.status, answer.json()["prediction"]) == (200, amount * 2)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-ratelimit-limit"] == "100000"


def test_errors_keep_their_shape(server: Server) -> None:
    for path in views(server):
        missing, wrong = server.post(path, {}), server.post(path, {"amount": "a"})

        assert (missing.status, missing.json()["missing_columns"]) == (400, ["amount"])
        assert (wrong.status, wrong.json()["errors"]) == (400, {"amount": "must be a number"})
        assert missing.headers["content-type"] == "application/problem+json"


def test_failing_model_is_500_without_its_text(server: Server) -> None:
    answer = server.post("/ml/deployments/fail/predict", {"amount": 1})

    assert (answer.status, answer.json()["code"]) == (500, "prediction_error")
    assert b"recipe" not in answer.body


@pytest.mark.parametrize("headers", [{}, {"X-Api-Key": "mg_nobody-knows-this-key"}], ids=["none", "wrong"])
def test_key_is_required(server: Server, headers: dict[str, str]) -> None:
    for path in views(server):
        answer = server.post(path, {"amount": 1}, headers)

        assert (answer.status, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_request_id_is_returned_once(server: Server) -> None:
    for path in views(server):
        answer = server.post(path, {"amount": 1}, {**BEARER, "X-Request-ID": "cask-17"})

        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "cask-17"


def test_chunked_body(server: Server) -> None:
    """A server that hides it from the app gets a 411."""
    for path in views(server):
        with server.connection() as connection:
            answer = post(connection, path, [b'{"amou', b'nt": 2}'])

        if server.name.endswith(HIDES_CHUNKED):
            assert (answer.status, answer.json()["code"]) == (411, "length_required")
        else:
            assert (answer.status, answer.json()["prediction"]) == (200, 4)


def test_body_that_is_too_large(server: Server) -> None:
    with server.connection() as connection:
        answer = post(connection, "/ml/api/predict", b" " * (MEBIBYTE + 1))

    assert answer.status == 413
    assert server.post(PREDICT, {"amount": 1}).status == 200


def test_long_answers_are_streamed(server: Server) -> None:
    for path in views(server):
        answer = server.post(path, [{"amount": amount} for amount in range(9000)])

        assert answer.status == 200
        assert [row["prediction"] for row in answer.json()["predictions"]] == [2.0 * n for n in range(9000)]
        if server.name.endswith(SENDS_CHUNKED):
            assert (answer.headers.get("transfer-encoding"), answer.headers.get("content-length")) == (
                "chunked",
                None,
            )


def test_slash_at_the_end(server: Server) -> None:
    assert server.post(PREDICT + "/", {"amount": 1}).json()["prediction"] == 2


def test_unknown_path_of_the_gate_is_json(server: Server) -> None:
    answer = server.get("/ml/nothing")

    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "x-request-id" in answer.headers


def test_index_links_are_relative_to_the_mount(server: Server) -> None:
    assert server.get("/ml/").json()["openapi"] == "openapi.json"
    assert server.get("/ml/health/ready").json() == {"ready": True}
    with server.connection() as connection:
        head = send_request(connection, "HEAD", "/ml/health/live")
    assert (head.status, head.body) == (200, b"")


def test_fifty_at_once(server: Server) -> None:
    def predict(number: int) -> float:
        path = PREDICT if number % 2 else "/double"
        prediction: float = server.post(path, {"amount": number}).json()["prediction"]
        return prediction

    with ThreadPoolExecutor(50) as threads:
        assert list(threads.map(predict, range(50))) == [2.0 * number for number in range(50)]


def test_async_functions_at_once(server: Server) -> None:
    """They wait 50 ms each."""

    def predict(number: int) -> float:
        prediction: float = server.post("/ml/deployments/triple/predict", {"amount": number}).json()[
            "prediction"
        ]
        return prediction

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(predict, range(8))) == [3.0 * number for number in range(8)]


def test_routes_of_the_host_are_untouched(server: Server) -> None:
    about, unknown = server.get("/about"), server.get("/nothing")

    assert (about.status, about.body) == (200, b"the host")
    assert unknown.status == 404
    assert "x-request-id" not in about.headers | unknown.headers


def test_hooks_of_the_host_see_the_gate(server: Server) -> None:
    """If the gate is served by routes of the host."""
    answer = server.post(PREDICT, {"amount": 1})

    assert ("x-host" in answer.headers) is server.name.startswith("flask-routes")


def test_log_has_no_traceback(server: Server) -> None:
    """Except that of the failing model. Keep this test the last one."""
    log = server.log.read_text("utf-8", "replace")

    assert log.count("Traceback (most") == log.count("LookupError: the secret recipe is missing")
    assert "patched" not in log
