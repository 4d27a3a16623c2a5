"""Threads that several models share."""

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelgate import Overloaded
from modelgate.flow.threads import MAX_WAITING, Threads
from modelgate.testing import Clock
from waiting import SOON, wait_until


class Calls:
    """Calls that wait until they may end, and the order in which they began."""

    def __init__(self):
        self.began, self.go_on, self._any = [], threading.Event(), threading.Semaphore(0)

    def one(self, name):
        def call():
            self.began.append(name)
            self._any.release()
            assert self.go_on.wait(SOON)
            return name

        return call

    def wait_for(self, count):
        for _ in range(count):
            assert self._any.acquire(timeout=SOON)


@pytest.fixture
def calls():
    calls = Calls()
    yield calls
    calls.go_on.set()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(0)
    monkeypatch.setattr("modelgate.flow.threads.time.monotonic", clock)
    return clock


def test_a_share_alone_has_all_threads(calls):
    """And never one more than there are."""
    share = Threads(3).share()
    futures = [share.submit(calls.one(at)) for at in range(5)]
    calls.wait_for(3)

    assert (3, 2) == (share.live, len(share.waiting))
    calls.go_on.set()
    assert [0, 1, 2, 3, 4] == [future.result(SOON) for future in futures]
    assert 0 == share.live


def test_one_of_several_has_half_of_the_threads(calls):
    """What hangs leaves the rest to the others."""
    threads = Threads(4)
    hangs, other = threads.share(), threads.share()
    for at in range(10):
        hangs.submit(calls.one(at))
    calls.wait_for(2)

    assert "answer" == other.submit(lambda: "answer").result(SOON)
    assert [0, 1] == sorted(calls.began)


def test_a_replaced_share_leaves_all_threads_to_the_others(calls):
    """It counts again once it serves again."""
    threads = Threads(4)
    old, new = threads.share(), threads.share()
    counts = [threads.most()]
    for serving in (False, True):
        old.set_serving(serving)
        counts.append(threads.most())

    assert [2, 4, 2] == counts
    assert "answer" == new.submit(lambda: "answer").result(SOON)


def test_a_batch_waits_for_one_large_table_at_most(calls):
    """One row is not scored after all large tables that came before it; and these are not starved."""
    share, order = Threads(1).share(), []
    first = share.submit(calls.one("first"))
    calls.wait_for(1)
    named = [("large", 5), ("large", 5), ("batch", 0), ("large", 5)]
    futures = [share.submit(lambda name=name: order.append(name), rows=rows) for name, rows in named]
    calls.go_on.set()
    for future in [first, *futures]:
        future.result(SOON)

    assert ["large", "batch", "large", "large"] == order


def test_calls_of_one_share_that_hang_take_no_place_of_another(calls, clock):
    """A slow call counts only for shares that have one: another thread calls what the others submit."""
    threads = Threads(2)
    hanging, fine = [threads.share() for _ in range(2)], threads.share()
    for at, share in enumerate(hanging):
        share.submit(calls.one(at))
    calls.wait_for(2)
    queued = [share.submit(lambda: "answer") for share in (*hanging, fine)]
    before = [future.done() for future in queued]
    clock.advance(1.1)
    last = fine.submit(lambda: "last")

    assert [False] * 3 == before
    assert ["answer", "last"] == [queued[2].result(SOON), last.result(SOON)]
    assert [False, False] == [future.done() for future in queued[:2]]
    assert [(1, 1), (1, 1)] == [(share.live, share.slow) for share in hanging]
    calls.go_on.set()
    assert ["answer", "answer"] == [future.result(SOON) for future in queued[:2]]
    assert [(0, 0)] * 3 == [(share.live, share.slow) for share in (*hanging, fine)]


def test_what_waits_begins_without_another_call(calls):
    """Nobody has to come or go for a slow call to give its place away, whether or not it has a patience."""
    for patience in (None, 600):
        threads = Threads(1, patience)
        hanging, fine = threads.share(), threads.share()
        hanging.submit(calls.one("hangs"))
        calls.wait_for(1)

        assert "answer" == fine.submit(lambda: "answer").result(SOON)


