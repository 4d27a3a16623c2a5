"""Rates, and the memory limiter."""

import threading

import pytest

from modelgate.errors import ConfigurationError
from modelgate.limiting import MemoryLimiter, Rate, RateLimitDecision, parse_windows
from modelgate.testing import FakeClock
from support.waiting import SOON


@pytest.fixture
def clock():
    return FakeClock(1000.0)


class RatedLimiter:
    """Limiter with the rate it counts."""

    def __init__(self, rate, clock, strategy="fixed", **options):
        self.rate = Rate.parse(rate, strategy)
        self.inner = MemoryLimiter(self.rate, clock=clock, **options)

    def hit(self, caller, cost=1):
        return self.inner.hit(self.rate, caller, cost)

    def passed(self, callers):
        return [self.hit(caller).allowed for caller in callers]


def summarize(decision):
    index = decision.binding_window
    return (
        decision.allowed,
        decision.rate.windows[index].amount,
        decision.remaining(index),
        decision.reset(index),
    )


def test_window_lets_its_amount_pass(clock):
    """The rejection has the time until the window ends."""
    limiter = RatedLimiter("2/minute", clock)

    assert (True, 2, 1, 1060.0) == summarize(limiter.hit("a"))
    clock.advance(10)
    assert (True, 2, 0, 1060.0) == summarize(limiter.hit("a"))
    assert (False, 2, 0, 1060.0) == summarize(limiter.hit("a"))


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_limiter_counts_callers_separately(clock, strategy):

    assert [True, True, False] == RatedLimiter("1/minute", clock, strategy).passed("aba")


def test_fixed_window_restarts_at_its_end(clock):
    limiter = RatedLimiter("1/minute", clock)
    limiter.hit("a")
    clock.now = 1059.999

    assert (False, 1, 0, 1060.0) == summarize(limiter.hit("a"))
    clock.now = 1060.0
    assert (True, 1, 0, 1120.0) == summarize(limiter.hit("a"))


def test_moving_window_discards_quarters(clock):
    """A charge is discarded once all of its quarter has left the window."""
    limiter = RatedLimiter("8/minute", clock, "moving")
    for _ in range(8):
        assert limiter.hit("a").allowed
        clock.advance(5)
    rejected = limiter.hit("a", 4)

    # Three passed in the first 15 seconds, and three more in the next 15.
    assert (False, 8, 0, 1090.0) == summarize(rejected)
    assert 50 == rejected.retry_after
    assert 1075.0 == limiter.hit("a").reset(0)


def test_sliding_window_weights_previous_window(clock):
    """Half a window later, half of the previous count remains."""
    limiter = RatedLimiter("10/minute", clock, "sliding")
    limiter.hit("a", 10)
    clock.advance(90)
    passed = limiter.hit("a", 5)

    assert (True, 0) == (passed.allowed, passed.remaining(0))
    rejected = limiter.hit("a")
    assert (False, 6) == (rejected.allowed, rejected.retry_after)


@pytest.mark.parametrize("rate", ["2/second; 3/minute", "3/minute; 2/second"])
def test_limiter_charges_all_windows(clock, rate):
    """The decision has the tightest window."""
    limiter = RatedLimiter(rate, clock)

    assert (True, 2, 1, 1001.0) == summarize(limiter.hit("a"))
    assert (True, 2, 0, 1001.0) == summarize(limiter.hit("a"))
    assert (False, 2, 0, 1001.0) == summarize(limiter.hit("a"))
    clock.advance(1)
    assert (True, 3, 0, 1060.0) == summarize(limiter.hit("a"))
    assert (False, 3, 0, 1060.0) == summarize(limiter.hit("a"))


def test_rejected_request_charges_no_window(clock):
    """Neither if the narrow window rejects it nor if the wide one does."""
    limiter, passed = RatedLimiter("1/second; 3/minute", clock), []
    for _ in range(5):
        passed.append(limiter.passed("a" * 10).count(True))
        clock.advance(1)

    assert [1, 1, 1, 0, 0] == passed


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_rejected_batch_charges_nothing(clock, strategy):
    """Of the costs 4, 7, 6 and 1, a limit of 10 lets 4 and 6 pass."""
    limiter = RatedLimiter("10/minute", clock, strategy)

    assert [True, False, True, False] == [limiter.hit("a", cost).allowed for cost in (4, 7, 6, 1)]


