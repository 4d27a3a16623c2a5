"""Keys that change and databases that fail while requests arrive."""

import logging
import subprocess
import sys
import threading
import time

import pytest

from modelgate import Deployment, Gate, RateLimit, Schema, drive
from modelgate.flow import wait_for
from modelgate.keys import SqlKeyStore, generate
from modelgate.keys import sql_store as sql
from modelgate.testing import Client, FakeClock
from support.databases import DATABASES, make_database
from support.waiting import SOON, wait_until

LIMIT = 1_000_000
ASKING = 4
THREADS = sql._THREADS


def get_bucket(request):
    """Return the id under which limits count the caller."""
    return request.context.principal.limit_bucket or request.context.principal.id


def make_gate(store):
    double = Deployment("double", lambda table: table["x"] * 2, schema=Schema.of(x=float))
    return Gate([double], keys=store, limits=RateLimit(f"{LIMIT}/day", by=get_bucket))


def send(client, key):
    return client.post("/api/predict", json={"input_data": {"x": 1}}, headers={"x-api-key": key})


@pytest.fixture
def limit_look_ups(monkeypatch):
    """Return a function that sets the timeout of look-ups in seconds."""
    return lambda seconds: monkeypatch.setattr("modelgate.keys.sql_store._TIMEOUT", seconds)


