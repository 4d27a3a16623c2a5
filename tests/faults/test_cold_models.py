"""A model that is not in memory, and everybody asks."""

import asyncio
import itertools
import logging
import os
import re
import threading
import time
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
from modelgate.testing import Client, Clock

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


async def ask(gate, path="/api/predict", body=BODY):
    """Status, header fields and body of one answer."""
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
    early = Client(gate.asgi).post("/api/predict", body=BODY)
    gate.cache.cache_clear()
    again = Client(gate.asgi).post("/api/predict", body=BODY)
    assert (503, 200, 2) == (early.status, again.status, slow.loads)


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
    """By the schema that was known last, where the model cannot be had."""
    slow.go.set()
    client = Client(gate.asgi)
    client.post("/api/predict", body=BODY)
    gate.cache.cache_clear()
    slow.failures.append(OSError(SECRET))
    answer = client.post("/api/predict", json={"input_data": {"x0": 1}})

    assert (400, ["x1"]) == (answer.status, answer.json()["missing_columns"])


def test_a_file_replaced_by_rubbish_is_a_503(tmp_path, slow):
    """A model file that cannot be read is the server's fault, and the next good one is served."""
    good = (tmp_path / "sum.skops").read_bytes()
    gate = Gate([Deployment("sum", model=tmp_path / "sum.skops")], keys="open")
    client = Client(gate.wsgi)
    statuses = []
    for content in (good[: len(good) // 2], b"", good):
        (tmp_path / "sum.skops").write_bytes(content)
        gate.cache.cache_clear()
        statuses.append(client.post("/api/predict", body=BODY).status)

    assert [503, 503, 200] == statuses


def test_a_file_that_is_gone_is_a_503(tmp_path, slow):
    """It was there when the gate was made."""
    gate = Gate([Deployment("sum", model=tmp_path / "sum.skops")], keys="open")
    (tmp_path / "sum.skops").unlink()
    answer = Client(gate.asgi).post("/api/predict", body=BODY)

    assert 503 == answer.status
    assert str(tmp_path).encode() not in answer.body


def test_a_failing_load_is_tried_once_a_second_however_many_ask():
    """A hundred ask ten times a second, for ten seconds."""
    clock, tries = Clock(), []

    def load(name):
        tries.append(clock.now)
        raise OSError(SECRET)

    cache = ModelCache(load, clock=clock)

    async def main():
        for _ in range(100):
            asking = [adrive(cache.get("sum")) for _ in range(100)]
            told = await asyncio.gather(*asking, return_exceptions=True)
            assert {DeploymentUnavailable} == set(map(type, told))
            clock.advance(0.1)

    asyncio.run(main())

    assert 9 <= len(tries) <= 10
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(tries))


def test_a_store_that_hangs_troubles_no_other_model(slow, monkeypatch):
    """Its callers are told 503 once they waited long enough, the next ones at once; a warm model is quick."""
    warm = LinearRegression().fit(np.array([[0.0, 0.0], [1.0, 1.0]]), [0.0, 2.0])
    gate = Gate([Deployment("sum", "store:sum"), Deployment("warm", warm)], keys="open", store=slow)
    monkeypatch.setattr(gate.cache, "_load_timeout", 0.5)
    times, row = [], b'{"x0": 1, "x1": 2}'

    async def main():
        waiting = [asyncio.create_task(ask(gate, "/simple/sum", row)) for _ in range(900)]
        while gate.cache.cache_info().misses < 900:
            await asyncio.sleep(0)
        while not all(task.done() for task in waiting):
            start = time.perf_counter()
            assert (await ask(gate, "/simple/warm", row))[0] == 200
            times.append(time.perf_counter() - start)
        return [await task for task in waiting], await ask(gate, "/simple/sum", row)

    waited, late = asyncio.run(main())
    slow.go.set()

    assert {(503, b"1")} == {(status, headers[b"retry-after"]) for status, headers, _ in [*waited, late]}
    assert 1 == slow.loads
    assert np.percentile(times, 99) < 0.05


def test_a_file_replaced_while_it_serves(tmp_path, slow):
    """The last good copy goes on where the new one cannot be read; a good one takes its place."""
    path = tmp_path / "sum.skops"
    good = path.read_bytes()
    gate = Gate([Deployment("sum", model=path)], keys="open")
    client = Client(gate.wsgi)
    answers = [client.post("/api/predict", body=BODY)]
    for content in (b"", good[:100], None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(DeploymentUnavailable):
            gate.reload("sum")
        answers.append(client.post("/api/predict", body=BODY))
    twice = LinearRegression().fit(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), [0.0, 2.0, 2.0])
    skops.io.dump(twice, path)
    gate.cache._failures.clear()
    gate.reload("sum")
    new = client.post("/api/predict", body=BODY)

    assert [(200, b'{"predictions":[3.0]}')] * 4 == [(answer.status, answer.body) for answer in answers]
    assert (200, b'{"predictions":[6.0]}') == (new.status, new.body)


def resident():
    """The memory of this process, in bytes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc here")
def test_rotating_models_does_not_grow_memory():
    """Ten thousand loads of a hundred models, of which a third fit."""
    megabyte = 2**20
    cache = ModelCache(
        lambda _: np.ones(megabyte // 8), 100, maxbytes=32 * megabyte, sizeof=lambda it: it.nbytes
    )
    before, peak = resident(), 0
    for turn in range(10_000):
        drive(cache.get(f"m{turn % 100}"))
        if turn % 50 == 0:
            peak = max(peak, resident())

    assert (0, 10_000, 100, 32, 32 * megabyte, 32 * megabyte) == cache.cache_info()
    assert peak - before < 1.5 * 32 * megabyte + 64 * megabyte


def patient(slow, **options):
    """A gate whose requests hardly wait for a load."""
    return Gate([Deployment("sum", "store:sum")], keys="open", store=slow, load_timeout=0.01, **options)


WAITING = {
    "warm": lambda gate: gate.warm(),
    "warm for long": lambda gate: gate.warm(timeout=600),
    "score": lambda gate: gate.score("sum", {"x0": 1, "x1": 2}),
    "score for long": lambda gate: gate.score("sum", {"x0": 1, "x1": 2}, timeout=600),
    "predictor": lambda gate: gate.predictor("sum"),
    "describe": lambda gate: gate.describe("sum"),
    "openapi": lambda gate: gate.openapi("sum"),
    "prewarm": lambda gate: drive(gate.cache.prewarm("sum")),
}


@pytest.mark.parametrize("call", WAITING.values(), ids=WAITING)
def test_what_is_no_request_waits_for_a_load(slow, call):
    """However long it takes, and also where requests are told 503 by now."""
    gate, outcomes = patient(slow), []
    refused = Client(gate.wsgi).post("/api/predict", body=BODY)

    def run():
        try:
            outcomes.append(call(gate))
        except BaseException as error:
            outcomes.append(error)

    thread = threading.Thread(target=run)
    misses = gate.cache.cache_info().misses
    thread.start()
    while gate.cache.cache_info().misses == misses and not outcomes:
        thread.join(0.001)
    slow.go.set()
    thread.join(60)

    assert 503 == refused.status
    assert not isinstance(outcomes[0], BaseException)
    assert 1 == slow.loads


@pytest.mark.parametrize(
    "call",
    [lambda gate: gate.warm(timeout=0.01), lambda gate: gate.score("sum", {"x0": 1, "x1": 2}, timeout=0.01)],
    ids=["warm", "score"],
)
def test_a_load_that_takes_longer_than_its_caller_waits(slow, call):
    """Is no failure of the model: its error says that it is being loaded, and has a cause."""
    gate = patient(slow)
    with pytest.raises(DeploymentLoading, match="is being loaded") as info:
        call(gate)
    states = gate.states()
    slow.go.set()
    gate.warm()

    assert "the load of model sum has taken" in str(info.value.__cause__)
    assert {"sum": "active"} == states
    assert 0 == gate.cache.failures


def test_a_deadline_ends_the_wait_for_a_load(slow):
    """Where it is over before the load_timeout is."""
    gate = Gate([Deployment("sum", "store:sum")], keys="open", store=slow, deadline=0.05, load_timeout=600)
    answers = [Client(each).post("/api/predict", body=BODY).status for each in (gate.wsgi, gate.asgi)]
    slow.go.set()

    assert [504, 504] == answers


def test_every_failure_to_load_has_its_cause(slow):
    """What the store raised, also where it says that there is no such model."""
    slow.go.set()
    for error, kind in ((OSError(SECRET), DeploymentUnavailable), (NotFound("none"), NotFound)):
        slow.failures.append(error)
        with pytest.raises(kind) as info:
            patient(slow).warm()

        assert error is info.value.__cause__


def test_a_load_is_in_the_log(slow, caplog):
    """Its beginning and its end, with how long it took; so is one that fails, and a swap."""
    caplog.set_level(logging.INFO, "modelgate")
    slow.go.set()
    gate = patient(slow)
    slow.failures.append(OSError(SECRET))
    with pytest.raises(DeploymentUnavailable):
        gate.warm()
    gate.cache.cache_clear()
    gate.warm()
    gate.swap("sum", "store:sum")
    told = [
        re.sub(r"\d+\.\d", "0.0", record.getMessage())
        for record in caplog.records
        if record.levelno == logging.INFO
    ]
    begun, ended = "deployment sum: loading model", "deployment sum: model loaded in 0.0 s"

    assert [begun, "deployment sum: model not loaded after 0.0 s", begun, ended, begun, ended] == told
