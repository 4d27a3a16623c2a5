"""Many callers without a key at once, and what they leave to those who have one."""

import asyncio
import contextlib
import threading

import msgspec
import pytest

from modelgate import Deployment, Gate, KeyAuth, Schema
from modelgate.keys import SqlKeyStore, generate, sql
from modelgate.testing import Clock
from waiting import SOON

MANY = 1000
KEY = "a-key-for-these-callers"


class Endless:
    """Callers who never send the end of their body."""

    def __init__(self):
        self.waiting, self.over = 0, asyncio.Event()

    async def receive(self):
        self.waiting += 1
        try:
            await self.over.wait()
        finally:
            self.waiting -= 1
        return {"type": "http.disconnect"}


async def ask(gate, address="192.0.2.1", receive=None, **headers):
    """The status of an answer: to a request whose body, with the key in it, comes after a while."""
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
        # Behind a proxy that is not named, where an address is that of the proxy.
        ({"x_forwarded_for": "9.9.9.9, 198.51.100.1"}, {"x_forwarded_for": "198.51.100.2"}),
        ({"forwarded": "for=198.51.100.1"}, {"forwarded": 'for=9.9.9.9, for="[2001:db8::1]"'}),
    ],
)
def test_bodies_that_do_not_end(fields, other):
    """Of one caller few are awaited, so that others are served, wherever their key stands."""

    async def scenario():
        gate, endless = Gate([double()], keys={KEY: "double"}, deadline=None), Endless()
        (key_auth,) = (layer for layer in gate.layers if isinstance(layer, KeyAuth))
        key_auth._body_timeout = SOON
        asked = [asyncio.create_task(ask(gate, receive=endless.receive, **fields)) for _ in range(MANY)]
        await until(lambda: endless.waiting + sum(task.done() for task in asked) == MANY)
        waiting = endless.waiting
        served = [await ask(gate, **other), await ask(gate, **fields, x_api_key=KEY)]
        endless.over.set()
        return waiting, served, [await task for task in asked]

    waiting, served, refused = asyncio.run(scenario())

    assert (50, [200, 200]) == (waiting, served)
    assert {400: 50, 503: MANY - 50} == {status: refused.count(status) for status in set(refused)}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store that is never taken to be down, for a machine that is too busy."""
    monkeypatch.setattr(sql, "_TIMEOUT", 600)
    with contextlib.closing(SqlKeyStore(f"sqlite:///{tmp_path}/keys.db", clock=Clock())) as store:
        yield store


def test_invented_keys(store, monkeypatch):
    """No more are looked up than their address may fail, and another's key is looked up meanwhile."""
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
    gate = Gate([double()], keys=store, auth_failures="60/day", deadline=None)

    async def scenario():
        asked = [asyncio.create_task(ask(gate, x_api_key=generate())) for _ in range(MANY)]
        await until(lambda: sum(task.done() for task in asked) == MANY - 250)
        other = asyncio.create_task(ask(gate, "192.0.2.2", x_api_key=key))
        await asyncio.sleep(0)
        go_on.set()
        return await other, [await task for task in asked]

    served, refused = asyncio.run(scenario())

    assert (200, 61) == (served, len(looked_up))
    assert {401: 60, 429: 190, 503: MANY - 250} == {status: refused.count(status) for status in set(refused)}


def test_good_keys_of_one_address(store):
    """None is refused for being looked up with many others, however few may be wrong."""
    keys = [store.create(owner="us", scopes="double").key for _ in range(100)]
    gate = Gate([double()], keys=store, auth_failures="2/day")

    async def scenario():
        return await asyncio.gather(*(ask(gate, x_api_key=key) for key in keys * 2))

    assert [200] * 200 == asyncio.run(scenario())


def test_a_good_key_that_is_looked_up_again(store):
    """Is good meanwhile for all requests that a gate takes, which wait for one look-up."""
    key, clock = store.create(owner="us", scopes="double").key, store._clock
    gate = Gate([double()], keys=store)

    async def scenario():
        first = await ask(gate, x_api_key=key)
        clock.advance(3)
        return [first, *await asyncio.gather(*(ask(gate, x_api_key=key) for _ in range(MANY)))]

    assert [200] * (MANY + 1) == asyncio.run(scenario())


def test_a_caller_who_leaves_gives_up_the_turn(store, monkeypatch):
    """A look-up nobody waits for is not made, and one under way holds nobody up when it ends."""
    go_on, fetch, looked_up = threading.Event(), store.fetch, []

    def held(digest):
        looked_up.append(digest)
        assert go_on.wait(SOON)
        return fetch(digest)

    monkeypatch.setattr(store, "fetch", held)
    gate = Gate([double()], keys=store, auth_failures="1/day")

    async def scenario():
        asked = [asyncio.create_task(ask(gate, x_api_key=generate())) for _ in range(3)]
        await until(lambda: looked_up)
        for task in asked[1:]:
            task.cancel()
        await asyncio.gather(*asked[1:], return_exceptions=True)
        go_on.set()
        return await asked[0], await ask(gate, x_api_key=generate())

    assert (401, 429) == asyncio.run(scenario())
    assert 1 == len(looked_up)
