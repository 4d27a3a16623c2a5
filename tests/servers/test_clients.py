"""Clients from the documentation of the services, with `requests`, against the example apps."""

import time

import pytest
import requests

from support.servers import KEY, WINE, Server
from support.waiting import SOON


@pytest.fixture
def base(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/ml"


def send_plexe_request(base: str, deployment: str, input_data: object, key: str = KEY) -> "requests.Response":
    """Send a request as in "Using Python", docs.plexe.ai."""
    headers = {"x-api-key": key, "Content-Type": "application/json"}
    return requests.post(
        f"{base}/models/{deployment}/1/infer", headers=headers, json=input_data, timeout=SOON
    )


def test_plexe_client(base: str) -> None:
    result = send_plexe_request(base, "wine", WINE).json()
    rejected = send_plexe_request(base, "wine", {**WINE, "alcohol": "strong"})
    unknown = send_plexe_request(base, "wine", WINE, "mg_a-key-that-nobody-has-ever-seen")

    assert "cultivar-1" == result["result"]["predicted_class"]
    assert 0.5 < result["result"]["confidence"] <= 1
    assert result["request_id"] and result["processing_time_ms"] >= 0
    assert (400, {"alcohol": "must be a number"}) == (
        rejected.status_code,
        rejected.json()["error"]["details"],
    )
    assert (401, "unauthorized") == (unknown.status_code, unknown.json()["error"]["code"])


def test_mlclever_client(base: str) -> None:
    """As in "Using Python", ML Clever Prediction API: with the key in the path or the body."""
    by_path = requests.post(
        f"{base}/api/predict/{KEY}", json={"deployment": "wine", "input_data": WINE}, timeout=SOON
    )
    payload = {"api_key": KEY, "deployment": "wine", "input_data": WINE}
    by_body = requests.post(f"{base}/api/predict", json=payload, timeout=SOON)

    assert ["cultivar-1"] == by_path.json()["predictions"] == by_body.json()["predictions"]


def test_article_client(base: str) -> None:
    """As in "Step 2: Call the API (Client Side)": the values only, as a list."""
    headers = {"Authorization": f"Bearer {KEY}"}
    response = requests.post(
        f"{base}/simple/wine", json={"data": list(WINE.values())}, headers=headers, timeout=SOON
    )

    assert "cultivar-1" == response.json()["prediction"]


def test_batches_and_sessions_keep_the_order(base: str) -> None:
    headers = {"x-api-key": KEY}
    rows = [WINE, {**WINE, "alcohol": 11.5, "proline": 400, "body": "light", "colour": "light"}] * 50
    with requests.Session() as session:
        predictions = session.post(f"{base}/simple/wine", json=rows, headers=headers, timeout=SOON).json()
        first_two = [
            session.post(f"{base}/simple/wine", json=row, headers=headers, timeout=SOON).json()
            for row in rows[:2]
        ]

    assert [row["prediction"] for row in first_two] * 50 == [row["prediction"] for row in predictions]


def send_with_retries(url: str, row: object, key: str, waits: list[float]) -> "requests.Response":
    """Retry 429, 503 and 504, as in "Python Error Handling Example", docs.plexe.ai."""
    for _ in range(4):
        response = requests.post(url, headers={"x-api-key": key}, json=row, timeout=SOON)
        if response.status_code not in (429, 503, 504):
            break
        waits.append(float(response.headers["Retry-After"]))
        time.sleep(0.01)
    return response


@pytest.mark.parametrize("status", [429, 503])
def test_retrying_client_succeeds(status: int) -> None:
    from threading import Thread

    from werkzeug.serving import make_server

    from modelgate import Deployment, Gate, Schema
    from modelgate.errors import Overloaded, RateLimitExceeded

    errors = iter([RateLimitExceeded("1/second", 1) if status == 429 else Overloaded(1)] * 2)

    def reject_twice(request, call_next):
        for error in errors:
            raise error
        return call_next(request)

    gate = Gate(
        [Deployment("age", lambda table: table["age"], schema=Schema.of(age=float), layers=[reject_twice])],
        keys={KEY: "age"},
    )
    server = make_server("127.0.0.1", 0, gate.wsgi)
    thread = Thread(target=server.serve_forever)
    thread.start()
    waits: list[float] = []
    try:
        response = send_with_retries(f"http://127.0.0.1:{server.port}/predict/age", {"age": 41}, KEY, waits)
    finally:
        server.shutdown()
        thread.join(SOON)
        server.server_close()

    assert (200, 41.0) == (response.status_code, response.json()["result"])
    assert [1.0, 1.0] == waits
