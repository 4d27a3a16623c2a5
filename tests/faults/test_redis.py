"""Limits counted in Redis while it is killed, stopped, started late and started again."""

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
from modelgate.http import answered
from modelgate.limiting.redis import RedisStore, _is_outage, redis_store
from modelgate.limiting.redis_uri import connection_options
from modelgate.testing import Clock, Inner, request
from redis_server import RedisServer

# The bound for one request, whatever happens to Redis.
SLOWEST = 0.15
BACK_WITHIN = 2.0


@pytest.fixture
def server(tmp_path):
    """A server that is not started."""
    server = RedisServer(tmp_path)
    yield server
    server.close()


def statuses(limit, count):
    """The answers to so many requests."""
    return [drive(answered(request(), partial(limit, call_next=Inner()))).status for _ in range(count)]


async def astatus(limit):
    """The answer to one request, on an event loop."""
    return (await adrive(answered(request(), partial(limit, call_next=Inner())))).status


class Load:
    """Asks a limit again and again, from threads or from tasks, and keeps what came of it."""

    def __init__(self, limit, workers=8):
        self._limit, self._workers = limit, workers
        self.times, self.statuses, self.errors, self.hiccup = [], [], [], 0.0
        self._over = threading.Event()
        self._inner = Inner(Response(200))

    def _note(self, start, status):
        self.times.append(time.perf_counter() - start)
        self.statuses.append(status)

    def _ask(self):
        while not self._over.is_set():
            start = time.perf_counter()
            try:
                drive(self._limit(request(), self._inner))
                self._note(start, 200)
            except Exception as error:
                self._note(start, getattr(error, "status", 500))
                if not hasattr(error, "status"):
                    self.errors.append(error)
            time.sleep(0.002)

    async def _ask_tasks(self):
        async def ask():
            while not self._over.is_set():
                start = time.perf_counter()
                try:
                    await adrive(self._limit(request(), self._inner))
                    self._note(start, 200)
                except Exception as error:
                    self._note(start, getattr(error, "status", 500))
                    if not hasattr(error, "status"):
                        self.errors.append(error)
                await asyncio.sleep(0.002)

        await asyncio.gather(*(ask() for _ in range(self._workers)))

    def threads(self):
        return [threading.Thread(target=self._ask) for _ in range(self._workers)]

    def loop(self):
        return [threading.Thread(target=lambda: asyncio.run(self._ask_tasks()))]

    def wait_for(self, count, within=20):
        """Until so many more requests have been answered."""
        count, until = count + len(self.statuses), time.monotonic() + within
        while len(self.statuses) < count and time.monotonic() < until:
            time.sleep(0.002)
        assert len(self.statuses) >= count, "the load stands still"

    def watch(self):
        """Note the longest that this machine lets a thread wait that asks for nothing."""
        while not self._over.is_set():
            start = time.perf_counter()
            time.sleep(0.002)
            self.hiccup = max(self.hiccup, time.perf_counter() - start)

    def over(self):
        self._over.set()


@pytest.fixture(params=["threads", "loop"])
def under(request):
    """Puts a limit under load while the block runs."""

    @contextmanager
    def running(limit):
        load = Load(limit)
        threads = [*getattr(load, request.param)(), threading.Thread(target=load.watch)]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            load.over()
            for thread in threads:
                thread.join(20)

    return running


def outages(limit, load, more_than=0):
    """Wait until there has been one more outage."""
    until = time.monotonic() + 5
    while limit.outages <= more_than and time.monotonic() < until:
        load.wait_for(1)
    return limit.outages


def mended(server):
    """Wait until the limit counts in Redis again; how long it took."""
    start, breaker = time.monotonic(), redis_store(server.uri).breaker
    while breaker.open and time.monotonic() < start + 10:
        time.sleep(0.005)
    return time.monotonic() - start


def assert_untouched(load, admitted=None):
    """Nobody failed, nobody waited, and no more passed than may."""
    assert [] == load.errors
    assert {200, 429} >= set(load.statuses)
    assert SLOWEST + load.hiccup > max(load.times)
    if admitted is not None:
        assert admitted == load.statuses.count(200)


