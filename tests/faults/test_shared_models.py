"""Models in Redis while it is killed, stopped, started again, and slower than anybody would wait."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import redis
from sklearn.linear_model import LogisticRegression

from modelgate import Deployment, FolderStore, Gate, ModelPackage, adrive
from modelgate.models import ModelCache, SharedStore
from modelgate.testing import Client, Clock
from redis_server import RedisServer

KEY = "a-secret-that-is-kept-elsewhere"
ROWS = np.random.default_rng(0).normal(size=(60, 2))
MODEL = LogisticRegression().fit(ROWS, ROWS[:, 0] > 0)
TIMEOUT = 0.3


@pytest.fixture
def server(tmp_path):
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path):
    for version in "12":
        ModelPackage.from_estimator(MODEL, ROWS, name="churn", version=version).save(
            tmp_path / f"churn@{version}.mgpkg"
        )
    return FolderStore(tmp_path)


def shared(primary, uri):
    return SharedStore(primary, uri, key=KEY, timeout=TIMEOUT)


def settled(store):
    """Wait until *store* has written what it was to write."""
    store._workers._share.submit(lambda: None).result(30)


def kept(server):
    """Whether the first version is in Redis."""
    with redis.Redis.from_url(server.uri) as admin:
        return bool(admin.exists("modelgate:models:model:churn@1"))


def waited(store, name="churn@1"):
    """Whether a load waited as long as it may, and not much longer."""
    start = time.perf_counter()
    store.load(name)
    seconds = time.perf_counter() - start
    assert seconds < TIMEOUT + 5
    return seconds > TIMEOUT * 0.9


def test_a_silent_redis_costs_one_time_out_a_period(server, folder, monkeypatch, caplog):
    """All other loads take the primary store's; an outage is told when it begins and when it ends."""
    store, clock = shared(folder, server.uri), Clock()
    monkeypatch.setattr(store._breaker, "clock", clock)
    store.load("churn@1")
    settled(store)
    server.stop()
    waits = []
    for _ in range(3):
        waits += [waited(store) for _ in range(5)]
        settled(store)
        clock.advance(5)
    server.go_on()
    back = waited(store)

    assert [True, *[False] * 4] * 3 == waits
    assert not back
    told = [record.getMessage() for record in caplog.records]
    assert 2 == len(told)
    assert "for models, does not answer" in told[0] and "answers again" in told[1]


def test_a_redis_that_is_killed_and_comes_back_empty(server, folder, monkeypatch):
    """Nobody is failed by it, and it is filled again."""
    store, clock = shared(folder, server.uri), Clock()
    monkeypatch.setattr(store._breaker, "clock", clock)
    store.load("churn@1")
    settled(store)
    before = kept(server)
    server.kill()
    loaded = [store.load(name).manifest.version for name in ("churn@1", "churn@2", "churn")]
    settled(store)
    server.start()
    clock.advance(5)
    store.load("churn@1")
    settled(store)

    assert (True, ["1", "2", "2"], True) == (before, loaded, kept(server))


def test_a_redis_that_starts_again_unnoticed(server, folder):
    """Between two loads: what it lost is a miss, and no outage."""
    store = shared(folder, server.uri)
    store.load("churn@1")
    settled(store)
    server.kill()
    server.start()
    store.load("churn@1")
    settled(store)

    assert (0, True) == (store._breaker.outages, kept(server))


def test_redis_is_stopped_while_it_is_written(server, folder, monkeypatch):
    """The load is long done; the next one is not held up."""
    monkeypatch.setattr("modelgate.models.shared._TO_WRITE", 0.3)
    store, asked, go = shared(folder, server.uri), threading.Event(), threading.Event()
    write = store._writer.set

    def stopped_before(*args, **options):
        asked.set()
        assert go.wait(30)
        return write(*args, **options)

    monkeypatch.setattr(store._writer, "set", stopped_before)
    store.load("churn@1")
    assert asked.wait(30)
    server.stop()
    go.set()
    settled(store)

    assert (1, True) == (store._breaker.outages, store._breaker.open)
    assert not waited(store)
    server.go_on()


def test_another_process_finds_it(server, folder, monkeypatch):
    """What one has loaded, and had the time to put there."""
    script = f"""
from modelgate import FolderStore
from modelgate.models import SharedStore
store = SharedStore(FolderStore({str(folder._folder)!r}), {server.uri!r}, key={KEY!r})
store.load("churn@1")
store._workers._share.submit(lambda: None).result(30)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    monkeypatch.setattr(folder, "fetch", lambda version: pytest.fail("the primary store is asked"))

    assert "1" == shared(folder, server.uri).load("churn@1").manifest.version


@contextmanager
def dripping():
    """A server that takes a connection, and answers with a byte now and then, for ever."""
    over = threading.Event()

    def serve(listening):
        with suppress(OSError):
            while not over.is_set():
                taken, _ = listening.accept()
                threading.Thread(target=drip, args=(taken,), daemon=True).start()

    def drip(taken):
        with taken:
            try:
                taken.recv(65536)
                taken.sendall(b"$100000000\r\n")
                while not over.wait(0.02):
                    taken.sendall(b"x")
            except OSError:
                ended.set()

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{listening.getsockname()[1]}", ended
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)


def test_a_redis_that_drips(folder):
    """Each piece comes in time, and the whole does not: it is hung up on."""
    with dripping() as (uri, ended):
        store = shared(folder, uri)

        assert waited(store)
        assert ended.wait(30)
        assert not waited(store)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("break_", ["kill", "stop"])
def test_a_gate_without_its_redis(server, folder, interface, break_, caplog):
    """Answers, and tells nobody but the log."""
    gate = Gate([Deployment("churn", "store:churn@1")], keys="open", store=shared(folder, server.uri))
    getattr(server, break_)()
    answer = Client(getattr(gate, interface)).post("/simple/churn", json={"x0": 1, "x1": 2})

    assert (200, True) == (answer.status, answer.json()["prediction"])
    assert 1 == sum("does not answer" in record.getMessage() for record in caplog.records)


def test_the_event_loop_goes_on_meanwhile(server, folder):
    """It turns while a load waits for a silent Redis."""
    cache = ModelCache(shared(folder, server.uri).load)
    server.stop()

    async def main():
        loading, turns = asyncio.create_task(adrive(cache.get("churn@1"))), 0
        while not loading.done():
            await asyncio.sleep(0.005)
            turns += 1
        return turns, (await loading)[0].manifest.version

    turns, version = asyncio.run(main())

    assert ("1", True) == (version, turns > 5)


def test_many_at_once(server, folder):
    """Threads that load, while Redis goes and comes, all have their model."""
    stores, loaded, over = [shared(folder, server.uri) for _ in range(3)], [], threading.Event()

    def load(store):
        while not over.is_set():
            loaded.append(store.load("churn@2").manifest.version)

    threads = [threading.Thread(target=load, args=(store,)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for act in ("stop", "go_on", "kill", "start"):
        count = len(loaded)
        getattr(server, act)()
        until = time.monotonic() + 30
        while len(loaded) < count + 20 and time.monotonic() < until:
            threads[0].join(0.002)
    over.set()
    for thread in threads:
        thread.join(30)

    assert 80 <= len(loaded)
    assert {"2"} == set(loaded)
