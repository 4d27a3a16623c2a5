"""Batching of tables that wait for the same model."""

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from queue import SimpleQueue

import numpy as np
import pytest

from modelgate import ConfigurationError, Schema, WorkerPool, adrive, drive
from modelgate.errors import Overloaded
from modelgate.flow import run_coroutine
from modelgate.flow.deadline import with_deadline
from modelgate.flow.fair_pool import MAX_WAITING
from modelgate.inference import Output, Prediction, model_metrics
from modelgate.inference.batching.batcher import Batcher
from modelgate.inference.batching.waiters import ThreadWaiter
from modelgate.inference.model_metrics import LIGHT, LIGHT_ROWS
from modelgate.testing import FakeClock
from support.waiting import SOON

SCHEMA = Schema.of(a=float, plan=str)


def table(*values):
    return SCHEMA.read([{"a": value, "plan": f"p{value}"} for value in values])


class Model:
    """Doubles its input; records its calls and their threads, and blocks while *go_on* is clear."""

    def __init__(self):
        self.calls, self.threads = [], []
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()
        self.go_on.set()

    def __call__(self, rows):
        self.calls.append(rows["a"].tolist())
        self.threads.append(threading.current_thread())
        self.entered.release()
        assert self.go_on.wait(SOON)
        assert [f"p{value:g}" for value in rows["a"]] == [
            str(plan).removesuffix(".0") for plan in rows["plan"]
        ]
        if -1 in rows["a"]:
            raise ValueError("poison")
        return Prediction([Output("double", rows["a"] * 2, ["x"], np.ones((len(rows), 1)))])


def values(prediction):
    assert prediction.probabilities.shape == (len(prediction), 1)
    return prediction.values.tolist()


@pytest.fixture
def model():
    return Model()


def predict_together(batcher, *tables):
    """Score *tables* in the same pass of an event loop; return their predictions or errors."""

    async def all_of_them():
        flows = [adrive(batcher.predict(rows)) for rows in tables]
        return await asyncio.wait_for(asyncio.gather(*flows, return_exceptions=True), SOON)

    return asyncio.run(all_of_them())


def start_request(batcher, *rows):
    """Start a request for a table of *rows* on the running loop, and return its task."""
    return asyncio.create_task(adrive(batcher.predict(table(*rows))))


async def start_running_request(batcher, model):
    """Start a request, wait until the model is scoring it, and return its task."""
    task = start_request(batcher, 1)
    await asyncio.to_thread(model.entered.acquire)
    return task


def wait_for_queue(batcher, count):
    """Wait until *count* tables are queued."""
    until = threading.Event()
    for _ in range(SOON * 1000):
        if len(batcher._queue.waiters) == count:
            return
        until.wait(0.001)
    raise AssertionError(f"{len(batcher._queue.waiters)} wait, not {count}")


def test_batcher_scores_a_single_table_at_once(model):
    """In its own thread under WSGI; in a worker under ASGI, as long as the latency is unknown."""
    batcher = Batcher(model, WorkerPool(1))

    assert [2.0, 4.0] == values(drive(batcher.predict(table(1, 2))))
    assert [[6.0]] == [
        values(results) for results in predict_together(Batcher(model, WorkerPool(1)), table(3))
    ]
    assert threading.current_thread() is model.threads[0]
    assert threading.current_thread() is not model.threads[1]


def test_batcher_joins_the_tables_of_one_loop_pass(model):
    """Each caller gets its own rows back, and the model runs on the loop."""
    batcher = Batcher(model, WorkerPool(1), inline=True)
    results = predict_together(batcher, table(1), table(2, 3), table(4))

    assert [[2.0], [4.0, 6.0], [8.0]] == list(map(values, results))
    assert [[1.0, 2.0, 3.0, 4.0]] == model.calls
    assert [threading.current_thread()] == model.threads
    assert (3, 1, 1, 0, 0) == batcher.info()


@pytest.mark.parametrize("inline", [True, False])
def test_batcher_waits_for_the_tables_of_further_loop_passes(model, inline):
    """If tables arrived in one pass, more may arrive in the next."""
    batcher = Batcher(model, WorkerPool(1), inline=inline)

    async def run_requests():
        tasks = []
        for rows in ([1, 2], [3], [4]):
            tasks += [start_request(batcher, value) for value in rows]
            await asyncio.sleep(0)
        return await asyncio.wait_for(asyncio.gather(*tasks), SOON)

    assert [[2.0], [4.0], [6.0], [8.0]] == list(map(values, asyncio.run(run_requests())))
    assert [[1.0, 2.0, 3.0, 4.0]] == model.calls


