"""A model that is not in memory, and everybody asks."""

import asyncio
import threading

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from modelgate import Deployment, FolderStore, Gate
from modelgate.testing import Client

SECRET = "the exception's own text"
BODY = b'{"input_data": {"x0": 1, "x1": 2}}'


class Slow:
    """A store that loads when everybody waits, and counts its loads."""

    def __init__(self, store):
        self.store, self.loads, self.go, self.failures = store, 0, threading.Event(), []

    def load(self, name):
        self.loads += 1
        assert self.go.wait(30)
        if self.failures:
            raise self.failures.pop()
        return self.store.load(name)


@pytest.fixture
def slow(tmp_path):
    model = LinearRegression().fit(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), [0.0, 1.0, 1.0])
    skops.io.dump(model, tmp_path / "sum.skops")
    return Slow(FolderStore(tmp_path))


@pytest.fixture
def gate(slow):
    return Gate([Deployment("sum", model="store:sum")], keys="open", store=slow)


async def ask(gate):
    """Status, header fields and body of one answer."""
    sent, asked = [], [{"type": "http.request", "body": BODY, "more_body": False}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/predict",
        "headers": [(b"content-type", b"application/json")],
        "client": ("192.0.2.1", 1),
    }

    async def receive():
        return asked.pop()

    async def send(message):
        sent.append(message)

    await gate.asgi(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def ask_all_over_asgi(gate, count, go):
    """The answers to *count* requests that all wait before *go* is set."""

    async def main():
        tasks = [asyncio.create_task(ask(gate)) for _ in range(count)]
        while gate.cache.cache_info().misses < count:
            await asyncio.sleep(0)
        go.set()
        return await asyncio.wait_for(asyncio.gather(*tasks), 60)

    return asyncio.run(main())


def ask_all_over_wsgi(gate, count, go):
    """The same over threads."""
    answers = []

    def one():
        answer = Client(gate.wsgi).post("/api/predict", body=BODY)
        answers.append((answer.status, {k.encode(): v.encode() for k, v in answer.headers}, answer.body))

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    while gate.cache.cache_info().misses < count:
        threads[0].join(0.001)
    go.set()
    for thread in threads:
        thread.join(60)
    return answers


BOTH = pytest.mark.parametrize(
    ("ask_all", "count"), [(ask_all_over_asgi, 1000), (ask_all_over_wsgi, 64)], ids=["asgi", "wsgi"]
)


@BOTH
def test_a_stampede_on_a_cold_model_loads_it_once(gate, slow, ask_all, count):
    """One load, an answer for everybody, and none of them says it came from the cache."""
    answers = ask_all(gate, count, slow.go)

    assert (1, count) == (slow.loads, len(answers))
    assert {(200, b'{"predictions":[3.0]}', b"false")} == {
        (status, body, headers[b"x-model-cache-hit"]) for status, headers, body in answers
    }
    assert "true" == Client(gate.wsgi).post("/api/predict", body=BODY).header("x-model-cache-hit")


@pytest.mark.parametrize("ask_all", [ask_all_over_asgi, ask_all_over_wsgi], ids=["asgi", "wsgi"])
def test_a_failing_load_is_a_503_for_all_and_is_tried_again(gate, slow, ask_all, caplog, count=64):
    """JSON with Retry-After and none of the exception's text; the next request has a model."""
    slow.failures.append(OSError(SECRET))
    answers = ask_all(gate, count, slow.go)

    assert (1, count) == (slow.loads, len(answers))
    for status, headers, body in answers:
        assert (503, b"application/json") == (status, headers[b"content-type"])
        assert int(headers[b"retry-after"]) >= 1
        assert b"not available just now" in body
        assert SECRET.encode() not in body + b"".join(headers.values())
    assert SECRET in caplog.text
    again = Client(gate.asgi).post("/api/predict", body=BODY)
    assert (200, 2) == (again.status, slow.loads)


@pytest.mark.parametrize("ask_all", [ask_all_over_asgi, ask_all_over_wsgi], ids=["asgi", "wsgi"])
def test_what_a_failing_load_costs_does_not_grow_with_the_square_of_those_who_wait(slow, ask_all, caplog):
    """They share one exception; its traceback is not longer in the log for each of them than for the last."""
    lengths = []
    for count in (1, 50):
        gate = Gate([Deployment("sum", model="store:sum")], keys="open", store=slow)
        slow.failures.append(OSError(SECRET))
        slow.go.clear()
        caplog.clear()
        ask_all(gate, count, slow.go)
        lengths.append(len(caplog.text))

    assert lengths[1] < 3 * 50 * lengths[0]


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    "error",
    [MemoryError, StopIteration, SystemExit, TimeoutError],
)
def test_whatever_a_load_raises_is_a_503(gate, slow, interface, error, caplog):
    """No error of a load ends the server, hangs a caller, or is shown to one."""
    slow.go.set()
    slow.failures.append(error(SECRET))

    async def over_asgi():
        return await asyncio.wait_for(ask(gate), 5)

    if interface == "asgi":
        status, _, body = asyncio.run(over_asgi())
    else:
        answer = Client(gate.wsgi).post("/api/predict", body=BODY)
        status, body = answer.status, answer.body

    assert 503 == status
    assert SECRET.encode() not in body


def test_a_faulty_row_is_told_while_the_model_is_gone(gate, slow):
    """The schema once known, a caller's mistake needs no model."""
    slow.go.set()
    client = Client(gate.asgi)
    client.post("/api/predict", body=BODY)
    gate.cache.cache_clear()
    slow.failures.append(OSError(SECRET))
    answer = client.post("/api/predict", json={"input_data": {"x0": 1}})

    assert (400, ["x1"], 1) == (answer.status, answer.json()["missing_columns"], slow.loads)


def test_a_file_replaced_by_rubbish_is_a_503(tmp_path, slow):
    """A model file that cannot be read is the server's fault, and the next good one is served."""
    good = (tmp_path / "sum.skops").read_bytes()
    gate = Gate([Deployment("sum", model=tmp_path / "sum.skops")], keys="open")
    client = Client(gate.wsgi)
    statuses = []
    for content in (good[: len(good) // 2], b"", good):
        (tmp_path / "sum.skops").write_bytes(content)
        statuses.append(client.post("/api/predict", body=BODY).status)

    assert [503, 503, 200] == statuses


def test_a_file_that_is_gone_is_a_503(tmp_path, slow):
    """It was there when the gate was made."""
    gate = Gate([Deployment("sum", model=tmp_path / "sum.skops")], keys="open")
    (tmp_path / "sum.skops").unlink()
    answer = Client(gate.asgi).post("/api/predict", body=BODY)

    assert 503 == answer.status
    assert str(tmp_path).encode() not in answer.body
