"""Deadlines of flows."""

import asyncio
import math
import threading
import time
from concurrent.futures import Future

import pytest

from modelgate import DeadlineExceeded, Wait, WorkerPool, adrive, drive, run
from modelgate.flow import deadline as module
from modelgate.flow import run_coroutine, wait_for
from modelgate.flow.deadline import with_deadline
from modelgate.testing import FakeClock
from support.waiting import SOON


@pytest.fixture(
    params=[drive, lambda flow: asyncio.run(asyncio.wait_for(adrive(flow), SOON))], ids=["drive", "adrive"]
)
def perform(request):
    """Run a flow with one of the drivers."""
    return request.param


def wait_forever():
    """Wait for a future that is never set."""
    return wait_for(Future())


def deadline_soon():
    return time.perf_counter() + 0.02


def test_deadline_does_not_affect_flows_that_end_in_time(perform):
    def flow():
        with pytest.raises(ValueError):
            yield from run(int, "x")
        return (yield from run(int, "5"))

    assert 5 == perform(with_deadline(flow(), time.perf_counter() + SOON))


def test_deadline_ends_a_wait(perform):
    """The error is raised inside the flow, so its finally blocks run."""
    log = []

    def flow():
        try:
            yield from wait_forever()
        finally:
            log.append("finally")

    with pytest.raises(DeadlineExceeded, match="took longer"):
        perform(with_deadline(flow(), deadline_soon()))

    assert ["finally"] == log


def test_wait_does_not_start_after_the_deadline(perform):
    calls = []
    with pytest.raises(DeadlineExceeded):
        perform(with_deadline(run(calls.append, 1), time.perf_counter()))

    assert [] == calls


def test_flow_can_wait_after_its_deadline(perform):
    def flow():
        try:
            yield from wait_forever()
        except DeadlineExceeded:
            return (yield from run(int, "7"))

    assert 7 == perform(with_deadline(flow(), deadline_soon()))


def test_wait_that_times_out_slightly_early_exceeds_its_deadline():
    """Clocks may be coarse."""

    def early(seconds):
        raise TimeoutError

    with pytest.raises(DeadlineExceeded):
        drive(with_deadline(iter_wait(None, early), time.perf_counter() + 0.01))


def test_timeout_of_a_wait_is_not_its_deadline(perform):
    with pytest.raises(TimeoutError):
        perform(with_deadline(wait_for(Future(), 0.01), time.perf_counter() + SOON))


@pytest.mark.parametrize("earlier", ["inner", "outer"])
def test_earlier_of_two_deadlines_applies(perform, earlier):
    """The error is raised inside the inner flow."""
    log = []

    def flow():
        try:
            yield from with_deadline(
                wait_forever(), deadline_soon() if earlier == "inner" else time.perf_counter() + SOON
            )
        except DeadlineExceeded:
            log.append((yield from run(str, "cleanup")))
            raise

    with pytest.raises(DeadlineExceeded):
        perform(with_deadline(flow(), deadline_soon() if earlier == "outer" else time.perf_counter() + SOON))

    assert ["cleanup"] == log


def test_deadline_does_not_end_unbounded_waits():
    async def streams():
        await asyncio.sleep(0.05)
        return "complete"

    def flow():
        return (yield Wait(lambda: None, streams, bounded=False))

    assert "complete" == asyncio.run(adrive(with_deadline(flow(), deadline_soon())))


def test_wait_that_does_not_suspend_starts_no_timer():
    async def finish():
        return "done"

    async def main():
        loop, timers = asyncio.get_running_loop(), []
        loop.call_later = lambda *args: timers.append(args)
        result = await adrive(with_deadline(iter_wait(finish), time.perf_counter() + SOON))
        return result, timers

    assert ("done", []) == asyncio.run(main())


def iter_wait(aio, within=None):
    return (yield Wait(lambda: None, aio, within))


def test_waits_with_different_deadlines_share_a_timer():
    async def main():
        longest = asyncio.create_task(adrive(with_deadline(wait_forever(), time.perf_counter() + 10 * SOON)))
        await asyncio.sleep(0)
        flows = [
            adrive(with_deadline(wait_forever(), time.perf_counter() + seconds))
            for seconds in (0.03, 0.01, 0.05, 0.02)
        ]
        errors = await asyncio.wait_for(asyncio.gather(*flows, return_exceptions=True), SOON)
        continues = not longest.done()
        longest.cancel()
        return [type(error) for error in errors], continues

    assert ([DeadlineExceeded] * 4, True) == asyncio.run(main())


def test_cancellation_is_not_a_deadline():
    """After a deadline, the task does not count as cancelled."""
    caught = []

    def flow():
        try:
            yield from wait_forever()
        except BaseException as error:
            caught.append(type(error))
            raise

    async def main():
        task = asyncio.create_task(adrive(with_deadline(flow(), time.perf_counter() + SOON)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(DeadlineExceeded):
            await adrive(with_deadline(wait_forever(), deadline_soon()))
        return asyncio.current_task().cancelling()

    assert 0 == asyncio.run(main())
    assert [asyncio.CancelledError] == caught


@pytest.mark.parametrize("first", ["over", "cancelled"])
def test_cancellation_takes_precedence_over_the_deadline(monkeypatch, first):
    clock = FakeClock()
    monkeypatch.setattr(module, "perf_counter", clock)

    async def main():
        task = asyncio.create_task(adrive(with_deadline(wait_forever(), clock() + SOON)))
        await asyncio.sleep(0)
        clock.advance(SOON)
        if first == "over":
            module._loop_timers()._expire()
        task.cancel()
        if first == "cancelled":
            module._loop_timers()._expire()
        with pytest.raises((asyncio.CancelledError, DeadlineExceeded)):
            await task
        return task.cancelled()

    assert asyncio.run(main())


def test_timers_of_closed_loops_are_removed():
    for _ in range(5):
        with pytest.raises(DeadlineExceeded):
            run_coroutine(lambda: adrive(with_deadline(wait_forever(), deadline_soon())))

    assert len(module._timers) <= 2


def test_call_continues_in_its_thread_after_the_deadline(perform):
    """Under WSGI it runs in a thread of the pool too, with the context of the caller."""
    may_end, workers, threads = threading.Event(), WorkerPool(1, hang_timeout=SOON), []

    def call():
        threads.append(threading.current_thread())
        assert may_end.wait(SOON)

    try:
        with pytest.raises(DeadlineExceeded):
            perform(with_deadline(workers.run(call), deadline_soon()))
    finally:
        may_end.set()

    assert threading.current_thread() not in threads
    assert 3 == perform(with_deadline(workers.run(int, "3"), time.perf_counter() + SOON))


def test_call_without_deadline_runs_in_the_thread_of_the_caller():
    workers = WorkerPool(1, hang_timeout=SOON)

    assert threading.current_thread() is drive(workers.run(threading.current_thread))
    assert threading.current_thread() is drive(with_deadline(workers.run(threading.current_thread), math.inf))