def test_rejection_has_longest_wait_of_full_windows(clock):
    limiter = RatedLimiter("1/second; 1/minute", clock)
    limiter.hit("a")
    decision = limiter.hit("a")

    assert (False, 1060.0, 60) == (
        decision.allowed,
        decision.reset(decision.binding_window),
        decision.retry_after,
    )
    clock.now = 1060.0
    assert limiter.hit("a").allowed


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
@pytest.mark.parametrize("back", [0.001, 30, 3600])
def test_window_follows_clock_set_back(clock, strategy, back):
    """The window stays full, and nobody waits longer than twice its length."""
    limiter = RatedLimiter("1/minute", clock, strategy)
    limiter.hit("a")
    clock.advance(-back)
    decision = limiter.hit("a")

    assert not decision.allowed
    assert {"fixed": 60, "moving": 75, "sliding": 120}[strategy] >= decision.retry_after
    clock.advance(decision.retry_after)
    assert limiter.hit("a").allowed


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_refund_makes_room_once(clock, strategy):
    """Only while the charge is still counted."""
    limiter = RatedLimiter("3/minute", clock, strategy)
    charged = limiter.hit("a", 3)
    clock.advance(10)
    limiter.inner.refund(limiter.rate, "a", 3, charged.now)

    assert limiter.hit("a", 3).allowed
    clock.advance(121)
    assert limiter.hit("a", 2).allowed
    limiter.inner.refund(limiter.rate, "a", 2, charged.now)
    limiter.inner.refund(limiter.rate, "nobody", 2, charged.now)
    assert not limiter.hit("a", 2).allowed


def test_peek_charges_nothing(clock):
    """It creates no bucket either."""
    limiter = RatedLimiter("1/minute", clock)

    assert limiter.inner.peek("a") is None
    assert 0 == len(limiter.inner)
    limiter.hit("a")
    assert not limiter.inner.peek("a").allowed
    clock.advance(60)
    assert limiter.inner.peek("a").allowed


def test_limiter_counts_rates_separately(clock):
    """A share of a rate uses the bucket of the rate."""
    limiter, other = RatedLimiter("4/minute", clock), Rate.parse("2/minute")
    limiter.hit("a", 3)

    assert limiter.inner.hit(other, "a", 2).allowed
    assert not limiter.inner.hit(limiter.rate.share(2), "a").allowed
    assert limiter.hit("a").allowed


def test_share_lets_at_least_one_pass(clock):

    assert [1, 33] == [window.amount for window in Rate.parse("3/second; 100/minute").share(3).windows[::-1]]
    assert [1] == [window.amount for window in Rate.parse("3/second").share(9).windows]


def test_memory_limiter_discards_unused_buckets(clock):
    """A bucket in regular use is retained."""
    limiter = RatedLimiter("1/minute", clock, max_buckets=20)
    for index in range(11):
        limiter.hit(f"c{index}")
        limiter.hit("steady")
    limiter.hit("c1")
    for index in range(11, 19):
        limiter.hit(f"c{index}")
        limiter.hit("steady")

    assert [True, False, False] == [limiter.hit(caller).allowed for caller in ("c0", "c1", "steady")]


@pytest.mark.parametrize("max_buckets", [2, 50])
def test_memory_limiter_limits_number_of_buckets(clock, max_buckets):
    limiter = RatedLimiter("1/minute", clock, max_buckets=max_buckets)
    for index in range(1000):
        limiter.hit(f"c{index}")
        assert max_buckets >= len(limiter.inner)


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_memory_limiter_is_exact_with_64_threads(strategy):
    limiter = RatedLimiter("1000/hour; 700/day", FakeClock(), strategy)
    together, passed = threading.Barrier(64), []

    def ask():
        together.wait(SOON)
        passed.extend(limiter.passed("a" * 20))

    threads = [threading.Thread(target=ask) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

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
        ("7/120 months", [(7, 3600 * 86400)]),
    ],
)
def test_parse_windows_accepts_notation_of_limits(rate, sizes):

    assert sizes == [(window.amount, window.span) for window in parse_windows(rate)]


@pytest.mark.parametrize(
    ("rate", "fault"),
    [
        ("5 per fortnite", "'fortnite' is not a unit: use second, minute, hour, day, month, year"),
        ("5/121 months", "'5/121 months' is longer than 10 years"),
        ("0/minute", "'0/minute' allows no requests"),
        ("5/0 minutes", "'5/0 minutes' allows no requests"),
        ("", "'' is not a window"),
        (" ", "'' is not a window"),
        (";", "'' is not a window"),
        ("60", "'60' is not a window"),
        ("-1/minute", "'-1/minute' is not a window"),
        ("1.5/minute", "'1.5/minute' is not a window"),
        ("60/minute; 0/day", "'0/day' allows no requests"),
        ("60/minute; x", "'x' is not a window"),
        ("60/minute;", "'' is not a window"),
        (None, "'' is not a window"),
        (60, "'' is not a window"),
    ],
    ids=repr,
)
def test_parse_windows_rejects_invalid_rates(rate, fault):
    """The message has the value, its invalid part and an example."""
    with pytest.raises(ConfigurationError) as info:
        parse_windows(rate)

    expected = f'rate must be one or more windows such as "60/minute; 10000/day" (got {rate!r}): {fault}'
    assert expected == str(info.value)


def test_rate_text_is_independent_of_notation():
    """It is part of the names of storage keys, which must not change between releases."""
    for rate in ("60/minute; 10000/day", "10000 per day, 60 Per 1 Minutes"):
        assert "moving 10000 per 1 day; 60 per 1 minute" == Rate.parse(rate, "moving").text


