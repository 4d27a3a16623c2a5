"""Quota leased in blocks from Redis by several processes, which are interleaved at every wait."""

import itertools

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modelgate.flow import Wait
from modelgate.limiting import Rate
from modelgate.limiting.leased_counter import LeasedCounter
from modelgate.limiting.lua_scripts import HIT
from modelgate.limiting.redis_script_runner import redis_store
from modelgate.limiting.shared_limiter import RedisCounter
from modelgate.testing import FakeClock

PROCESSES = 3
_names = itertools.count()

processes, costs = st.integers(0, PROCESSES - 1), st.sampled_from([1, 1, 1, 2, 3, 7])
# A request that completes before anything else happens, and one that waits.
requests = st.tuples(st.just("request"), processes, costs)
sends = st.tuples(st.just("send"), processes, costs)
proceeds = st.tuples(st.just("proceed"), st.integers(0, 9), st.just(0))
refunds = st.tuples(st.just("refund"), st.integers(0, 9), st.just(0))
cancels = st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0))
# Sums of powers of two, so that the ends of windows are exact.
advances = st.tuples(
    st.just("advance"), st.just(0), st.sampled_from([0.5, 0.75, 1, 5, 14.5, 15, 45, 60, 240])
)
mostly_requests = [requests, requests, requests, sends, proceeds, proceeds]


class Store:
    """Runs scripts with the time at which Redis runs them, as its own clock would be read."""

    def __init__(self, uri, clock):
        self._store, self._clock = redis_store(uri), clock
        self.breaker = self._store.breaker

    def run(self, script, key, *args):
        def run_now():
            values = (repr(self._clock()), *args[1:]) if script is HIT else args
            return self._store._run(script, key, values)

        return (yield Wait(sync=run_now, aio=None))


class Process:
    """A process with leases of its own, and what it let pass."""

    def __init__(self, uri, name, share, clock):
        self._clock = clock
        self._counter = LeasedCounter(RedisCounter(Store(uri, clock), name), share, clock=clock)
        # Time, cost and decision of each request that passed.
        self.passed = []

    def send(self, rate, cost):
        """Run one request; it yields before and after each wait. Return the decision."""
        flow, result = self._counter.hit(rate, "a", cost), None
        counted_at = self._clock()
        while True:
            try:
                wait = flow.send(result)
            except StopIteration as stop:
                decision = stop.value
                break
            yield
            counted_at, result = self._clock(), wait.sync()
            yield
        if decision.allowed:
            # The process decides itself if it does not wait, or after a rejection by the server.
            by_server = result is not None and decision.now == counted_at
            self.passed.append((counted_at if by_server else self._clock(), cost, decision))
        return decision

    def refund(self, rate, charge):
        """Refund a request that passed."""
        self.passed.remove(charge)
        flow = self._counter.refund(rate, "a", charge[1], charge[2].now)
        for wait in flow:
            wait.sync()


class Simulation:
    """Requests of several processes, and the actions of a script.

    Attributes:
        decisions: Each decision, with the cost of its request and the costs in flight then.
    """

    def __init__(self, processes, rate, clock):
        self._processes, self._rate, self._clock = processes, rate, clock
        self._flights = []
        self.decisions = []

    def send(self, number, cost):
        """Send a request, up to its first wait."""
        flight = self._processes[number % len(self._processes)].send(self._rate, cost), cost
        self._flights.append(flight)
        self._proceed(flight)
        return flight

    def request(self, number, cost):
        """Send a request, and complete it before anything else happens."""
        flight = self.send(number, cost)
        while flight in self._flights:
            self._proceed(flight)

    def proceed(self, number, _):
        """Let Redis run the script of a request, or its process get the reply."""
        if self._flights:
            self._proceed(self._flights[number % len(self._flights)])

    def _proceed(self, flight):
        try:
            next(flight[0])
        except StopIteration as stop:
            self._flights.remove(flight)
            in_flight = sum(cost for _, cost in self._flights)
            self.decisions.append((stop.value, flight[1], in_flight))

    def cancel(self, number, _):
        """Cancel a request."""
        if self._flights:
            self._flights.pop(number % len(self._flights))[0].close()

    def refund(self, number, _):
        """Refund a request that passed."""
        process = self._processes[number % len(self._processes)]
        if process.passed:
            process.refund(self._rate, process.passed[number % len(process.passed)])

    def advance(self, _, seconds):
        """Let time pass."""
        self._clock.advance(seconds)


