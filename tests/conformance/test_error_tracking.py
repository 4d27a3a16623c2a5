"""Error tracking stores log records with the local variables of their tracebacks, in which no key may be."""

import json
import logging
from traceback import TracebackException

import pytest

from modelgate import Deployment, Gate, Schema
from modelgate.testing import Client
from support.keys import KEY
from support.wire_formats import REQUESTS, request_of

SCHEMA = Schema.of(x0=float)
STYLES = {
    "bearer": {"authorization": f"Bearer {KEY}"},
    "x-api-key": {"x-api-key": KEY},
    "both": {"authorization": f"Bearer {KEY}", "x-api-key": KEY},
}


class Tracker(logging.Handler):
    """Log handler that stores what an error tracker would send: everything, with local variables."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def emit(self, record):
        lines = [repr({**vars(record), "exc_info": None})]
        if record.exc_info:
            lines += TracebackException(*record.exc_info, capture_locals=True).format()
        self.sent.append("".join(lines))


@pytest.fixture
def tracker():
    logger, tracker = logging.getLogger("modelgate"), Tracker()
    level = logger.level
    logger.addHandler(tracker)
    logger.setLevel(logging.DEBUG)
    yield tracker
    logger.removeHandler(tracker)
    logger.setLevel(level)


def fail(*_):
    raise RuntimeError("a fault")
    yield


def fail_to_predict(table):
    raise RuntimeError("a fault")


PLACES = {
    "model": ({}, Deployment("m", fail_to_predict, schema=SCHEMA)),
    "scoring layer": ({"scoring_layers": [fail]}, Deployment("m", len, schema=SCHEMA)),
    "HTTP layer": ({}, Deployment("m", len, schema=SCHEMA, layers=[fail])),
}


def list_requests():
    """Yield the path, the body and the header fields of a request for each dialect and place of the key."""
    for dialect in REQUESTS:
        path, body = request_of(dialect, [1.0])
        for fields in STYLES.values():
            yield path, body, fields
    members = json.loads(request_of("mlclever", [1.0])[1])
    yield "/api/predict", json.dumps({**members, "api_key": KEY}).encode(), {}
    yield f"/api/predict/{KEY}", json.dumps(members).encode(), {}


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize(("options", "deployment"), PLACES.values(), ids=PLACES)
def test_failure_behind_the_key(tracker, interface, options, deployment):
    client = Client(getattr(Gate([deployment], keys={KEY: "m"}, **options), interface))
    for path, body, fields in list_requests():
        tracker.sent.clear()
        answer = client.post(path, body=body, headers={"content-type": "application/json", **fields})
        sent = "".join(tracker.sent)

        assert (500, True) == (answer.status, "a fault" in sent)
        assert [path, False, False] == [path, KEY in sent, KEY in answer.body.decode()]


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_failure_while_the_body_is_decoded(tracker, interface, monkeypatch):
    """The local variables are removed, because they contain the body, which contains the key."""
    monkeypatch.setattr("modelgate.dialects.mlclever.check_body", fail)
    client = Client(getattr(Gate([Deployment("m", len, schema=SCHEMA)], keys={KEY: "m"}), interface))
    answer = client.post("/api/predict", json={"input_data": {"x0": 1}, "api_key": KEY})
    sent = "".join(tracker.sent)

    assert 500 == answer.status
    assert ("a fault" in sent, KEY in sent) == (True, False)


class CarelessStore:
    """Key store whose errors contain the key."""

    def find(self, key):
        yield from ()
        return {}[key]


def test_failure_of_a_key_store(tracker):
    client = Client(Gate([Deployment("m", len, schema=SCHEMA)], keys=CarelessStore()).wsgi)
    answer = client.post("/simple/m", json={"x0": 1}, headers=STYLES["bearer"])
    sent = "".join(tracker.sent)

    assert 500 == answer.status
    assert ("KeyError" in sent, KEY in sent) == (True, False)
