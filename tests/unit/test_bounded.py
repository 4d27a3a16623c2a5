"""A flow whose waits end when its time is over."""

import asyncio
import math
import threading
import time
from concurrent.futures import Future

import pytest

from modelgate import DeadlineExceeded, Wait, Workers, adrive, drive, run
from modelgate.flow import run_coroutine, wait_for
from modelgate.flow.bounded import bounded

SOON = 30


@pytest.fixture(
    params=[drive, lambda flow: asyncio.run(asyncio.wait_for(adrive(flow), SOON))], ids=["drive", "adrive"]
)
def perform(request):
    """Either driver."""
    return request.param


def never():
    """A wait for what never comes."""
    return wait_for(Future())


def in_a_moment():
    return time.perf_counter() + 0.02


def test_what_is_done_in_time_is_done(perform):
    """Results and errors are those of the flow."""

    def flow():
        with pytest.raises(ValueError):
            yield from run(int, "x")
        return (yield from run(int, "5"))

    assert 5 == perform(bounded(flow(), time.perf_counter() + SOON))


def test_a_wait_ends_when_the_time_is_over(perform):
    """And the flow is told where it waits, so that every finally runs."""
    left = []

    def flow():
        try:
            yield from never()
        finally:
            left.append("finally")

    with pytest.raises(DeadlineExceeded, match="took longer"):
        perform(bounded(flow(), in_a_moment()))

    assert ["finally"] == left


def test_nothing_is_begun_when_the_time_is_over(perform):
    """A wait that comes too late is not performed."""
    calls = []
    with pytest.raises(DeadlineExceeded):
        perform(bounded(run(calls.append, 1), time.perf_counter()))

    assert [] == calls


def test_who_was_told_may_wait_on_the_way_out(perform):
    """For instance to give something back."""

    def flow():
        try:
            yield from never()
        except DeadlineExceeded:
            return (yield from run(int, "7"))

    assert 7 == perform(bounded(flow(), in_a_moment()))


def test_a_wait_that_ends_a_little_early_has_ended():
    """Where the clock that bounds it is coarse: the request is over, and nothing has failed."""

    def early(seconds):
        raise TimeoutError

    with pytest.raises(DeadlineExceeded):
        drive(bounded(iter_wait(None, early), time.perf_counter() + 0.01))


def test_a_bound_of_the_wait_itself_is_told_as_such(perform):
    """Its TimeoutError is not the end of the time of the flow."""
    with pytest.raises(TimeoutError):
        perform(bounded(wait_for(Future(), 0.01), time.perf_counter() + SOON))


@pytest.mark.parametrize("tighter", ["inner", "outer"])
def test_of_two_bounds_the_tighter_one_holds(perform, tighter):
    """Whichever is around the other; and within it is the inner one that is told."""
    told = []

    def flow():
        try:
            yield from bounded(never(), in_a_moment() if tighter == "inner" else time.perf_counter() + SOON)
        except DeadlineExceeded:
            told.append((yield from run(str, "on the way out")))
            raise

    with pytest.raises(DeadlineExceeded):
        perform(bounded(flow(), in_a_moment() if tighter == "outer" else time.perf_counter() + SOON))

    assert ["on the way out"] == told


def test_an_unbounded_wait_goes_on():
    """An app that streams is not cut off."""

    async def streams():
        await asyncio.sleep(0.05)
        return "to its end"

    def flow():
        return (yield Wait(lambda: None, streams, bounded=False))

    assert "to its end" == asyncio.run(adrive(bounded(flow(), in_a_moment())))


def test_what_does_not_suspend_starts_no_timer():
    """A body that is there already costs next to nothing."""

    async def at_once():
        return "here"

    async def main():
        loop, timers = asyncio.get_running_loop(), []
        loop.call_later = lambda *args: timers.append(args)
        told = await adrive(bounded(iter_wait(at_once), time.perf_counter() + SOON))
        return told, timers

    assert ("here", []) == asyncio.run(main())


def iter_wait(aio, within=None):
    return (yield Wait(lambda: None, aio, within))


def test_each_of_many_ends_in_its_own_time():
    """They share one timer, whatever the order of their times; and who has time left goes on."""

    async def main():
        longest = asyncio.create_task(adrive(bounded(never(), time.perf_counter() + 10 * SOON)))
        await asyncio.sleep(0)
        flows = [adrive(bounded(never(), time.perf_counter() + at)) for at in (0.03, 0.01, 0.05, 0.02)]
        told = await asyncio.wait_for(asyncio.gather(*flows, return_exceptions=True), SOON)
        goes_on = not longest.done()
        longest.cancel()
        return [type(error) for error in told], goes_on

    assert ([DeadlineExceeded] * 4, True) == asyncio.run(main())


def test_cancellation_is_not_the_end_of_the_time():
    """A caller who goes away cancels the flow, as ever; and a bound leaves no trace on the task."""
    seen = []

    def flow():
        try:
            yield from never()
        except BaseException as error:
            seen.append(type(error))
            raise

    async def main():
        task = asyncio.create_task(adrive(bounded(flow(), time.perf_counter() + SOON)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(DeadlineExceeded):
            await adrive(bounded(never(), in_a_moment()))
        return asyncio.current_task().cancelling()

    assert 0 == asyncio.run(main())
    assert [asyncio.CancelledError] == seen


def test_cancelled_and_over_at_once_is_cancelled():
    """Whoever awaits the task has gone: no answer is made."""

    async def main():
        task = asyncio.create_task(adrive(bounded(never(), in_a_moment())))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.02, task.cancel)
        time.sleep(0.06)
        with pytest.raises((asyncio.CancelledError, DeadlineExceeded)):
            await task
        return task.cancelled()

    assert asyncio.run(main())


def test_waits_of_many_loops():
    """Each loop has a watch of its own, and those that are closed are forgotten."""
    from modelgate.flow import bounded as module

    for _ in range(5):
        with pytest.raises(DeadlineExceeded):
            run_coroutine(lambda: adrive(bounded(never(), in_a_moment())))

    assert len(module._watches) <= 2


def test_a_call_of_patient_workers_is_left_behind(perform):
    """Under WSGI too: it runs in a thread that nobody waits for, with the caller's context."""
    go_on, workers, threads = threading.Event(), Workers(1, patience=SOON), []

    def call():
        threads.append(threading.current_thread())
        assert go_on.wait(SOON)

    try:
        with pytest.raises(DeadlineExceeded):
            perform(bounded(workers.run(call), in_a_moment()))
    finally:
        go_on.set()

    assert threading.current_thread() not in threads
    assert 3 == perform(bounded(workers.run(int, "3"), time.perf_counter() + SOON))


def test_without_a_bound_a_call_stays_in_its_thread():
    """Patient workers take over only where there is a deadline."""
    workers = Workers(1, patience=SOON)

    assert threading.current_thread() is drive(workers.run(threading.current_thread))
    assert threading.current_thread() is drive(bounded(workers.run(threading.current_thread), math.inf))
