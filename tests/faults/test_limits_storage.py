"""Limits counted by the `limits` package: Memcached, Redis Sentinel, and unreachable servers."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest
import redis

from modelgate import RateLimit, Response, adrive, drive
from modelgate.http import call_encoding_errors
from modelgate.keys import Principal
from modelgate.limiting.limits_storage import limits_storage
from modelgate.testing import FakeClock, StubHandler, request
from support.forks import run_limit_in_forks
from support.memcached_server import MemcachedServer
from support.redis_server import RedisServer
from support.sentinel_server import SentinelServers
from support.servers import find_free_port
from support.waiting import wait_until

STRATEGIES = ["fixed", "sliding", "moving"]


@pytest.fixture
def memcached():
    """Running Memcached server."""
    server = MemcachedServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def sentinel(tmp_path):
    """Redis with a replica behind a Sentinel."""
    servers = SentinelServers(tmp_path)
    servers.start()
    yield servers
    servers.close()


@pytest.fixture
def uri(request, tmp_path):
    """URI of a running server of the kind that the test names."""
    server = MemcachedServer() if request.param == "memcached" else RedisServer(tmp_path)
    if request.param == "redis+cluster":
        # The default, 10,000 above the other port, may be above 65535.
        server.start("--cluster-enabled", "yes", "--cluster-port", str(find_free_port()))
        with closing(redis.Redis(port=server.port)) as node:
            node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: node.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
    else:
        server.start()
    # The client of Valkey can be used with Redis. A cluster has no databases.
    yield server.uri.replace("redis://", f"{request.param}://").replace("/0?", "?")
    server.close()


IN_EACH = pytest.mark.parametrize("uri", ["memcached", "valkey", "redis+cluster"], indirect=True)


def respond(limit, http_request=None, response=200):
    """Return the response to one request, from a thread."""
    return drive(
        call_encoding_errors(
            http_request or request(), partial(limit, call_next=StubHandler(Response(response)))
        )
    )


async def arespond(limit, http_request=None, response=200):
    """Return the response to one request, on an event loop."""
    return await adrive(
        call_encoding_errors(
            http_request or request(), partial(limit, call_next=StubHandler(Response(response)))
        )
    )


def send_requests(limit, count):
    """Return the statuses of *count* requests from a thread."""
    return [respond(limit).status for _ in range(count)]


def send_requests_on_loop(limit, count):
    """Return the statuses of *count* consecutive requests on an event loop."""

    async def send():
        return [(await arespond(limit)).status for _ in range(count)]

    return asyncio.run(send())


BOTH = pytest.mark.parametrize("send", [send_requests, send_requests_on_loop], ids=["threads", "loop"])


@BOTH
@IN_EACH
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_limit_holds(uri, strategy, send):
    """In several windows, and with the headers of our own storages."""
    limit = RateLimit("4/day; 9/2 days", storage=uri, strategy=strategy)

    assert [200] * 4 + [429] * 2 == send(limit, 6)
    rejected = respond(limit)
    assert ("4", "0") == tuple(map(rejected.header, ("x-ratelimit-limit", "x-ratelimit-remaining")))
    assert 1 <= int(rejected.header("retry-after"))
    assert 0 == limit.outage_count


@IN_EACH
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_threads_and_loops_share_a_count(uri, strategy):
    limit = RateLimit("4/day", storage=uri, strategy=strategy)

    assert [200] * 3 == send_requests(limit, 1) + send_requests_on_loop(limit, 1) + send_requests_on_loop(
        limit, 1
    )
    assert [200, 429] == send_requests(limit, 2)


@BOTH
@IN_EACH
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rejected_cost_is_not_charged(uri, strategy, send):
    """Smaller costs still pass."""
    costs = iter([6, 5, 0, 4, 1])
    limit = RateLimit("10/day", storage=uri, strategy=strategy, cost=lambda _: next(costs), name="costs")

    assert [200, 429, 200, 200, 429] == send(limit, 5)


@IN_EACH
def test_cost_that_never_fits_is_413(uri):
    limit = RateLimit("10/day", storage=uri, cost=lambda _: 11, name="large")

    assert [413] == send_requests(limit, 1)


@IN_EACH
def test_concurrent_requests_never_exceed_the_limit(uri):
    """From threads and tasks. A fixed window lets exactly its amount pass."""
    limit = RateLimit("50/day", storage=uri)

    async def send():
        return await asyncio.gather(*(arespond(limit) for _ in range(100)))

    with ThreadPoolExecutor(9) as pool:
        responses = [pool.submit(asyncio.run, send())]
        passed = sum(status == 200 for status in pool.map(lambda _: respond(limit).status, range(100)))
    passed += sum(response.status == 200 for response in responses[0].result())

    assert (50, 0) == (passed, limit.outage_count)


@IN_EACH
def test_cancelled_requests_leave_the_connections_usable(uri):
    limit = RateLimit("1000/day", storage=uri)

    async def send():
        tasks = [asyncio.create_task(arespond(limit)) for _ in range(40)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [(await arespond(limit)).status for _ in range(3)]

    assert ([200] * 3, 0) == (asyncio.run(send()), limit.outage_count)


@BOTH
def test_limit_holds_during_memcached_outage(memcached, send, caplog):
    """The process applies its share, and still counts when the server is back without data."""
    limit = RateLimit("40/day", storage=memcached.uri, processes=4)
    passed = send(limit, 4)
    memcached.kill()
    with caplog.at_level(logging.INFO, "modelgate"):
        alone = send(limit, 8)
        memcached.start()
        wait_until(lambda: send_requests(limit, 1) and not limits_storage(memcached.uri).breaker.open)

    assert ([200] * 4, [200] * 6 + [429] * 2) == (passed, alone)
    assert 1 == limit.outage_count
    assert f"memcached at 127.0.0.1:{memcached.port}: does not respond" in caplog.text
    assert f"memcached at 127.0.0.1:{memcached.port}: responds again" in caplog.text
    # Ten passed before the outage, and the full limit after it.
    wait_until(lambda: 429 in send(limit, 1))
    assert [429] * 3 == send(limit, 3)


@BOTH
def test_silent_memcached_is_outage(memcached, send):
    """Other requests do not wait until the circuit breaker's next try."""
    limit = RateLimit("3/day", storage=memcached.address)
    memcached.stop()

    assert [200] * 3 + [429] * 2 == send(limit, 5)
    assert limit.outage_count


