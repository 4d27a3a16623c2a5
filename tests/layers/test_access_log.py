"""What the access log says of a request, and what it does not."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import KEY
from modelgate import AccessLog, Deployment, Forbidden, Gate, KeyAuth, Schema, drive, stack
from modelgate.keys import MemoryKeyStore, generate
from modelgate.layers.access_log import masked_path
from modelgate.testing import Client, Inner, request

BEARER = {"authorization": f"Bearer {KEY}"}
FIELDS = ("client", "method", "path", "status", "key_id", "deployment", "request_id")


@pytest.fixture
def log(caplog):
    """The access log, in its records."""
    caplog.set_level(logging.INFO, "modelgate.access")
    return caplog


def told(record):
    return tuple(getattr(record, name) for name in FIELDS)


def test_a_request_is_told_in_a_line(wrap, log):
    """And in attributes."""
    Client(wrap(AccessLog(), KeyAuth({KEY: "*"}))).get("/orders/7?page=2", headers=BEARER)
    (record,) = log.records
    line = record.getMessage()

    assert told(record)[:4] == ("192.0.2.1", "GET", "/orders/7", 200)
    assert len(record.key_id) == 12
    assert record.milliseconds >= 0
    assert line == (
        f"192.0.2.1 GET /orders/7 200 {record.milliseconds} ms key={record.key_id} deployment=-"
        " version=- request=-"
    )


def test_a_refusal_is_told(wrap, log):
    """With its status, and of a key nobody knows nothing."""
    Client(wrap(AccessLog(), KeyAuth({KEY: "*"}))).get("/", headers={"x-api-key": generate()})

    assert told(log.records[0])[3:5] == (401, "-")


def test_a_refusal_of_a_known_key_names_it(log):
    """One that does not open the deployment, which is found before anything else is known of it."""
    asked = request(headers={"x-api-key": KEY})
    asked.deployment = "other"
    drive(stack([AccessLog(), KeyAuth({KEY: "wine"})], Inner())(asked))

    assert 403 == log.records[0].status
    assert drive(MemoryKeyStore({KEY: "wine"}).find(KEY)).id == log.records[0].key_id


def test_an_app_that_fails_is_told(wrap, log):
    """Without a status: what the server makes of the error is not known here."""
    with pytest.raises(LookupError):
        Client(wrap(AccessLog())).get("/raise")

    assert told(log.records[0])[2:4] == ("/raise", "-")


def test_the_level_is_the_users_to_choose(caplog):
    """A logger that is not asked costs nothing and says nothing; the answer is the same."""
    caplog.set_level(logging.WARNING, "modelgate.access")
    inner = Inner()
    drive(AccessLog()(request(), inner))

    assert (1, []) == (len(inner.requests), caplog.records)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_gate_keeps_one(interface, log):
    """With the key's id, the deployment and the request's id; unknown paths too."""
    gate = Gate([Deployment("sum", lambda table: table["x"], schema=Schema.of(x=float))], keys={KEY: "sum"})
    client = Client(getattr(gate, interface), headers={"x-request-id": "r1"})
    client.post(f"/api/predict/{KEY}", json={"input_data": {"x": 1}})
    client.post("/no/such/path")

    assert told(log.records[0])[1:4] == ("POST", "/api/predict/{key}", 200)
    assert told(log.records[0])[5:] == ("sum", "r1")
    assert told(log.records[1])[2:] == ("/no/such/path", 404, "-", "-", "r1")


def test_what_a_caller_sends_breaks_no_line(log):
    """Control characters, other scripts and separators are escaped, and long ones are cut off."""
    odd = request("GE\nT", "/a\r\nb\x1b[0m/\u2028/\ud800" + "/c" * 500, client="\n")
    odd.deployment = "x\ty"
    drive(AccessLog()(odd, Inner(Forbidden())))
    line = log.records[0].getMessage()

    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 1000
    assert "GE\\nT /a\\r\\nb\\x1b[0m/\\u2028/\\ud800/c/c" in line


@pytest.mark.parametrize(
    ("path", "key", "served", "shown"),
    [
        ("/api/predict/short", "short", None, "/api/predict/{key}"),
        (f"/api/predict/{KEY}", None, None, "/api/predict/***"),
        (f"/wrong/{KEY}/more", None, None, "/wrong/***/more"),
        ("/predict/the-model-of-the-north", None, None, "/predict/***"),
        (
            "/predict/the-model-of-the-north",
            None,
            "the-model-of-the-north",
            "/predict/the-model-of-the-north",
        ),
        ("/", None, None, "/"),
        ("", None, None, ""),
    ],
)
def test_what_may_be_a_key_is_masked(path, key, served, shown):
    """What a route calls so, and what is as long as one, but for the deployment that answered."""

    assert shown == masked_path(path, key, served)


@given(st.text(st.characters(exclude_characters="/"), min_size=16), st.text(), st.text())
def test_no_key_is_left(key, before, after):
    """Wherever it stands in a path."""
    path = f"{before}/{key}/{after}".replace(key, "").join("ab") + f"/{key}/"

    assert key not in masked_path(path, None, None)


def test_a_deployment_that_did_not_answer_may_be_a_key(log):
    """Someone who puts the key in its place does not have it logged."""
    misplaced = request(path="/predict/x")
    misplaced.deployment = KEY
    drive(AccessLog()(misplaced, Inner(Forbidden())))

    assert log.records[0].deployment == "***"
