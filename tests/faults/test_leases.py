"""Quota leased in blocks from Redis: round trips, processes, outages, forks."""

import asyncio
import subprocess
import sys
from functools import partial

import pytest
import redis

from modelgate import RateLimit, Response, adrive, drive
from modelgate.http import call_encoding_errors
from modelgate.limiting import Rate
from modelgate.limiting.leased_counter import LeasedCounter
from modelgate.limiting.redis_script_runner import redis_store
from modelgate.limiting.shared_limiter import RedisCounter
from modelgate.testing import FakeClock, StubHandler, request
from support.redis_server import RedisServer
from support.waiting import SOON


@pytest.fixture
def server(tmp_path):
    """Server of one test, which has no other clients."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.close()


def count_scripts(server):
    """Return how many scripts the server has run."""
    with redis.Redis.from_url(server.uri) as admin:
        statistics = admin.info("commandstats")
    return sum(statistics.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


def send(limit, http_request=None, inner=None):
    return drive(
        call_encoding_errors(http_request or request(), partial(limit, call_next=inner or StubHandler()))
    )


def statuses(limit, count):
    return [send(limit).status for _ in range(count)]


def test_lease_needs_one_round_trip_for_a_block(server):
    """The first request is counted alone, and a rejection is repeated without Redis."""
    clock = FakeClock(1_700_000_000.0)
    limit = RateLimit("101/minute", storage=server.uri, lease=0.2, clock=clock)
    statuses(limit, 1)
    before = count_scripts(server)

    assert [200] * 100 == statuses(limit, 100)
    assert before + 5 == count_scripts(server)
    assert [429] * 100 == statuses(limit, 100)
    assert before + 6 == count_scripts(server)
    clock.advance(1)
    assert [429] * 2 == statuses(limit, 2)
    assert before + 7 == count_scripts(server)
    clock.advance(59)
    assert [200] * 5 == statuses(limit, 5)


@pytest.mark.parametrize("strategy", ["fixed", "moving"])
def test_lease_headers_are_those_of_single_charges(server, strategy):
    """If no other process sends requests."""
    clock = FakeClock(1_700_000_000.0)
    options = {"storage": server.uri, "strategy": strategy, "clock": clock, "ietf_headers": True}
    single = RateLimit("20/minute; 50/hour", name="single", **options)
    leased = RateLimit("20/minute; 50/hour", name="leased", lease=0.25, **options)
    for seconds in (0, 0, 1, 0, 0, 13, 0, 0.5, 4, 17, 0, 0, 0, 0, 0, 0, 0, 31, 0, 20):
        clock.advance(seconds)
        expected, response = send(single), send(leased)

        assert expected.status == response.status == 200
        for name in ("limit", "remaining", "reset"):
            assert expected.header(f"x-ratelimit-{name}") == response.header(f"x-ratelimit-{name}")
        assert expected.header("ratelimit") == response.header("ratelimit")


def test_lease_serves_requests_that_arrive_while_it_is_charged(server):
    """They are charged one by one, and use the block if Redis has no room for them."""
    limit = RateLimit("10/hour", storage=server.uri, lease=0.5)

    async def send_one():
        call = call_encoding_errors(request(), partial(limit, call_next=StubHandler()))
        return (await adrive(call)).status

    async def send_all():
        for _ in range(6):
            assert 200 == await send_one()
        # The first one charges the last four.
        return await asyncio.gather(*(send_one() for _ in range(4))), await send_one()

    assert ([200] * 4, 429) == asyncio.run(send_all())


def test_lease_is_exact_over_processes(server):
    """Two processes, with threads and an event loop each, never let more than the limit pass."""
    script = f"""
import asyncio, threading
from modelgate import RateLimit, adrive, drive
from modelgate.testing import StubHandler, request
limit, passed = RateLimit("500/hour", storage="{server.uri}", lease=0.02), []
def send():
    for _ in range(150):
        try:
            drive(limit(request(), StubHandler()))
            passed.append(1)
        except Exception as error:
            assert error.status == 429
async def asend():
    for _ in range(150):
        try:
            await adrive(limit(request(), StubHandler()))
            passed.append(1)
        except Exception as error:
            assert error.status == 429
async def asend_all():
    await asyncio.gather(*(asend() for _ in range(3)))
threads = [threading.Thread(target=send) for _ in range(3)]
for thread in threads: thread.start()
asyncio.run(asend_all())
for thread in threads: thread.join()
print(len(passed), limit.outage_count)
"""
    running = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(2)]
    counts = [tuple(map(int, process.communicate(timeout=SOON)[0].split())) for process in running]
    passed, outages = map(sum, zip(*counts, strict=True))

    assert 500 - 2 * 10 <= passed <= 500
    assert 0 == outages


def test_lease_is_not_spent_by_forked_child(server):
    script = f"""
