"""Keys that change, and a database that goes, while everybody asks."""

import logging
import subprocess
import sys
import threading
import time

import pytest

from modelgate import Deployment, Gate, RateLimit, Schema
from modelgate.keys import SqlKeyStore
from modelgate.testing import Client, Clock

LIMIT = 1_000_000
ASKING = 4


def counted(request):
    """What limits count by."""
    return request.principal.counted_as or request.principal.id


def make_gate(store):
    double = Deployment("double", lambda table: table["x"] * 2, schema=Schema.of(x=float))
    return Gate([double], keys=store, limits=RateLimit(f"{LIMIT}/day", by=counted))


def ask(client, key):
    return client.post("/api/predict", json={"input_data": {"x": 1}}, headers={"x-api-key": key})


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keys.db"
    return request.getfixturevalue("postgres").emptied()


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_rotation_under_load(url, interface):
    """While keys are replaced no request fails, and no request is counted twice or not at all."""
    # Each request is looked up anew at nearly every turn: the changes meet the look-ups.
    store, admin = SqlKeyStore(url, staleness=0.001), SqlKeyStore(url)
    new = admin.create(owner="us", scopes="double")
    gate, answers, over = make_gate(store), [], threading.Event()
    current, failures = [new.key], []

    def asking():
        client = Client(getattr(gate, interface))
        try:
            while not over.is_set():
                # Those who have not heard of the new key yet go on with the old one.
                for key in (current[-1], current[max(0, len(current) - 2)]):
                    answers.append((key, ask(client, key)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=asking) for _ in range(ASKING)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            seen = len(answers)
            while len(answers) < seen + 20 and not failures:
                over.wait(0.001)
            new = admin.rotate(new.record.id)
            current.append(new.key)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        store.close()
        admin.close()
    remaining = sorted(int(answer.header("x-ratelimit-remaining")) for _, answer in answers)

    assert [] == failures
    assert {200} == {answer.status for _, answer in answers}
    assert list(range(LIMIT - len(answers), LIMIT)) == remaining
    assert set(current[:-1]) <= {key for key, _ in answers}


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_database_that_goes_and_comes_back(postgres, interface, caplog):
    """Look-ups are told for their two seconds; then 503, with a reason in the log; then all is as it was."""
    clock = Clock()
    store = SqlKeyStore(postgres.emptied(), clock=clock)
    client = Client(getattr(make_gate(store), interface))
    key, other = (store.create(owner="us", scopes="double").key for _ in range(2))

    assert ask(client, key).status == 200
    postgres.stop()
    try:
        with caplog.at_level(logging.ERROR, "modelgate"):
            told, unknown = ask(client, key), ask(client, other)
            clock.advance(2)
            refused = ask(client, key)
    finally:
        postgres.start()
    early = ask(client, key)
    clock.advance(1)
    late = ask(client, key)
    store.close()

    assert [told.status, unknown.status, refused.status] == [200, 503, 503]
    assert refused.header("retry-after") == "1"
    assert refused.json()["error"] == "API keys cannot be checked just now: try again in 1 s"
    # That the use of a key could not be noted may be told too, as a warning, if it was not noted by then.
    errors = {record.message for record in caplog.records if record.levelno == logging.ERROR}
    assert {"the key store cannot be asked"} == errors
    assert postgres.password not in caplog.text
    assert [early.status, late.status] == [503, 200]


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_database_that_hangs(postgres, interface, caplog):
    """Who waits for it is told 503 after two seconds, whoever comes then at once; it is as before when it answers."""
    clock = Clock()
    store = SqlKeyStore(postgres.emptied(), clock=clock)
    client = Client(getattr(make_gate(store), interface))
    key, other = (store.create(owner="us", scopes="double").key for _ in range(2))

    assert ask(client, key).status == 200
    with postgres.hanging(), caplog.at_level(logging.ERROR, "modelgate"):
        clock.advance(2)
        start = time.monotonic()
        waited = ask(client, key)
        after = time.monotonic()
        at_once = [ask(client, each).status for each in (key, other) * 10]
        end = time.monotonic()
        clock.advance(1)
        again = ask(client, other)
    clock.advance(1)
    late = ask(client, key)
    store.close()

    assert (503, "1") == (waited.status, waited.header("retry-after"))
    assert after - start < 20
    assert ([503] * 20, 503) == (at_once, again.status)
    assert end - after < 1.9
    assert ["the key store does not answer within 2 s"] * 2 == [record.message for record in caplog.records]
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


def test_a_database_that_hangs_keeps_no_program_from_ending(tmp_path):
    """Its threads are left behind."""
    command = [sys.executable, "-c", HANGING, f"sqlite:///{tmp_path}/keys.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert (0, "refused\n") == (done.returncode, done.stdout)


def test_a_store_that_hangs_serves_others_still(tmp_path, monkeypatch):
    """A look-up that hangs takes one thread, and nobody waits for it twice; the next key is looked up."""
    clock = Clock()
    store = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db", clock=clock)
    client, over = Client(make_gate(store).wsgi), threading.Event()
    slow, other = (store.create(owner="us", scopes="double").key for _ in range(2))
    fetch, asked = store.fetch, []

    def hang_once(digest):
        asked.append(digest)
        if len(asked) == 1:
            over.wait(60)
        return fetch(digest)

    monkeypatch.setattr(store, "fetch", hang_once)
    statuses = [ask(client, slow).status]
    clock.advance(1)
    statuses += [ask(client, other).status, ask(client, slow).status]
    over.set()
    store.close()

    assert [503, 200, 200] == statuses