def test_batcher_puts_off_a_single_light_table_for_one_loop_pass(model):
    batcher = Batcher(model, WorkerPool(1), inline=True)

    async def run_requests():
        task = start_request(batcher, 1)
        await asyncio.sleep(0)
        before = len(model.calls)
        await asyncio.sleep(0)
        return before, len(model.calls), await task

    assert (0, 1) == asyncio.run(run_requests())[:2]


def test_batcher_joins_follow_up_requests_with_queued_ones(model):
    """The next call waits until the results are returned and the next requests are read."""
    batcher = Batcher(model, WorkerPool(1), inline=False)
    model.go_on.clear()

    async def twice():
        return [await adrive(batcher.predict(table(value))) for value in (1, 3)]

    async def run_requests():
        first = asyncio.create_task(twice())
        await asyncio.to_thread(model.entered.acquire)
        other = start_request(batcher, 2)
        await asyncio.sleep(0)
        model.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, other), SOON)

    asyncio.run(run_requests())

    assert [[1.0], [2.0, 3.0]] == model.calls


def test_batcher_joins_the_tables_queued_while_a_worker_is_busy(model):
    batcher = Batcher(model, WorkerPool(1), inline=False)
    model.go_on.clear()

    async def run_requests():
        first = await start_running_request(batcher, model)
        rest = [start_request(batcher, value) for value in (2, 3, 4)]
        await asyncio.sleep(0)
        model.go_on.set()
        return await asyncio.wait_for(asyncio.gather(first, *rest), SOON)

    assert [[2.0], [4.0], [6.0], [8.0]] == list(map(values, asyncio.run(run_requests())))
    assert [[1.0], [2.0, 3.0, 4.0]] == model.calls


def test_batcher_lets_one_waiting_thread_score_for_the_others(model):
    """The first thread leads the first call; the first waiting thread leads the next."""
    batcher = Batcher(model, WorkerPool(1))
    model.go_on.clear()
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(lambda: drive(batcher.predict(table(1))))
        model.entered.acquire()
        rest = [
            pool.submit(lambda value=value: drive(batcher.predict(table(value)))) for value in (2, 3, 4, 5)
        ]
        wait_for_queue(batcher, 4)
        model.go_on.set()
        results = [values(future.result(SOON)) for future in (first, *rest)]

    assert [[2.0], [4.0], [6.0], [8.0], [10.0]] == results
    assert ([1.0], [2.0, 3.0, 4.0, 5.0]) == (model.calls[0], sorted(model.calls[1]))
    assert model.threads[0] is not model.threads[1]


def test_batcher_joins_the_tables_of_threads_and_event_loops(model):
    batcher = Batcher(model, WorkerPool(1))
    model.go_on.clear()
    with ThreadPoolExecutor(3) as pool:
        thread = pool.submit(lambda: drive(batcher.predict(table(1))))
        model.entered.acquire()
        loop = pool.submit(predict_together, batcher, table(2), table(3))
        wait_for_queue(batcher, 2)
        other = pool.submit(lambda: drive(batcher.predict(table(4))))
        wait_for_queue(batcher, 3)
        model.go_on.set()
        results = [values(thread.result(SOON)), *map(values, loop.result(SOON)), values(other.result(SOON))]

    assert [[2.0], [4.0], [6.0], [8.0]] == results
    assert [[1.0], [2.0, 3.0, 4.0]] == model.calls


def test_batcher_limits_the_rows_of_a_call(model):
    """A call has at most *max_rows* rows; a table with as many is not queued."""
    batcher = Batcher(model, WorkerPool(1), inline=False, max_rows=4)
    model.go_on.clear()

    async def run_requests():
        first = await start_running_request(batcher, model)
        rest = [start_request(batcher, *rows) for rows in ((1, 2), (3,), (4, 5), (6,))]
        await asyncio.sleep(0)
        model.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, *rest), SOON)

    asyncio.run(run_requests())

    assert [[1.0], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]] == model.calls
    assert [2.0, 4.0, 6.0, 8.0] == values(drive(batcher.predict(table(1, 2, 3, 4))))
    assert 5 == batcher.info().requests