def test_shares_that_hang_together_take_one_place_after_the_other(calls, clock):
    """Each takes as many as one share may have, and no more threads start for it."""
    threads = Threads(4, patience=3)
    hanging, fine = [threads.share() for _ in range(12)], threads.share()
    for _ in range(5):
        for share in hanging:
            share.submit(calls.one("hangs"))
    answer = fine.submit(lambda: "answer")
    for _ in range(3):
        calls.wait_for(4)
        clock.advance(0.2)

    assert "answer" == answer.result(SOON)
    assert [1] * 12 == [share.live for share in hanging]


def test_shares_take_turns(calls):
    """Whoever has many calls waiting does not go before who has one."""
    threads = Threads(1)
    many, few, order = threads.share(), threads.share(), []
    first = many.submit(calls.one("first"))
    calls.wait_for(1)
    futures = [many.submit(lambda at=at: order.append(f"many {at}")) for at in range(3)]
    futures += [few.submit(lambda at=at: order.append(f"few {at}")) for at in range(2)]
    calls.go_on.set()
    for future in [first, *futures]:
        future.result(SOON)

    assert ["many 0", "few 0", "many 1", "few 1", "many 2"] == order


def test_what_is_cancelled_while_it_waits_is_not_called(calls):
    """Nor does it take anybody's turn."""
    share = Threads(1).share()
    share.submit(calls.one("first"))
    calls.wait_for(1)
    cancelled, last = share.submit(calls.one("cancelled")), share.submit(calls.one("last"))

    assert cancelled.cancel()
    calls.go_on.set()
    assert "last" == last.result(SOON)
    assert ["first", "last"] == calls.began


def test_an_overdue_call_gives_its_place_away(calls, clock):
    """Another thread makes the next call; and what returns at last makes no place twice."""
    share = Threads(1, patience=5).share()
    hung = share.submit(calls.one("hung"))
    calls.wait_for(1)
    clock.advance(5.1)

    assert "answer" == share.submit(lambda: "answer").result(SOON)
    assert (0, 1) == (share.live, share.overdue)
    calls.go_on.set()
    assert "hung" == hung.result(SOON)
    assert (0, 0) == (share.live, share.overdue)


def test_too_many_overdue_calls_are_refused(calls, clock):
    """As many as may run at once: the others are served, and it is too once one has returned."""
    threads = Threads(4, patience=5)
    hangs, other = threads.share(), threads.share()
    futures = [hangs.submit(calls.one(at)) for at in range(2)]
    calls.wait_for(2)
    hangs.refuse_overdue()
    clock.advance(5.1)

    with pytest.raises(Overloaded):
        hangs.refuse_overdue()
    other.refuse_overdue()
    calls.go_on.set()
    for future in futures:
        future.result(SOON)
    hangs.refuse_overdue()


def test_a_call_that_is_wanted_now_waits_for_no_other(calls):
    """A thread waits for it: there are not more of them than callers."""
    share = Threads(1).share()
    share.submit(calls.one("first"))
    calls.wait_for(1)

    assert "now" == share.submit(lambda: "now", now=True).result(SOON)


def test_what_is_cancelled_while_it_waits_is_not_kept(calls):
    """Nor does it count as waiting; the others go on."""
    threads = Threads(1)
    share, other = threads.share(), threads.share()
    share.submit(calls.one("first"))
    calls.wait_for(1)
    cancelled = share.submit(calls.one("cancelled"), rows=5)
    told = [share.rows_waiting]
    cancelled.cancel()
    cancelled.cancel()
    told += [share.rows_waiting, len(share.waiting)]
    last = other.submit(lambda: "last")
    calls.go_on.set()

    assert [5, 0, 0] == told
    assert "last" == last.result(SOON)
    assert ["first"] == calls.began


def test_no_more_rows_wait_than_may(calls):
    """A call of more than may wait does so where no other does."""
    share = Threads(1).share()
    share.submit(calls.one("first"))
    calls.wait_for(1)
    waits = share.submit(calls.one("waits"), rows=MAX_WAITING + 1)

    with pytest.raises(Overloaded):
        share.submit(calls.one("refused"), rows=1)
    assert waits.cancel()
    accepted = share.submit(calls.one("accepted"), rows=1)
    calls.go_on.set()
    assert "accepted" == accepted.result(SOON)


