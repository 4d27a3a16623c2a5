"""Limiters compared with a simple counter that stores every charge, with a fake clock."""

import itertools
import math

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modelgate import drive
from modelgate.limiting import MemoryLimiter, Rate, RateLimitDecision, create_limiter
from modelgate.testing import FakeClock

UNITS = {"second": 1, "minute": 60, "hour": 3600}
strategies = st.sampled_from(["fixed", "sliding", "moving"])
sizes = st.tuples(st.integers(1, 5), st.integers(1, 3), st.sampled_from(list(UNITS)))
rates = st.lists(sizes, min_size=1, max_size=3)
# Sums of powers of two, so that the ends of windows are exact. Negative values set the clock back.
advances = st.sampled_from([0, 0, 0, 0.125, 0.5, 1, 2, 7.5, 30, 59, 60, 61, 75, 180, 3600, -1, -100])
steps = st.tuples(st.sampled_from("abc"), st.sampled_from([1, 1, 1, 2, 3, 5]), advances, st.booleans())


def format_rate(sizes):
    return "; ".join(f"{amount} per {count} {unit}" for amount, count, unit in sizes)


class PlainWindow:
    """Reference implementation: a list of charges with the numbers of their steps."""

    def __init__(self, strategy, amount, span):
        self.strategy, self.amount, self.span = strategy, amount, span
        self.steps = {"fixed": 1, "sliding": 2, "moving": 5}[strategy]
        self.length = span / 4 if strategy == "moving" else span
        self.number, self.step_start, self.charges = 0, 0, []

    def advance(self, now):
        """Advance to *now*, and discard charges that are no longer counted."""
        elapsed = int((now - self.step_start) // self.length) if now > self.step_start else 0
        self.number += elapsed
        self.step_start = min(now, self.step_start + elapsed * self.length)
        self.charges = [charge for charge in self.charges if self.number - charge[0] < self.steps]
        if not self.charges:
            self.step_start = now

    def available(self, now):
        current = sum(cost for number, cost in self.charges if number == self.number)
        previous = sum(cost for number, cost in self.charges if number != self.number)
        if self.strategy == "sliding":
            previous = int(previous * (1 - (now - self.step_start) / self.span))
        return self.amount - current - previous


class PlainLimiter:
    """Reference implementation: test all windows, then charge all of them."""

    def __init__(self, sizes, strategy):
        spans = [(amount, count * UNITS[unit]) for amount, count, unit in sizes]
        # Longest first, as in the limiter.
        self.sizes = sorted(spans, key=lambda size: -size[1])
        self.strategy, self.windows = strategy, {}

    def hit(self, caller, cost, now):
        windows = self.windows.setdefault(
            caller, [PlainWindow(self.strategy, amount, span) for amount, span in self.sizes]
        )
        for window in windows:
            window.advance(now)
        available = [window.available(now) for window in windows]
        allowed = cost <= min(available)
        for window in windows if allowed else ():
            window.charges.append((window.number, cost))
        return allowed, available

    def refund(self, caller, cost, numbers):
        """Remove the charge in the steps with these *numbers* from the windows that still count it."""
        for window, number in zip(self.windows[caller], numbers, strict=True):
            if (number, cost) in window.charges:
                window.charges.remove((number, cost))

    def step_numbers(self, caller):
        return [window.number for window in self.windows[caller]]


@settings(max_examples=400)
@given(strategies, rates, st.lists(steps, max_size=40))
def test_memory_limiter_agrees_with_plain_limiter(strategy, sizes, script):
    """Also when the clock is set back."""
    clock, rate = FakeClock(10_000.0), Rate.parse(format_rate(sizes), strategy)
    limiter, plain = MemoryLimiter(rate, clock=clock), PlainLimiter(sizes, strategy)
    for caller, cost, seconds, _ in script:
        clock.advance(seconds)
        decision = limiter.hit(rate, caller, cost)

        assert plain.hit(caller, cost, clock()) == (decision.allowed, decision.available)


@settings(max_examples=200)
@given(strategies, rates, st.lists(steps, max_size=30))
def test_refund_undoes_a_charge(strategy, sizes, script):
    """If it is still counted, and the clock is never set back."""
    clock, rate = FakeClock(10_000.0), Rate.parse(format_rate(sizes), strategy)
    limiter, plain, charges = MemoryLimiter(rate, clock=clock), PlainLimiter(sizes, strategy), []
    for caller, cost, seconds, refund in script:
        clock.advance(abs(seconds))
        if refund and charges:
            charged, charged_caller, charged_cost, numbers = charges.pop()
            limiter.refund(rate, charged_caller, charged_cost, charged.now)
            plain.refund(charged_caller, charged_cost, numbers)
        decision = limiter.hit(rate, caller, cost)

        assert plain.hit(caller, cost, clock()) == (decision.allowed, decision.available)
        if decision.allowed:
            charges.append((decision, caller, cost, plain.step_numbers(caller)))


@settings(max_examples=200)
@given(strategies, rates, st.lists(steps, max_size=40))
def test_rejected_request_passes_after_retry_after(strategy, sizes, script):
    """If its cost can pass at all."""
    clock, rate = FakeClock(10_000.0), Rate.parse(format_rate(sizes), strategy)
    limiter = MemoryLimiter(rate, clock=clock)
    for _, cost, seconds, _ in script:
        clock.advance(abs(seconds))
        decision = limiter.hit(rate, "a", cost)
        if not decision.allowed and cost <= rate.capacity:
            assert 1 <= decision.retry_after <= math.ceil(rate.retention)
            clock.advance(decision.retry_after)
            assert limiter.hit(rate, "a", cost).allowed


@settings(max_examples=200)
@given(
    sizes, st.lists(st.tuples(st.integers(1, 3), st.sampled_from([0, 0.125, 1, 7, 30, 60, 67])), max_size=60)
)
def test_moving_window_limits_every_period(size, script):
    """It never lets more pass than its amount, and rejects nothing because of charges past its retention."""
    clock, rate = FakeClock(0.0), Rate.parse(format_rate([size]), "moving")
    limiter, charges, window = MemoryLimiter(rate, clock=clock), [], rate.windows[0]

    def cost_since(start):
        return sum(cost for cost, charged_at in charges if charged_at > start)

    for cost, seconds in script:
        clock.advance(seconds)
        if limiter.hit(rate, "a", cost).allowed:
            charges.append((cost, clock()))
            assert cost_since(clock() - window.span) <= window.amount
        else:
            assert cost_since(clock() - window.retention) + cost > window.amount


@settings(max_examples=100)
@given(rates, st.integers(1, 100), st.sampled_from([0, 0.25, 1, 7, 60]))
def test_fixed_window_limits_its_first_period(sizes, requests, step):
    clock, rate = FakeClock(0.0), Rate.parse(format_rate(sizes))
    limiter, passed_at = MemoryLimiter(rate, clock=clock), []
    for _ in range(requests):
        if limiter.hit(rate, "a").allowed:
            passed_at.append(clock())
        clock.advance(step)

    for amount, count, unit in sizes:
        assert amount >= sum(time < count * UNITS[unit] for time in passed_at)


_names = itertools.count()


def hit(limiter, rate, caller, cost):
    decision = limiter.hit(rate, caller, cost)
    return decision if isinstance(decision, RateLimitDecision) else drive(decision)


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(windows=rates, script=st.lists(steps, max_size=25))
# A rejection after the clock was set back moves the start of the window too.
@example(windows=[(2, 1, "hour")], script=[("a", 1, 0, False), ("a", 2, -1, False), ("a", 1, 1, False)])
def test_redis_limiter_agrees_with_memory_limiter(redis_server, strategy, windows, script):
    """Decisions, times and refunds are the same."""
    clock, rate = FakeClock(1_700_000_000.0), Rate.parse(format_rate(windows), strategy)
    memory = MemoryLimiter(rate, clock=clock)
    options = {"clock": clock, "processes": 1, "closed": False}
    redis = create_limiter(rate, redis_server.uri, name=f"property{next(_names)}", **options)
    for caller, cost, seconds, refund in script:
        clock.advance(seconds)
        expected, decision = memory.hit(rate, caller, cost), hit(redis, rate, caller, cost)

        assert (expected.allowed, expected.available) == (decision.allowed, decision.available)
        assert expected.retry_after == decision.retry_after
        if expected.allowed:
            assert expected == decision
        if refund and expected.allowed:
            clock.advance(abs(seconds))
            memory.refund(rate, caller, cost, expected.now)
            drive(redis.refund(rate, caller, cost, decision.now))