@pytest.mark.parametrize("inline", [True, False])
def test_batcher_joins_only_tables_with_equal_keys(model, inline):
    """The tables with the key of the first one, in their order; the others are in the next call."""
    batcher = Batcher(model, WorkerPool(1), inline=inline, key=lambda rows: rows["a"][0] % 2)
    results = predict_together(batcher, *map(table, range(1, 7)))

    assert [[float(2 * value)] for value in range(1, 7)] == list(map(values, results))
    assert [[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]] == model.calls
    assert (6, 2) == batcher.info()[:2]


def test_batcher_lets_threads_lead_calls_for_their_own_key(model):
    """No thread waits for a call that cannot contain its table."""
    batcher = Batcher(model, WorkerPool(1), key=lambda rows: rows["a"][0] % 2)
    model.go_on.clear()
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(drive, batcher.predict(table(1)))]
        assert model.entered.acquire(timeout=SOON)
        for count, value in enumerate((2, 3, 4), 1):
            futures.append(pool.submit(drive, batcher.predict(table(value))))
            wait_for_queue(batcher, count)
        model.go_on.set()

        assert [[2.0], [4.0], [6.0], [8.0]] == [values(future.result(SOON)) for future in futures]
    assert [[1.0], [2.0, 4.0], [3.0]] == model.calls


def test_cancelled_leader_on_a_loop_still_runs_the_batch(model):
    """The other tables of the pass are scored; its own is not."""
    batcher = Batcher(model, WorkerPool(1), inline=True)

    async def run_requests():
        tasks = [start_request(batcher, value) for value in (1, 2)]
        asyncio.get_running_loop().call_soon(tasks[0].cancel)
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)

    first, second = asyncio.run(run_requests())

    assert isinstance(first, asyncio.CancelledError)
    assert ([4.0], [[2.0]]) == (values(second), model.calls)


def test_batcher_runs_on_the_loop_while_the_model_is_light(model, monkeypatch):
    """After one spike it runs in a worker, until the spike has decayed."""
    clock, seconds = FakeClock(0), [LIGHT / 4]

    def timed(rows):
        clock.advance(seconds[0])
        return model(rows)

    monkeypatch.setattr(model_metrics, "perf_counter", clock)
    batcher, on_loop = Batcher(timed, WorkerPool(1)), []

    def run_calls(count):
        for _ in range(count):
            predict_together(batcher, table(1))
            on_loop.append(model.threads[-1] is threading.current_thread())
        return on_loop[-count:]

    assert [False, True, True] == run_calls(3)
    seconds[0] = LIGHT * 2
    assert [True, False] == run_calls(2)
    seconds[0] = LIGHT / 4
    assert [False] * 5 == run_calls(5)
    assert run_calls(20)[-1]
    predict_together(batcher, table(*[1] * (LIGHT_ROWS + 1)))
    assert model.threads[-1] is not threading.current_thread()


@pytest.mark.slow
def test_batcher_runs_many_rows_on_the_loop_once_they_are_known_to_be_light(model, monkeypatch):
    """Few rows give an upper bound for larger calls; calls that may take too long run in a worker and are measured."""
    clock, row = FakeClock(0), [LIGHT / 4]

    def timed(rows):
        clock.advance(LIGHT / 4 + row[0] * len(rows))
        return model(rows)

    monkeypatch.setattr(model_metrics, "perf_counter", clock)
    batcher = Batcher(timed, WorkerPool(1))

    def runs_on_loop(*sizes):
        predict_together(batcher, *(table(*[1] * size) for size in sizes))
        return model.threads[-1] is threading.current_thread()

    drive(batcher.predict(table(1)))

    assert [True, False] == [runs_on_loop(1), runs_on_loop(200)]
    for _ in range(500):
        drive(batcher.predict(table(1)))
    assert [True, False] == [runs_on_loop(1), runs_on_loop(200)]
    row[0] = LIGHT / 1000
    for _ in range(500):
        drive(batcher.predict(table(1)))
    assert [True, False, False, True] == [
        runs_on_loop(1),
        runs_on_loop(*[1] * 20),
        runs_on_loop(*[1] * 200),
        runs_on_loop(200),
    ]


