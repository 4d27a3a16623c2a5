"""What every mount answers when a request takes longer than it may."""

import threading

import pytest

from conformance.conftest import Mounted, make_gate
from modelgate import Schema

ROW = {"x": 1.0}
TENSOR = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
KEY = "a-key-for-what-hangs-in-the-tests"
KEY_HEADER = {"authorization": f"Bearer {KEY}"}

# By dialect: the path, what is sent, and where the answer says what happened.
ASKED = {
    "mlclever": ("/api/predict", {"input_data": ROW}, lambda told: told["error"]),
    "plexe": ("/predict/hangs", ROW, lambda told: told["error"]["message"]),
    "datarobot": ("/predApi/v1.0/deployments/hangs/predictions", [ROW], lambda told: told["message"]),
    "peltarion": ("/deployment/hangs/forward", {"rows": [ROW]}, lambda told: told["errorMessage"]),
    "simple": ("/simple/hangs", ROW, lambda told: told["error"]),
    "open_inference": ("/v2/models/hangs/infer", TENSOR, lambda told: told["error"]),
    "tf_serving": ("/v1/models/hangs:predict", {"instances": [ROW]}, lambda told: told["error"]),
    "mlflow": ("/mlflow/hangs/invocations", {"dataframe_records": [ROW]}, lambda told: told["message"]),
}


@pytest.fixture
def hanging(mount, wine):
    """A gate whose deployment hangs until the test is over."""
    go_on = threading.Event()
    keys = {KEY: "hangs"}
    gate = make_gate(wine, keys=keys, deadline=0.05)

    @gate.handler("hangs", schema=Schema.of(x=float))
    def hangs(table):
        assert go_on.wait(30)
        return table["x"]

    yield Mounted(mount, gate)
    go_on.set()


@pytest.mark.parametrize(("path", "body", "message"), ASKED.values(), ids=ASKED)
def test_a_model_that_takes_too_long(hanging, path, body, message):
    """The caller has a 504 in the dialect spoken, as JSON, with the request's id."""
    answer = hanging.post(path, json=body, headers=KEY_HEADER)

    assert "This request took longer than the 0.05 s it may take" == message(answer.json())
    assert (504, "application/json") == (answer.status, answer.header("content-type"))
    assert answer.header("x-request-id")


def test_a_caller_who_waits_for_less(mount, wine):
    """The preference of RFC 7240 shortens the time, and never lengthens it."""
    go_on = threading.Event()
    keys = {KEY: "hangs"}

    def asked(deadline, seconds):
        gate = make_gate(wine, keys=keys, deadline=deadline)
        gate.handler("hangs", schema=Schema.of(x=float))(lambda table: go_on.wait(30) and table["x"])
        fields = {**KEY_HEADER, "prefer": f"return=minimal, wait={seconds}"}
        return Mounted(mount, gate).post("/api/predict", json={"input_data": ROW}, headers=fields)

    shorter, longer = asked(20, 1), asked(0.05, 1000)
    go_on.set()

    assert [504, 504] == [shorter.status, longer.status]
    assert "the 1 s it may take" in shorter.json()["error"]
    assert "the 0.05 s it may take" in longer.json()["error"]