@pytest.fixture(params=DATABASES)
def url(request):
    return make_database(request.param, request)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_rotation_under_load(url, interface):
    """No request fails, and every request is counted exactly once."""
    # Requests rarely use the cache, so that changes and look-ups coincide.
    store, admin = SqlKeyStore(url, cache_ttl=0.001), SqlKeyStore(url)
    new = admin.create(owner="us", scopes="double")
    gate, answers, over = make_gate(store), [], threading.Event()
    current, failures = [new.key], []

    def send_requests():
        client = Client(getattr(gate, interface))
        try:
            while not over.is_set():
                # Callers that do not have the new key yet still use the old one.
                for key in (current[-1], current[max(0, len(current) - 2)]):
                    answers.append((key, send(client, key)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=send_requests) for _ in range(ASKING)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            seen = len(answers)
            wait_until(lambda seen=seen: len(answers) >= seen + 20 or failures)
            new = admin.rotate(new.record.id)
            current.append(new.key)
    finally:
        over.set()
        for thread in threads:
            thread.join(SOON)
        store.close()
        admin.close()
    remaining = sorted(int(answer.header("x-ratelimit-remaining")) for _, answer in answers)

    assert [] == failures
    assert {200} == {answer.status for _, answer in answers}
    assert list(range(LIMIT - len(answers), LIMIT)) == remaining
    assert set(current[:-1]) <= {key for key, _ in answers}


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_unavailable_database_is_503_after_cache_ttl(postgres, interface, caplog):
    """The reason is logged, and requests succeed again afterwards."""
    clock = FakeClock()
    store = SqlKeyStore(postgres.clear_tables(), clock=clock)
    client = Client(getattr(make_gate(store), interface))
    key, other = (store.create(owner="us", scopes="double").key for _ in range(2))

    assert send(client, key).status == 200
    postgres.stop()
    try:
        with caplog.at_level(logging.ERROR, "modelgate"):
            cached, unknown = send(client, key), send(client, other)
            clock.advance(2)
            refused = send(client, key)
    finally:
        postgres.start()
    early = send(client, key)
    clock.advance(1)
    late = send(client, key)
    store.close()

    assert [cached.status, unknown.status, refused.status] == [200, 503, 503]
    assert refused.header("retry-after") == "1"
    assert refused.json()["error"] == "API keys cannot be checked just now: try again in 1 s"
    # There may be a warning too, if the last use of a key was not written by then.
    errors = {record.message for record in caplog.records if record.levelno == logging.ERROR}
    assert {"key store: look-up failed"} == errors
    assert postgres.password not in caplog.text
    assert [early.status, late.status] == [503, 200]


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_hanging_database_is_503(postgres, interface, caplog, limit_look_ups, monkeypatch):
    """Further requests are rejected without a look-up until it responds again."""
    clock = FakeClock()
    store = SqlKeyStore(postgres.clear_tables(), clock=clock)
    client = Client(getattr(make_gate(store), interface))
    key, other = (store.create(owner="us", scopes="double").key for _ in range(2))

    submit, looked_up = store._submit, []
    monkeypatch.setattr(store, "_submit", lambda call: (looked_up.append(call), submit(call))[1])

    assert send(client, key).status == 200
    with postgres.suspend(), caplog.at_level(logging.ERROR, "modelgate"):
        limit_look_ups(0.3)
        clock.advance(2)
        waited = send(client, key)
        looked_up.clear()
        at_once = [send(client, candidate).status for candidate in (key, other) * 10]
        look_ups = len(looked_up)
        clock.advance(1)
        again = send(client, other)
    limit_look_ups(SOON)
    clock.advance(1)
    late = send(client, key)
    store.close()

    assert (503, "1") == (waited.status, waited.header("retry-after"))
    assert ([503] * 20, 0, 503) == (at_once, look_ups, again.status)
    assert ["key store: timeout: no response within 0.3 s"] * 2 == [
        record.message for record in caplog.records if record.levelno == logging.ERROR
    ]
    assert 200 == late.status


HANGING = """
import sys, threading
from modelgate.errors import StoreError
from modelgate.flow import drive
from modelgate.keys import SqlKeyStore, generate

store = SqlKeyStore(sys.argv[1])
store.fetch = lambda digest: threading.Event().wait()
try:
    drive(store.find(generate()))
except StoreError:
    print("refused")
"""


def test_hanging_database_does_not_keep_process_alive(tmp_path):
    command = [sys.executable, "-c", HANGING, f"sqlite:///{tmp_path}/keys.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SOON)

    assert (0, "refused\n") == (done.returncode, done.stdout)


def test_hanging_look_up_does_not_block_others(tmp_path, monkeypatch, limit_look_ups):
    """It occupies one thread, and is not repeated."""
    clock = FakeClock()
    store = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db", clock=clock)
    client, over = Client(make_gate(store).wsgi), threading.Event()
    slow, other = (store.create(owner="us", scopes="double").key for _ in range(2))
    fetch, digests = store.fetch, []

    def hang_once(digest):
        digests.append(digest)
        if len(digests) == 1:
            over.wait(SOON)
        return fetch(digest)

    monkeypatch.setattr(store, "fetch", hang_once)
    limit_look_ups(0.3)
    statuses = [send(client, slow).status]
    limit_look_ups(SOON)
    clock.advance(1)
    statuses += [send(client, other).status, send(client, slow).status]
    over.set()
    store.close()

    assert [503, 200, 200] == statuses


class TestQueuedLookUp:
    """The timeout of a look-up starts when a thread takes it."""

    @pytest.fixture
    def store(self, tmp_path):
        store = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db", clock=FakeClock())
        yield store
        store.close()

    @pytest.fixture
    def go_on(self, store, monkeypatch):
        """Event that ends the look-ups which occupy every thread of the store."""
        go_on, entered, fetch = threading.Event(), threading.Semaphore(0), store.fetch

        def held(digest):
            entered.release()
            assert go_on.wait(SOON)
            return fetch(digest)

        monkeypatch.setattr(store, "fetch", held)
        flows = [store.find(generate()) for _ in range(THREADS)]
        for flow in flows:
            next(flow)
        for _ in range(THREADS):
            assert entered.acquire(timeout=SOON)
        yield go_on
        go_on.set()
        for flow in flows:
            flow.close()

    @pytest.mark.parametrize("interface", ["wsgi", "asgi"])
    def test_look_up_without_thread_is_rejected(self, store, go_on, monkeypatch, caplog, interface):
        """The database does not count as down, and the next look-up is made."""
        client, key = (
            Client(getattr(make_gate(store), interface)),
            store.create(owner="us", scopes="double").key,
        )
        monkeypatch.setattr(sql, "_TIMEOUT", 0.01)
        waited = send(client, key)
        monkeypatch.setattr(sql, "_TIMEOUT", SOON)
        go_on.set()
        served = send(client, key)

        seconds = waited.header("retry-after")
        assert 503 == waited.status
        assert f"The server is busy: try again in {seconds} s" == waited.json()["error"]
        assert 200 == served.status
        assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]

    def test_queued_look_up_has_full_timeout(self, store, go_on, monkeypatch):
        """Although its request has already waited as long."""
        key, timeouts = store.create(owner="us", scopes="double").key, []

        def waiting(future, seconds):
            timeouts.append(seconds)
            if len(timeouts) == 1:
                go_on.set()
                # Wait until it has started or ended.
                while future._state == "PENDING":
                    time.sleep(0.001)
                raise TimeoutError
            return (yield from wait_for(future, SOON))

        monkeypatch.setattr(sql, "wait_for", waiting)
        monkeypatch.setattr(sql, "_TIMEOUT", 3600)
        principal = drive(store.find(key))

        assert ("double",) == principal.deployments
        assert 2 == len(timeouts)