def test_batcher_predicts_without_a_wait_while_calls_are_brief_and_none_is_running(model, monkeypatch):
    clock, seconds = FakeClock(0), [0.000_01]

    def timed(rows):
        clock.advance(seconds[0])
        return model(rows)

    monkeypatch.setattr(model_metrics, "perf_counter", clock)
    metrics = model_metrics.ModelMetrics()
    batcher, one = Batcher(timed, WorkerPool(1), metrics=metrics), table(1)

    assert batcher.predict_now(one) is None
    drive(batcher.predict(one))
    assert [2.0] == values(batcher.predict_now(one))
    assert (2, 2, 0, 0, 0) == batcher.info()
    assert {"idle": 1, "unbatched": 1} == {name: count for name, count in metrics.calls.items() if count}
    assert batcher.predict_now(table(*[1] * 20)) is None
    metrics.running.add(0.5)
    assert batcher.predict_now(one) is None
    metrics.running.clear()
    seconds[0] = LIGHT / 4
    drive(batcher.predict(one))
    assert batcher.predict_now(one) is None


@pytest.mark.parametrize("inline", [True, False])
def test_batcher_predicts_nothing_without_a_wait_if_it_is_told_where_to_run(model, inline):
    batcher = Batcher(model, WorkerPool(1), inline=inline)
    drive(batcher.predict(table(1)))

    assert batcher.predict_now(table(1)) is None


def test_batcher_counts_errors_of_calls_without_a_wait(model, monkeypatch):
    monkeypatch.setattr(model_metrics, "perf_counter", FakeClock(0))
    batcher = Batcher(model, WorkerPool(1))
    drive(batcher.predict(table(1)))
    with pytest.raises(ValueError, match="poison"):
        batcher.predict_now(table(-1))

    assert (1, 2, 0, 1, 0) == batcher.info()


def predict_with_deadline(batcher, rows):
    """Score *rows* in a thread that has a deadline."""
    return drive(with_deadline(batcher.predict(rows), time.perf_counter() + SOON))


def test_thread_with_a_deadline_runs_short_calls_itself(model, monkeypatch):
    """Once the latency is known. The limit is higher than on an event loop."""
    clock, duration = FakeClock(0), [LIGHT * 2]

    def timed(rows):
        clock.advance(duration[0])
        return model(rows)

    monkeypatch.setattr(model_metrics, "perf_counter", clock)
    batcher, in_caller = Batcher(timed, WorkerPool(1, hang_timeout=SOON)), []
    for seconds, rows in ((LIGHT * 2, 1), (LIGHT * 2, 1), (LIGHT * 2, LIGHT_ROWS + 1), (SOON, 1), (0, 1)):
        duration[0] = seconds
        predict_with_deadline(batcher, table(*[1] * rows))
        in_caller.append(model.threads[-1] is threading.current_thread())

    assert [False, True, False, True, False] == in_caller


def test_threads_with_a_deadline_lead_in_turn(model):
    """A waiting thread leads the next batch; none waits for a worker."""
    batcher = Batcher(model, WorkerPool(1, hang_timeout=SOON), max_rows=2)
    drive(batcher.predict(table(0)))
    with ThreadPoolExecutor(3) as pool:
        model.go_on.clear()
        first = pool.submit(predict_with_deadline, batcher, table(1))
        assert model.entered.acquire(timeout=SOON)
        assert model.entered.acquire(timeout=SOON)
        others = [pool.submit(predict_with_deadline, batcher, table(value)) for value in (2, 3)]
        wait_for_queue(batcher, 2)
        model.go_on.set()
        results = [values(future.result(SOON)) for future in (first, *others)]

        assert [[2.0], [4.0], [6.0]] == results
        assert 3 == len(model.calls)
        assert pool._threads >= set(model.threads[1:])


def test_leader_that_gives_up_hands_over_to_the_next_waiter(model):
    batcher = Batcher(model, WorkerPool(1), max_rows=1)
    waiting = [ThreadWaiter(table(value), 1) for value in (1, 2, 3)]
    for one in waiting:
        batcher._enqueue(one)
    leaders = []
    for _ in range(2):
        leaders.append(batcher._run.thread)
        batcher._lead(batcher._run)
        if batcher._run is not None and batcher._run.thread is waiting[1]:
            batcher._abandon(waiting[1])
    assert [waiting[0], waiting[2]] == leaders

    assert [[1.0], [3.0]] == model.calls
    assert [True, False, True] == [one.result is not None for one in waiting]


