"""The access log."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import AccessLog, Deployment, Forbidden, Gate, KeyAuth, Schema, drive, stack
from modelgate.keys import MemoryKeyStore, generate
from modelgate.layers.access_log import redact_path
from modelgate.testing import Client, StubHandler, request
from support.keys import KEY

BEARER = {"authorization": f"Bearer {KEY}"}
FIELDS = ("client", "method", "path", "status", "key_id", "deployment", "request_id")


@pytest.fixture
def log(caplog):
    """Records of the access log."""
    caplog.set_level(logging.INFO, "modelgate.access")
    return caplog


def describe(record):
    return tuple(getattr(record, name) for name in FIELDS)


def test_access_log_has_one_line_per_request(wrap, log):
    """The record has the same values as attributes."""
    Client(wrap(AccessLog(), KeyAuth({KEY: "*"}))).get("/orders/7?page=2", headers=BEARER)
    (record,) = log.records
    line = record.getMessage()

    assert describe(record)[:4] == ("192.0.2.1", "GET", "/orders/7", 200)
    assert len(record.key_id) == 12
    assert record.milliseconds >= 0
    assert line == (
        f"192.0.2.1 GET /orders/7 200 {record.milliseconds} ms key={record.key_id} deployment=-"
        " version=- request=-"
    )


def test_access_log_has_rejected_requests(wrap, log):
    """With the status, and nothing of an unknown key."""
    Client(wrap(AccessLog(), KeyAuth({KEY: "*"}))).get("/", headers={"x-api-key": generate()})

    assert describe(log.records[0])[3:5] == (401, "-")


def test_access_log_has_id_of_rejected_known_key(log):
    """The key does not permit the deployment."""
    sent = request(headers={"x-api-key": KEY})
    sent.context.deployment = "other"
    drive(stack([AccessLog(), KeyAuth({KEY: "wine"})], StubHandler())(sent))

    assert 403 == log.records[0].status
    assert drive(MemoryKeyStore({KEY: "wine"}).find(KEY)).id == log.records[0].key_id


def test_access_log_has_failed_app_without_status(wrap, log):
    """The status is the server's choice."""
    with pytest.raises(LookupError):
        Client(wrap(AccessLog())).get("/raise")

    assert describe(log.records[0])[2:4] == ("/raise", "-")


def test_access_log_respects_level(caplog):
    """A disabled logger changes nothing."""
    caplog.set_level(logging.WARNING, "modelgate.access")
    inner = StubHandler()
    drive(AccessLog()(request(), inner))

    assert (1, []) == (len(inner.requests), caplog.records)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_gate_has_access_log(interface, log):
    """Also for unknown paths."""
    gate = Gate([Deployment("sum", lambda table: table["x"], schema=Schema.of(x=float))], keys={KEY: "sum"})
    client = Client(getattr(gate, interface), headers={"x-request-id": "r1"})
    client.post(f"/api/predict/{KEY}", json={"input_data": {"x": 1}})
    client.post("/no/such/path")

    assert describe(log.records[0])[1:4] == ("POST", "/api/predict/{key}", 200)
    assert describe(log.records[0])[5:] == ("sum", "r1")
    assert describe(log.records[1])[2:] == ("/no/such/path", 404, "-", "-", "r1")


def test_access_log_escapes_text_from_callers(log):
    """Control characters, other scripts and separators are escaped, and long values truncated."""
    hostile = request("GE\nT", "/a\r\nb\x1b[0m/\u2028/\ud800" + "/c" * 500, client="\n")
    hostile.context.deployment = "x\ty"
    drive(AccessLog()(hostile, StubHandler(Forbidden())))
    line = log.records[0].getMessage()

    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 1000
    assert "GE\\nT /a\\r\\nb\\x1b[0m/\\u2028/\\ud800/c/c" in line


@pytest.mark.parametrize(
    ("path", "key", "name", "shown"),
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
def test_redact_path_masks_possible_keys(path, key, name, shown):
    """The name of a deployment is not masked."""

    assert shown == redact_path(path, key, name)


@given(st.text(st.characters(exclude_characters="/"), min_size=16), st.text(), st.text())
def test_redact_path_masks_keys_anywhere(key, before, after):
    path = f"{before}/{key}/{after}".replace(key, "").join("ab") + f"/{key}/"

    assert key not in redact_path(path, None, None)


def test_access_log_masks_key_sent_as_deployment(log):
    misplaced = request(path="/predict/x")
    misplaced.context.deployment = KEY
    drive(AccessLog()(misplaced, StubHandler(Forbidden())))

    assert log.records[0].deployment == "***"


def test_access_log_has_deployment_name(log):
    """Long names and failed requests included."""
    name = "the-model-of-the-north"
    refused = request(path=f"/predict/{name}")
    refused.context.deployment = name
    drive(AccessLog([name])(refused, StubHandler(Forbidden())))

    assert (f"/predict/{name}", name) == (log.records[0].path, log.records[0].deployment)