import os
from modelgate import RateLimit, drive
from modelgate.testing import StubHandler, request
limit = RateLimit("10/hour", storage="{server.uri}", lease=0.5)
def count(attempts):
    passed = 0
    for _ in range(attempts):
        try:
            drive(limit(request(), StubHandler()))
            passed += 1
        except Exception as error:
            assert error.status == 429
    return passed
assert count(2) == 2  # One alone, and one of a block: four are left.
child = os.fork()
if not child:
    os._exit(count(10))
passed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(passed, count(10))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SOON)

    assert ("4 4\n", "") == (done.stdout, done.stderr)


def test_lease_takes_refunds_back(server):
    """Without a round trip."""
    limit = RateLimit(
        "10/hour", storage=server.uri, lease=0.5, charge_when=lambda response: response.status == 200
    )
    statuses(limit, 2)
    before = count_scripts(server)
    failed = [send(limit, inner=StubHandler(Response(404))).status for _ in range(50)]

    assert ([404] * 50, before) == (failed, count_scripts(server))
    assert [200] * 8 + [429] == statuses(limit, 9)


def test_lease_refunds_to_redis_what_exceeds_a_block(server):
    counter = LeasedCounter(RedisCounter(redis_store(server.uri), "large"), 0.25, clock=FakeClock())
    rate = Rate.parse("20/hour")
    for cost in (1, 1, 5):
        decision = drive(counter.hit(rate, "a", cost))
    drive(counter.refund(rate, "a", 5, decision.now))
    other = RedisCounter(redis_store(server.uri), "large")

    # The first request, and a block of 5.
    assert [20 - 6] == drive(other.hit(rate, "a", 1)).available


def test_lease_takes_back_no_charge_of_an_earlier_window(server):
    clock = FakeClock(1_700_000_000.0)
    counter = LeasedCounter(RedisCounter(redis_store(server.uri), "late", clock), 0.5, clock=clock)
    rate = Rate.parse("10/minute")
    early = [drive(counter.hit(rate, "a", 1)) for _ in range(2)]
    clock.advance(60)
    late = [drive(counter.hit(rate, "a", 1)) for _ in range(2)]
    for decision in early:
        drive(counter.refund(rate, "a", 1, decision.now))
    late += [drive(counter.hit(rate, "a", 1)) for _ in range(20)]

    assert 10 == sum(decision.allowed for decision in late)


def test_lease_of_rows_charges_large_requests_alone(server):
    limit = RateLimit(
        "100/hour",
        storage=server.uri,
        lease=0.1,
        name="rows",
        cost=lambda request: int(request.headers["rows"]),
    )

    def send_rows(*counts):
        return [send(limit, request(headers={"rows": str(count)})).status for count in counts]

    assert [200] * 5 == send_rows(1, 2, 50, 9, 30)
    # 92 have passed, 8 are left.
    assert [429, 200, 429, 200, 413] == send_rows(9, 7, 2, 1, 101)


def test_lease_evicts_the_oldest_and_returns_its_rest(server):
    counter = LeasedCounter(
        RedisCounter(redis_store(server.uri), "evicted"), 0.5, clock=FakeClock(), max_buckets=2
    )
    rate = Rate.parse("10/hour")
    for identity in "aabc":
        drive(counter.hit(rate, identity, 1))
    other = RedisCounter(redis_store(server.uri), "evicted")

    # One was charged alone and one from the block.
    assert [8] == drive(other.hit(rate, "a", 1)).available


def test_lease_is_discarded_with_the_counts_of_a_caller(server):
    limit = RateLimit("10/hour", storage=server.uri, lease=0.5)
    statuses(limit, 11)

    assert 1 == limit.reset("192.0.2.1")
    assert [200] * 10 + [429] == statuses(limit, 11)


def test_outage_is_probed_despite_a_lease(server):
    """A request that has to try Redis again does so, although its process has a lease."""
    limit = RateLimit("100/hour", storage=server.uri, lease=0.5)
    breaker, clock = redis_store(server.uri).breaker, FakeClock()
    breaker.clock = clock
    statuses(limit, 2)
    before = count_scripts(server)
    breaker.record_failure(OSError("gone"))
    assert [200] == statuses(limit, 1)
    clock.advance(1)

    assert [200] == statuses(limit, 1)
    assert (before + 1, False) == (count_scripts(server), breaker.open)


def test_lease_bounds_an_outage_by_what_has_passed(server):
    """During and after it, no process lets more than the limit pass."""
    limit = RateLimit("20/hour", storage=server.uri, lease=0.5)
    passed = statuses(limit, 5)
    server.kill()
    breaker = redis_store(server.uri).breaker
    breaker.record_failure(OSError("gone"))
    passed += statuses(limit, 5)
    server.start()
    breaker.record_success(breaker.clock())

    assert [200] * 20 + [429] * 10 == passed + statuses(limit, 20)
