"""Clients written after the documents of the services, with `requests`, against the example apps."""

import time

import pytest
import requests

from servers.serving import KEY, WINE, Server


@pytest.fixture
def base(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/ml"


def plexe(base: str, deployment: str, input_data: object, key: str = KEY) -> "requests.Response":
    """ "Using Python", docs.plexe.ai."""
    headers = {"x-api-key": key, "Content-Type": "application/json"}
    return requests.post(f"{base}/models/{deployment}/1/infer", headers=headers, json=input_data, timeout=10)


def test_plexe_client(base: str) -> None:
    """A prediction, its id and its time; an error with its details; an unknown key."""
    result = plexe(base, "wine", WINE).json()
    refused = plexe(base, "wine", {**WINE, "alcohol": "strong"})
    unknown = plexe(base, "wine", WINE, "mg_a-key-that-nobody-has-ever-seen")

    assert "cultivar-1" == result["result"]["predicted_class"]
    assert 0.5 < result["result"]["confidence"] <= 1
    assert result["request_id"] and result["processing_time_ms"] >= 0
    assert (400, {"alcohol": "must be a number"}) == (refused.status_code, refused.json()["error"]["details"])
    assert (401, "unauthorized") == (unknown.status_code, unknown.json()["error"]["code"])


def test_mlclever_client(base: str) -> None:
    """ "Using Python", the ML Clever Prediction API: the key in the path, and in the body."""
    by_path = requests.post(
        f"{base}/api/predict/{KEY}", json={"deployment": "wine", "input_data": WINE}, timeout=10
    )
    payload = {"api_key": KEY, "deployment": "wine", "input_data": WINE}
    by_body = requests.post(f"{base}/api/predict", json=payload, timeout=10)

    assert ["cultivar-1"] == by_path.json()["predictions"] == by_body.json()["predictions"]


def test_article_client(base: str) -> None:
    """ "Step 2: Call the API (Client Side)": the values alone, as a list."""
    headers = {"Authorization": f"Bearer {KEY}"}
    told = requests.post(
        f"{base}/simple/wine", json={"data": list(WINE.values())}, headers=headers, timeout=10
    )

    assert "cultivar-1" == told.json()["prediction"]


def test_batches_and_sessions(base: str) -> None:
    """Many rows in one request, many requests on one connection; the rows stay in order."""
    headers = {"x-api-key": KEY}
    rows = [WINE, {**WINE, "alcohol": 11.5, "proline": 400, "body": "light", "colour": "light"}] * 50
    with requests.Session() as session:
        told = session.post(f"{base}/simple/wine", json=rows, headers=headers, timeout=10).json()
        each = [
            session.post(f"{base}/simple/wine", json=row, headers=headers, timeout=10).json()
            for row in rows[:2]
        ]

    assert [row["prediction"] for row in each] * 50 == [row["prediction"] for row in told]


def retrying(url: str, row: object, key: str, waits: list[float]) -> "requests.Response":
    """ "Python Error Handling Example", docs.plexe.ai: 429, 503 and 504 are tried again."""
    for _ in range(4):
        response = requests.post(url, headers={"x-api-key": key}, json=row, timeout=10)
        if response.status_code not in (429, 503, 504):
            break
        waits.append(float(response.headers["Retry-After"]))
        time.sleep(0.01)
    return response


@pytest.mark.parametrize("status", [429, 503])
def test_retries(status: int) -> None:
    """A client that waits and asks again gets its answer in the end."""
    from threading import Thread

    from werkzeug.serving import make_server

    from modelgate import Deployment, Gate, Schema
    from modelgate.errors import Overloaded, RateLimitExceeded

    refusals = iter([RateLimitExceeded("1/second", 1) if status == 429 else Overloaded(1)] * 2)

    def refuse_twice(request, call_next):
        for refusal in refusals:
            raise refusal
        return call_next(request)

    gate = Gate(
        [Deployment("age", lambda table: table["age"], schema=Schema.of(age=float), layers=[refuse_twice])],
        keys={KEY: "age"},
    )
    server = make_server("127.0.0.1", 0, gate.wsgi)
    thread = Thread(target=server.serve_forever)
    thread.start()
    waits: list[float] = []
    try:
        answer = retrying(f"http://127.0.0.1:{server.port}/predict/age", {"age": 41}, KEY, waits)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert (200, 41.0) == (answer.status_code, answer.json()["result"])
    assert [1.0, 1.0] == waits
