"""What every mount answers to a request that can be scored."""

import pandas
import pytest
import starlette.applications

import modelgate
from modelgate.testing import Client
from support.keys import KEY, OTHER_KEY
from support.mounts import MOUNTS, Mounted, make_gate, mount_gate
from support.wire_formats import NUMBERS_IN, REQUESTS, request_of


def test_classifier_returns_label_and_probabilities(mounted, wine, wine_row):
    """In the order of classes_."""
    model, _ = wine
    answer = mounted.predict(wine_row)
    expected = model.predict_proba(pandas.DataFrame([wine_row]))[0].tolist()

    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert list(answer.json()) == ["predictions", "confidence_intervals"]
    assert [model.classes_[expected.index(max(expected))]] == answer.json()["predictions"]
    assert pytest.approx(expected, abs=1e-12) == answer.json()["confidence_intervals"]


@pytest.mark.parametrize("dialect", REQUESTS)
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_empty_list_of_rows_has_an_empty_list_of_predictions(dialect, interface):
    """The model is not called."""
    gate = modelgate.Gate(keys="open")
    gate.handler("m", schema=modelgate.Schema.of(x0=float))(lambda table: 1 / 0)
    path, body = request_of(dialect, [])
    answer = Client(getattr(gate, interface)).post(path, body=body)

    assert (200, []) == (answer.status, NUMBERS_IN[dialect](answer.json()))


def test_csv_cells_that_may_be_text_have_a_warning(mount):
    """CSV has no types, and the column accepts any."""
    gate = modelgate.Gate(keys={KEY: "code"})

    @gate.handler("code", schema=modelgate.Schema([modelgate.Column("code", "any")]))
    def code(table):
        return [str(type(value).__name__) for value in table["code"]]

    mounted, path = Mounted(mount, gate), "/endpoints/code/invocations"
    csv, json = (
        mounted.post(path, body=body, headers={"content-type": kind, "x-api-key": KEY})
        for body, kind in (
            (b"code\n10115\n", "text/csv"),
            (b'{"dataframe_records": [{"code": "10115"}]}', "application/json"),
        )
    )

    assert (["int"], ["str"]) == (csv.json()["predictions"], json.json()["predictions"])
    assert [
        ["code: CSV cells that look like numbers or booleans were read as such: send JSON if they are text"],
        None,
    ] == [
        csv.json()["warnings"],
        json.json().get("warnings"),
    ]


def test_function_is_scored(mounted):
    """Rounded to two decimals, without confidences."""
    answer = mounted.predict({"amount": 1.23456}, OTHER_KEY, deployment="double")

    assert answer.json() == {"predictions": [2.47]}


def test_coroutine_function_is_scored(mounted):
    answer = mounted.predict({"amount": 2}, OTHER_KEY, deployment="triple")

    assert answer.json() == {"predictions": [6.0]}


def test_rows_are_answered_in_order(mounted):
    rows = [{"amount": amount} for amount in (3, 1, 2)]
    answer = mounted.predict(rows, OTHER_KEY, deployment="double")

    assert answer.json() == {"predictions": [6.0, 2.0, 4.0]}


def test_rows_can_be_empty(mounted):
    answer = mounted.predict([], OTHER_KEY, deployment="double")

    assert (answer.status, answer.json()) == (200, {"predictions": []})


@pytest.mark.parametrize("path", ["/api/predict", "/api/predict/"])
def test_slash_at_the_end_is_ignored(mounted, path, wine_row):
    """Without a redirect."""
    answer = mounted.post(path, json={"api_key": KEY, "input_data": wine_row})

    assert answer.status == 200


def test_request_id_is_echoed(mounted, wine_row):
    """On success and errors; an invalid one is replaced."""
    body = {"api_key": KEY, "input_data": wine_row}
    own = mounted.post("/api/predict", json=body, headers={"x-request-id": "abc-1.2_3"})
    replaced = mounted.post("/api/predict", json={}, headers={"x-request-id": "a b\x1b[31m"})

    assert own.header("x-request-id") == "abc-1.2_3"
    assert len(replaced.header("x-request-id")) == 32


def test_cache_hit_header(mounted, wine_row):
    assert mounted.predict(wine_row).header("x-model-cache-hit") == "true"


def test_unknown_path_below_the_prefix_is_404(mounted):
    """The request does not reach the host."""
    answer = mounted.post("/no/such/path", json={})

    assert answer.status == 404
    assert answer.json()["detail"].startswith("Not found: ")
    assert answer.header("x-request-id")


def test_method_not_allowed_lists_methods(mounted):
    answer = mounted.request("GET", "/api/predict")

    assert (answer.status, answer.header("allow")) == (405, "POST")


def test_head_has_length_and_no_body(mounted):
    answer = mounted.request("HEAD", "/api/predict")

    assert (405, b"", "40") == (answer.status, answer.body, answer.header("content-length"))


@pytest.mark.parametrize("mount", MOUNTS[2:])
def test_host_pages_are_unchanged(mount, wine):
    """Including its 404 page and paths that begin like the prefix."""
    client = Mounted(mount, make_gate(wine)).client

    assert client.get("/").body == b"the host's page"
    assert (client.get("/mlx").status, client.get("/mlx").body) == (404, b"the host's 404")


@pytest.mark.slow
@pytest.mark.parametrize("mount", MOUNTS)
def test_two_gates_have_separate_limits(mount, wine, wine_row):
    gates = [make_gate(wine, limits="1/minute") for _ in range(2)]
    first, second = (Mounted(mount, gate) for gate in gates)

    assert [first.predict(wine_row).status for _ in range(2)] == [200, 429]
    assert second.predict(wine_row).status == 200


def test_prefix_can_be_deep(wine, wine_row):
    """Also behind a proxy's root path."""
    gate = make_gate(wine)
    inner, _ = mount_gate("starlette", gate)
    app = starlette.applications.Starlette()
    app.mount("/deep/er", inner)
    answer = Client(app).post("/deep/er/ml/api/predict", json={"api_key": KEY, "input_data": wine_row})

    assert answer.status == 200


@pytest.mark.parametrize(
    ("root_path", "path"),
    [("/proxy", "/proxy/api/predict"), ("/proxy/", "/proxy/api/predict"), ("/proxy", "/api/predict")],
)
def test_root_path_is_removed_from_the_path(wine, wine_row, root_path, path):
    """If the path begins with it."""
    gate = make_gate(wine)

    async def proxied(scope, receive, send):
        await gate.asgi({**scope, "root_path": root_path}, receive, send)

    answer = Client(proxied).post(path, json={"api_key": KEY, "input_data": wine_row})

    assert answer.status == 200


def test_root_path_stripped_by_proxy(wine, wine_row):
    """Only the prefix of the mount is removed."""
    inner, _ = mount_gate("fastapi", make_gate(wine))
    inner.root_path = "/proxy"
    for path in ("/ml/api/predict", "/proxy/ml/api/predict"):
        answer = Client(inner).post(path, json={"api_key": KEY, "input_data": wine_row})

        assert 200 == answer.status


def test_wsgi_and_asgi_responses_are_identical(wine, wine_row):
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
