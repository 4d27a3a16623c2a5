"""Limits counted in Redis while it is killed, stopped, started late and started again."""

import asyncio
import logging
import threading
import time
from contextlib import contextmanager

import pytest

from modelgate import ConfigurationError, RateLimit, Response, StoreError, adrive, drive
from modelgate.limiting.redis import redis_store
from modelgate.testing import Inner, request
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


class Load:
    """Asks a limit again and again, from threads or from tasks, and keeps what came of it."""

    def __init__(self, limit, workers=8):
        self._limit, self._workers = limit, workers
        self.times, self.statuses, self.errors = [], [], []
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

    def over(self):
        self._over.set()


@pytest.fixture(params=["threads", "loop"])
def under(request):
    """Puts a limit under load while the block runs."""

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
    assert SLOWEST > max(load.times)
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
