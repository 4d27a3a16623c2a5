"""Many concurrent callers without a key, and callers with one."""

import asyncio
import contextlib
import threading

import msgspec
import pytest

from modelgate import Deployment, Gate, KeyAuth, Schema
from modelgate.keys import SqlKeyStore, generate
from modelgate.keys import sql_store as sql
from modelgate.testing import FakeClock
from support.waiting import SOON

MANY = 1000
KEY = "a-key-for-these-callers"


class EndlessBodies:
    """Callers who never finish sending their bodies."""

    def __init__(self):
        self.waiting, self.over = 0, asyncio.Event()

    async def receive(self):
        self.waiting += 1
        try:
            await self.over.wait()
        finally:
            self.waiting -= 1
        return {"type": "http.disconnect"}


async def send_request(gate, address="192.0.2.1", receive=None, **headers):
    """Send a request whose body, with the key in it, arrives late, and return the status."""
    sent, body = [], msgspec.json.encode({"api_key": headers.get("x_api_key", KEY), "input_data": {"x": 1.0}})

    async def receive_late():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/predict",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": (address, 1),
    }
    await gate.asgi(scope, receive or receive_late, send)
    return sent[0]["status"]


async def until(condition):
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.001)


def double():
    return Deployment("double", lambda table: table["x"] * 2, schema=Schema.of(x=float))


@pytest.mark.parametrize(
    ("fields", "other"),
    [
        ({}, {"address": "192.0.2.2"}),
        # Behind a proxy that is not trusted, whose address all callers share.
        ({"x_forwarded_for": "9.9.9.9, 198.51.100.1"}, {"x_forwarded_for": "198.51.100.2"}),
        ({"forwarded": "for=198.51.100.1"}, {"forwarded": 'for=9.9.9.9, for="[2001:db8::1]"'}),
    ],
)
def test_unfinished_bodies_are_limited_per_address(fields, other):
    """Other callers are served, wherever their key is."""

    async def scenario():
        gate, endless = Gate([double()], keys={KEY: "double"}, deadline=None), EndlessBodies()
        (key_auth,) = (layer for layer in gate.layers if isinstance(layer, KeyAuth))
        key_auth._body_timeout = SOON
        tasks = [
            asyncio.create_task(send_request(gate, receive=endless.receive, **fields)) for _ in range(MANY)
        ]
        await until(lambda: endless.waiting + sum(task.done() for task in tasks) == MANY)
        waiting = endless.waiting
        served = [await send_request(gate, **other), await send_request(gate, **fields, x_api_key=KEY)]
        endless.over.set()
        return waiting, served, [await task for task in tasks]

    waiting, served, refused = asyncio.run(scenario())

    assert (50, [200, 200]) == (waiting, served)
    assert {400: 50, 503: MANY - 50} == {status: refused.count(status) for status in set(refused)}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Store that never counts as down, since the machine may be too busy."""
    monkeypatch.setattr(sql, "_TIMEOUT", 600)
    with contextlib.closing(SqlKeyStore(f"sqlite:///{tmp_path}/keys.db", clock=FakeClock())) as store:
        yield store


def test_invented_keys_are_looked_up_within_failure_limit(store, monkeypatch):
    """Keys from other addresses are looked up meanwhile."""
    key, go_on, fetch, looked_up = (
        store.create(owner="us", scopes="double").key,
        threading.Event(),
        store.fetch,
        [],
    )

    def held(digest):
        looked_up.append(digest)
        assert go_on.wait(SOON)
        return fetch(digest)

    monkeypatch.setattr(store, "fetch", held)
    gate = Gate([double()], keys=store, auth_failure_limit="60/day", deadline=None)

    async def scenario():
        tasks = [asyncio.create_task(send_request(gate, x_api_key=generate())) for _ in range(MANY)]
        await until(lambda: sum(task.done() for task in tasks) == MANY - 250)
        other = asyncio.create_task(send_request(gate, "192.0.2.2", x_api_key=key))
        await asyncio.sleep(0)
        go_on.set()
        return await other, [await task for task in tasks]

    served, refused = asyncio.run(scenario())

    assert (200, 61) == (served, len(looked_up))
    assert {401: 60, 429: 190, 503: MANY - 250} == {status: refused.count(status) for status in set(refused)}


def test_valid_keys_of_one_address_are_accepted(store):
    """However few failures the address may have."""
    keys = [store.create(owner="us", scopes="double").key for _ in range(100)]
    gate = Gate([double()], keys=store, auth_failure_limit="2/day")

    async def scenario():
        return await asyncio.gather(*(send_request(gate, x_api_key=key) for key in keys * 2))

    assert [200] * 200 == asyncio.run(scenario())


def test_accepted_key_is_looked_up_once_for_all_requests(store):
    """As many requests as a gate admits wait for it."""
    key, clock = store.create(owner="us", scopes="double").key, store._clock
    gate = Gate([double()], keys=store)

    async def scenario():
        first = await send_request(gate, x_api_key=key)
        clock.advance(3)
        return [first, *await asyncio.gather(*(send_request(gate, x_api_key=key) for _ in range(MANY)))]

    assert [200] * (MANY + 1) == asyncio.run(scenario())


def test_disconnected_caller_leaves_queue(store, monkeypatch):
    """A running look-up that nobody waits for delays nobody."""
    go_on, fetch, looked_up = threading.Event(), store.fetch, []

    def held(digest):
        looked_up.append(digest)
        assert go_on.wait(SOON)
        return fetch(digest)

    monkeypatch.setattr(store, "fetch", held)
    gate = Gate([double()], keys=store, auth_failure_limit="1/day")

    async def scenario():
        tasks = [asyncio.create_task(send_request(gate, x_api_key=generate())) for _ in range(3)]
        await until(lambda: looked_up)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)
        go_on.set()
        return await tasks[0], await send_request(gate, x_api_key=generate())

    assert (401, 429) == asyncio.run(scenario())
    assert 1 == len(looked_up)
