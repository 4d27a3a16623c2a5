"""What every mount answers to a request that can be scored."""

import pandas
import pytest
import starlette.applications

from conformance.conftest import MOUNTS, Mounted, host, make_gate
from conftest import KEY, OTHER_KEY
from modelgate.testing import Client


def test_classifier(mounted, wine, wine_row):
    """A classifier answers its label, and its probabilities in the order of classes_."""
    model, _ = wine
    answer = mounted.predict(wine_row)
    expected = model.predict_proba(pandas.DataFrame([wine_row]))[0].tolist()

    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert list(answer.json()) == ["predictions", "confidence_intervals"]
    assert [model.classes_[expected.index(max(expected))]] == answer.json()["predictions"]
    assert pytest.approx(expected, abs=1e-12) == answer.json()["confidence_intervals"]


def test_sync_handler(mounted):
    """A decorated function answers, rounded to two decimals, with no confidences."""
    answer = mounted.predict({"amount": 1.23456}, OTHER_KEY, deployment="double")

    assert answer.json() == {"predictions": [2.47]}


def test_async_handler(mounted):
    """A decorated coroutine function answers behind every mount."""
    answer = mounted.predict({"amount": 2}, OTHER_KEY, deployment="triple")

    assert answer.json() == {"predictions": [6.0]}


def test_rows(mounted):
    """An array of rows is answered with an item a row, in their order."""
    rows = [{"amount": amount} for amount in (3, 1, 2)]
    answer = mounted.predict(rows, OTHER_KEY, deployment="double")

    assert answer.json() == {"predictions": [6.0, 2.0, 4.0]}


def test_no_rows(mounted):
    """No rows are no mistake: there is nothing to say of them."""
    answer = mounted.predict([], OTHER_KEY, deployment="double")

    assert (answer.status, answer.json()) == (200, {"predictions": []})


@pytest.mark.parametrize("path", ["/api/predict", "/api/predict/"])
def test_slash(mounted, path, wine_row):
    """A slash at the end of a path changes nothing, and redirects nobody."""
    answer = mounted.post(path, json={"api_key": KEY, "input_data": wine_row})

    assert answer.status == 200


def test_request_id(mounted, wine_row):
    """The caller's request id is echoed on answers and errors; an odd one is replaced."""
    body = {"api_key": KEY, "input_data": wine_row}
    own = mounted.post("/api/predict", json=body, headers={"x-request-id": "abc-1.2_3"})
    odd = mounted.post("/api/predict", json={}, headers={"x-request-id": "a b\x1b[31m"})

    assert own.header("x-request-id") == "abc-1.2_3"
    assert len(odd.header("x-request-id")) == 32


def test_cache_hit(mounted, wine_row):
    """The answer says whether its model was in memory."""
    assert mounted.predict(wine_row).header("x-model-cache-hit") == "true"


def test_nothing_below_the_prefix_reaches_the_host(mounted):
    """An unknown path below the mount is the gate's 404, in JSON."""
    answer = mounted.post("/no/such/path", json={})

    assert (answer.status, answer.json()) == (404, {"error": "Not found"})
    assert answer.header("x-request-id")


def test_method(mounted):
    """A method no route has is refused, and told which one there is."""
    answer = mounted.request("GET", "/api/predict")

    assert (answer.status, answer.header("allow")) == (405, "POST")


def test_head(mounted):
    """HEAD is answered without a body, whose length is told."""
    answer = mounted.request("HEAD", "/api/predict")

    assert (405, b"", "42") == (answer.status, answer.body, answer.header("content-length"))


@pytest.mark.parametrize("mount", MOUNTS[2:])
def test_host_is_untouched(mount, wine):
    """The host's own page and its own 404 are what they were, also beside the prefix."""
    client = Mounted(mount, make_gate(wine)).client

    assert client.get("/").body == b"the host's page"
    assert (client.get("/mlx").status, client.get("/mlx").body) == (404, b"the host's 404")


@pytest.mark.parametrize("mount", MOUNTS)
def test_two_gates_share_nothing(mount, wine, wine_row):
    """The limit of one gate does not touch another's in the same process."""
    gates = [make_gate(wine, limits="1/minute") for _ in range(2)]
    first, second = (Mounted(mount, gate) for gate in gates)

    assert [first.predict(wine_row).status for _ in range(2)] == [200, 429]
    assert second.predict(wine_row).status == 200


def test_under_a_deeper_prefix(wine, wine_row):
    """A gate answers under any prefix, and behind a proxy's root path."""
    gate = make_gate(wine)
    inner, _ = host("starlette", gate)
    app = starlette.applications.Starlette()
    app.mount("/deep/er", inner)
    answer = Client(app).post("/deep/er/ml/api/predict", json={"api_key": KEY, "input_data": wine_row})

    assert answer.status == 200


@pytest.mark.parametrize(
    ("root_path", "path"),
    [("/proxy", "/proxy/api/predict"), ("/proxy/", "/proxy/api/predict"), ("/proxy", "/api/predict")],
)
def test_root_path(wine, wine_row, root_path, path):
    """A root path is taken off the path where it stands in it, and left where it does not."""
    gate = make_gate(wine)

    async def proxied(scope, receive, send):
        await gate.asgi({**scope, "root_path": root_path}, receive, send)

    answer = Client(proxied).post(path, json={"api_key": KEY, "input_data": wine_row})

    assert answer.status == 200


def test_a_proxy_that_takes_its_part_off(wine, wine_row):
    """Below a mount, a root path that the proxy stripped is taken off the mount's part alone."""
    inner, _ = host("fastapi", make_gate(wine))
    inner.root_path = "/proxy"
    for path in ("/ml/api/predict", "/proxy/ml/api/predict"):
        answer = Client(inner).post(path, json={"api_key": KEY, "input_data": wine_row})

        assert 200 == answer.status


def test_both_interfaces_answer_the_same_bytes(wine, wine_row):
    """WSGI and ASGI give the same status, body and header fields."""
    gate = make_gate(wine)
    bodies = [
        {"api_key": KEY, "input_data": wine_row},
        {"api_key": KEY, "input_data": {}},
        {"api_key": "no", "input_data": {}},
        {"api_key": OTHER_KEY, "input_data": {"amount": 1}, "deployment": "broken"},
    ]
    for body in bodies:
        wsgi, asgi = (
            Client(app, headers={"x-request-id": "same"}).post("/api/predict", json=body)
            for app in (gate.wsgi, gate.asgi)
        )
        varying = {"x-ratelimit-remaining", "x-ratelimit-reset"}

        assert (wsgi.status, wsgi.body) == (asgi.status, asgi.body)
        assert [pair for pair in wsgi.headers if pair[0] not in varying] == [
            pair for pair in asgi.headers if pair[0] not in varying
        ]
