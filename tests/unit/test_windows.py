"""Windows of time."""

import threading

import pytest

from modelgate.errors import ConfigurationError
from modelgate.layers.windows import Windows, parse_windows
from modelgate.testing import Clock


@pytest.fixture
def clock():
    return Clock(1000.0)


def windows(rate, clock, **options):
    return Windows(parse_windows(rate), clock=clock, **options)


def told(outcome):
    passes, state = outcome
    return passes, state.window.amount, state.remaining, state.reset


def test_a_window_lets_its_amount_pass():
    """And counts down; the refusal says when the window ends."""
    clock = Clock(1000.0)
    counted = windows("2/minute", clock)

    assert (True, 2, 1, 1060.0) == told(counted.hit("a"))
    clock.advance(10)
    assert (True, 2, 0, 1060.0) == told(counted.hit("a"))
    assert (False, 2, 0, 1060.0) == told(counted.hit("a"))


def test_callers_are_counted_apart(clock):
    """One caller's requests are no other's."""
    counted = windows("1/minute", clock)

    assert [True, True, False] == [counted.hit(caller)[0] for caller in "aba"]


def test_a_window_begins_anew_at_its_edge(clock):
    """Not a moment before."""
    counted = windows("1/minute", clock)
    counted.hit("a")
    clock.now = 1059.999

    assert (False, 1, 0, 1060.0) == told(counted.hit("a"))
    clock.now = 1060.0
    assert (True, 1, 0, 1120.0) == told(counted.hit("a"))


@pytest.mark.parametrize("rate", ["2/second; 3/minute", "3/minute; 2/second"])
def test_several_windows_are_charged_together(clock, rate):
    """A request counts in each of them, and the tightest is told."""
    counted = windows(rate, clock)

    assert (True, 2, 1, 1001.0) == told(counted.hit("a"))
    assert (True, 2, 0, 1001.0) == told(counted.hit("a"))
    assert (False, 2, 0, 1001.0) == told(counted.hit("a"))
    clock.advance(1)
    assert (True, 3, 0, 1060.0) == told(counted.hit("a"))
    assert (False, 3, 0, 1060.0) == told(counted.hit("a"))


def test_a_refused_request_charges_no_window(clock):
    """What the narrow window refuses costs nothing in the wide one, nor the other way round."""
    counted = windows("1/second; 3/minute", clock)
    passed = []
    for _ in range(5):
        passed.append([counted.hit("a")[0] for _ in range(10)].count(True))
        clock.advance(1)

    assert [1, 1, 1, 0, 0] == passed


def test_where_several_windows_are_full_the_longest_wait_is_told(clock):
    """A caller who waits so long passes."""
    counted = windows("1/second; 1/minute", clock)
    counted.hit("a")
    passes, state = counted.hit("a")

    assert (False, 1060.0) == (passes, state.reset)
    clock.now = state.reset
    assert counted.hit("a")[0]


def test_a_clock_set_back_shuts_no_window_for_longer_than_it_lasts(clock):
    """An hour set back at once, a window of a minute begins anew."""
    counted = windows("1/minute", clock)
    counted.hit("a")
    clock.advance(-3600)

    assert (True, 1, 0, 1060.0 - 3600) == told(counted.hit("a"))
    assert not counted.hit("a")[0]


def test_a_clock_set_back_a_little_keeps_the_window(clock):
    """A window's own length is the longest wait there is."""
    counted = windows("1/minute", clock)
    clock.advance(30)
    counted.hit("a")
    clock.advance(-0.5)
    passes, state = counted.hit("a")

    assert passes or state.reset - clock() <= 60


def test_no_more_callers_are_remembered_than_allowed(clock):
    """Beyond, those whose windows opened first are forgotten, a tenth at once."""
    counted = windows("1/minute", clock, max_callers=20)
    for at in range(20):
        counted.hit(f"c{at}")
    counted.hit("new")

    assert 19 == len(counted._counts)
    assert [True, True, False] == [counted.hit(caller)[0] for caller in ("c0", "c1", "c19")]


def test_a_caller_whose_window_began_anew_is_recent(clock):
    """Forgetting goes by when the window opened, not by when the caller first came."""
    counted = windows("1/minute", clock, max_callers=10)
    for at in range(10):
        counted.hit(f"c{at}")
        clock.advance(1)
    clock.now = 1060.0
    counted.hit("c0")
    counted.hit("new")

    assert not counted.hit("c0")[0]
    assert counted.hit("c1")[0]


def test_memory_is_bounded_by_many_callers(clock):
    """However many callers come, no more are kept."""
    counted = windows("1/minute", clock, max_callers=50)
    for at in range(1000):
        counted.hit(f"c{at}")
        assert 50 >= len(counted._counts)


def test_64_threads_pass_exactly_as_often_as_allowed(clock):
    """Testing and charging are one step."""
    counted, together, passed = windows("1000/minute; 700/hour", clock), threading.Barrier(64), []

    def ask():
        together.wait(20)
        for _ in range(20):
            passed.append(counted.hit("a")[0])

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
        ("60/minute; 10000/day", [(60, 60), (10000, 86400)]),
        ("60/minute, 10000/day", [(60, 60), (10000, 86400)]),
        ("1/second", [(1, 1)]),
    ],
)
def test_rates_are_read(rate, sizes):
    """As the library `limits` writes them."""

    assert sizes == [(window.amount, window.get_expiry()) for window in parse_windows(rate)]


@pytest.mark.parametrize(
    "rate",
    [
        "5 per fortnite",
        "0/minute",
        "",
        " ",
        ";",
        "60",
        "minute",
        "-1/minute",
        "1.5/minute",
        "60/minute; 0/day",
        "60/minute; x",
        None,
        60,
    ],
    ids=repr,
)
def test_what_is_no_rate_is_refused(rate):
    """The message shows what was given, and an example."""
    with pytest.raises(ConfigurationError) as info:
        parse_windows(rate)

    assert f"rate={rate!r}" in str(info.value)
