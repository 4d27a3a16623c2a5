"""What every mount answers when a request takes longer than it may."""

import threading
from concurrent.futures import Future

import pytest

from modelgate import Schema
from modelgate.flow import wait_for
from support.mounts import Mounted, make_gate
from support.waiting import SOON

ROW = {"x": 1.0}
TENSOR = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
KEY = "a-key-for-what-hangs-in-the-tests"
KEY_HEADER = {"authorization": f"Bearer {KEY}"}

# By dialect: the path, what is sent, and where the answer says what happened.
ASKED = {
    "mlclever": ("/api/predict", {"input_data": ROW}, lambda body: body["error"]),
    "plexe": ("/predict/hangs", ROW, lambda body: body["error"]["message"]),
    "datarobot": ("/predApi/v1.0/deployments/hangs/predictions", [ROW], lambda body: body["message"]),
    "peltarion": ("/deployment/hangs/forward", {"rows": [ROW]}, lambda body: body["errorMessage"]),
    "simple": ("/simple/hangs", ROW, lambda body: body["error"]),
    "open_inference": ("/v2/models/hangs/infer", TENSOR, lambda body: body["error"]),
    "tf_serving": ("/v1/models/hangs:predict", {"instances": [ROW]}, lambda body: body["error"]),
    "mlflow": ("/mlflow/hangs/invocations", {"dataframe_records": [ROW]}, lambda body: body["message"]),
}


@pytest.fixture
def hanging(mount, wine):
    """Return a gate whose deployment hangs until the end of the test."""
    go_on = threading.Event()
    keys = {KEY: "hangs"}
    gate = make_gate(wine, keys=keys, deadline=0.05)

    @gate.handler("hangs", schema=Schema.of(x=float))
    def hangs(table):
        assert go_on.wait(SOON)
        return table["x"]

    yield Mounted(mount, gate)
    go_on.set()


@pytest.mark.slow
@pytest.mark.parametrize(("path", "body", "message"), ASKED.values(), ids=ASKED)
def test_deadline_exceeded_is_504(hanging, path, body, message):
    """In the dialect's form, with the id of the request."""
    answer = hanging.post(path, json=body, headers=KEY_HEADER)

    assert "This request took longer than the 0.05 s it may take" == message(answer.json())
    assert (504, "application/json") == (answer.status, answer.header("content-type"))
    assert answer.header("x-request-id")


def test_deadline_is_shortened_by_prefer_wait(mount, wine):
    """RFC 7240; it never extends the deadline."""
    release = threading.Event()
    keys = {KEY: "hangs"}

    def request_with(deadline, seconds):
        gate = make_gate(wine, keys=keys, deadline=deadline)
        gate.handler("hangs", schema=Schema.of(x=float))(lambda table: release.wait(SOON) and table["x"])
        fields = {**KEY_HEADER, "prefer": f"return=minimal, wait={seconds}"}
        return Mounted(mount, gate).post("/api/predict", json={"input_data": ROW}, headers=fields)

    shortened, unchanged = request_with(20, 1), request_with(0.05, 1000)
    release.set()

    assert [504, 504] == [shortened.status, unchanged.status]
    assert "the 1 s it may take" in shortened.json()["error"]
    assert "the 0.05 s it may take" in unchanged.json()["error"]


def test_deadline_holds_for_health(mount, wine, monkeypatch):
    """Although the request needs no key."""
    gate = make_gate(wine, deadline=0.05)
    monkeypatch.setattr(type(gate._catalog), "ready", lambda self, name=None: wait_for(Future()))

    assert 504 == Mounted(mount, gate).request("GET", "/health/ready").status
