"""What a forked child begins with."""

import gc
import subprocess
import sys

import pytest

from modelgate.flow import forks

SOON = 60

FORKED = """
import os, signal, sys
from modelgate import Admission, Concurrency, Metrics, RateLimit, drive
from modelgate.limiting import MemoryLimiter, Rate
from modelgate.limiting.breaker import Breaker
from modelgate.scoring.tally import Tally
from modelgate.testing import Inner, request
from modelgate.flow.threads import Threads

def hit(limiter):
    assert limiter.hit(rate, "a").passes

def fail(breaker):
    breaker.failed(OSError())

def ask(layer):
    drive(layer(request(), Inner()))

def refused(limit):
    try:
        [ask(limit) for _ in range(2)]
    except Exception as error:
        assert (error.status, limit.refused) == (429, 1)

rate = Rate.parse("9/day")
thing, use = {
    "MemoryLimiter": lambda: (MemoryLimiter(rate), hit),
    "Breaker": lambda: (Breaker("it"), fail),
    "RateLimit": lambda: (RateLimit("1/day"), refused),
    "Concurrency": lambda: (Concurrency(1), ask),
    "Admission": lambda: (Admission(1), ask),
    "Metrics": lambda: (Metrics(), ask),
    "Tally": lambda: (Tally(), lambda tally: tally.timed("idle", 1, int)),
    "Threads": lambda: (Threads(1), lambda threads: threads.share().submit(int).result(20)),
}[sys.argv[1]]()
flying = request()
if use is ask:
    drive(thing(flying, Inner()))
with thing._lock:
    child = os.fork()
    if child == 0:
        # An end by a signal, should the lock never be free.
        signal.alarm(20)
        try:
            use(thing)
            flying.close()
            flying.close()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

KINDS = ["MemoryLimiter", "Breaker", "RateLimit", "Concurrency", "Admission", "Metrics", "Tally", "Threads"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_that_was_held_is_free_in_a_child(kind):
    """Nothing is in flight there either; what was may still end there."""
    run = [sys.executable, "-W", "ignore", "-c", FORKED, kind]
    done = subprocess.run(run, timeout=SOON, check=False, capture_output=True, text=True)

    assert 0 == done.returncode, done.stderr


def test_a_child_makes_request_ids_of_its_own():
    """Though its parent's next one was as good as made."""
    forked = """
import os
from modelgate import RequestId, drive
from modelgate.testing import Inner, request

layer = RequestId()
os.fork()
os.write(1, drive(layer(request(), Inner())).header("x-request-id").encode() + b" ")
"""
    run = [sys.executable, "-W", "ignore", "-c", forked]
    made = subprocess.run(run, timeout=SOON, check=True, capture_output=True, text=True).stdout.split()

    assert 2 == len(set(made))


def test_what_is_gone_is_not_kept():
    """Nor renewed."""

    class Thing:
        def renew(self):
            self.renewed = True

    kept, gone = Thing(), Thing()
    gc.collect()
    before = len(forks._renewed)
    for thing in (kept, gone):
        forks.renew_in_child(thing, Thing.renew)
    del gone, thing
    gc.collect()
    forks._renew_all()

    assert kept.renewed
    assert before + 1 == len(forks._renewed)