@pytest.mark.parametrize("break_, mend", [("kill", "start"), ("stop", "go_on")])
def test_redis_going_and_coming_back(server, under, caplog, break_, mend):
    """No request fails or is slow, the limit is neither lifted nor halved, and each outage is told once."""
    server.start()
    limit = RateLimit("300/hour", storage=server.uri)
    with caplog.at_level(logging.INFO, "modelgate"), under(limit) as load:
        load.wait_for(100)
        getattr(server, break_)()
        assert 1 == outages(limit, load)
        load.wait_for(100)
        getattr(server, mend)()
        assert BACK_WITHIN > mended(server)
        load.wait_for(300)

    assert_untouched(load, admitted=300)
    told = [record.getMessage() for record in caplog.records]
    assert [f"Redis at 127.0.0.1:{server.port}"] * 2 == [line[: line.index(" ", 9)] for line in told]
    assert "does not answer" in told[0] and "answers again" in told[1]


def test_redis_starting_late(server, under):
    """Until it is there, this process keeps to the limit by itself; then it counts there."""
    limit = RateLimit("300/hour", storage=server.uri)
    with under(limit) as load:
        load.wait_for(100)
        server.start()
        assert BACK_WITHIN > mended(server)
        load.wait_for(400)

    assert_untouched(load, admitted=300)
    assert 1 == limit.outages


def test_while_redis_is_silent_a_process_has_its_share(server):
    """A quarter of the limit, of which counts what had passed before."""
    server.start()
    limit = RateLimit("40/hour", storage=server.uri, processes=4)
    before = statuses(limit, 4)
    server.kill()

    assert [200] * 4 == before
    assert [200] * 6 + [429] * 2 == statuses(limit, 8)


def test_what_fits_a_limit_and_not_a_share_may_be_tried_again(server):
    """It is refused with 429, and not as what can never pass."""
    limit = RateLimit("40/hour", storage=server.uri, processes=4, cost=lambda request: 20, scope="twenty")

    assert [429] == statuses(limit, 1)


def test_fail_closed(server):
    """Then everything is 503 while Redis does not answer, at once and with the time to wait."""
    limit = RateLimit("40/hour", storage=server.uri, fail="closed")
    with pytest.raises(StoreError) as info:
        drive(limit(request(), Inner()))

    assert (503, "1") == (info.value.status, info.value.headers["retry-after"])
    assert [503] * 50 == statuses(limit, 50)


def test_a_shadow_refuses_nobody_without_redis(server):
    """Not even one that would be closed."""

    assert [200] * 3 == statuses(RateLimit("1/hour", storage=server.uri, fail="closed", shadow=True), 3)


def test_large_amounts_are_counted_exactly(server):
    """As far as doubles are exact."""
    server.start()
    amount = 10**15 - 1
    limit = RateLimit(
        f"{amount}/year", storage=server.uri, cost=lambda request: 2, strategy="moving", scope="large"
    )
    told = drive(limit(request(), Inner()))

    assert (str(amount), str(amount - 2)) == tuple(
        map(told.header, ("x-ratelimit-limit", "x-ratelimit-remaining"))
    )


def test_one_request_a_second_waits_for_a_silent_redis(server, monkeypatch):
    """The others are judged here at once, and the log has one line."""
    server.start()
    limit = RateLimit("1000/hour", storage=server.uri)
    assert [200] == statuses(limit, 1)
    clock = Clock()
    monkeypatch.setattr(redis_store(server.uri).breaker, "clock", clock)
    server.stop()
    waits = []
    for _ in range(3):
        for _ in range(10):
            start = time.perf_counter()
            assert [200] == statuses(limit, 1)
            waits.append(time.perf_counter() - start > 0.09)
        clock.advance(1)

    assert [True, *[False] * 9] * 3 == waits
    assert 1 == limit.outages


def test_an_idle_connection_that_was_closed_is_no_outage(server):
    """Nor is a script that the server has forgotten; sync and asyncio."""
    server.start()
    limit = RateLimit("9/hour", storage=server.uri)
    admin = redis.Redis.from_url(server.uri)

    async def ask():
        passed = [await astatus(limit)]
        admin.client_kill_filter(_type="normal", skipme=True)
        admin.script_flush()
        return [*passed, await astatus(limit)]

    passed = statuses(limit, 1)
    admin.client_kill_filter(_type="normal", skipme=True)
    admin.script_flush()
    passed += statuses(limit, 1) + asyncio.run(ask())
    admin.close()

    assert ([200] * 4, 0) == (passed, limit.outages)


