"""Windows, against a plain counter."""

from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate.layers.windows import Windows, parse_windows
from modelgate.testing import Clock

UNITS = {"second": 1, "minute": 60, "hour": 3600}
sizes = st.tuples(st.integers(1, 5), st.integers(1, 3), st.sampled_from(list(UNITS)))
steps = st.tuples(
    st.sampled_from("abc"), st.sampled_from([0, 0, 0, 0.5, 1, 2, 30, 59, 60, 61, 180, 3600, -1, -100])
)


class Plain:
    """The same rules, written down as they are said: no order, no memory to bound, no lock."""

    def __init__(self, told):
        self.windows = [(amount, count * UNITS[unit]) for amount, count, unit in told]
        self.state = {}

    def hit(self, caller, now):
        state = self.state.setdefault(caller, [(now, 0)] * len(self.windows))
        for at, (_, length) in enumerate(self.windows):
            if not 0 <= now - state[at][0] < length:
                state[at] = (now, 0)
        full = [
            state[at][0] + length
            for at, (amount, length) in enumerate(self.windows)
            if state[at][1] >= amount
        ]
        if full:
            return False, 0, max(full)
        state[:] = [(begun, passed + 1) for begun, passed in state]
        left = min(amount - passed for (amount, _), (_, passed) in zip(self.windows, state, strict=True))
        ends = {
            begun + length
            for (amount, length), (begun, passed) in zip(self.windows, state, strict=True)
            if amount - passed == left
        }
        return True, left, ends


@settings(deadline=None, max_examples=300)
@given(st.lists(sizes, min_size=1, max_size=3), st.lists(steps, max_size=40))
def test_windows_agree_with_a_plain_counter(told, script):
    """For any windows, callers and steps of the clock, also backwards."""
    clock = Clock(10_000.0)
    rate = "; ".join(f"{amount} per {count} {unit}" for amount, count, unit in told)
    windows, plain = Windows(parse_windows(rate), clock=clock), Plain(told)
    for caller, step in script:
        clock.advance(step)
        passes, state = windows.hit(caller)
        expected, left, ends = plain.hit(caller, clock())

        assert (expected, left) == (passes, state.remaining)
        assert state.reset in ends if passes else state.reset == ends


@settings(deadline=None, max_examples=100)
@given(st.lists(sizes, min_size=1, max_size=3), st.integers(1, 100), st.sampled_from([0, 0.25, 1, 7, 60]))
def test_no_more_pass_in_a_window_than_allowed(told, requests, step):
    """In the first length of each window at most its amount passes."""
    clock = Clock(0.0)
    rate = "; ".join(f"{amount} per {count} {unit}" for amount, count, unit in told)
    windows, passed = Windows(parse_windows(rate), clock=clock), []
    for _ in range(requests):
        if windows.hit("a")[0]:
            passed.append(clock())
        clock.advance(step)

    for amount, count, unit in told:
        assert amount >= sum(at < count * UNITS[unit] for at in passed)
