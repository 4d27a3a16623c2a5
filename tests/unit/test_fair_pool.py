"""Thread pool that several models quota."""

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelgate import Overloaded
from modelgate.flow.fair_pool import MAX_WAITING, FairThreadPool
from modelgate.testing import FakeClock
from support.waiting import SOON, wait_until


class Calls:
    """Calls that block until `may_end` is set, and the order in which they started."""

    def __init__(self):
        self.started, self.may_end, self._starts = [], threading.Event(), threading.Semaphore(0)

    def make(self, name):
        def call():
            self.started.append(name)
            self._starts.release()
            assert self.may_end.wait(SOON)
            return name

        return call

    def wait_for(self, count):
        for _ in range(count):
            assert self._starts.acquire(timeout=SOON)


@pytest.fixture
def calls():
    calls = Calls()
    yield calls
    calls.may_end.set()


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock(0)
    monkeypatch.setattr("modelgate.flow.fair_pool.time.monotonic", clock)
    return clock


def test_single_quota_uses_all_threads(calls):
    quota = FairThreadPool(3).share()
    futures = [quota.submit(calls.make(number)) for number in range(5)]
    calls.wait_for(3)

    assert (3, 2) == (quota.running, quota.waiting)
    calls.may_end.set()
    assert [0, 1, 2, 3, 4] == [future.result(SOON) for future in futures]
    assert 0 == quota.running


def test_each_of_several_quotas_uses_half_of_the_threads(calls):
    threads = FairThreadPool(4)
    hangs, other = threads.share(), threads.share()
    for number in range(10):
        hangs.submit(calls.make(number))
    calls.wait_for(2)

    assert "answer" == other.submit(lambda: "answer").result(SOON)
    assert [0, 1] == sorted(calls.started)


def test_replaced_quota_frees_its_threads(calls):
    """Until it serves again."""
    threads = FairThreadPool(4)
    old, new = threads.share(), threads.share()
    counts = [threads.max_running_per_quota()]
    for serving in (False, True):
        old.set_serving(serving)
        counts.append(threads.max_running_per_quota())

    assert [2, 4, 2] == counts
    assert "answer" == new.submit(lambda: "answer").result(SOON)


def test_small_and_large_calls_take_turns(calls):
    """If there is one thread, a small call waits for at most one large call, and large calls are not starved."""
    quota, order = FairThreadPool(1).share(), []
    first = quota.submit(calls.make("first"))
    calls.wait_for(1)
    named = [("large", 128), ("large", 5000), ("small", 0), ("large", 128), ("small", 127), ("small", 1)]
    futures = [quota.submit(lambda name=name: order.append(name), rows=rows) for name, rows in named]
    calls.may_end.set()
    for future in [first, *futures]:
        future.result(SOON)

    assert ["large", "small", "large", "small", "large", "small"] == order


def test_large_calls_leave_a_thread_to_small_ones(calls):
    quota = FairThreadPool(3).share()
    for number in range(5):
        quota.submit(calls.make(number), rows=128)
    calls.wait_for(2)

    assert (2, 3) == (quota.running, quota.waiting)
    assert "answer" == quota.submit(lambda: "answer", rows=127).result(SOON)
    assert [0, 1] == sorted(calls.started)


def test_slow_calls_do_not_block_other_quotas(calls, clock):
    threads = FairThreadPool(2)
    hanging, fine = [threads.share() for _ in range(2)], threads.share()
    for number, quota in enumerate(hanging):
        quota.submit(calls.make(number))
    calls.wait_for(2)
    queued = [quota.submit(lambda: "answer") for quota in (*hanging, fine)]
    before = [future.done() for future in queued]
    clock.advance(1.1)
    last = fine.submit(lambda: "last")

    assert [False] * 3 == before
    assert ["answer", "last"] == [queued[2].result(SOON), last.result(SOON)]
    assert [False, False] == [future.done() for future in queued[:2]]
    assert [(1, 1), (1, 1)] == [(quota.running, quota.slow) for quota in hanging]
    calls.may_end.set()
    assert ["answer", "answer"] == [future.result(SOON) for future in queued[:2]]
    assert [(0, 0)] * 3 == [(quota.running, quota.slow) for quota in (*hanging, fine)]


@pytest.mark.slow
def test_queued_call_starts_when_a_running_one_becomes_slow(calls):
    """No other call has to be submitted or end."""
    for hang_timeout in (None, 600):
        threads = FairThreadPool(1, hang_timeout)
        hanging, fine = threads.share(), threads.share()
        hanging.submit(calls.make("hangs"))
        calls.wait_for(1)

        assert "answer" == fine.submit(lambda: "answer").result(SOON)