def test_a_request_given_up_takes_none_with_it(server):
    """What is cancelled while Redis is silent leaves the others their answer."""
    server.start()
    limit = RateLimit("9/hour", storage=server.uri)

    async def ask():
        assert 200 == await astatus(limit)
        server.stop()
        first, second = (asyncio.create_task(astatus(limit)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert 200 == asyncio.run(ask())


def test_an_event_loop_asks_for_many_in_one_round_trip(server):
    """What is asked while it waits goes out together, and exactly as many pass as may."""
    server.start()
    limit = RateLimit("50/hour", storage=server.uri)
    admin = redis.Redis.from_url(server.uri)

    async def ask():
        return await asyncio.gather(*(astatus(limit) for _ in range(400)))

    passed = asyncio.run(ask())
    clients = [client for client in admin.client_list() if client["cmd"] != "client|list"]
    admin.close()

    assert (50, 350) == (passed.count(200), passed.count(429))
    # The loop's own is closed with the loop.
    assert [] == clients


def test_a_bucket_in_redis_ends_with_its_windows(server):
    """Nothing is kept for longer than it is counted."""
    server.start()
    limit = RateLimit("9/minute; 9/hour", storage=server.uri, scope="models")
    statuses(limit, 1)
    admin = redis.Redis.from_url(server.uri)
    keys = admin.keys("*")
    lasts = admin.ttl(keys[0])
    admin.close()

    rate = "fixed 9 per 1 hour; 9 per 1 minute"
    assert [f"modelgate:models:caller:request:{rate}:{rate}:192.0.2.1"] == [key.decode() for key in keys]
    assert 3590 < lasts <= 3600


def test_processes_share_one_count(server):
    """Four processes, each with threads and an event loop, let exactly the limit pass."""
    server.start()
    script = f"""
import asyncio, threading
from modelgate import RateLimit, adrive, drive
from modelgate.testing import Clock, Inner, request
limit, passed = RateLimit("500/hour", storage="{server.uri}?socket_timeout=5"), []
def ask():
    for _ in range(50):
        try:
            drive(limit(request(), Inner()))
            passed.append(1)
        except Exception as error:
            assert error.status == 429
async def aask():
    for _ in range(50):
        try:
            await adrive(limit(request(), Inner()))
            passed.append(1)
        except Exception as error:
            assert error.status == 429
async def many():
    await asyncio.gather(*(aask() for _ in range(4)))
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
asyncio.run(many())
for thread in threads: thread.join()
print(len(passed), limit.outages)
"""
    running = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(4)]
    told = [tuple(map(int, process.communicate(timeout=60)[0].split())) for process in running]

    assert (500, 0) == tuple(map(sum, zip(*told, strict=True)))


def test_a_forked_child_has_connections_of_its_own(server):
    """What the parent opened is not used on both sides."""
    server.start()
    script = f"""
import os
from modelgate import RateLimit, drive
from modelgate.testing import Inner, request
limit = RateLimit("10/hour", storage="{server.uri}")
def ask(count):
    for _ in range(count):
        drive(limit(request(), Inner()))
ask(1)
child = os.fork()
ask(4)
if child:
    assert 0 == os.waitpid(child, 0)[1]
try:
    ask(1)
except Exception as error:
    assert (not child, error.status, limit.outages) == (False, 429, 0)
"""
    # One and twice four pass, and the child's one more; the parent's last is refused.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

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
def test_a_password_is_never_shown(uri):
    """Not even where the URI cannot be read."""
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
def test_a_uri_that_cannot_work_is_refused(uri):
    """At construction, with what is accepted."""
    with pytest.raises(ConfigurationError, match="storage: the Redis URI cannot be read: accepts"):
        RateLimit("1/day", storage=uri)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("redis://", {"host": "localhost", "port": 6379, "db": 0}),
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
def test_what_a_uri_says(uri, expected):
    """To redis-py, whose clients take all of it."""
    told = connection_options(uri)
    RateLimit("1/day", storage=uri)

    assert expected == {name: told[name] for name in expected}


def test_a_password_in_the_uri(server):
    """Threads and event loops send it, decoded."""
    server.start()
    admin = redis.Redis.from_url(server.uri)
    admin.config_set("requirepass", "s3/cret")
    limit = RateLimit("9/hour", storage=server.uri.replace("//", "//:s3%2Fcret@"))

    assert [200, 200] == [*statuses(limit, 1), asyncio.run(astatus(limit))]
    assert (0, 1) == (limit.outages, len(admin.keys("modelgate:*")))
    admin.close()


@pytest.mark.parametrize(
    "uri", ["unix:///nowhere.sock?db=1", "rediss://127.0.0.1:1?ssl_cert_reqs=none&ssl_check_hostname=no"]
)
def test_a_socket_or_tls_that_does_not_answer(uri):
    """Is an outage to threads and to event loops, whose connections take what the URI says."""
    for at, ask in enumerate(
        (lambda limit: statuses(limit, 1)[0], lambda limit: asyncio.run(astatus(limit)))
    ):
        limit = RateLimit("9/hour", storage=f"{uri}&client_name={at}")

        assert (200, 1) == (ask(limit), limit.outages)


def test_a_server_on_this_machine_is_named(caplog):
    """With its port, where the URI leaves both out."""
    store = RedisStore("redis://")
    store.breaker.failed(OSError("gone"))

    assert "Redis at localhost:6379 does not answer" in caplog.text


@pytest.mark.parametrize("break_", ["oom", "readonly"])
def test_a_server_that_cannot_count_is_an_outage(server, break_):
    """Memory that is full, or a replica: this process limits by itself."""
    server.start()
    limit = RateLimit("3/hour", storage=server.uri)
    admin = redis.Redis.from_url(server.uri)
    if break_ == "oom":
        admin.config_set("maxmemory", "1")
    else:
        admin.replicaof("127.0.0.1", "1")
    passed = statuses(limit, 4)
    admin.close()

    assert ([200] * 3 + [429], 1) == (passed, limit.outages)


def test_what_is_no_outage_is_a_bug_and_told(server):
    """What another program has put in a bucket's place: no breaker hides it."""
    server.start()
    limit = RateLimit("3/hour", storage=server.uri)
    assert [200] == statuses(limit, 1)
    admin = redis.Redis.from_url(server.uri)
    (key,) = admin.keys("modelgate:*")
    admin.delete(key)
    admin.lpush(key, 1)
    admin.close()

    with pytest.raises(redis.ResponseError):
        drive(limit(request(), Inner()))
    with pytest.raises(redis.ResponseError):
        asyncio.run(astatus(limit))
    assert 0 == limit.outages


@pytest.mark.parametrize("error", ["-READONLY You can't", "@user_script: 45: -OOM command", "LOADING now"])
def test_a_script_s_words_on_the_server_s_state(error):
    """Redis 6 tells them within the message."""

    assert _is_outage(redis.ResponseError(error))
    assert not _is_outage(redis.ResponseError("ERR no such thing as READONLY"))


def test_redis_starting_again_unnoticed(server):
    """Between two requests: what this process let pass still counts."""
    server.start()
    limit = RateLimit("2/hour", storage=server.uri)
    passed = statuses(limit, 2)
    server.kill()
    server.start()

    assert ([200, 200, 429], 0) == (passed + statuses(limit, 1), limit.outages)


def test_redis_starting_again_unnoticed_by_an_event_loop(server):
    """Likewise."""
    server.start()
    limit = RateLimit("2/hour", storage=server.uri)

    async def ask():
        passed = [await astatus(limit) for _ in range(2)]
        server.kill()
        server.start()
        return [*passed, await astatus(limit)]

    assert ([200, 200, 429], 0) == (asyncio.run(ask()), limit.outages)


def test_without_the_extra_it_is_named(monkeypatch):
    """In one line, at construction."""
    monkeypatch.setitem(sys.modules, "redis.asyncio.retry", None)
    with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[redis\]"'):
        RateLimit("1/day", storage="redis://nowhere.invalid")
