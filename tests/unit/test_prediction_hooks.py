"""Hooks that receive every prediction."""

import logging
import time

import pytest

from modelgate import ConfigurationError, Deployment, Gate, PredictionHook, Schema
from modelgate.testing import Client
from support.keys import KEY

AGE = Schema.of(age=float)
ROUTE = "/simple/ages"


def own_age(table):
    return table["age"]


def make_client(hook, **options):
    gate = Gate(
        [Deployment("ages", own_age, schema=AGE, version="3")],
        **{"keys": {KEY: "ages"}, "on_prediction": hook, **options},
    )
    return gate, Client(gate.asgi, headers={"x-api-key": KEY})


@pytest.fixture
def records():
    return []


@pytest.fixture
def client(records):
    return make_client(records.append)[1]


def test_hook_gets_request_and_prediction(client, records):
    """The record has the request id of the response, the caller, the model and its rows."""
    before = time.time()
    response = client.post(ROUTE, json=[{"age": 1}, {"age": 2}])
    [record] = records

    assert (response.header("x-request-id"), "ages", "3") == (
        record.request_id,
        record.deployment,
        record.version,
    )
    assert [{"age": 1}, {"age": 2}] == record.table.rows()
    assert [1, 2] == record.prediction.values.tolist()
    assert before <= record.time <= time.time()
    assert 0 < record.seconds


def test_hook_gets_id_of_key_not_the_key(client, records):
    client.post(ROUTE, json=[{"age": 1}])

    assert records[0].key_id is not None
    assert KEY not in records[0].key_id


def test_hook_of_gate_without_keys_gets_no_caller(records):
    make_client(records.append, keys="open")[1].post(ROUTE, json=[{"age": 1}])

    assert [None] == [record.key_id for record in records]


def test_hook_gets_no_rejected_request(client, records):
    statuses = [
        client.post(ROUTE, json=[{"age": "old"}]).status,
        client.post(ROUTE, json=[{"age": 1}], headers={"x-api-key": "a-key-that-nobody-has"}).status,
    ]

    assert ([400, 401], []) == (statuses, records)


def test_hook_gets_no_response_curve(client, records):
    """A curve predicts rows that nobody has."""
    response = client.post("/deployments/ages/curves", json={"row": {"age": 1}, "column": "age", "grid": [1]})

    assert (200, []) == (response.status, records)


def test_hook_that_fails_is_logged(records, caplog):
    """The response is sent, and the other hooks are called."""

    def fail(record):
        raise RuntimeError("disk full")

    _, client = make_client([fail, records.append])
    with caplog.at_level(logging.ERROR, "modelgate"):
        response = client.post(ROUTE, json=[{"age": 1}])

    assert (200, 1) == (response.status, len(records))
    assert ["disk full"] == [str(entry.exc_info[1]) for entry in caplog.records]
    assert "prediction hook" in caplog.text


def test_hooks_are_closed_with_gate():
    class Hook(PredictionHook):
        closed = 0

        def __call__(self, record):
            pass

        def close(self):
            self.closed += 1

    hook = Hook()
    make_client([hook, print])[0].close()

    assert 1 == hook.closed


@pytest.mark.parametrize("hook", ["predictions.jsonl", PredictionHook, [1]])
def test_hook_must_be_callable(hook):
    with pytest.raises(ConfigurationError, match="on_prediction must be a function"):
        make_client(hook)


def test_hook_must_not_be_async():
    """The coroutine would never run."""

    async def write(record):
        pass

    with pytest.raises(ConfigurationError, match="on_prediction must not be async"):
        make_client(write)