def test_batcher_rejects_tables_when_the_queue_is_full(model):
    """Queued tables are still scored."""
    batcher = Batcher(model, WorkerPool(1), inline=False, max_waiting=2)
    model.go_on.clear()

    async def run_requests():
        first = await start_running_request(batcher, model)
        second = start_request(batcher, 2, 3)
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await adrive(batcher.predict(table(4)))
        model.go_on.set()
        return await asyncio.wait_for(asyncio.gather(first, second), SOON)

    assert [[2.0], [4.0, 6.0]] == list(map(values, asyncio.run(run_requests())))
    assert 1 == batcher.info().rejected


def test_cancelled_requests_free_their_place_in_the_queue(model):
    """Even while the model is running; their rows no longer count as waiting."""
    batcher = Batcher(model, WorkerPool(1), inline=False, max_waiting=3)
    model.go_on.clear()

    async def run_requests():
        first = await start_running_request(batcher, model)
        cancelled, active = (start_request(batcher, *rows) for rows in ([2, 3], [4]))
        await asyncio.sleep(0)
        results = [batcher.rows_waiting]
        cancelled.cancel()
        await asyncio.sleep(0)
        last = start_request(batcher, 5)
        await asyncio.sleep(0)
        results.append(batcher.rows_waiting)
        model.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, active, last), SOON)
        return results

    assert [3, 2] == asyncio.run(run_requests())
    assert [[1.0], [4.0, 5.0]] == model.calls
    assert 0 == batcher.info().rejected


def test_cancelled_requests_are_not_scored(model):
    """Neither in the middle of the queue nor at its head."""
    batcher = Batcher(model, WorkerPool(1), inline=False)
    model.go_on.clear()

    async def run_requests():
        first = await start_running_request(batcher, model)
        rest = [start_request(batcher, value) for value in (2, 3, 4)]
        await asyncio.sleep(0)
        rest[0].cancel()
        rest[2].cancel()
        await asyncio.sleep(0)
        model.go_on.set()
        return await asyncio.wait_for(asyncio.gather(first, rest[1]), SOON)

    assert [[2.0], [6.0]] == list(map(values, asyncio.run(run_requests())))
    assert [[1.0], [3.0]] == model.calls
    assert [[10.0]] == list(map(values, predict_together(batcher, table(5))))


@pytest.mark.parametrize("closed", [True, False])
def test_next_caller_leads_if_the_leading_loop_has_stopped(model, closed):
    """In a thread or on another loop."""
    batcher = Batcher(model, WorkerPool(1), inline=True)
    loop = asyncio.new_event_loop()

    async def left_behind():
        return start_request(batcher, 1)

    loop.run_until_complete(left_behind())
    loop._run_once()  # the task begins, and what it has scheduled does not
    if closed:
        loop.close()
    with ThreadPoolExecutor(2) as pool:
        assert [4.0] == values(pool.submit(lambda: drive(batcher.predict(table(2)))).result(SOON))
        assert [[6.0]] == list(map(values, pool.submit(predict_together, batcher, table(3)).result(SOON)))
    if not closed:
        loop.close()


def test_coroutine_can_score_without_await_while_its_loop_waits(model):
    batcher = Batcher(model, WorkerPool(1), inline=True)

    async def run_requests():
        others = [start_request(batcher, value) for value in (1, 2)]
        await asyncio.sleep(0)
        own = drive(batcher.predict(table(3)))
        return [own, *await asyncio.wait_for(asyncio.gather(*others), SOON)]

    assert [[6.0], [2.0], [4.0]] == list(map(values, asyncio.run(run_requests())))
    assert batcher._run is None


