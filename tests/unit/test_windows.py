"""Rates, and counting against them in memory."""

import threading

import pytest

from modelgate.errors import ConfigurationError
from modelgate.limiting import MemoryLimiter, Rate, parse_windows
from modelgate.testing import Clock


@pytest.fixture
def clock():
    return Clock(1000.0)


class Counted:
    """A limiter and the rate it counts against."""

    def __init__(self, rate, clock, strategy="fixed", **options):
        self.rate = Rate.parse(rate, strategy)
        self.limiter = MemoryLimiter(self.rate, clock=clock, **options)

    def hit(self, caller, cost=1):
        return self.limiter.hit(self.rate, caller, cost)

    def passed(self, callers):
        return [self.hit(caller).passes for caller in callers]


def told(verdict):
    at = verdict.heeded
    return verdict.passes, verdict.rate.windows[at].amount, verdict.remaining(at), verdict.reset(at)


def test_a_window_lets_its_amount_pass(clock):
    """And counts down; the refusal says when the window ends."""
    counted = Counted("2/minute", clock)

    assert (True, 2, 1, 1060.0) == told(counted.hit("a"))
    clock.advance(10)
    assert (True, 2, 0, 1060.0) == told(counted.hit("a"))
    assert (False, 2, 0, 1060.0) == told(counted.hit("a"))


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_callers_are_counted_apart(clock, strategy):
    """One caller's requests are no other's."""

    assert [True, True, False] == Counted("1/minute", clock, strategy).passed("aba")


def test_a_window_begins_anew_at_its_edge(clock):
    """Not a moment before."""
    counted = Counted("1/minute", clock)
    counted.hit("a")
    clock.now = 1059.999

    assert (False, 1, 0, 1060.0) == told(counted.hit("a"))
    clock.now = 1060.0
    assert (True, 1, 0, 1120.0) == told(counted.hit("a"))


def test_a_moving_window_forgets_by_quarters(clock):
    """What passed first is forgotten when all of its quarter is older than the window."""
    counted = Counted("8/minute", clock, "moving")
    for _ in range(8):
        assert counted.hit("a").passes
        clock.advance(5)
    refused = counted.hit("a", 4)

    # Three passed in the first 15 seconds, and three more before the second were over.
    assert (False, 8, 0, 1090.0) == told(refused)
    assert 50 == refused.retry_after
    assert 1075.0 == counted.hit("a").reset(0)


def test_a_sliding_window_weighs_the_one_before(clock):
    """Half a window on, half of what passed in the one before is still counted."""
    counted = Counted("10/minute", clock, "sliding")
    counted.hit("a", 10)
    clock.advance(90)
    passed = counted.hit("a", 5)

    assert (True, 0) == (passed.passes, passed.remaining(0))
    refused = counted.hit("a")
    assert (False, 6) == (refused.passes, refused.retry_after)


@pytest.mark.parametrize("rate", ["2/second; 3/minute", "3/minute; 2/second"])
def test_several_windows_are_charged_together(clock, rate):
    """A request counts in each of them, and the tightest is told."""
    counted = Counted(rate, clock)

    assert (True, 2, 1, 1001.0) == told(counted.hit("a"))
    assert (True, 2, 0, 1001.0) == told(counted.hit("a"))
    assert (False, 2, 0, 1001.0) == told(counted.hit("a"))
    clock.advance(1)
    assert (True, 3, 0, 1060.0) == told(counted.hit("a"))
    assert (False, 3, 0, 1060.0) == told(counted.hit("a"))


def test_a_refused_request_charges_no_window(clock):
    """What the narrow window refuses costs nothing in the wide one, nor the other way round."""
    counted, passed = Counted("1/second; 3/minute", clock), []
    for _ in range(5):
        passed.append(counted.passed("a" * 10).count(True))
        clock.advance(1)

    assert [1, 1, 1, 0, 0] == passed


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_a_refused_batch_charges_nothing(clock, strategy):
    """Of costs 4, 7, 6 and 1 a limit of 10 lets 4 and 6 pass."""
    counted = Counted("10/minute", clock, strategy)

    assert [True, False, True, False] == [counted.hit("a", cost).passes for cost in (4, 7, 6, 1)]


def test_where_several_windows_are_full_the_longest_wait_is_told(clock):
    """A caller who waits so long passes."""
    counted = Counted("1/second; 1/minute", clock)
    counted.hit("a")
    verdict = counted.hit("a")

    assert (False, 1060.0, 60) == (verdict.passes, verdict.reset(verdict.heeded), verdict.retry_after)
    clock.now = 1060.0
    assert counted.hit("a").passes


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
@pytest.mark.parametrize("back", [0.001, 30, 3600])
def test_a_clock_set_back_neither_frees_nor_shuts_for_longer(clock, strategy, back):
    """The window goes back with it: it is full still, and nobody waits for longer than twice its length."""
    counted = Counted("1/minute", clock, strategy)
    counted.hit("a")
    clock.advance(-back)
    verdict = counted.hit("a")

    assert not verdict.passes
    assert {"fixed": 60, "moving": 75, "sliding": 120}[strategy] >= verdict.retry_after
    clock.advance(verdict.retry_after)
    assert counted.hit("a").passes


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_what_is_given_back_is_free_again(clock, strategy):
    """Once, and only while it is counted."""
    counted = Counted("3/minute", clock, strategy)
    charged = counted.hit("a", 3)
    clock.advance(10)
    counted.limiter.give_back(counted.rate, "a", 3, charged.now)

    assert counted.hit("a", 3).passes
    clock.advance(121)
    assert counted.hit("a", 2).passes
    counted.limiter.give_back(counted.rate, "a", 2, charged.now)
    counted.limiter.give_back(counted.rate, "nobody", 2, charged.now)
    assert not counted.hit("a", 2).passes


