"""Locks that garbage collection may find held by its own thread."""

import threading

import pytest

from modelgate import Admission, Concurrency, Metrics, drive
from modelgate.scoring.tally import Tally
from modelgate.testing import Inner, request
from waiting import SOON


def end_request(layer, asked):
    drive(layer(asked, Inner()))
    asked.close()


def end_call(tally, _):
    tally.timed("idle", 1, int)


KINDS = [
    (Metrics, end_request),
    (lambda: Admission(1), end_request),
    (lambda: Concurrency(1), end_request),
    (Tally, end_call),
]


@pytest.mark.parametrize(("make", "end"), KINDS, ids=["Metrics", "Admission", "Concurrency", "Tally"])
def test_a_request_may_end_while_its_thread_holds_the_lock(make, end):
    """The garbage collector runs in any thread, and closes the flow of a request that nobody awaits any more."""
    thing, asked, ended = make(), request(), threading.Event()

    def collect():
        with thing._lock:
            end(thing, asked)
        ended.set()

    threading.Thread(target=collect, daemon=True).start()

    assert ended.wait(SOON)
