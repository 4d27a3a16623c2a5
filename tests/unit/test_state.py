"""State of a gate, for operators."""

import os

import pandas
import pytest
from sklearn.linear_model import LinearRegression

from modelgate import Deployment, Gate, ModelPackage, RateLimit, Rollout, Schema, Shadow
from modelgate.keys import Principal
from modelgate.testing import Client

KEY, OPERATOR, PART = "mg_the-key-of-a-caller", "mg_the-key-of-operators", "mg_the-key-for-one-of-them"
FRAME = pandas.DataFrame({"x": [1.0, 2.0]})
LINKS = {"description", "openapi", "console"}


class FakeStore:
    """Custom layer with a secret."""

    def __init__(self):
        self.token = "a-secret-of-a-layer"

    def __call__(self, request, call_next):
        return call_next(request)


def fail(table):
    raise ValueError(f"cannot score {table['x'][0]}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for version in ("1", "2", "3"):
        package = ModelPackage.from_estimator(
            LinearRegression().fit(FRAME, [2.0, 4.0]), FRAME, version=version
        )
        package.save(folder / f"m@{version}.mgpkg")
    (folder / "broken.skops").write_bytes(b"no model")
    return folder


@pytest.fixture
def gate(folder):
    return Gate(
        [
            Deployment(
                "m",
                "store:m@1",
                rollout=Rollout({"store:m@2": 5}),
                shadow=Shadow("store:m@3"),
                layers=[FakeStore()],
            ),
            Deployment("broken", folder / "broken.skops"),
            Deployment("fails", fail, schema=Schema.of(x=float), max_rows=7, state="paused"),
        ],
        keys={KEY: "*", OPERATOR: "*:operate", PART: ["m", "fails:operate"]},
        limits=RateLimit("90/minute"),
        store=folder,
    )


def get_state(gate, key=OPERATOR):
    document = Client(gate.asgi, headers={"x-api-key": key}).get("/deployments").json()
    return {deployment["name"]: deployment for deployment in document["deployments"]}, document.get("process")


def predict(gate, name):
    return Client(gate.asgi, headers={"x-api-key": KEY}).post(f"/simple/{name}", json=[{"x": 77.5}])


@pytest.mark.slow
def test_state_shows_models_before_and_after_they_are_loaded(gate):
    """Reading it neither loads them nor counts as a use."""
    before, _ = get_state(gate)
    gate.deployments.predictor("m")
    info = gate.deployments.cache.cache_info()
    after, _ = get_state(gate)

    assert [False, False, False] == [model["loaded"] for model in before["m"]["models"]]
    assert [("1", True, 95), (None, False, 5)] == [
        (model["version"], model["loaded"], model["percent"]) for model in after["m"]["models"][:2]
    ]
    assert after["m"]["models"][0]["bytes"] > 100
    assert ("shadow", "store:m@3") == tuple(after["m"]["models"][2][name] for name in ("role", "model"))
    assert info == gate.deployments.cache.cache_info()


def test_state_shows_why_models_are_not_loaded(gate):
    assert 503 == predict(gate, "broken").status

    state = get_state(gate)[0]["broken"]
    error = state["models"][0]["load_error"]

    assert ("failed", "ConfigurationError") == (state["state"], error["type"])
    assert "broken.skops" in error["message"]


@pytest.mark.slow
def test_state_shows_the_last_error_without_the_row(gate):
    """By its request id, under which the log has the message."""
    gate.deployments.resume("fails")
    answer = predict(gate, "fails")
    state = get_state(gate)[0]["fails"]

    assert (500, "ValueError") == (answer.status, state["last_error"]["type"])
    assert answer.header("x-request-id") == state["last_error"]["request_id"]
    assert "77.5" not in str(state)


def test_state_shows_the_configuration_without_secrets(gate):
    state, process = get_state(gate)
    layers = {layer.pop("layer"): layer for layer in process["layers"]}

    assert {"schema": "Schema", "max_rows": 7} == state["fails"]["options"]
    assert {"layers": ["FakeStore"]} == state["m"]["options"]
    assert ("paused", 0) == (state["fails"]["state"], state["fails"]["in_flight"])
    assert {"seconds": 30.0} == layers["Deadline"]
    assert {"rate": "90/minute", "rejected": 0, "shared": False} == layers["RateLimit"]
    assert os.getpid() == process["pid"]
    assert not any(secret in f"{state} {process}" for secret in (KEY, OPERATOR, "a-secret-of-a-layer"))


def test_custom_layers_are_shown_by_name_only():
    gate = Gate(keys=None, layers=[FakeStore(), *Gate(keys={OPERATOR: "*:operate"}).layers])

    assert {"layer": "FakeStore"} == get_state(gate)[1]["layers"][0]


@pytest.mark.slow
def test_state_is_for_operators(gate):
    """A key for everything sees links only, and a key that operates one deployment the state of that one."""
    everything, nothing = get_state(gate, KEY)
    part, no_process = get_state(gate, PART)
    open_gate = Gate([Deployment("m", lambda table: table["x"], schema=Schema.of(x=float))], keys="open")

    assert [{"name", *LINKS}] * 3 == [set(everything[name]) for name in ("broken", "fails", "m")]
    assert (None, None) == (nothing, no_process)
    assert {"name", *LINKS} == set(part["m"])
    assert {"name", "state", "in_flight", "models", "options"} == set(part["fails"])
    assert {"name", *LINKS} == set(get_state(open_gate)[0]["m"])


def test_operators_cannot_read_or_predict(gate):
    client = Client(gate.wsgi, headers={"x-api-key": OPERATOR})

    assert 403 == client.get("/deployments/m").status
    assert 403 == client.get("/metrics").status
    assert 403 == client.post("/simple/m", json=[{"x": 1}]).status


@pytest.mark.parametrize("scopes", [("*",), ("m",), ("m:read", "*:predict", "*:explain"), ("other:operate",)])
def test_other_scopes_do_not_include_operate(scopes):
    assert not Principal.from_scopes("k", scopes).can_access("m", "operate")