def test_to_peek_charges_nothing(clock):
    """And of whom nothing is counted, nothing is kept."""
    counted = Counted("1/minute", clock)

    assert counted.limiter.peek("a") is None
    assert 0 == len(counted.limiter)
    counted.hit("a")
    assert not counted.limiter.peek("a").passes
    clock.advance(60)
    assert counted.limiter.peek("a").passes


def test_rates_are_counted_apart(clock):
    """Whoever has two rates has a bucket for each; a share goes on with the bucket of its whole."""
    counted, other = Counted("4/minute", clock), Rate.parse("2/minute")
    counted.hit("a", 3)

    assert counted.limiter.hit(other, "a", 2).passes
    assert not counted.limiter.hit(counted.rate.share(2), "a").passes
    assert counted.hit("a").passes


def test_a_share_lets_at_least_one_pass(clock):
    """However many processes there are."""

    assert [1, 33] == [window.amount for window in Rate.parse("3/second; 100/minute").share(3).windows[::-1]]
    assert [1] == [window.amount for window in Rate.parse("3/second").share(9).windows]


def test_who_has_not_asked_for_long_is_forgotten(clock):
    """When so many others have asked since; who goes on asking never is."""
    counted = Counted("1/minute", clock, max_buckets=20)
    for at in range(11):
        counted.hit(f"c{at}")
        counted.hit("steady")
    counted.hit("c1")
    for at in range(11, 19):
        counted.hit(f"c{at}")
        counted.hit("steady")

    assert [True, False, False] == [counted.hit(caller).passes for caller in ("c0", "c1", "steady")]


@pytest.mark.parametrize("max_buckets", [2, 50])
def test_memory_is_bounded_by_many_callers(clock, max_buckets):
    """However many callers come, no more are kept."""
    counted = Counted("1/minute", clock, max_buckets=max_buckets)
    for at in range(1000):
        counted.hit(f"c{at}")
        assert max_buckets >= len(counted.limiter)


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_64_threads_pass_exactly_as_often_as_allowed(strategy):
    """Testing and charging are one step."""
    counted = Counted("1000/hour; 700/day", Clock(), strategy)
    together, passed = threading.Barrier(64), []

    def ask():
        together.wait(20)
        passed.extend(counted.passed("a" * 20))

    threads = [threading.Thread(target=ask) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert (700, 64 * 20) == (passed.count(True), len(passed))


@pytest.mark.parametrize(
    ("rate", "sizes"),
    [
        ("60/minute", [(60, 60)]),
        ("60 per minute", [(60, 60)]),
        ("5 per 2 minutes", [(5, 120)]),
        ("60/minute; 10000/day", [(10000, 86400), (60, 60)]),
        ("60/Minute, 10000/DAY", [(10000, 86400), (60, 60)]),
        (" 1/second|2/hour ", [(2, 3600), (1, 1)]),
        ("7/month", [(7, 30 * 86400)]),
    ],
)
def test_rates_are_read(rate, sizes):
    """In the notation of the library `limits`."""

    assert sizes == [(window.amount, window.span) for window in parse_windows(rate)]


@pytest.mark.parametrize(
    ("rate", "fault"),
    [
        ("5 per fortnite", "'fortnite' is no unit"),
        ("0/minute", "'0/minute' lets nobody pass"),
        ("5/0 minutes", "'5/0 minutes' lets nobody pass"),
        ("", "'' is no window"),
        (" ", "'' is no window"),
        (";", "'' is no window"),
        ("60", "'60' is no window"),
        ("-1/minute", "'-1/minute' is no window"),
        ("1.5/minute", "'1.5/minute' is no window"),
        ("60/minute; 0/day", "'0/day' lets nobody pass"),
        ("60/minute; x", "'x' is no window"),
        ("60/minute;", "'' is no window"),
        (None, "'' is no window"),
        (60, "'' is no window"),
    ],
    ids=repr,
)
def test_what_is_no_rate_is_refused(rate, fault):
    """The message shows what was given, which part of it is at fault, and an example."""
    with pytest.raises(ConfigurationError) as info:
        parse_windows(rate)

    assert f"rate={rate!r}: {fault}" in str(info.value)
    assert '"60/minute; 10000/day"' in str(info.value)


def test_what_is_no_strategy_is_refused():
    """The message names those there are."""
    with pytest.raises(ConfigurationError, match="accepts fixed, sliding, moving"):
        Rate.parse("1/minute", "rolling")