def make_unreachable_uris():
    """Return URIs of each kind of storage, on a port without a listener."""
    host = f"127.0.0.1:{find_free_port()}"
    return [
        f"memcached://{host}",
        f"memcached://{host},127.0.0.1:{find_free_port()}",
        f"mongodb://{host}",
        f"redis+cluster://{host}",
        f"redis+sentinel://{host}/service",
        "redis+unix:///nowhere.sock",
        f"valkey://{host}",
        f"valkey+cluster://{host}",
        f"valkey+sentinel://{host}/service",
    ]


@BOTH
@pytest.mark.parametrize("uri", make_unreachable_uris(), ids=lambda uri: uri.partition("://")[0])
def test_unreachable_server_is_outage(uri, send, monkeypatch):
    """The process limits by itself, or denies everything."""
    # With a fixed clock there is one try in this test, even on a busy machine.
    breaker = limits_storage(uri).breaker
    monkeypatch.setattr(breaker, "clock", FakeClock())
    limit, closed = (
        RateLimit("3/day", storage=uri, on_storage_error=behaviour, name=send.__name__)
        for behaviour in ("local", "deny")
    )
    before = limit.outage_count

    assert [200] * 3 + [429] == send(limit, 4)
    assert [503] * 2 == send(closed, 2)
    assert breaker.open and limit.outage_count - before <= 1


@BOTH
def test_limit_holds_during_sentinel_failover(sentinel, send):
    """The replica may lack counts, which this process has."""
    limit = RateLimit("20/day", storage=sentinel.uri)
    passed = send(limit, 5)
    sentinel.master.kill()
    passed += send(limit, 5)
    assert (1, [200] * 10) == (limit.outage_count, passed)
    sentinel.fail_over()
    wait_until(lambda: passed.extend(send(limit, 1)) or not limits_storage(sentinel.uri).breaker.open)
    passed += send(limit, 30)

    assert (20, 1) == (passed.count(200), limit.outage_count)
    assert [429] * 5 == passed[-5:]


@pytest.mark.parametrize(
    "respond", [respond, lambda *args: asyncio.run(arespond(*args))], ids=["thread", "loop"]
)
def test_fixed_window_behind_sentinel_refunds_charge(sentinel, respond):
    """The headers show the refund."""
    limit = RateLimit("2/day", storage=sentinel.uri, charge_when=lambda response: response.status < 400)
    remaining = [
        respond(limit, request(), status).header("x-ratelimit-remaining") for status in (200, 400, 400, 200)
    ]

    assert ["1", "1", "1", "0"] == remaining
    assert 429 == respond(limit, request(), 200).status


def test_forked_child_uses_own_connections(memcached):
    done = run_limit_in_forks("10/day", memcached.uri)

    assert (0, "") == (done.returncode, done.stderr)


def test_key_limits_too_long_for_memcached_are_logged(memcached, caplog):
    """The gate's rate is used instead."""
    limit = RateLimit("1/day", storage=memcached.uri)
    http_request = request()
    http_request.context.principal = Principal("k", None, limits="99/year")

    assert [200, 429] == [respond(limit, http_request).status for _ in range(2)]
    assert "days in Memcached" in caplog.text
