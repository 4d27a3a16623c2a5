"""Limits counted in Redis, during outages and restarts."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial

import pytest
import redis

from modelgate import ConfigurationError, RateLimit, Response, StoreError, adrive, drive
from modelgate.backends.redis_uri import connection_options
from modelgate.http import call_encoding_errors
from modelgate.limiting.redis_script_runner import RedisScriptRunner, _is_outage, redis_store
from modelgate.testing import FakeClock, StubHandler, request
from support.forks import run_limit_in_forks
from support.redis_server import RedisServer
from support.waiting import SOON, wait_until


@pytest.fixture
def server(tmp_path):
    """Server that has not been started."""
    server = RedisServer(tmp_path)
    yield server
    server.close()


def send_requests(limit, count):
    """Return the statuses of *count* requests."""
    return [
        drive(call_encoding_errors(request(), partial(limit, call_next=StubHandler()))).status
        for _ in range(count)
    ]


async def asend_request(limit):
    """Return the status of one request on an event loop."""
    return (await adrive(call_encoding_errors(request(), partial(limit, call_next=StubHandler())))).status


class Load:
    """Sends requests continuously, from threads or from tasks, and records the results."""

    def __init__(self, limit, workers=8):
        self._limit, self._workers = limit, workers
        self.statuses, self.errors = [], []
        self._over = threading.Event()
        self._inner = StubHandler(Response(200))

    def _send(self):
        while not self._over.is_set():
            try:
                drive(self._limit(request(), self._inner))
                self.statuses.append(200)
            except Exception as error:
                self.statuses.append(getattr(error, "status", 500))
                if not hasattr(error, "status"):
                    self.errors.append(error)
            time.sleep(0.002)

    async def _ask_tasks(self):
        async def send():
            while not self._over.is_set():
                try:
                    await adrive(self._limit(request(), self._inner))
                    self.statuses.append(200)
                except Exception as error:
                    self.statuses.append(getattr(error, "status", 500))
                    if not hasattr(error, "status"):
                        self.errors.append(error)
                await asyncio.sleep(0.002)

        await asyncio.gather(*(send() for _ in range(self._workers)))

    def threads(self):
        return [threading.Thread(target=self._send) for _ in range(self._workers)]

    def loop(self):
        return [threading.Thread(target=lambda: asyncio.run(self._ask_tasks()))]

    def wait_for(self, count):
        """Until so many more requests have been answered."""
        count += len(self.statuses)
        wait_until(lambda: len(self.statuses) >= count)

    def over(self):
        self._over.set()


@pytest.fixture(params=["threads", "loop"])
def under_load(request):
    """Return a context manager that puts a limit under load."""

    @contextmanager
    def running(limit):
        load = Load(limit)
        threads = getattr(load, request.param)()
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            load.over()
            for thread in threads:
                thread.join(SOON)

    return running


def wait_until_back(uri):
    """Wait until the limit is counted in Redis again."""
    wait_until(lambda: not redis_store(uri).breaker.open)


def assert_admitted(load, admitted):
    """Assert that no request failed, and that exactly *admitted* passed."""
    assert [] == load.errors
    assert {200, 429} >= set(load.statuses)
    assert admitted == load.statuses.count(200)


@pytest.mark.parametrize("break_, mend", [("kill", "start"), ("suspend", "resume")])
def test_limit_holds_during_redis_outage(server, under_load, caplog, break_, mend):
    """The outage is logged once."""
    server.start()
    # A suspended server is detected by timeouts, which must be longer than delays on a busy machine.
    uri = server.uri if break_ == "kill" else f"{server.address}?socket_timeout=3&socket_connect_timeout=3"
    limit = RateLimit("300/hour", storage=uri)
    with caplog.at_level(logging.INFO, "modelgate"), under_load(limit) as load:
        load.wait_for(100)
        getattr(server, break_)()
        wait_until(lambda: limit.outage_count)
        load.wait_for(100)
        getattr(server, mend)()
        wait_until_back(uri)
        load.wait_for(300)

    assert_admitted(load, admitted=300)
    lines = [record.getMessage() for record in caplog.records]
    # A server that was killed has lost its counts, which is the third line.
    count = 3 if break_ == "kill" else 2
    assert [f"Redis at 127.0.0.1:{server.port}:"] * count == [line[: line.index(" ", 9)] for line in lines]
    assert "does not respond" in lines[0] and "responds again" in lines[1]


def test_limit_holds_until_redis_starts(server, under_load):
    limit = RateLimit("300/hour", storage=server.uri)
    with under_load(limit) as load:
        load.wait_for(100)
        server.start()
        wait_until_back(server.uri)
        load.wait_for(400)

    assert_admitted(load, admitted=300)
    assert 1 == limit.outage_count


def test_outage_limits_process_to_its_share(server):
    """Earlier requests count towards it."""
    server.start()
    limit = RateLimit("40/hour", storage=server.uri, processes=4)
    before = send_requests(limit, 4)
    server.kill()

    assert [200] * 4 == before
    assert [200] * 6 + [429] * 2 == send_requests(limit, 8)


def test_outage_rejects_cost_above_share_with_429(server):
    """Not with 413, since it can pass after the outage."""
    limit = RateLimit("40/hour", storage=server.uri, processes=4, cost=lambda request: 20, name="twenty")

    assert [429] == send_requests(limit, 1)


def test_outage_denies_everything_with_503(server):
    """If `on_storage_error` is deny."""
    limit = RateLimit("40/hour", storage=server.uri, on_storage_error="deny")
    with pytest.raises(StoreError) as info:
        drive(limit(request(), StubHandler()))

    assert (503, "1") == (info.value.status, info.value.headers["retry-after"])
    assert [503] * 50 == send_requests(limit, 50)


def test_outage_rejects_nobody_in_dry_run(server):

    assert [200] * 3 == send_requests(
        RateLimit("1/hour", storage=server.uri, on_storage_error="deny", dry_run=True), 3
    )


def test_redis_counts_large_amounts_exactly(server):
    """Up to the integers that a double represents."""
    server.start()
    amount = 10**15 - 1
    limit = RateLimit(
        f"{amount}/year", storage=server.uri, cost=lambda request: 2, strategy="moving", name="large"
    )
    response = drive(limit(request(), StubHandler()))

    assert (str(amount), str(amount - 2)) == tuple(
        map(response.header, ("x-ratelimit-limit", "x-ratelimit-remaining"))
    )


def test_outage_is_probed_once_a_second(server, monkeypatch):
    """Other requests do not wait, and the log has one line."""
    server.start()
    server.suspend()
    limit, store, clock = (
        RateLimit("1000/hour", storage=server.address),
        redis_store(server.address),
        FakeClock(),
    )
    monkeypatch.setattr(store.breaker, "clock", clock)
    run, tries = store._run, []
    monkeypatch.setattr(store, "_run", lambda *args: (tries.append(clock.now), run(*args))[1])
    passed, counts = [], []
    for _ in range(3):
        for _ in range(10):
            before = len(tries)
            passed += send_requests(limit, 1)
            counts.append(len(tries) - before)
        clock.advance(1)

    assert [1, *[0] * 9] * 3 == counts
    assert ([200] * 30, 1) == (passed, limit.outage_count)


def test_closed_connection_and_unknown_script_are_no_outage(server):
    server.start()
    limit = RateLimit("9/hour", storage=server.uri)
    admin = redis.Redis.from_url(server.uri)

    async def send():
        passed = [await asend_request(limit)]
        admin.client_kill_filter(_type="normal", skipme=True)
        admin.script_flush()
        return [*passed, await asend_request(limit)]

    passed = send_requests(limit, 1)
    admin.client_kill_filter(_type="normal", skipme=True)
    admin.script_flush()
    passed += send_requests(limit, 1) + asyncio.run(send())
    admin.close()

    assert ([200] * 4, 0) == (passed, limit.outage_count)


def test_cancelled_request_does_not_affect_others(server):
    server.start()
    limit = RateLimit("9/hour", storage=server.address)

    async def send():
        assert 200 == await asend_request(limit)
        server.suspend()
        first, second = (asyncio.create_task(asend_request(limit)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert 200 == asyncio.run(send())


def test_event_loop_sends_concurrent_requests_in_one_round_trip(server):
    """Exactly as many pass as the limit allows."""
    server.start()
    limit = RateLimit("50/hour", storage=server.uri)
    admin = redis.Redis.from_url(server.uri)

    async def send():
        return await asyncio.gather(*(asend_request(limit) for _ in range(400)))

    passed = asyncio.run(send())
    clients = [client for client in admin.client_list() if client["cmd"] != "client|list"]
    admin.close()

    assert (50, 350) == (passed.count(200), passed.count(429))
    # The connection of the loop is closed with the loop.
    assert [] == clients


def test_bucket_in_redis_expires_with_its_windows(server):
    server.start()
    limit = RateLimit("9/minute; 9/hour", storage=server.uri, name="models")
    send_requests(limit, 1)
    admin = redis.Redis.from_url(server.uri)
    keys = admin.keys("*")
    lasts = admin.ttl(keys[0])
    admin.close()

    rate = "fixed 9 per 1 hour; 9 per 1 minute"
    assert [f"modelgate:models:caller:request:{rate}:{rate}:192.0.2.1"] == [key.decode() for key in keys]
    assert 60 < lasts <= 3600


def test_processes_share_one_count(server):
    """Four processes, each with threads and an event loop."""
    server.start()
    script = f"""
