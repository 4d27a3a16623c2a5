"""Text from callers in logs, header fields and metrics, and names of deployments and resources in requests."""

import io
import json
import logging
import re
import sys
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from modelgate import Column, Deployment, Gate, ImageSpec, Schema
from modelgate.testing import Client
from support.keys import KEY
from support.wire_formats import REQUESTS, request_of

SCHEMA = Schema.of(x0=float)
EVIL = [
    "\r\nset-cookie: a=b",
    "\n200 forged",
    "%0d%0aa: b",
    "\x1b[2J",
    "\x85",
    "\u2028",
    "\0",
    "%s{0}",
    "é",
    '"} 1\n',
]
PATHS = [
    *(
        "/{}",
        "/deployments/{}/predict",
        "/predict/{}",
        "/api/predict/{}",
        "/v2/models/{}/infer",
        "/models/m/{}/infer",
    ),
    *(
        "/deployments/m/predict?x={}",
        "/deployments/m/predict?passthrough={}",
        "/deployments/{}/console",
        "/mlflow/{}/ping",
    ),
]
FIELDS = [
    *(
        "x-request-id",
        "authorization",
        "accept",
        "content-type",
        "content-encoding",
        "prefer",
        "origin",
        "host",
    ),
    *("forwarded", "x-forwarded-for", "inference-header-content-length"),
]


@contextmanager
def formatted_log():
    """Collect the lines that a handler writes for all loggers of modelgate."""
    text, logger = io.StringIO(), logging.getLogger("modelgate")
    handler, level = logging.StreamHandler(text), logger.level
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield text
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.slow
@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_text_of_callers_forges_nothing(interface, evil):
    """No line of the log, no field of a response, and no label of a metric."""
    gate = Gate(
        [Deployment("m", lambda table: table["x0"], schema=SCHEMA)], keys={KEY: "m"}, auth_failure_limit=None
    )
    client, sendable = Client(getattr(gate, interface)), evil.isascii()
    requests = [("POST", path.format(quote(evil)), {"x-api-key": KEY}) for path in PATHS]
    requests += [("POST", "/simple/m", {"x-api-key": KEY, name: evil}) for name in FIELDS if sendable]
    requests += [("GET", PATHS[0].format(quote(evil)), {}), (f"GET{evil}", "/simple/m", {})]
    with formatted_log() as log:
        answers = [
            client.request(method, path, json={"x0": 1}, headers=fields) for method, path, fields in requests
        ]
    lines, fields = (
        log.getvalue().splitlines(),
        [text for answer in answers for pair in answer.headers for text in pair],
    )

    assert all(answer.status < 500 for answer in answers)
    assert all(text.isascii() and text.isprintable() for text in fields)
    assert [] == [line for line in lines if not re.fullmatch(r"(INFO|WARNING) modelgate[ .][ -~]+", line)]
    assert len(requests) == sum("modelgate.access" in line for line in lines)
    assert {"", "m"} >= set(re.findall(r'deployment="(.*?)"', gate.metrics.render()))


def test_metrics_are_bounded():
    """However many names, paths and keys callers invent."""
    gate = Gate(
        [Deployment("m", lambda table: table["x0"], schema=SCHEMA)], keys={KEY: "m"}, auth_failure_limit=None
    )
    client, sizes = Client(gate.wsgi), []
    for start in (0, 100):
        for number in range(start, start + 100):
            for fields in ({"x-api-key": KEY}, {"x-api-key": f"invented-key-number-{number}"}):
                client.post(f"/predict/name{number}", json={"x0": number}, headers=fields)
                client.request(f"METHOD{number}", f"/path{number}", headers=fields)
        sizes.append(len(gate.metrics.render().splitlines()))

    assert sizes[0] == sizes[1]


def fail_to_read(request):
    raise AssertionError("the body was read")


@pytest.mark.parametrize("dialect", [dialect for dialect in REQUESTS if dialect != "mlclever"])
def test_forbidden_and_unknown_deployments_are_the_same(dialect, tmp_path, monkeypatch):
    """Also in cost: neither is looked up, no body is read and no model is loaded."""
    (tmp_path / "other.skops").write_bytes(b"no model")
    gate = Gate(
        [
            Deployment("m", lambda table: table["x0"], schema=SCHEMA),
            Deployment("secret-one", tmp_path / "other.skops"),
        ],
        keys={KEY: "m"},
    )
    monkeypatch.setattr("modelgate.mount.wsgi.WSGIRequest._read", fail_to_read)
    answers = []
    for name in ("secret-one", "secret-two"):
        path = re.sub(r"/m\b", f"/{name}", REQUESTS[dialect][0])
        fields = {"x-api-key": KEY, "content-type": "application/json"}
        answer = Client(gate.wsgi).post(path, body=b"no JSON", headers=fields)
        headers = [(field, len(value)) for field, value in answer.headers]
        answers.append(
            (answer.status, headers, re.sub(rb"[0-9a-f]{32}", b"", answer.body.replace(name.encode(), b"")))
        )

    assert 403 == answers[0][0]
    assert answers[0] == answers[1]
    assert not gate.deployments.cache.failures


def test_forbidden_and_unknown_deployments_in_the_body_are_the_same():
    gate = Gate(
        [Deployment(name, lambda table: table["x0"], schema=SCHEMA) for name in ("m", "secret-one")],
        keys={KEY: "m"},
    )
    body = json.loads(request_of("mlclever", [1])[1])
    answers = [
        Client(gate.wsgi).post("/api/predict", json={**body, "deployment": name}, headers={"x-api-key": KEY})
        for name in ("secret-one", "secret-two")
    ]

    assert [(403, answers[0].body)] * 2 == [(answer.status, answer.body) for answer in answers]


RESOURCES = [
    *(
        "http://127.0.0.1:9/x.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "s3://bucket/x",
        "\\\\host\\share\\x.png",
    ),
    *("ftp://127.0.0.1/x", "data:text/html,<img src=http://127.0.0.1:9>", "store:other@1", "//127.0.0.1/x"),
]
accesses, is_watching = [], False


def watch(event, arguments):
    if is_watching and event in (
        "open",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
        "import",
    ):
        accesses.append((event, *map(str, arguments)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "image", "any"])
def test_nothing_that_a_request_names_is_accessed(kind):
    """No file, no address and no module; Python reports every access to an audit hook."""
    global is_watching
    column = ImageSpec(size=(2, 2)) if kind == "image" else Column("x0", kind)
    gate = Gate([Deployment("m", lambda table: [1.0] * len(table), schema=Schema.of(x0=column))], keys="open")
    client = Client(gate.wsgi)
    bodies = [
        (
            path,
            template.format(rows=json.dumps([{"x0": text}]), values=json.dumps([text]), count=1).replace(
                "FP64", "BYTES"
            ),
        )
        for path, template in REQUESTS.values()
        for text in ("warm up", *RESOURCES)
    ]
    fields = [
        {"content-type": "application/json"},
        {"content-type": "application/json", "host": "127.0.0.1:9"},
    ]
    send = [
        client.post(path, body=body.encode(), headers=fields[0])
        for path, body in bodies[:: len(RESOURCES) + 1]
    ]
    sys.addaudithook(watch)
    accesses.clear()
    is_watching = True
    try:
        send += [
            client.post(path, body=body.encode(), headers=each) for path, body in bodies for each in fields
        ]
    finally:
        is_watching = False

    assert {200, 400, 422} >= {answer.status for answer in send}
    assert [] == accesses