def test_quotas_that_hang_do_not_block_the_last_thread(calls, clock):
    threads = FairThreadPool(4, hang_timeout=3)
    hanging, fine = [threads.share() for _ in range(12)], threads.share()
    for _ in range(5):
        for quota in hanging:
            quota.submit(calls.make("hangs"))
    answer = fine.submit(lambda: "answer")
    for _ in range(3):
        calls.wait_for(4)
        clock.advance(0.2)

    assert "answer" == answer.result(SOON)
    assert [1] * 12 == [quota.running for quota in hanging]


def test_quotas_take_turns(calls):
    threads = FairThreadPool(1)
    busy, other, order = threads.share(), threads.share(), []
    first = busy.submit(calls.make("first"))
    calls.wait_for(1)
    futures = [busy.submit(lambda number=number: order.append(f"many {number}")) for number in range(3)]
    futures += [other.submit(lambda number=number: order.append(f"few {number}")) for number in range(2)]
    calls.may_end.set()
    for future in [first, *futures]:
        future.result(SOON)

    assert ["many 0", "few 0", "many 1", "few 1", "many 2"] == order


def test_cancelled_call_is_not_made(calls):
    quota = FairThreadPool(1).share()
    quota.submit(calls.make("first"))
    calls.wait_for(1)
    cancelled, last = quota.submit(calls.make("cancelled")), quota.submit(calls.make("last"))

    assert cancelled.cancel()
    calls.may_end.set()
    assert "last" == last.result(SOON)
    assert ["first", "last"] == calls.started


def test_stuck_call_is_replaced_by_another(calls, clock):
    quota = FairThreadPool(1, hang_timeout=5).share()
    hung = quota.submit(calls.make("hung"))
    calls.wait_for(1)
    clock.advance(5.1)

    assert "answer" == quota.submit(lambda: "answer").result(SOON)
    assert (0, 1) == (quota.running, quota.stuck)
    calls.may_end.set()
    assert "hung" == hung.result(SOON)
    assert (0, 0) == (quota.running, quota.stuck)


def test_quota_with_too_many_stuck_calls_rejects_calls(calls, clock):
    """Until one of them returns."""
    threads = FairThreadPool(4, hang_timeout=5)
    hangs, other = threads.share(), threads.share()
    futures = [hangs.submit(calls.make(number)) for number in range(2)]
    calls.wait_for(2)
    hangs.raise_if_stuck()
    clock.advance(5.1)

    with pytest.raises(Overloaded):
        hangs.raise_if_stuck()
    other.raise_if_stuck()
    calls.may_end.set()
    for future in futures:
        future.result(SOON)
    hangs.raise_if_stuck()


def test_immediate_call_does_not_wait_for_a_free_thread(calls):
    quota = FairThreadPool(1).share()
    quota.submit(calls.make("first"))
    calls.wait_for(1)

    assert "now" == quota.submit(lambda: "now", immediate=True).result(SOON)


def test_cancelled_call_leaves_the_queue(calls):
    threads = FairThreadPool(1)
    quota, other = threads.share(), threads.share()
    quota.submit(calls.make("first"))
    calls.wait_for(1)
    cancelled = quota.submit(calls.make("cancelled"), rows=5)
    counts = [quota.rows_waiting]
    cancelled.cancel()
    cancelled.cancel()
    counts += [quota.rows_waiting, quota.waiting]
    last = other.submit(lambda: "last")
    calls.may_end.set()

    assert [5, 0, 0] == counts
    assert "last" == last.result(SOON)
    assert ["first"] == calls.started


def test_queue_limits_its_rows(calls):
    """A larger call is accepted if no other is queued."""
    quota = FairThreadPool(1).share()
    quota.submit(calls.make("first"))
    calls.wait_for(1)
    waits = quota.submit(calls.make("waits"), rows=MAX_WAITING + 1)

    with pytest.raises(Overloaded):
        quota.submit(calls.make("rejected"), rows=1)
    assert waits.cancel()
    accepted = quota.submit(calls.make("accepted"), rows=1)
    calls.may_end.set()
    assert "accepted" == accepted.result(SOON)