def test_tables_of_a_closed_loop_are_left_out(model):
    batcher = Batcher(model, WorkerPool(1), inline=False)
    model.go_on.clear()

    async def abandoned():
        first = await start_running_request(batcher, model)
        second = start_request(batcher, 2)
        await asyncio.sleep(0)
        return [task.cancel() for task in (first, second)]

    asyncio.run(abandoned())
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: drive(batcher.predict(table(3))))
        wait_for_queue(batcher, 2)
        model.go_on.set()

        assert [6.0] == values(other.result(SOON))
    assert [[1.0], [3.0]] == model.calls


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_other_loop_does_not_wait_for_a_loop_that_stops(model, inline, closed):
    """The stopped loop was to run a batch; its requests are neither finished nor cancelled."""
    batcher, requested = Batcher(model, WorkerPool(1), inline=inline), threading.Event()
    loop = asyncio.new_event_loop()

    async def other():
        task = start_request(batcher, 2)
        await asyncio.sleep(0)
        requested.set()
        return await asyncio.wait_for(task, SOON)

    async def stops():
        task = start_request(batcher, 1)
        await asyncio.sleep(0)
        answer = pool.submit(asyncio.run, other())
        assert requested.wait(SOON)
        return task, answer

    with ThreadPoolExecutor(1) as pool:
        task, answer = loop.run_until_complete(stops())
        if closed:
            loop.close()

        assert [4.0] == values(answer.result(SOON))
    if not closed:
        assert [2.0] == values(loop.run_until_complete(task))
        loop.close()


def test_stopped_loop_does_not_lead_the_next_batch(model):
    """Both loops waited while the model was busy."""
    batcher, loop = Batcher(model, WorkerPool(1), inline=False), asyncio.new_event_loop()
    model.go_on.clear()

    async def stops():
        tasks = [start_request(batcher, 1)]
        await asyncio.to_thread(model.entered.acquire)
        tasks.append(start_request(batcher, 2))
        await asyncio.sleep(0)
        return tasks

    tasks = loop.run_until_complete(stops())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(predict_together, batcher, table(3))
        wait_for_queue(batcher, 2)
        model.go_on.set()

        assert [[6.0]] == list(map(values, answer.result(SOON)))
    assert [[2.0], [4.0]] == [values(loop.run_until_complete(task)) for task in tasks]
    loop.close()


def test_blocked_loop_does_not_lead_a_nested_loop(model):
    """A coroutine waits, without await, for one that calls the same model on a loop of its own."""
    batcher = Batcher(model, WorkerPool(1), inline=False)

    async def run_requests():
        own = start_request(batcher, 1)
        await asyncio.sleep(0)
        nested = run_coroutine(lambda: asyncio.wait_for(adrive(batcher.predict(table(2))), SOON))
        return [nested, await own]

    assert [[4.0], [2.0]] == list(map(values, asyncio.run(run_requests())))


def test_waiter_interrupted_when_woken_to_lead_hands_over(model):
    """A signal handler raises just when the thread is to lead; the next waiter leads."""
    batcher = Batcher(model, WorkerPool(1), max_rows=1)
    leading, interrupted, behind = (ThreadWaiter(table(value), 1) for value in (1, 2, 3))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(batcher._enqueue, leading).result(SOON)

    class Interrupted(SimpleQueue):
        def get(self, timeout=None):
            batcher._enqueue(behind)
            batcher._lead(batcher._run)
            raise KeyboardInterrupt

    interrupted.wakeups = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        batcher._wait(interrupted, None)
    assert batcher._run.thread is behind
    assert not behind.wakeups.empty()
    batcher._lead(batcher._run)

    assert [[1.0], [3.0]] == model.calls
    assert batcher._run is None


def test_interruption_of_a_split_ends_it_for_its_own_thread_only(model):
    """The others of the batch are queued again and scored by the next thread."""
    raised = iter([ValueError("poison"), KeyboardInterrupt])

    def interrupted(rows):
        if 1 not in rows["a"]:
            for error in raised:
                raise error
        return model(rows)

    batcher = Batcher(interrupted, WorkerPool(1))
    first, second, third = (ThreadWaiter(table(value), 1) for value in (1, 2, 3))
    for one in (first, second, third):
        batcher._enqueue(one)
    batcher._lead(batcher._run)
    with pytest.raises(KeyboardInterrupt):
        batcher._wait_for_result(second, None)
    batcher._abandon(second)
    batcher._lead(batcher._run)

    assert second.result is None
    assert [6.0] == values(third.result)
    assert batcher._run is None