@pytest.mark.parametrize(
    ("cost", "seconds"), [(1, 15), (2, 15), (3, 30), (5, 30), (6, 60), (7, 60), (8, 75), (9, 75)]
)
def test_moving_window_has_room_when_quarters_leave(cost, seconds):
    """The oldest quarter leaves 15 seconds after the current one began, the current one after 75 seconds."""
    window = parse_windows("8/minute", "moving")[0]

    assert 1000 + seconds == window.available_at(1000, window.pack_counts([1, 2, 0, 3, 2]), cost)
    assert 1015 == window.available_at(1000, window.pack_counts([7, 0, 0, 0, 1]), 1)


@pytest.mark.parametrize(
    ("counts", "cost", "seconds"),
    [
        ([0, 8], 4, 15),
        ([2, 8], 4, 30),
        ([6, 8], 4, 60),
        ([5, 4], 8, 96),
        ([5, 0], 10, 120),
        ([5, 4], 11, 120),
    ],
)
def test_sliding_window_has_room_when_weighted_count_falls(counts, cost, seconds):
    """First the weight of the previous step falls, and then that of the current step."""
    window = parse_windows("10/minute", "sliding")[0]

    assert 1000 + seconds == pytest.approx(window.available_at(1000, window.pack_counts(counts), cost))


@pytest.mark.parametrize(("strategy", "time"), [("fixed", 1060), ("sliding", 1060), ("moving", 1000)])
def test_empty_window_has_a_time_for_costs_above_its_amount(strategy, time):

    assert time == parse_windows("8/minute", strategy)[0].available_at(1000, 0, 9)


def test_window_advances_by_whole_steps():
    """The oldest counts are discarded. A rounded reset time is late enough for the next step."""
    window = parse_windows("8/minute", "moving")[0]
    counts = window.pack_counts([1, 1, 1, 1, 1])

    assert (1015, window.pack_counts([0, 1, 1, 1, 1])) == window.advance(1000, counts, 1029.9)
    assert (1030, window.pack_counts([0, 0, 1, 1, 1])) == window.advance(1000, counts, 1030 - 1e-9)
    assert (1060, window.pack_counts([0, 0, 0, 0, 1])) == window.advance(1000, counts, 1060)
    assert (1075, 0) == window.advance(1000, counts, 1075)


@pytest.mark.parametrize(
    ("cost", "time", "counts"),
    [
        (1, 1000, [0, 2, 3, 0, 0]),
        (1, 1010, [0, 2, 3, 0, 0]),
        (2, 1000, [1, 2, 3, 0, 0]),
        (2, 999, [1, 0, 3, 0, 0]),
        (1, 985, [1, 1, 3, 0, 0]),
        (3, 975, [1, 2, 0, 0, 0]),
        (1, 955, [1, 2, 3, 0, 0]),
        (1, 900, [1, 2, 3, 0, 0]),
    ],
)
def test_window_refunds_the_step_of_the_charge(cost, time, counts):
    """If the step, which began at 1000, 985, 970 or before, still contains the charge."""
    window = parse_windows("8/minute", "moving")[0]

    assert window.pack_counts(counts) == window.refund(1000, window.pack_counts([1, 2, 3, 0, 0]), cost, time)


@pytest.mark.parametrize(
    ("allowed", "cost", "available", "hour", "minute"),
    [
        (True, 1, [900, 6, 3], (5, 1440), (2, 1022.5)),
        (False, 5, [900, 5, 2], (5, 1440), (2, 1037.5)),
        (False, 11, [900, 5, -2], (5, 3240), (0, 1120)),
    ],
)
def test_decision_has_quota_of_each_window(allowed, cost, available, hour, minute):
    """A window that rejected the request has the time of room for its cost, others that of more room."""
    rate = Rate.parse("10/minute; 20/hour; 1000/day", "sliding")
    counts = [
        window.pack_counts(pair) for window, pair in zip(rate.windows, [(9, 0), (8, 10), (2, 8)], strict=True)
    ]
    state = (0, counts[0], 0, counts[1], 1000, counts[2])
    decision = RateLimitDecision(rate, allowed, available, state, now=1015, cost=cost)

    assert [hour, minute] == [decision.quota(1), decision.quota(2)]
    assert [hour, minute] == [(decision.remaining(index), decision.reset(index)) for index in (1, 2)]


@pytest.mark.parametrize(
    ("strategy", "counts", "usage"),
    [("fixed", [8], 8), ("sliding", [4, 4], 7), ("moving", [2, 2, 2, 1, 1], 8)],
)
def test_share_reads_counts_of_the_whole_window(strategy, counts, usage):
    window = parse_windows("9/minute", strategy)[0]

    assert usage == window.usage(window.pack_counts(counts), 15)
    assert usage == window.share(3).usage(window.pack_counts(counts), 15)


def test_rate_rejects_unknown_strategies():
    with pytest.raises(ConfigurationError, match="strategy must be one of fixed, sliding, moving"):
        Rate.parse("1/minute", "rolling")