def test_abandoned_calls_count_against_the_quota(calls):
    quota = FairThreadPool(2).share()
    for name in ("one", "two", "queued"):
        with pytest.raises(TimeoutError):
            quota.run_with_timeout(calls.make(name), 0)
    calls.wait_for(2)

    assert (2, 2, 0) == (quota.running, quota.abandoned, quota.waiting)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(quota.run_with_timeout, lambda: "answer", SOON)
        calls.may_end.set()
        assert "answer" == result.result(SOON)
    wait_until(lambda: not quota.running)  # the other call ends later

    assert ["one", "two"] == sorted(calls.started)
    assert 0 == quota.abandoned


def test_stuck_call_no_longer_counts_as_abandoned(calls, clock):
    quota = FairThreadPool(1, hang_timeout=5).share()
    with pytest.raises(TimeoutError):
        quota.run_with_timeout(calls.make("hung"), 0)
    calls.wait_for(1)
    clock.advance(5.1)

    with pytest.raises(Overloaded):
        quota.raise_if_stuck()
    assert (0, 0, 1) == (quota.running, quota.abandoned, quota.stuck)


def test_quota_that_hangs_rejects_calls_immediately(calls, clock):
    """The next caller does not wait for its timeout."""
    quota = FairThreadPool(1, hang_timeout=5).share()
    with pytest.raises(TimeoutError):
        quota.run_with_timeout(calls.make("hung"), 0)
    calls.wait_for(1)
    clock.advance(5.1)

    with pytest.raises(Overloaded):
        quota.run_with_timeout(calls.make("rejected"), SOON)
    calls.may_end.set()
    wait_until(lambda: not quota.stuck)
    assert "answer" == quota.run_with_timeout(lambda: "answer", SOON)
    assert ["hung"] == calls.started


def test_errors_of_calls_are_raised():
    quota = FairThreadPool(1).share()

    with pytest.raises(SystemExit):
        quota.submit(sys.exit).result(SOON)
    assert 1 == quota.submit(lambda: 1).result(SOON)


@pytest.mark.slow
def test_pool_references_neither_calls_nor_threads_after_use():
    class Rows:
        pass

    threads, rows = FairThreadPool(1), Rows()
    reference = weakref.ref(rows)
    quota = threads.share()
    quota.submit(lambda rows=rows: None).result(SOON)
    del rows
    quota.submit(lambda: None).result(SOON)
    gc.collect()
    jobs = threads._started
    del threads, quota
    gc.collect()

    assert reference() is None
    assert jobs.get(timeout=SOON) is None


HANGING = """
import threading
from modelgate.flow.fair_pool import FairThreadPool
entered = threading.Event()
FairThreadPool(1).share().submit(lambda: (entered.set(), threading.Event().wait()))
assert entered.wait(300)
"""


@pytest.mark.slow
def test_call_that_hangs_does_not_prevent_exit():
    assert 0 == subprocess.run([sys.executable, "-c", HANGING], timeout=SOON, check=False).returncode


AT_EXIT = """
import atexit
atexit.register(lambda: print(quota.submit(lambda: "answer").result(300)))
from modelgate.flow.fair_pool import FairThreadPool
quota = FairThreadPool(1).share()
quota.submit(int).result(300)
"""


@pytest.mark.slow
def test_pool_works_in_exit_hooks():
    """Hooks that were registered before the pool run last."""
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT], timeout=SOON, check=False, capture_output=True, text=True
    )

    assert ("answer\n", "") == (done.stdout, done.stderr)


class NoThread(threading.Thread):
    """Thread that the system cannot start."""

    def start(self):
        raise RuntimeError("can't start new thread")


def test_call_is_rejected_if_no_thread_can_start(monkeypatch):
    quota, made = FairThreadPool(2, None).share(), []
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Thread", NoThread)
        for immediate in (False, True, False):
            with pytest.raises(Overloaded):
                quota.submit(lambda: made.append("rejected"), immediate=immediate)
    quota.submit(lambda: made.append("served")).result(SOON)

    assert ["served"] == made
    assert (0, 0) == (quota.running, quota.waiting)


def test_call_is_queued_if_no_more_threads_can_start(monkeypatch):
    quota, entered, may_end = FairThreadPool(2, None).share(), threading.Event(), threading.Event()

    def first():
        entered.set()
        assert may_end.wait(SOON)

    running = quota.submit(first)
    assert entered.wait(SOON)
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Thread", NoThread)
        others = [quota.submit(lambda number=number: number) for number in range(3)]
        may_end.set()
        running.result(SOON)

        assert [0, 1, 2] == [other.result(SOON) for other in others]