def test_waiter_woken_before_its_run_is_assigned_leads(model):
    """The thread that wakes it may be delayed in between."""
    batcher = Batcher(model, WorkerPool(1))
    model.go_on.clear()

    class Slow(SimpleQueue):
        def put(self, item):
            super().put(item)
            time.sleep(0.05)

    waiting = ThreadWaiter(table(2), 1)
    waiting.wakeups = Slow()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: drive(batcher.predict(table(1))))
        assert model.entered.acquire(timeout=SOON)
        second = pool.submit(batcher._wait, waiting, None)
        wait_for_queue(batcher, 1)
        model.go_on.set()

        assert [[2.0], [4.0]] == [values(future.result(SOON)) for future in (first, second)]


TENANT = ContextVar("tenant", default=None)


def test_joint_call_has_an_empty_context(model):
    """Variables that the model sets reach neither a caller nor the next call. A single table has its caller's context."""
    seen = []

    def see(rows):
        seen.append((len(rows), TENANT.get()))
        TENANT.set("leaked")
        return model(rows)

    batcher = Batcher(see, WorkerPool(1))
    model.go_on.clear()

    def predict_as(tenant, value):
        TENANT.set(tenant)
        drive(batcher.predict(table(value)))
        return TENANT.get()

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(copy_context().run, predict_as, "a", 1)
        assert model.entered.acquire(timeout=SOON)
        rest = [pool.submit(copy_context().run, predict_as, tenant, 2) for tenant in ("b", "c")]
        wait_for_queue(batcher, 2)
        model.go_on.set()
        tenants = [future.result(SOON) for future in rest]
        first.result(SOON)

    assert [(1, "a"), (2, None)] == seen
    assert ["b", "c"] == tenants


@pytest.mark.parametrize("inline", [True, False])
def test_single_table_has_its_callers_context_on_a_loop(model, inline):
    """Also if the request that scheduled the call was cancelled."""
    seen = []

    def see(rows):
        seen.append(TENANT.get())
        return model(rows)

    batcher = Batcher(see, WorkerPool(1), inline=inline)

    async def predict_as(tenant, value):
        TENANT.set(tenant)
        return await adrive(batcher.predict(table(value)))

    async def both():
        cancelled, active = (asyncio.create_task(predict_as(tenant, 1)) for tenant in ("cancelled", "active"))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait_for(active, SOON)

    asyncio.run(both())

    assert ["active"] == seen


def test_table_scored_by_another_thread_has_its_callers_context(model):
    """If a call for two tables fails, each is scored alone."""
    seen = {}

    def see(rows):
        if len(rows) == 1:
            seen[rows["a"][0]] = TENANT.get()
        return model(rows)

    batcher = Batcher(see, WorkerPool(1))
    model.go_on.clear()

    def predict_as(tenant, value):
        TENANT.set(tenant)
        return drive(batcher.predict(table(value)))

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(copy_context().run, predict_as, "a", 1)]
        assert model.entered.acquire(timeout=SOON)
        futures += [
            pool.submit(copy_context().run, predict_as, tenant, value)
            for tenant, value in (("b", 2), ("c", -1))
        ]
        wait_for_queue(batcher, 2)
        model.go_on.set()
        errors = [future.exception(SOON) for future in futures]

    assert {1.0: "a", 2.0: "b", -1.0: "c"} == seen
    assert [type(None), type(None), ValueError] == list(map(type, errors))


class NoWorkers(WorkerPool):
    """Workers that fail to start a thread while *none* is True."""

    none = False

    def submit(self, call, *, immediate=False):
        if self.none:
            raise RuntimeError("can't start new thread")
        super().submit(call, immediate=immediate)


def test_waiters_get_an_error_if_there_is_no_worker(model):
    """Later requests are served again."""
    workers = NoWorkers(1)
    batcher = Batcher(model, workers, inline=False)
    workers.none = True
    results = predict_together(batcher, table(1), table(2))
    workers.none = False

    assert ["can't start new thread"] * 2 == [str(error.__cause__) for error in results]
    assert results[0] is not results[1]
    assert [[6.0]] == list(map(values, predict_together(batcher, table(3))))


def test_failed_batch_is_rejected_if_there_is_no_worker_to_split_it(model):
    """Requests in the failed call are rejected; queued ones need no worker."""
    workers = NoWorkers(1)
    workers.none = True
    batcher = Batcher(model, workers, inline=True, max_rows=4)
    results = predict_together(batcher, *(table(value) for value in (1, -1, 3, 4, 5, 6)))

    assert [Overloaded] * 4 == list(map(type, results[:4]))
    assert [[10.0], [12.0]] == list(map(values, results[4:]))


