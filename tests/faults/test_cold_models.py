"""Many requests arrive for a model that is not in memory."""

import asyncio
import itertools
import logging
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from modelgate import (
    Deployment,
    DeploymentLoading,
    DeploymentUnavailable,
    FolderStore,
    Gate,
    ModelCache,
    NotFound,
    adrive,
    drive,
)
from modelgate.testing import Client, FakeClock
from support.waiting import SOON, wait_until

SECRET = "the exception's own text"
BODY = b'{"input_data": {"x0": 1, "x1": 2}}'


class SlowStore:
    """Store that loads once all requests wait, and counts its loads."""

    def __init__(self, store):
        self.store, self.loads, self.go, self.failures = store, 0, threading.Event(), []

    def load(self, name):
        self.loads += 1
        assert self.go.wait(SOON)
        if self.failures:
            raise self.failures.pop()
        return self.store.load(name)


@pytest.fixture
def slow(tmp_path):
    model = LinearRegression().fit(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), [0.0, 1.0, 1.0])
    skops.io.dump(model, tmp_path / "sum.skops")
    return SlowStore(FolderStore(tmp_path))


@pytest.fixture
def gate(slow):
    return Gate([Deployment("sum", model="store:sum")], keys="open", store=slow)


async def send_request(gate, path="/api/predict", body=BODY):
    """Return status, headers and body of a response."""
    sent, asked = [], [{"type": "http.request", "body": body, "more_body": False}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"content-type", b"application/json")],
        "client": ("192.0.2.1", 1),
    }

    async def receive():
        return asked.pop()

    async def send(message):
        sent.append(message)

    await gate.asgi(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def send_all_over_asgi(gate, count, go):
    """Return the responses to *count* requests, all of which wait before *go* is set."""

    async def main():
        tasks = [asyncio.create_task(send_request(gate)) for _ in range(count)]
        while gate.deployments.cache.cache_info().misses < count:
            await asyncio.sleep(0)
        go.set()
        return await asyncio.wait_for(asyncio.gather(*tasks), SOON)

    return asyncio.run(main())


def send_all_over_wsgi(gate, count, go):
    """Do the same in threads."""
    answers = []

    def one():
        answer = Client(gate.wsgi).post("/api/predict", body=BODY)
        answers.append((answer.status, {k.encode(): v.encode() for k, v in answer.headers}, answer.body))

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    wait_until(lambda: gate.deployments.cache.cache_info().misses >= count)
    go.set()
    for thread in threads:
        thread.join(SOON)
    return answers


BOTH = pytest.mark.parametrize(
    ("ask_all", "count"), [(send_all_over_asgi, 1000), (send_all_over_wsgi, 64)], ids=["asgi", "wsgi"]
)


@BOTH
def test_stampede_on_a_cold_model_loads_it_once(gate, slow, ask_all, count):
    """No response says that it came from the cache."""
    answers = ask_all(gate, count, slow.go)

    assert (1, count) == (slow.loads, len(answers))
    assert {(200, b'{"predictions":[3.0]}', b"false")} == {
        (status, body, headers[b"x-model-cache-hit"]) for status, headers, body in answers
    }
    assert "true" == Client(gate.wsgi).post("/api/predict", body=BODY).header("x-model-cache-hit")


@pytest.mark.parametrize("ask_all", [send_all_over_asgi, send_all_over_wsgi], ids=["asgi", "wsgi"])
def test_failing_load_is_a_503_for_all_waiting_requests(slow, ask_all, caplog, monkeypatch, count=64):
    """With Retry-After, and without the text of the exception; the next request loads again."""
    monkeypatch.setattr("modelgate.models.cache._FAILURE_TTL", SOON)
    gate = Gate([Deployment("sum", model="store:sum")], keys="open", store=slow)
    slow.failures.append(OSError(SECRET))
    answers = ask_all(gate, count, slow.go)

    assert (1, count) == (slow.loads, len(answers))
    for status, headers, body in answers:
        assert (503, b"application/json") == (status, headers[b"content-type"])
        assert int(headers[b"retry-after"]) >= 1
        assert b"temporarily unavailable" in body
        assert SECRET.encode() not in body + b"".join(headers.values())
    assert SECRET in caplog.text
    early = Client(gate.asgi).post("/api/predict", body=BODY)
    gate.deployments.cache.cache_clear()
    again = Client(gate.asgi).post("/api/predict", body=BODY)
    assert (503, 200, 2) == (early.status, again.status, slow.loads)


@pytest.mark.parametrize("ask_all", [send_all_over_asgi, send_all_over_wsgi], ids=["asgi", "wsgi"])
def test_failing_load_logs_tracebacks_of_constant_length(slow, ask_all, caplog):
    """Raising one exception instance for each waiter would make each traceback longer."""
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
def test_any_exception_of_a_load_is_a_503(gate, slow, interface, error, caplog):
    """It neither ends the server nor hangs a caller, and is not shown."""
    slow.go.set()
    slow.failures.append(error(SECRET))

    async def over_asgi():
        return await asyncio.wait_for(send_request(gate), SOON)

    if interface == "asgi":
        status, _, body = asyncio.run(over_asgi())
    else:
        answer = Client(gate.wsgi).post("/api/predict", body=BODY)
        status, body = answer.status, answer.body

    assert 503 == status
    assert SECRET.encode() not in body


def test_invalid_row_is_reported_while_the_model_is_missing(gate, slow):
    """With the schema of the last load."""
    slow.go.set()
    client = Client(gate.asgi)
    client.post("/api/predict", body=BODY)
    gate.deployments.cache.cache_clear()
    slow.failures.append(OSError(SECRET))
    answer = client.post("/api/predict", json={"input_data": {"x0": 1}})

    assert (400, ["x1"]) == (answer.status, answer.json()["missing_columns"])


def test_broken_file_is_a_503(tmp_path, slow):
    """The next valid file is served."""
    good = (tmp_path / "sum.skops").read_bytes()
    gate = Gate([Deployment("sum", model=tmp_path / "sum.skops")], keys="open")
    client = Client(gate.wsgi)
    statuses = []
    for content in (good[: len(good) // 2], b"", good):
        (tmp_path / "sum.skops").write_bytes(content)
        gate.deployments.cache.cache_clear()
        statuses.append(client.post("/api/predict", body=BODY).status)

    assert [503, 503, 200] == statuses


def test_deleted_file_is_a_503(tmp_path, slow):
    gate = Gate([Deployment("sum", model=tmp_path / "sum.skops")], keys="open")
    (tmp_path / "sum.skops").unlink()
    answer = Client(gate.asgi).post("/api/predict", body=BODY)

    assert 503 == answer.status
    assert str(tmp_path).encode() not in answer.body


def test_failing_load_is_tried_once_a_second():
    """With a hundred callers that send ten requests a second, for ten seconds."""
    clock, tries = FakeClock(), []

    def load(name):
        tries.append(clock.now)
        raise OSError(SECRET)

    cache = ModelCache(load, clock=clock)

    async def main():
        for _ in range(100):
            flows = [adrive(cache.get("sum")) for _ in range(100)]
            results = await asyncio.gather(*flows, return_exceptions=True)
            assert {DeploymentUnavailable} == set(map(type, results))
            clock.advance(0.1)

    asyncio.run(main())

    assert 9 <= len(tries) <= 10
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(tries))


def test_hanging_store_does_not_affect_other_models(slow, monkeypatch):
    """Its own callers get 503 after the load timeout."""
    warm = LinearRegression().fit(np.array([[0.0, 0.0], [1.0, 1.0]]), [0.0, 2.0])
    gate = Gate([Deployment("sum", "store:sum"), Deployment("warm", warm)], keys="open", store=slow)
    row = b'{"x0": 1, "x1": 2}'

    async def main():
        monkeypatch.setattr(gate.deployments.cache, "_load_timeout", SOON)
        waiting = [asyncio.create_task(send_request(gate, "/simple/sum", row)) for _ in range(900)]
        while gate.deployments.cache.cache_info().misses < 900:
            await asyncio.sleep(0)
        warm = [(await send_request(gate, "/simple/warm", row))[0] for _ in range(20)]
        assert not any(task.done() for task in waiting)
        monkeypatch.setattr(gate.deployments.cache, "_load_timeout", 0.1)
        late = await asyncio.gather(*(send_request(gate, "/simple/sum", row) for _ in range(20)))
        slow.go.set()
        return warm, late, [await task for task in waiting]

    warm, late, waited = asyncio.run(asyncio.wait_for(main(), SOON))

    assert {200} == set(warm)
    assert {(503, b"1")} == {(status, headers[b"retry-after"]) for status, headers, _ in late}
    assert {200} == {status for status, *_ in waited}
    assert 1 == slow.loads


def test_file_replaced_while_it_serves(tmp_path, slow):
    """A broken file keeps the current model; a valid one replaces it."""
    path = tmp_path / "sum.skops"
    good = path.read_bytes()
    gate = Gate([Deployment("sum", model=path)], keys="open")
    client = Client(gate.wsgi)
    answers = [client.post("/api/predict", body=BODY)]
    for content in (b"", good[:100], None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(DeploymentUnavailable):
            gate.deployments.reload("sum")
        answers.append(client.post("/api/predict", body=BODY))
    twice = LinearRegression().fit(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), [0.0, 2.0, 2.0])
    skops.io.dump(twice, path)
    gate.deployments.cache._failures.clear()
    gate.deployments.reload("sum")
    new = client.post("/api/predict", body=BODY)

    assert [(200, b'{"predictions":[3.0]}')] * 4 == [(answer.status, answer.body) for answer in answers]
    assert (200, b'{"predictions":[6.0]}') == (new.status, new.body)


def resident_bytes():
    """Return the memory of this process in bytes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc here")
def test_memory_does_not_grow_while_models_rotate():
    """Ten thousand loads of a hundred models, a third of which fit into the cache."""
    megabyte = 2**20
    cache = ModelCache(
        lambda _: np.ones(megabyte // 8), 100, maxbytes=32 * megabyte, sizeof=lambda it: it.nbytes
    )
    before, peak = resident_bytes(), 0
    for turn in range(10_000):
        drive(cache.get(f"m{turn % 100}"))
        if turn % 50 == 0:
            peak = max(peak, resident_bytes())

    assert (0, 10_000, 100, 32, 32 * megabyte, 32 * megabyte) == cache.cache_info()
    assert peak - before < 1.5 * 32 * megabyte + 64 * megabyte


def make_impatient_gate(slow, **options):
    """Return a gate whose requests hardly wait for a load."""
    return Gate([Deployment("sum", "store:sum")], keys="open", store=slow, load_timeout=0.01, **options)


WAITING = {
    "warm": lambda gate: gate.deployments.warm(),
    "warm for long": lambda gate: gate.deployments.warm(timeout=600),
    "score": lambda gate: gate.score("sum", {"x0": 1, "x1": 2}),
    "score for long": lambda gate: gate.score("sum", {"x0": 1, "x1": 2}, timeout=600),
    "predictor": lambda gate: gate.deployments.predictor("sum"),
    "describe": lambda gate: gate.deployments.describe("sum"),
    "openapi": lambda gate: gate.openapi("sum"),
    "prewarm": lambda gate: drive(gate.deployments.cache.prewarm("sum")),
}


@pytest.mark.parametrize("call", WAITING.values(), ids=WAITING)
def test_score_and_warm_wait_for_a_load(slow, call):
    """Even while requests get 503."""
    gate, outcomes = make_impatient_gate(slow), []
    refused = Client(gate.wsgi).post("/api/predict", body=BODY)

    def run():
        try:
            outcomes.append(call(gate))
        except BaseException as error:
            outcomes.append(error)

    thread = threading.Thread(target=run)
    misses = gate.deployments.cache.cache_info().misses
    thread.start()
    while gate.deployments.cache.cache_info().misses == misses and not outcomes:
        thread.join(0.001)
    slow.go.set()
    thread.join(SOON)

    assert 503 == refused.status
    assert not isinstance(outcomes[0], BaseException)
    assert 1 == slow.loads


@pytest.mark.parametrize(
    "call",
    [
        lambda gate: gate.deployments.warm(timeout=0.01),
        lambda gate: gate.score("sum", {"x0": 1, "x1": 2}, timeout=0.01),
    ],
    ids=["warm", "score"],
)
def test_load_timeout_is_no_failure_of_the_model(slow, call):
    """The error says that the model is being loaded, and has a cause."""
    gate = make_impatient_gate(slow)
    with pytest.raises(DeploymentLoading, match="is being loaded") as info:
        call(gate)
    states = gate.deployments.states()
    slow.go.set()
    gate.deployments.warm()

    assert "the load of model sum has taken" in str(info.value.__cause__)
    assert {"sum": "active"} == states
    assert 0 == gate.deployments.cache.failures


def test_deadline_ends_the_wait_for_a_load(slow):
    """If it is shorter than load_timeout."""
    gate = Gate([Deployment("sum", "store:sum")], keys="open", store=slow, deadline=0.05, load_timeout=600)
    answers = [Client(each).post("/api/predict", body=BODY).status for each in (gate.wsgi, gate.asgi)]
    slow.go.set()

    assert [504, 504] == answers


def test_failed_load_has_the_exception_of_the_store_as_cause(slow):
    slow.go.set()
    for error, kind in ((OSError(SECRET), DeploymentUnavailable), (NotFound("none"), NotFound)):
        slow.failures.append(error)
        with pytest.raises(kind) as info:
            make_impatient_gate(slow).deployments.warm()

        assert error is info.value.__cause__


def test_loads_are_logged(slow, caplog):
    """Start and end, with the duration; also failed loads and swaps."""
    caplog.set_level(logging.INFO, "modelgate")
    slow.go.set()
    gate = make_impatient_gate(slow)
    slow.failures.append(OSError(SECRET))
    with pytest.raises(DeploymentUnavailable):
        gate.deployments.warm()
    gate.deployments.cache.cache_clear()
    gate.deployments.warm()
    gate.deployments.swap("sum", "store:sum")
    logged = [
        re.sub(r"\d+\.\d", "0.0", record.getMessage())
        for record in caplog.records
        if record.levelno == logging.INFO
    ]
    begun, ended = "deployment sum: loading model", "deployment sum: model loaded in 0.0 s"

    assert [begun, "deployment sum: model not loaded after 0.0 s", begun, ended, begun, ended] == logged
