"""Time limits of the tests. They only end a test that would hang: no test takes that long."""

import time

SOON = 300
"""Seconds that a test waits for a condition, also on a very busy machine."""


def wait_until(condition, interval=0.005):
    """Return as soon as *condition* returns a true value, and return that value. Call it every *interval* seconds."""
    until = time.monotonic() + SOON
    while not (value := condition()):
        assert time.monotonic() < until, f"not within {SOON} s"
        time.sleep(interval)
    return value
