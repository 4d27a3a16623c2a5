"""Limiters, against a plain counter that keeps every charge, on a clock turned by hand."""

import itertools
import math

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modelgate import drive
from modelgate.limiting import MemoryLimiter, Rate, Verdict, limiter
from modelgate.testing import Clock

UNITS = {"second": 1, "minute": 60, "hour": 3600}
strategies = st.sampled_from(["fixed", "sliding", "moving"])
sizes = st.tuples(st.integers(1, 5), st.integers(1, 3), st.sampled_from(list(UNITS)))
rates = st.lists(sizes, min_size=1, max_size=3)
# Fractions of two, so that the edges are exact; and backwards too.
turns = st.sampled_from([0, 0, 0, 0.125, 0.5, 1, 2, 7.5, 30, 59, 60, 61, 75, 180, 3600, -1, -100])
steps = st.tuples(st.sampled_from("abc"), st.sampled_from([1, 1, 1, 2, 3, 5]), turns, st.booleans())


def written(sizes):
    return "; ".join(f"{amount} per {count} {unit}" for amount, count, unit in sizes)


class PlainWindow:
    """The rules as they are said: a list of charges, each with the number of the step it fell in."""

    def __init__(self, strategy, amount, span):
        self.strategy, self.amount, self.span = strategy, amount, span
        self.steps = {"fixed": 1, "sliding": 2, "moving": 5}[strategy]
        self.length = span / 4 if strategy == "moving" else span
        self.number, self.begun, self.charges = 0, 0, []

    def turn(self, now):
        """Go on to *now*, and forget what is no longer counted."""
        passed = int((now - self.begun) // self.length) if now > self.begun else 0
        self.number += passed
        self.begun = min(now, self.begun + passed * self.length)
        self.charges = [charge for charge in self.charges if self.number - charge[0] < self.steps]
        if not self.charges:
            self.begun = now

    def free(self, now):
        current = sum(cost for number, cost in self.charges if number == self.number)
        before = sum(cost for number, cost in self.charges if number != self.number)
        if self.strategy == "sliding":
            before = int(before * (1 - (now - self.begun) / self.span))
        return self.amount - current - before


class Plain:
    """All windows tested, and then all charged."""

    def __init__(self, sizes, strategy):
        told = [(amount, count * UNITS[unit]) for amount, count, unit in sizes]
        # The longest first, as the limiter has them.
        self.told = sorted(told, key=lambda size: -size[1])
        self.strategy, self.windows = strategy, {}

    def hit(self, caller, cost, now):
        windows = self.windows.setdefault(
            caller, [PlainWindow(self.strategy, amount, span) for amount, span in self.told]
        )
        for window in windows:
            window.turn(now)
        free = [window.free(now) for window in windows]
        passes = cost <= min(free)
        for window in windows if passes else ():
            window.charges.append((window.number, cost))
        return passes, free

    def give_back(self, caller, cost, charged):
        """Take the charges numbered *charged* from the windows that still count them."""
        for window, number in zip(self.windows[caller], charged, strict=True):
            if (number, cost) in window.charges:
                window.charges.remove((number, cost))

    def numbers(self, caller):
        return [window.number for window in self.windows[caller]]


@settings(max_examples=400)
@given(strategies, rates, st.lists(steps, max_size=40))
def test_limiters_agree_with_a_plain_counter(strategy, told, script):
    """For any strategy, windows, callers, costs and turns of the clock, also backwards."""
    clock, rate = Clock(10_000.0), Rate.parse(written(told), strategy)
    counted, plain = MemoryLimiter(rate, clock=clock), Plain(told, strategy)
    for caller, cost, turn, _ in script:
        clock.advance(turn)
        verdict = counted.hit(rate, caller, cost)

        assert plain.hit(caller, cost, clock()) == (verdict.passes, verdict.free)


@settings(max_examples=200)
@given(strategies, rates, st.lists(steps, max_size=30))
def test_what_is_given_back_was_never_charged(strategy, told, script):
    """As far as it is still counted: the clock being turned forwards alone."""
    clock, rate = Clock(10_000.0), Rate.parse(written(told), strategy)
    counted, plain, charged = MemoryLimiter(rate, clock=clock), Plain(told, strategy), []
    for caller, cost, turn, back in script:
        clock.advance(abs(turn))
        if back and charged:
            verdict, who, paid, numbers = charged.pop()
            counted.give_back(rate, who, paid, verdict.now)
            plain.give_back(who, paid, numbers)
        verdict = counted.hit(rate, caller, cost)

        assert plain.hit(caller, cost, clock()) == (verdict.passes, verdict.free)
        if verdict.passes:
            charged.append((verdict, caller, cost, plain.numbers(caller)))


@settings(max_examples=200)
@given(strategies, rates, st.lists(steps, max_size=40))
def test_the_time_told_is_true(strategy, told, script):
    """What was refused passes when Retry-After is over, if it can pass at all; at least a second on."""
    clock, rate = Clock(10_000.0), Rate.parse(written(told), strategy)
    counted = MemoryLimiter(rate, clock=clock)
    for _, cost, turn, _ in script:
        clock.advance(abs(turn))
        verdict = counted.hit(rate, "a", cost)
        if not verdict.passes and cost <= rate.capacity:
            assert 1 <= verdict.retry_after <= math.ceil(rate.kept)
            clock.advance(verdict.retry_after)
            assert counted.hit(rate, "a", cost).passes


@settings(max_examples=200)
@given(
    sizes, st.lists(st.tuples(st.integers(1, 3), st.sampled_from([0, 0.125, 1, 7, 30, 60, 67])), max_size=60)
)
def test_a_moving_window_keeps_its_word(size, script):
    """No more than its amount in any span; and none refused for what is a quarter of a span older."""
    clock, rate = Clock(0.0), Rate.parse(written([size]), "moving")
    counted, log, window = MemoryLimiter(rate, clock=clock), [], rate.windows[0]

    def passed_since(when):
        return sum(cost for cost, at in log if at > when)

    for cost, turn in script:
        clock.advance(turn)
        if counted.hit(rate, "a", cost).passes:
            log.append((cost, clock()))
            assert passed_since(clock() - window.span) <= window.amount
        else:
            assert passed_since(clock() - window.kept) + cost > window.amount


@settings(max_examples=100)
@given(rates, st.integers(1, 100), st.sampled_from([0, 0.25, 1, 7, 60]))
def test_no_more_pass_in_a_fixed_window_than_allowed(told, requests, step):
    """In the first length of each window at most its amount passes."""
    clock, rate = Clock(0.0), Rate.parse(written(told))
    counted, passed = MemoryLimiter(rate, clock=clock), []
    for _ in range(requests):
        if counted.hit(rate, "a").passes:
            passed.append(clock())
        clock.advance(step)

    for amount, count, unit in told:
        assert amount >= sum(at < count * UNITS[unit] for at in passed)


_names = itertools.count()


def judged(limiter, rate, caller, cost):
    verdict = limiter.hit(rate, caller, cost)
    return verdict if isinstance(verdict, Verdict) else drive(verdict)


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=rates, script=st.lists(steps, max_size=25))
# What is refused while the clock is set back takes the window along.
@example(told=[(2, 1, "hour")], script=[("a", 1, 0, False), ("a", 2, -1, False), ("a", 1, 1, False)])
def test_redis_counts_as_memory_does(redis_server, strategy, told, script):
    """The same verdicts, with the same times, of charges and of what is given back."""
    clock, rate = Clock(1_700_000_000.0), Rate.parse(written(told), strategy)
    here = MemoryLimiter(rate, clock=clock)
    options = {"clock": clock, "processes": 1, "closed": False}
    there = limiter(rate, redis_server.uri, name=f"property{next(_names)}", **options)
    for caller, cost, turn, back in script:
        clock.advance(turn)
        expected, verdict = here.hit(rate, caller, cost), judged(there, rate, caller, cost)

        assert (expected.passes, expected.free) == (verdict.passes, verdict.free)
        assert expected.retry_after == verdict.retry_after
        if expected.passes:
            assert expected == verdict
        if back and expected.passes:
            clock.advance(abs(turn))
            here.give_back(rate, caller, cost, expected.now)
            drive(there.give_back(rate, caller, cost, verdict.now))