@pytest.mark.slow
def test_queued_large_tables_do_not_make_a_batch_rejected():
    """One large table is admitted whatever its size; a batch consists of requests that are counted already."""
    go_on = threading.Event()
    large = SCHEMA.read([{"a": 1, "plan": "p"}] * (MAX_WAITING + 1))

    def slow(rows):
        assert len(rows) == 1 or go_on.wait(SOON)
        return Prediction([Output("a", rows["a"])])

    batcher = Batcher(slow, WorkerPool(1), inline=False)

    async def run_requests():
        first = asyncio.create_task(adrive(batcher.predict(large.slice(0, 2000))))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(adrive(batcher.predict(rows))) for rows in (large, large.slice(0, 1))]
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        return await asyncio.wait_for(asyncio.gather(first, *rest), SOON)

    assert [2000, MAX_WAITING + 1, 1] == [len(prediction) for prediction in asyncio.run(run_requests())]


def test_batcher_limits_the_requests_of_a_call(model):
    """An event loop resumes all of them in one pass."""
    batcher = Batcher(model, WorkerPool(1), inline=True)
    results = predict_together(batcher, *(table(value) for value in range(600)))

    assert [[value * 2.0] for value in range(600)] == list(map(values, results))
    assert [256, 256, 88] == list(map(len, model.calls))


def test_batcher_makes_no_call_if_all_requests_are_cancelled(model):
    batcher = Batcher(model, WorkerPool(1), inline=True)

    async def run_requests():
        tasks = [start_request(batcher, value) for value in range(3)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run_requests())

    assert (0, 0, 0, 0, 0) == batcher.info()


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("failing", [0, 7, 15])
def test_only_the_table_at_fault_fails(model, inline, failing):
    """Of sixteen requests fifteen get a prediction, within a few further calls."""
    batcher = Batcher(model, WorkerPool(1), inline=inline)
    results = predict_together(batcher, *(table(-1 if index == failing else index) for index in range(16)))

    assert isinstance(results[failing], ValueError)
    assert [[index * 2.0] for index in range(16) if index != failing] == [
        values(prediction) for index, prediction in enumerate(results) if index != failing
    ]
    assert max(sum(index in call for call in model.calls) for index in range(16)) <= 5
    assert [[2.0]] == list(map(values, predict_together(batcher, table(1))))


def test_exit_raised_by_a_model_is_an_error(model):
    """SystemExit always; KeyboardInterrupt outside of the main thread, for which it may be meant."""
    raising = iter([SystemExit, KeyboardInterrupt, KeyboardInterrupt])

    def leaving(rows):
        model.entered.release()
        assert model.go_on.wait(SOON)
        raise next(raising)

    batcher = Batcher(leaving, WorkerPool(1))
    with pytest.raises(RuntimeError):
        drive(batcher.predict(table(1)))
    with pytest.raises(KeyboardInterrupt):
        drive(batcher.predict(table(1)))
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        pool.submit(drive, batcher.predict(table(1))).result(SOON)
    assert batcher._run is None


FORKED = """
import os, threading, sys
from modelgate import Schema, WorkerPool, drive
from modelgate.inference.batching.batcher import Batcher
from modelgate.inference import Output, Prediction

entered, go_on = threading.Event(), threading.Event()
parent = os.getpid()

def model(rows):
    if os.getpid() == parent:
        entered.set()
        go_on.wait()
    return Prediction([Output("a", rows["a"])])

batcher = Batcher(model, WorkerPool(1))
table = Schema.of(a=float).read({"a": 7})
thread = threading.Thread(target=lambda: drive(batcher.predict(table)))
thread.start()
entered.wait()
child = os.fork()
if child == 0:
    os._exit(int(drive(batcher.predict(table)).values[0]))
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
go_on.set()
thread.join()
sys.exit(status)
"""


@pytest.mark.slow
def test_forked_child_starts_with_an_empty_queue():
    """The call that runs in the parent never ends in the child."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=SOON, check=False)

    assert 7 == done.returncode


@pytest.mark.parametrize(
    "options", [{"max_rows": 0}, {"max_rows": 2.5}, {"max_waiting": 0}, {"max_waiting": True}]
)
def test_batcher_rejects_invalid_options(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Batcher(len, WorkerPool(1), **options)