def run(script, processes, rate, clock):
    """Run *script* and return `Simulation.decisions`."""
    simulation = Simulation(processes, rate, clock)
    for action, number, value in script:
        getattr(simulation, action)(number, value)
    return simulation.decisions


@pytest.fixture
def make_processes(redis_server):
    def make(share, clock, count=PROCESSES):
        name = f"leases{next(_names)}"
        return [Process(redis_server.uri, name, share, clock) for _ in range(count)]

    return make


unhurried = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@unhurried
@given(
    st.lists(st.one_of(*mostly_requests, advances, refunds, cancels), max_size=80),
    st.sampled_from([0.1, 0.25, 0.5]),
)
def test_leases_never_exceed_the_amount_in_any_period(make_processes, script, share):
    """Of a moving window and a longer one."""
    clock, rate = FakeClock(1_700_000_000.0), Rate.parse("20/minute; 50/5 minutes", "moving")
    processes = make_processes(share, clock)
    run(script, processes, rate, clock)
    passed = [charge for process in processes for charge in process.passed]

    for window in rate.windows:
        for end, _, _ in passed:
            period = [cost for passed_at, cost, _ in passed if end - window.span < passed_at <= end]
            assert sum(period) <= window.amount


def make_requests(process, count):
    return [("request", process, 1)] * count


@unhurried
@given(
    st.lists(st.one_of(*mostly_requests, advances, refunds, cancels), max_size=80),
    st.sampled_from([0.1, 0.25, 0.5]),
)
# A process returns a block of the last minute while others have charged this one.
@example(
    script=[
        *(step for process in range(2) for step in make_requests(process, 2)),
        ("advance", 0, 60),
        *(step for process in (1, 0, 1, 0) for step in make_requests(process, 10)),
    ],
    share=0.5,
)
def test_leases_never_exceed_the_amount_of_a_fixed_window(make_processes, script, share):
    """Every request passes within the window that it was charged to."""
    clock, rate = FakeClock(1_700_000_000.0), Rate.parse("20/minute; 50/5 minutes")
    processes = make_processes(share, clock)
    run(script, processes, rate, clock)
    passed = [charge for process in processes for charge in process.passed]

    for index, window in enumerate(rate.windows):
        costs = {}
        for passed_at, cost, decision in passed:
            start = decision.state[2 * index]
            costs.setdefault(start, []).append(cost)
            assert start <= passed_at < start + window.span
        assert all(sum(window_costs) <= window.amount for window_costs in costs.values())


@unhurried
@given(
    st.lists(st.one_of(*mostly_requests), min_size=20, max_size=80),
    st.sampled_from([0.1, 0.25]),
    st.integers(1, PROCESSES),
)
# Two requests of one process wait at once.
@example(
    script=[
        *make_requests(0, 1),
        *[("send", 0, 1)] * 2,
        *[("proceed", 0, 0)] * 2,
        *[("proceed", 0, 0)] * 2,
        *make_requests(0, 20),
    ],
    share=0.25,
    count=1,
)
def test_leases_withhold_at_most_a_block_per_process(make_processes, script, share, count):
    """When a request is rejected, the rest of the amount has passed or is in flight."""
    clock, rate = FakeClock(1_700_000_000.0), Rate.parse("20/minute")
    processes = make_processes(share, clock, count)
    passed = 0
    for decision, cost, in_flight in run(script, processes, rate, clock):
        if decision.allowed:
            passed += cost
        else:
            assert passed + in_flight + cost > 20 - count * int(20 * share)


@unhurried
@given(st.lists(st.one_of(*mostly_requests, advances), max_size=80))
def test_leases_are_returned_to_a_longer_window(make_processes, script):
    """A lease that ends with the minute withholds nothing from the hour, beyond one block per process."""
    clock, rate = FakeClock(1_700_000_000.0), Rate.parse("20/minute; 40/hour")
    processes = make_processes(0.25, clock)
    passed = 0
    for decision, cost, in_flight in run(script, processes, rate, clock):
        if decision.allowed:
            passed += cost
        elif decision.binding_window == 0:
            assert passed + in_flight + cost > 40 - PROCESSES * 5
