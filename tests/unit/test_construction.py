"""Mistakes in the construction of gates, deployments and layers, and what the errors suggest."""

import dataclasses
import inspect
import logging

import flask
import numpy as np
import pytest

import modelgate
from modelgate import ConfigurationError, Deployment, Gate, KeyAuth, PredictionError, RateLimit, Schema, mount
from modelgate.dialects import Simple
from modelgate.testing import Client
from support.keys import KEY

SCHEMA = Schema.of(age=float)


def make_gate(**options):
    return Gate(
        [Deployment("churn", lambda table: table["age"], schema=SCHEMA)], **{"keys": "open", **options}
    )


# Options


@pytest.mark.parametrize(
    ("construct", "message"),
    [
        (lambda: Gate(keys="open", limit="60/minute"), "Gate has no option 'limit': did you mean limits?"),
        (
            lambda: Deployment("a", print, shema=SCHEMA),
            "Deployment has no option 'shema': did you mean schema?",
        ),
        (lambda: RateLimit("1/day", Storage=""), "RateLimit has no option 'Storage': did you mean storage?"),
        (lambda: KeyAuth({KEY: "*"}, relm="x"), "KeyAuth has no option 'relm': did you mean realm?"),
        (lambda: Gate(keys="open", colour="red"), "Gate has no option 'colour'"),
    ],
)
def test_unknown_options_get_a_suggestion(construct, message):
    with pytest.raises(TypeError) as info:
        construct()

    assert message == str(info.value)


def test_signatures_remain():
    deployment = Deployment("a", print, schema=SCHEMA)

    assert "limits" in inspect.signature(Gate).parameters
    assert "b" == dataclasses.replace(deployment, name="b").name


@pytest.mark.parametrize("url", ["s3://user:secret@bucket/models", "postgresql://user:secret@host/db"])
def test_store_cannot_be_a_url(url):
    """The URL is not repeated, because it may contain a password."""
    with pytest.raises(
        ConfigurationError, match=r"^store: folder must be .*: use FsspecStore\(url\)"
    ) as info:
        make_gate(store=url)

    assert "secret" not in str(info.value)


class Incomplete:
    name = "incomplete"
    max_body = 1
    routes = ()
    credentials = decode = Simple.decode


def test_incomplete_dialects_name_what_is_missing():
    with pytest.raises(ConfigurationError, match=r"\(got Incomplete without encode, encode_error\)$"):
        make_gate(dialects=[Incomplete()])


# Layers around an app


@pytest.mark.parametrize(
    "wrap",
    [
        lambda app: mount.wsgi.wrap(RateLimit("1/day"), app),
        lambda app: mount.wsgi.wrap(app, RateLimit("1/day"), app),
        lambda app: mount.wsgi.wrap("app"),
        lambda app: mount.asgi.wrap(RateLimit("1/day"), make_gate().asgi),
        lambda app: mount.asgi.wrap(make_gate().asgi, make_gate().asgi),
        lambda app: mount.asgi.wrap(lambda request, call_next: call_next(request), make_gate().asgi),
    ],
)
def test_wrap_gets_the_app_first(wrap):
    with pytest.raises(ConfigurationError, match=r"^wrap must get the app first, and then the layers"):
        wrap(flask.Flask("host"))


# Keys


@pytest.mark.parametrize(
    ("deployments", "unknown"),
    [("churn", None), ("*", None), ("prise", "prise"), (["churn:read", "prise:read", "x"], "prise, x")],
)
def test_keys_for_unknown_deployments_are_logged_once(caplog, deployments, unknown):
    """With the first request: the function is added later than the keys."""
    gate = Gate(keys={KEY: deployments})
    gate.handler("churn", schema=SCHEMA)(lambda table: table["age"])
    with caplog.at_level(logging.WARNING, "modelgate"):
        for _ in range(2):
            Client(gate.wsgi).get("/health/live")

    message = f"keys: unknown deployments: {unknown} (the gate has churn)"
    assert ([] if unknown is None else [message]) == caplog.messages


# Functions


class Model:
    def __call__(self, table):
        return np.float64(1)


def find_nothing(table):
    return None


async def find_nothing_later(table):
    return None


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (find_nothing, "find_nothing returned None"),
        (find_nothing_later, "find_nothing_later returned None"),
        (Model(), "Model returned float64"),
        (lambda table: 5, "<lambda> returned int"),
        (lambda table: [1, 2], "<lambda> returned list of size 2"),
        (lambda table: np.zeros((3, 1)), r"<lambda> returned ndarray of size \(3, 1\)"),
    ],
)
@pytest.mark.parametrize("interface", ["score", "wsgi", "asgi"])
def test_other_results_name_the_function(caplog, function, result, interface):
    """In the log and the cause, and not in the response."""
    gate = Gate([Deployment("churn", function, schema=SCHEMA)], keys="open")
    if interface == "score":
        with pytest.raises(PredictionError) as info:
            gate.score("churn", {"age": 1})
        error = info.value.__cause__
    else:
        response = Client(getattr(gate, interface)).post("/deployments/churn/predict", json={"age": 1})
        error = next(record.exc_info[1] for record in caplog.records if record.exc_info)
        assert "returned" not in response.json()["detail"]

    with pytest.raises(ValueError, match=f"^{result}: output 'prediction' must be an array"):
        raise error


# Representation and names


def test_gate_shows_its_deployments():
    gate = make_gate()
    gate.deployments.add(Deployment("price", print, schema=SCHEMA, state="paused"))

    assert "<Gate: churn, price (paused)>" == repr(gate)
    assert "<Gate: no deployments>" == repr(Gate(keys="open"))


def test_dir_lists_public_names():
    assert sorted(modelgate.__all__) == dir(modelgate)
