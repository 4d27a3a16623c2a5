"""A Redis model cache whose server is killed, stopped, restarted or slow."""

import asyncio
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import redis
from sklearn.linear_model import LogisticRegression

from modelgate import Deployment, FolderStore, Gate, ModelPackage, adrive
from modelgate.models import ModelCache, RedisCachedStore
from modelgate.testing import Client, FakeClock
from support.redis_server import RedisServer
from support.waiting import SOON, wait_until

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


def make_store(primary, uri, timeout=SOON):
    return RedisCachedStore(primary, uri, key=KEY, timeout=timeout)


def wait_for_writes(store):
    """Wait until *store* has written its pending files."""
    store._workers._share.submit(lambda: None).result(SOON)


def is_cached(server):
    """Return whether the first version is in Redis."""
    with redis.Redis.from_url(server.uri) as admin:
        return bool(admin.exists("modelgate:models:model:churn@1"))


@pytest.fixture
def count_reads(monkeypatch):
    """A function that loads a model, and returns the number of reads from Redis."""

    def load(store, name="churn@1"):
        reads, read = [], store._read
        with monkeypatch.context() as patched:
            patched.setattr(store, "_read", lambda call: (reads.append(name), read(call))[1])
            store.load(name)
        return len(reads)

    return load


def test_silent_redis_costs_one_timeout_per_period(server, folder, monkeypatch, caplog, count_reads):
    """The start and the end of the outage are logged."""
    store, clock = make_store(folder, server.uri), FakeClock()
    monkeypatch.setattr(store._breaker, "clock", clock)
    store.load("churn@1")
    wait_for_writes(store)
    server.suspend()
    store._timeout = TIMEOUT
    reads = []
    for _ in range(3):
        reads += [count_reads(store) for _ in range(5)]
        wait_for_writes(store)
        clock.advance(5)
    server.resume()
    store._timeout = SOON
    store.load("churn@1")

    assert [1, *[0] * 4] * 3 == reads
    messages = [record.getMessage() for record in caplog.records]
    assert 2 == len(messages)
    assert "does not respond" in messages[0] and "responds again" in messages[1]


def test_redis_is_filled_again_after_data_loss(server, folder, monkeypatch):
    store, clock = make_store(folder, server.uri), FakeClock()
    monkeypatch.setattr(store._breaker, "clock", clock)
    store.load("churn@1")
    wait_for_writes(store)
    before = is_cached(server)
    server.kill()
    loaded = [store.load(name).manifest.version for name in ("churn@1", "churn@2", "churn")]
    wait_for_writes(store)
    server.start()
    clock.advance(5)
    store.load("churn@1")
    wait_for_writes(store)

    assert (True, ["1", "2", "2"], True) == (before, loaded, is_cached(server))


def test_redis_restart_between_loads_is_a_miss(server, folder):
    store = make_store(folder, server.uri)
    store.load("churn@1")
    wait_for_writes(store)
    server.kill()
    server.start()
    store.load("churn@1")
    wait_for_writes(store)

    assert (0, True) == (store._breaker.outage_count, is_cached(server))


def test_stopped_write_delays_no_load(server, folder, monkeypatch, count_reads):
    monkeypatch.setattr("modelgate.models.redis_store._WRITE_TIMEOUT", TIMEOUT)
    store, started, go = make_store(folder, server.uri), threading.Event(), threading.Event()
    monkeypatch.setattr(store._breaker, "clock", FakeClock())
    write = store._writer.set

    def stopped_before(*args, **options):
        started.set()
        assert go.wait(SOON)
        return write(*args, **options)

    monkeypatch.setattr(store._writer, "set", stopped_before)
    store.load("churn@1")
    assert started.wait(SOON)
    server.suspend()
    go.set()
    wait_for_writes(store)

    assert (1, True) == (store._breaker.outage_count, store._breaker.open)
    assert 0 == count_reads(store)
    server.resume()


def test_another_process_reads_from_redis(server, folder, monkeypatch):
    script = f"""
from modelgate import FolderStore
from modelgate.models import RedisCachedStore
store = RedisCachedStore(FolderStore({str(folder._folder)!r}), {server.uri!r}, key={KEY!r}, timeout=300)
store.load("churn@1")
store._workers._share.submit(lambda: None).result(300)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=SOON)
    monkeypatch.setattr(folder, "read_file", lambda version: pytest.fail("the primary store is called"))

    assert "1" == make_store(folder, server.uri).load("churn@1").manifest.version


@contextmanager
def slow_server():
    """A server that accepts a connection and sends single bytes for ever."""
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


def test_dripping_redis_is_disconnected(folder, monkeypatch, count_reads):
    """Each byte comes in time, the response does not."""
    with slow_server() as (uri, ended):
        store = make_store(folder, uri, TIMEOUT)
        monkeypatch.setattr(store._breaker, "clock", FakeClock())

        assert 1 == count_reads(store)
        assert ended.wait(SOON)
        assert 0 == count_reads(store)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("break_", ["kill", "suspend"])
def test_gate_serves_without_redis(server, folder, interface, break_, caplog):
    """The outage is only logged."""
    store = make_store(folder, server.uri)
    gate = Gate([Deployment("churn", "store:churn@1")], keys="open", store=store)
    getattr(server, break_)()
    store._timeout = TIMEOUT
    answer = Client(getattr(gate, interface)).post("/simple/churn", json={"x0": 1, "x1": 2})

    assert (200, True) == (answer.status, answer.json()["prediction"])
    assert 1 == sum("does not respond" in record.getMessage() for record in caplog.records)


def test_event_loop_runs_while_redis_is_silent(server, folder):
    cache = ModelCache(make_store(folder, server.uri).load, load_timeout=SOON)
    server.suspend()

    async def main():
        loading = asyncio.create_task(adrive(cache.get("churn@1")))
        for _ in range(5):
            await asyncio.sleep(0.005)
        waits = not loading.done()
        server.resume()
        return waits, (await loading)[0].manifest.version

    assert (True, "1") == asyncio.run(main())


def test_concurrent_loads_survive_redis_outages(server, folder):
    stores, loaded, over = [make_store(folder, server.uri, TIMEOUT) for _ in range(3)], [], threading.Event()

    def load(store):
        while not over.is_set():
            loaded.append(store.load("churn@2").manifest.version)

    threads = [threading.Thread(target=load, args=(store,)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for act in ("suspend", "resume", "kill", "start"):
        count = len(loaded)
        getattr(server, act)()
        wait_until(lambda count=count: len(loaded) >= count + 20)
    over.set()
    for thread in threads:
        thread.join(SOON)

    assert 80 <= len(loaded)
    assert {"2"} == set(loaded)
