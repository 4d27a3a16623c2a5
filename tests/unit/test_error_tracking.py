"""Exceptions reach the error tracking of the app: its logs, or signals of its framework."""

import json
import logging

import flask
import pytest

from modelgate import Deployment, Gate, JSONFormatter, Schema
from modelgate.testing import Client

ERROR = RuntimeError("out of memory")


def fail(table):
    raise ERROR


class Broken:
    """HTTP layer with a bug."""

    def __call__(self, request, call_next):
        raise ERROR


def make_gate(**options):
    return Gate([Deployment("d", fail, schema=Schema.of(a=float), **options)], keys="open")


@pytest.mark.parametrize("options", [{}, {"layers": [Broken()]}], ids=["model", "layer"])
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_exceptions_are_logged_with_traceback_and_request(options, interface, caplog):
    response = Client(getattr(make_gate(**options), interface)).post("/simple/d", json=[{"a": 1}])
    [record] = caplog.records

    assert (500, "modelgate", logging.ERROR) == (response.status, record.name, record.levelno)
    assert ERROR is record.exc_info[1]
    assert response.header("x-request-id") == record.request_id


@pytest.mark.parametrize("options", [{}, {"layers": [Broken()]}], ids=["model", "layer"])
@pytest.mark.parametrize("serve", ["init_app", "handle"])
def test_flask_gets_signal(options, serve):
    """Once, with the exception itself; error tracking for Flask listens to it."""
    gate, app, seen = make_gate(**options), flask.Flask("host"), []
    if serve == "init_app":
        gate.init_app(app, "/ml")
    else:
        app.post("/ml/simple/d")(lambda: gate.handle(flask.request, "d", dialect="simple"))

    def receive(sender, exception):
        seen.append((sender, exception))

    flask.got_request_exception.connect(receive, app)
    status = app.test_client().post("/ml/simple/d", json=[{"a": 1}]).status_code

    assert (500, [(app, ERROR)]) == (status, seen)


def test_flask_gets_no_signal_for_mistakes_of_callers():
    gate, app, seen = make_gate(), flask.Flask("host"), []
    gate.init_app(app, "/ml")

    def receive(sender, exception):
        seen.append(exception)

    flask.got_request_exception.connect(receive, app)
    status = app.test_client().post("/ml/simple/d", json=[{"a": "x"}]).status_code

    assert (400, []) == (status, seen)


def test_json_formatter_has_the_exception(caplog):
    response = Client(make_gate().wsgi).post("/simple/d", json=[{"a": 1}])
    line = json.loads(JSONFormatter().format(caplog.records[0]))

    assert ("ERROR", "modelgate") == (line["level"], line["logger"])
    assert line["message"].endswith("deployment d failed to predict")
    assert line["exception"].endswith("RuntimeError: out of memory")
    assert response.header("x-request-id") == line["request_id"]


def test_json_formatter_formats_any_record():
    record = logging.makeLogRecord(
        {"msg": "%s \ud800", "args": ("a",), "extra": {1: object}, "who": KeyError}
    )

    assert ("a \ud800", "<class 'KeyError'>") == tuple(
        json.loads(JSONFormatter().format(record))[name] for name in ("message", "who")
    )


class Unprintable:
    def __str__(self):
        raise RuntimeError


def test_json_formatter_describes_what_json_cannot_express():
    """A reader of the log may stop at NaN, and a formatter that fails loses the record."""
    cycle = []
    cycle.append(cycle)
    record = logging.makeLogRecord({"loss": float("nan"), "who": Unprintable(), "tree": cycle, "rows": 3})
    line = json.loads(JSONFormatter().format(record))

    assert ["nan", "Unprintable", "[[...]]", 3] == [line[name] for name in ("loss", "who", "tree", "rows")]


def test_json_formatter_keeps_its_own_members():
    record = logging.makeLogRecord({"name": "app", "logger": "mine", "time": "noon"})

    assert "app" == json.loads(JSONFormatter().format(record))["logger"]