import asyncio, threading
from modelgate import RateLimit, adrive, drive
from modelgate.testing import FakeClock, StubHandler, request
limit, passed = RateLimit("500/hour", storage="{server.uri}"), []
def send():
    for _ in range(50):
        try:
            drive(limit(request(), StubHandler()))
            passed.append(1)
        except Exception as error:
            assert error.status == 429
async def aask():
    for _ in range(50):
        try:
            await adrive(limit(request(), StubHandler()))
            passed.append(1)
        except Exception as error:
            assert error.status == 429
async def many():
    await asyncio.gather(*(aask() for _ in range(4)))
threads = [threading.Thread(target=send) for _ in range(4)]
for thread in threads: thread.start()
asyncio.run(many())
for thread in threads: thread.join()
print(len(passed), limit.outage_count)
"""
    running = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(4)]
    counts = [tuple(map(int, process.communicate(timeout=SOON)[0].split())) for process in running]

    assert (500, 0) == tuple(map(sum, zip(*counts, strict=True)))


def test_forked_child_uses_own_connections(server):
    server.start()
    done = run_limit_in_forks("10/hour", server.uri)

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    "uri",
    [
        "redis://user:s3/cret@host:1/0",
        "redis://:s3cret@host:port/0",
        "rediss//:s3cret@host",
        "ftp://s3cret",
        "redis://:s3@cret@host",
        "redis://:a@s3/cret@host/0",
        "redis://:a@s3?cret@host/0",
        "redis://:a@s3?cret=1@host/0",
        "redis://:a@s3#cret@host/0",
        "unix://:a@s3/cret@/run/redis.sock",
    ],
)
def test_password_is_never_shown(uri):
    """Not even if the URI is invalid."""
    with pytest.raises(ConfigurationError) as info:
        RateLimit("1/day", storage=uri)

    assert "s3" not in str(info.value) and "cret" not in str(info.value)
    assert info.value.__suppress_context__ or info.value.__context__ is None


@pytest.mark.parametrize(
    "uri",
    [
        "redis://host?bogus=1",
        "redis://host?decode_responses=true",
        "redis://host?socket_timeout=-1",
        "redis://host?socket_timeout=nan",
        "redis://host?socket_timeout=",
        "redis://host?socket_timeout",
        "redis://host?socket_keepalive=maybe",
        "redis://host?client_name=",
        "redis://host?ssl_ca_certs=ca.pem",
        "rediss://host?ssl_cert_reqs=sometimes",
        "redis://host/notanint",
        "redis://host/-1",
        "redis://host:99999",
        "unix://",
        "unix:///",
        "unix://host/run/redis.sock",
    ],
)
def test_invalid_uri_is_rejected(uri):
    with pytest.raises(ConfigurationError, match="storage must be a Redis URI"):
        RateLimit("1/day", storage=uri)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("redis://", {"host": "localhost", "port": 6379, "db": 0}),
        ("redis://", {"socket_timeout": 0.1, "socket_connect_timeout": 0.1}),
        ("redis://h:7/3?db=4&client_name=a%20b", {"host": "h", "port": 7, "db": 4, "client_name": "a b"}),
        ("redis://u%40:p%2F@h", {"host": "h", "port": 6379, "db": 0, "username": "u@", "password": "p/"}),
        (
            "redis://h?socket_timeout=2&socket_keepalive=yes",
            {"socket_timeout": 2.0, "socket_keepalive": True},
        ),
        ("rediss://h?ssl_cert_reqs=none", {"ssl_cert_reqs": "none"}),
        ("unix://:p@/run/redis.sock?db=2", {"path": "/run/redis.sock", "password": "p", "db": 2}),
    ],
)
def test_uri_sets_options_of_redis_py(uri, expected):
    options = connection_options(uri)
    RateLimit("1/day", storage=uri)

    assert expected == {name: options[name] for name in expected}


def test_password_of_uri_is_decoded(server):
    """For threads and event loops."""
    server.start()
    admin = redis.Redis.from_url(server.uri)
    admin.config_set("requirepass", "s3/cret")
    limit = RateLimit("9/hour", storage=server.uri.replace("//", "//:s3%2Fcret@"))

    assert [200, 200] == [*send_requests(limit, 1), asyncio.run(asend_request(limit))]
    assert (0, 1) == (limit.outage_count, len(admin.keys("modelgate:*")))
    admin.close()


@pytest.mark.parametrize(
    "uri", ["unix:///nowhere.sock?db=1", "rediss://127.0.0.1:1?ssl_cert_reqs=none&ssl_check_hostname=no"]
)
def test_unanswered_socket_or_tls_is_outage(uri):
    """For threads and event loops."""
    for index, send in enumerate(
        (lambda limit: send_requests(limit, 1)[0], lambda limit: asyncio.run(asend_request(limit)))
    ):
        limit = RateLimit("9/hour", storage=f"{uri}&client_name={index}")

        assert (200, 1) == (send(limit), limit.outage_count)


def test_default_host_and_port_are_logged(caplog):
    store = RedisScriptRunner("redis://")
    store.breaker.record_failure(OSError("gone"))

    assert "Redis at localhost:6379: does not respond" in caplog.text


@pytest.mark.parametrize("break_", ["oom", "readonly"])
def test_server_that_cannot_write_is_outage(server, break_):
    """Out of memory, or a replica."""
    server.start()
    limit = RateLimit("3/hour", storage=server.uri)
    admin = redis.Redis.from_url(server.uri)
    if break_ == "oom":
        admin.config_set("maxmemory", "1")
    else:
        admin.replicaof("127.0.0.1", "1")
    passed = send_requests(limit, 4)
    admin.close()

    assert ([200] * 3 + [429], 1) == (passed, limit.outage_count)


def test_other_errors_are_raised(server):
    """Such as a value of another type in the key of a bucket."""
    server.start()
    limit = RateLimit("3/hour", storage=server.uri)
    assert [200] == send_requests(limit, 1)
    admin = redis.Redis.from_url(server.uri)
    (key,) = admin.keys("modelgate:*")
    admin.delete(key)
    admin.lpush(key, 1)
    admin.close()

    with pytest.raises(redis.ResponseError):
        drive(limit(request(), StubHandler()))
    with pytest.raises(redis.ResponseError):
        asyncio.run(asend_request(limit))
    assert 0 == limit.outage_count


@pytest.mark.parametrize("error", ["-READONLY You can't", "@user_script: 45: -OOM command", "LOADING now"])
def test_server_state_in_script_error_is_outage(error):
    """Redis 6 puts it into the message."""

    assert _is_outage(redis.ResponseError(error))
    assert not _is_outage(redis.ResponseError("ERR no such thing as READONLY"))


def test_unnoticed_restart_of_redis_loses_no_counts(server):
    """This process still counts what it let pass."""
    server.start()
    limit = RateLimit("2/hour", storage=server.uri)
    passed = send_requests(limit, 2)
    server.kill()
    server.start()

    assert ([200, 200, 429], 0) == (passed + send_requests(limit, 1), limit.outage_count)


def test_unnoticed_restart_of_redis_loses_no_counts_on_event_loop(server):
    server.start()
    limit = RateLimit("2/hour", storage=server.uri)

    async def send():
        passed = [await asend_request(limit) for _ in range(2)]
        server.kill()
        server.start()
        return [*passed, await asend_request(limit)]

    assert ([200, 200, 429], 0) == (asyncio.run(send()), limit.outage_count)


STRATEGIES = ("fixed", "sliding", "moving")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_flushed_counts_are_detected(server, caplog, strategy):
    """FLUSHALL and eviction remove counts and leave the scripts in place."""
    server.start()
    clock = FakeClock()
    limit = RateLimit("3/minute; 100/day", storage=server.uri, strategy=strategy, clock=clock)
    passed = send_requests(limit, 2)
    clock.advance(5)
    redis.Redis.from_url(server.uri).flushall()

    assert [200, 200, 200, 429] == passed + send_requests(limit, 2)
    assert 1 == caplog.text.count(f"Redis at 127.0.0.1:{server.port}: counts lost by FLUSHALL")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_expired_or_refunded_counts_are_no_loss(server, caplog, strategy):
    """The requests of another process start the windows, and are refunded."""
    server.start()
    clock = FakeClock()
    options = {"storage": server.uri, "strategy": strategy, "clock": clock}
    limit, other = (
        RateLimit("7/minute; 40/hour", charge_when=charge, **options)
        for charge in (lambda response: response.status == 200, lambda response: clock.now % 3 > 1)
    )
    for seconds in (0, 11, 14, 15.5, 16, 29, 31, 60, 121, 0.4, 299, 3, 3599, 7201, 1):
        clock.advance(seconds)
        send_requests(other, 1)
        send_requests(limit, 2)

    assert [] == caplog.messages


def test_missing_extra_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio.retry", None)
    with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[redis\]"'):
        RateLimit("1/day", storage="redis://nowhere.invalid")