def test_calls_that_run_for_nobody_do_not_multiply(calls):
    """As many as may run at once have the others queue until one of them ends."""
    share = Threads(2).share()
    for name in ("one", "two", "queued"):
        with pytest.raises(TimeoutError):
            share.result(calls.one(name), 0)
    calls.wait_for(2)

    assert (2, 2, 0) == (share.live, share.left, len(share.waiting))
    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(share.result, lambda: "answer", SOON)
        calls.go_on.set()
        assert "answer" == patient.result(SOON)
    wait_until(lambda: not share.live)  # the other of the two ends in its own time

    assert ["one", "two"] == sorted(calls.began)
    assert 0 == share.left


def test_an_overdue_call_no_longer_runs_for_nobody(calls, clock):
    """It is counted once."""
    share = Threads(1, patience=5).share()
    with pytest.raises(TimeoutError):
        share.result(calls.one("hung"), 0)
    calls.wait_for(1)
    clock.advance(5.1)

    with pytest.raises(Overloaded):
        share.refuse_overdue()
    assert (0, 0, 1) == (share.live, share.left, share.overdue)


def test_errors_are_told():
    """Whatever they are."""
    share = Threads(1).share()

    with pytest.raises(SystemExit):
        share.submit(sys.exit).result(SOON)
    assert 1 == share.submit(lambda: 1).result(SOON)


def test_nothing_called_is_kept():
    """When a call is over its rows are no longer in memory; nor are the threads of what is gone."""

    class Rows:
        pass

    threads, rows = Threads(1), Rows()
    gone = weakref.ref(rows)
    share = threads.share()
    share.submit(lambda rows=rows: None).result(SOON)
    del rows
    share.submit(lambda: None).result(SOON)
    gc.collect()
    begun = threads._begun
    del threads, share
    gc.collect()

    assert gone() is None
    assert begun.get(timeout=SOON) is None


HANGING = """
import threading
from modelgate.flow.threads import Threads
entered = threading.Event()
Threads(1).share().submit(lambda: (entered.set(), threading.Event().wait()))
assert entered.wait(300)
"""


def test_what_hangs_keeps_no_program_from_ending():
    """A server that is told to stop does."""

    assert 0 == subprocess.run([sys.executable, "-c", HANGING], timeout=SOON, check=False).returncode


AT_EXIT = """
import atexit
atexit.register(lambda: print(share.submit(lambda: "answer").result(300)))
from modelgate.flow.threads import Threads
share = Threads(1).share()
share.submit(int).result(300)
"""


def test_hooks_at_exit_are_answered():
    """Those too that were registered before there were threads, and so run last."""
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT], timeout=SOON, check=False, capture_output=True, text=True
    )

    assert ("answer\n", "") == (done.stdout, done.stderr)


class NoThread(threading.Thread):
    """One that the system does not give."""

    def start(self):
        raise RuntimeError("can't start new thread")


def test_where_the_system_gives_no_thread_a_call_is_refused(monkeypatch):
    """And nothing is kept of it: the next ones are made, once it gives some."""
    share, made = Threads(2, None).share(), []
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Thread", NoThread)
        for now in (False, True, False):
            with pytest.raises(Overloaded):
                share.submit(lambda: made.append("refused"), now=now)
    share.submit(lambda: made.append("served")).result(SOON)

    assert ["served"] == made
    assert (0, 0) == (share.live, len(share.waiting))


def test_where_the_system_gives_no_more_threads_calls_wait_for_those_there_are(monkeypatch):
    """The first that ends begins the next."""
    share, entered, go_on = Threads(2, None).share(), threading.Event(), threading.Event()

    def first():
        entered.set()
        assert go_on.wait(SOON)

    running = share.submit(first)
    assert entered.wait(SOON)
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Thread", NoThread)
        others = [share.submit(lambda at=at: at) for at in range(3)]
        go_on.set()
        running.result(SOON)

        assert [0, 1, 2] == [other.result(SOON) for other in others]
