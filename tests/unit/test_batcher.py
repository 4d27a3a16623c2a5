"""Tables that wait for the same model are scored in one call."""

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

from modelgate import ConfigurationError, Schema, Workers, adrive, drive
from modelgate.errors import Overloaded
from modelgate.flow import run_coroutine
from modelgate.flow.bounded import bounded
from modelgate.flow.threads import MAX_WAITING
from modelgate.scoring import Output, Prediction, tally
from modelgate.scoring.batcher import Batcher
from modelgate.scoring.pace import LIGHT, LIGHT_ROWS
from modelgate.scoring.waiting import InThread
from modelgate.testing import Clock
from waiting import SOON

SCHEMA = Schema.of(a=float, plan=str)


def table(*values):
    return SCHEMA.read([{"a": value, "plan": f"p{value}"} for value in values])


class Model:
    """Doubles; remembers what it was given and in which thread; waits where it is told to."""

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
            str(told).removesuffix(".0") for told in rows["plan"]
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


def ask(scored, *tables):
    """The answers to tables that are all asked in one pass of an event loop."""

    async def all_of_them():
        flows = [adrive(scored.predict(each)) for each in tables]
        return await asyncio.wait_for(asyncio.gather(*flows, return_exceptions=True), SOON)

    return asyncio.run(all_of_them())


def asking(scored, *rows):
    """The task of a request for a table of *rows*."""
    return asyncio.create_task(adrive(scored.predict(table(*rows))))


async def begun(scored, model):
    """The task of a request that the model is at work on."""
    task = asking(scored, 1)
    await asyncio.to_thread(model.entered.acquire)
    return task


def queued(scored, count):
    """Wait until so many tables wait."""
    until = threading.Event()
    for _ in range(SOON * 1000):
        if len(scored._queue.waiting) == count:
            return
        until.wait(0.001)
    raise AssertionError(f"{len(scored._queue.waiting)} wait, not {count}")


def test_one_alone_is_scored_at_once(model):
    """In its own thread under WSGI, in a worker under ASGI as long as nothing is known of the model."""
    scored = Batcher(model, Workers(1))

    assert [2.0, 4.0] == values(drive(scored.predict(table(1, 2))))
    assert [[6.0]] == [values(told) for told in ask(Batcher(model, Workers(1)), table(3))]
    assert threading.current_thread() is model.threads[0]
    assert threading.current_thread() is not model.threads[1]


def test_one_pass_of_the_event_loop_is_one_call(model):
    """Each gets its own rows back, and the model runs on the loop."""
    scored = Batcher(model, Workers(1), inline=True)
    told = ask(scored, table(1), table(2, 3), table(4))

    assert [[2.0], [4.0, 6.0], [8.0]] == list(map(values, told))
    assert [[1.0, 2.0, 3.0, 4.0]] == model.calls
    assert [threading.current_thread()] == model.threads
    assert (3, 1, 1, 0, 0) == scored.info()


@pytest.mark.parametrize("inline", [True, False])
def test_what_comes_in_the_next_passes_of_the_loop_is_in_the_call(model, inline):
    """Where others came in the one before: there is more on its way."""
    scored = Batcher(model, Workers(1), inline=inline)

    async def asked():
        tasks = []
        for rows in ([1, 2], [3], [4]):
            tasks += [asking(scored, at) for at in rows]
            await asyncio.sleep(0)
        return await asyncio.wait_for(asyncio.gather(*tasks), SOON)

    assert [[2.0], [4.0], [6.0], [8.0]] == list(map(values, asyncio.run(asked())))
    assert [[1.0, 2.0, 3.0, 4.0]] == model.calls


def test_a_light_one_alone_waits_for_a_single_pass(model):
    """It may have come with others, and nothing says so."""
    scored = Batcher(model, Workers(1), inline=True)

    async def asked():
        task = asking(scored, 1)
        await asyncio.sleep(0)
        before = len(model.calls)
        await asyncio.sleep(0)
        return before, len(model.calls), await task

    assert (0, 1) == asyncio.run(asked())[:2]


def test_who_has_an_answer_and_asks_again_is_in_the_next_call(model):
    """With those who waited for that: they wait until the answers are sent, and the next requests read."""
    scored = Batcher(model, Workers(1), inline=False)
    model.go_on.clear()

    async def twice():
        return [await adrive(scored.predict(table(at))) for at in (1, 3)]

    async def asked():
        first = asyncio.create_task(twice())
        await asyncio.to_thread(model.entered.acquire)
        other = asking(scored, 2)
        await asyncio.sleep(0)
        model.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, other), SOON)

    asyncio.run(asked())

    assert [[1.0], [2.0, 3.0]] == model.calls


def test_what_queues_while_a_worker_is_busy_is_the_next_call(model):
    """The first goes at once, the rest together."""
    scored = Batcher(model, Workers(1), inline=False)
    model.go_on.clear()

    async def asked():
        first = await begun(scored, model)
        rest = [asking(scored, at) for at in (2, 3, 4)]
        await asyncio.sleep(0)
        model.go_on.set()
        return await asyncio.wait_for(asyncio.gather(first, *rest), SOON)

    assert [[2.0], [4.0], [6.0], [8.0]] == list(map(values, asyncio.run(asked())))
    assert [[1.0], [2.0, 3.0, 4.0]] == model.calls


def test_a_thread_scores_what_others_have_queued(model):
    """The first leads; the first of those that wait leads them."""
    scored = Batcher(model, Workers(1))
    model.go_on.clear()
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(lambda: drive(scored.predict(table(1))))
        model.entered.acquire()
        rest = [pool.submit(lambda at=at: drive(scored.predict(table(at)))) for at in (2, 3, 4, 5)]
        queued(scored, 4)
        model.go_on.set()
        told = [values(future.result(SOON)) for future in (first, *rest)]

    assert [[2.0], [4.0], [6.0], [8.0], [10.0]] == told
    assert ([1.0], [2.0, 3.0, 4.0, 5.0]) == (model.calls[0], sorted(model.calls[1]))
    assert model.threads[0] is not model.threads[1]


def test_threads_and_an_event_loop_share_a_model(model):
    """Whoever comes first."""
    scored = Batcher(model, Workers(1))
    model.go_on.clear()
    with ThreadPoolExecutor(3) as pool:
        thread = pool.submit(lambda: drive(scored.predict(table(1))))
        model.entered.acquire()
        loop = pool.submit(ask, scored, table(2), table(3))
        queued(scored, 2)
        other = pool.submit(lambda: drive(scored.predict(table(4))))
        queued(scored, 3)
        model.go_on.set()
        told = [values(thread.result(SOON)), *map(values, loop.result(SOON)), values(other.result(SOON))]

    assert [[2.0], [4.0], [6.0], [8.0]] == told
    assert [[1.0], [2.0, 3.0, 4.0]] == model.calls


def test_rows_count_and_not_requests(model):
    """A call has *max_rows* at most, and a table of as many does not wait."""
    scored = Batcher(model, Workers(1), inline=False, max_rows=4)
    model.go_on.clear()

    async def asked():
        first = await begun(scored, model)
        rest = [asking(scored, *at) for at in ((1, 2), (3,), (4, 5), (6,))]
        await asyncio.sleep(0)
        model.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, *rest), SOON)

    asyncio.run(asked())

    assert [[1.0], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]] == model.calls
    assert [2.0, 4.0, 6.0, 8.0] == values(drive(scored.predict(table(1, 2, 3, 4))))
    assert 5 == scored.info().requests


@pytest.mark.parametrize("inline", [True, False])
def test_a_call_has_tables_of_one_key(model, inline):
    """Those of the key of the first one that waits, in their order; the others go out next."""
    scored = Batcher(model, Workers(1), inline=inline, key=lambda rows: rows["a"][0] % 2)
    told = ask(scored, *map(table, range(1, 7)))

    assert [[float(2 * value)] for value in range(1, 7)] == list(map(values, told))
    assert [[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]] == model.calls
    assert (6, 2) == scored.info()[:2]


def test_threads_lead_calls_of_their_own_key(model):
    """No thread waits for a call that its table cannot be in."""
    scored = Batcher(model, Workers(1), key=lambda rows: rows["a"][0] % 2)
    model.go_on.clear()
    with ThreadPoolExecutor(4) as pool:
        told = [pool.submit(drive, scored.predict(table(1)))]
        assert model.entered.acquire(timeout=SOON)
        for at, value in enumerate((2, 3, 4), 1):
            told.append(pool.submit(drive, scored.predict(table(value))))
            queued(scored, at)
        model.go_on.set()

        assert [[2.0], [4.0], [6.0], [8.0]] == [values(each.result(SOON)) for each in told]
    assert [[1.0], [2.0, 4.0], [3.0]] == model.calls


def test_who_leads_on_an_event_loop_and_is_cancelled_leads_all_the_same(model):
    """The others of the pass have their answers, and it is not scored itself."""
    scored = Batcher(model, Workers(1), inline=True)

    async def asked():
        tasks = [asking(scored, value) for value in (1, 2)]
        asyncio.get_running_loop().call_soon(tasks[0].cancel)
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)

    first, second = asyncio.run(asked())

    assert isinstance(first, asyncio.CancelledError)
    assert ([4.0], [[2.0]]) == (values(second), model.calls)


def test_where_the_model_runs_follows_the_time_it_takes(model, monkeypatch):
    """On the loop when it is light; one spike sends it to a thread, until it is forgotten."""
    clock, took = Clock(0), [LIGHT / 4]

    def timed(rows):
        clock.advance(took[0])
        return model(rows)

    monkeypatch.setattr(tally, "perf_counter", clock)
    scored, here = Batcher(timed, Workers(1)), []

    def asked(count):
        for _ in range(count):
            ask(scored, table(1))
            here.append(model.threads[-1] is threading.current_thread())
        return here[-count:]

    assert [False, True, True] == asked(3)
    took[0] = LIGHT * 2
    assert [True, False] == asked(2)
    took[0] = LIGHT / 4
    assert [False] * 5 == asked(5)
    assert asked(20)[-1]
    ask(scored, table(*[1] * (LIGHT_ROWS + 1)))
    assert model.threads[-1] is not threading.current_thread()


def test_many_rows_run_on_the_loop_once_known_to_be_light(model, monkeypatch):
    """Few rows tell at most what a call of more takes; what may take too long goes to a thread, and tells."""
    clock, row = Clock(0), [LIGHT / 4]

    def timed(rows):
        clock.advance(LIGHT / 4 + row[0] * len(rows))
        return model(rows)

    monkeypatch.setattr(tally, "perf_counter", clock)
    scored = Batcher(timed, Workers(1))

    def here(*sizes):
        ask(scored, *(table(*[1] * size) for size in sizes))
        return model.threads[-1] is threading.current_thread()

    drive(scored.predict(table(1)))

    assert [True, False] == [here(1), here(200)]
    for _ in range(500):
        drive(scored.predict(table(1)))
    assert [True, False] == [here(1), here(200)]
    row[0] = LIGHT / 1000
    for _ in range(500):
        drive(scored.predict(table(1)))
    assert [True, False, False, True] == [here(1), here(*[1] * 20), here(*[1] * 200), here(200)]


def soon(scored, rows):
    """The answer to a thread that has a deadline."""
    return drive(bounded(scored.predict(rows), time.perf_counter() + SOON))


def test_a_thread_with_a_deadline_runs_what_takes_little_of_it(model, monkeypatch):
    """Once that is known; it need not be as light as on an event loop."""
    clock, took = Clock(0), [LIGHT * 2]

    def timed(rows):
        clock.advance(took[0])
        return model(rows)

    monkeypatch.setattr(tally, "perf_counter", clock)
    scored, here = Batcher(timed, Workers(1, patience=SOON)), []
    for seconds, rows in ((LIGHT * 2, 1), (LIGHT * 2, 1), (LIGHT * 2, LIGHT_ROWS + 1), (SOON, 1), (0, 1)):
        took[0] = seconds
        soon(scored, table(*[1] * rows))
        here.append(model.threads[-1] is threading.current_thread())

    assert [False, True, False, True, False] == here


def test_threads_with_a_deadline_take_turns_at_a_light_model(model):
    """Who waited leads the next batch: none of them waits for a thread of the gate's."""
    scored = Batcher(model, Workers(1, patience=SOON), max_rows=2)
    drive(scored.predict(table(0)))
    with ThreadPoolExecutor(3) as pool:
        model.go_on.clear()
        first = pool.submit(soon, scored, table(1))
        assert model.entered.acquire(timeout=SOON)
        assert model.entered.acquire(timeout=SOON)
        others = [pool.submit(soon, scored, table(value)) for value in (2, 3)]
        queued(scored, 2)
        model.go_on.set()
        told = [values(asked.result(SOON)) for asked in (first, *others)]

        assert [[2.0], [4.0], [6.0]] == told
        assert 3 == len(model.calls)
        assert pool._threads >= set(model.threads[1:])


def test_who_gives_up_when_told_to_lead_has_the_next_one_lead(model):
    """Whoever waits behind is scored all the same."""
    scored = Batcher(model, Workers(1), max_rows=1)
    waiting = [InThread(table(value)) for value in (1, 2, 3)]
    for one in waiting:
        scored._enter(one)
    leaders = []
    for _ in range(2):
        leaders.append(scored._run.thread)
        scored._lead(scored._run)
        if scored._run is not None and scored._run.thread is waiting[1]:
            scored._leave(waiting[1])
    assert [waiting[0], waiting[2]] == leaders

    assert [[1.0], [3.0]] == model.calls
    assert [True, False, True] == [one.outcome is not None for one in waiting]


def test_more_rows_than_may_wait_are_refused_at_once(model):
    """Those that wait already are served."""
    scored = Batcher(model, Workers(1), inline=False, max_waiting=2)
    model.go_on.clear()

    async def asked():
        first = await begun(scored, model)
        second = asking(scored, 2, 3)
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await adrive(scored.predict(table(4)))
        model.go_on.set()
        return await asyncio.wait_for(asyncio.gather(first, second), SOON)

    assert [[2.0], [4.0, 6.0]] == list(map(values, asyncio.run(asked())))
    assert 1 == scored.info().shed


def test_who_gives_up_makes_room_for_others(model):
    """Though the model is at work on what came before; nor do their rows count as waiting."""
    scored = Batcher(model, Workers(1), inline=False, max_waiting=3)
    model.go_on.clear()

    async def asked():
        first = await begun(scored, model)
        gone, stays = (asking(scored, *rows) for rows in ([2, 3], [4]))
        await asyncio.sleep(0)
        told = [scored.rows_waiting]
        gone.cancel()
        await asyncio.sleep(0)
        last = asking(scored, 5)
        await asyncio.sleep(0)
        told.append(scored.rows_waiting)
        model.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, stays, last), SOON)
        return told

    assert [3, 2] == asyncio.run(asked())
    assert [[1.0], [4.0, 5.0]] == model.calls
    assert 0 == scored.info().shed


def test_who_gives_up_is_not_scored(model):
    """Neither in the middle of the queue nor at its head."""
    scored = Batcher(model, Workers(1), inline=False)
    model.go_on.clear()

    async def asked():
        first = await begun(scored, model)
        rest = [asking(scored, at) for at in (2, 3, 4)]
        await asyncio.sleep(0)
        rest[0].cancel()
        rest[2].cancel()
        await asyncio.sleep(0)
        model.go_on.set()
        return await asyncio.wait_for(asyncio.gather(first, rest[1]), SOON)

    assert [[2.0], [6.0]] == list(map(values, asyncio.run(asked())))
    assert [[1.0], [3.0]] == model.calls
    assert [[10.0]] == list(map(values, ask(scored, table(5))))


@pytest.mark.parametrize("closed", [True, False])
def test_a_loop_that_does_not_run_holds_nobody_up(model, closed):
    """One that ended before it ran its batch: who comes next leads, in a thread or on another loop."""
    scored = Batcher(model, Workers(1), inline=True)
    loop = asyncio.new_event_loop()

    async def left_behind():
        return asking(scored, 1)

    loop.run_until_complete(left_behind())
    loop._run_once()  # the task begins, and what it has scheduled does not
    if closed:
        loop.close()
    with ThreadPoolExecutor(2) as pool:
        assert [4.0] == values(pool.submit(lambda: drive(scored.predict(table(2)))).result(SOON))
        assert [[6.0]] == list(map(values, pool.submit(ask, scored, table(3)).result(SOON)))
    if not closed:
        loop.close()


def test_a_thread_that_holds_up_a_loop_is_not_held_up_by_it(model):
    """Scoring without await inside a coroutine, while others of its loop wait for the same model."""
    scored = Batcher(model, Workers(1), inline=True)

    async def asked():
        others = [asking(scored, at) for at in (1, 2)]
        await asyncio.sleep(0)
        own = drive(scored.predict(table(3)))
        return [own, *await asyncio.wait_for(asyncio.gather(*others), SOON)]

    assert [[6.0], [2.0], [4.0]] == list(map(values, asyncio.run(asked())))
    assert scored._run is None


def test_a_loop_that_is_gone_holds_nobody_up(model):
    """Its tables are left out, and the next is served."""
    scored = Batcher(model, Workers(1), inline=False)
    model.go_on.clear()

    async def abandoned():
        first = await begun(scored, model)
        second = asking(scored, 2)
        await asyncio.sleep(0)
        return [task.cancel() for task in (first, second)]

    asyncio.run(abandoned())
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: drive(scored.predict(table(3))))
        queued(scored, 2)
        model.go_on.set()

        assert [6.0] == values(other.result(SOON))
    assert [[1.0], [3.0]] == model.calls


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_who_waits_on_another_loop_does_not_wait_for_one_that_stops(model, inline, closed):
    """It has a batch to run, and stops in the middle of it, its requests neither answered nor cancelled."""
    scored, asked = Batcher(model, Workers(1), inline=inline), threading.Event()
    loop = asyncio.new_event_loop()

    async def other():
        task = asking(scored, 2)
        await asyncio.sleep(0)
        asked.set()
        return await asyncio.wait_for(task, SOON)

    async def stops():
        task = asking(scored, 1)
        await asyncio.sleep(0)
        answer = pool.submit(asyncio.run, other())
        assert asked.wait(SOON)
        return task, answer

    with ThreadPoolExecutor(1) as pool:
        task, answer = loop.run_until_complete(stops())
        if closed:
            loop.close()

        assert [4.0] == values(answer.result(SOON))
    if not closed:
        assert [2.0] == values(loop.run_until_complete(task))
        loop.close()


def test_a_loop_that_stopped_does_not_lead_who_is_left(model):
    """Both waited while the model was busy."""
    scored, loop = Batcher(model, Workers(1), inline=False), asyncio.new_event_loop()
    model.go_on.clear()

    async def stops():
        tasks = [asking(scored, 1)]
        await asyncio.to_thread(model.entered.acquire)
        tasks.append(asking(scored, 2))
        await asyncio.sleep(0)
        return tasks

    tasks = loop.run_until_complete(stops())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, scored, table(3))
        queued(scored, 2)
        model.go_on.set()

        assert [[6.0]] == list(map(values, answer.result(SOON)))
    assert [[2.0], [4.0]] == [values(loop.run_until_complete(task)) for task in tasks]
    loop.close()


def test_a_loop_that_is_held_up_by_another_leads_nobody(model):
    """A coroutine waits, without await, for one that asks the same model on a loop of its own."""
    scored = Batcher(model, Workers(1), inline=False)

    async def asked():
        own = asking(scored, 1)
        await asyncio.sleep(0)
        nested = run_coroutine(lambda: asyncio.wait_for(adrive(scored.predict(table(2))), SOON))
        return [nested, await own]

    assert [[4.0], [2.0]] == list(map(values, asyncio.run(asked())))


def test_who_is_interrupted_while_it_waits_does_not_lead(model):
    """A signal's handler raised just when it was told to: whoever waits behind is."""
    scored = Batcher(model, Workers(1), max_rows=1)
    leading, interrupted, behind = (InThread(table(value)) for value in (1, 2, 3))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(scored._enter, leading).result(SOON)

    class Interrupted(SimpleQueue):
        def get(self, timeout=None):
            scored._enter(behind)
            scored._lead(scored._run)
            raise KeyboardInterrupt

    interrupted.woken = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        scored._wait(interrupted, None)
    assert scored._run.thread is behind
    assert not behind.woken.empty()
    scored._lead(scored._run)

    assert [[1.0], [3.0]] == model.calls
    assert scored._run is None


def test_an_interrupt_in_the_search_for_the_guilty_ends_it_for_its_own_thread(model):
    """The others of the batch wait again, and are scored by the next thread."""
    raised = iter([ValueError("poison"), KeyboardInterrupt])

    def interrupted(rows):
        if 1 not in rows["a"]:
            for error in raised:
                raise error
        return model(rows)

    scored = Batcher(interrupted, Workers(1))
    first, second, third = (InThread(table(value)) for value in (1, 2, 3))
    for one in (first, second, third):
        scored._enter(one)
    scored._lead(scored._run)
    with pytest.raises(KeyboardInterrupt):
        scored._outcome(second, None)
    scored._leave(second)
    scored._lead(scored._run)

    assert second.outcome is None
    assert [6.0] == values(third.outcome)
    assert scored._run is None


def test_who_is_woken_to_lead_before_the_run_is_assigned_leads(model):
    """The thread that wakes it may be held up in between."""
    scored = Batcher(model, Workers(1))
    model.go_on.clear()

    class Slow(SimpleQueue):
        def put(self, item):
            super().put(item)
            time.sleep(0.05)

    waiting = InThread(table(2))
    waiting.woken = Slow()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: drive(scored.predict(table(1))))
        assert model.entered.acquire(timeout=SOON)
        second = pool.submit(scored._wait, waiting, None)
        queued(scored, 1)
        model.go_on.set()

        assert [[2.0], [4.0]] == [values(asked.result(SOON)) for asked in (first, second)]


TENANT = ContextVar("tenant", default=None)


def test_a_shared_call_has_nobodys_context(model):
    """Nor does what the model sets in it reach a caller, or the next call; a table alone has its caller's."""
    seen = []

    def see(rows):
        seen.append((len(rows), TENANT.get()))
        TENANT.set("leaked")
        return model(rows)

    scored = Batcher(see, Workers(1))
    model.go_on.clear()

    def asked(tenant, value):
        TENANT.set(tenant)
        drive(scored.predict(table(value)))
        return TENANT.get()

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(copy_context().run, asked, "a", 1)
        assert model.entered.acquire(timeout=SOON)
        rest = [pool.submit(copy_context().run, asked, tenant, 2) for tenant in ("b", "c")]
        queued(scored, 2)
        model.go_on.set()
        left = [asked.result(SOON) for asked in rest]
        first.result(SOON)

    assert [(1, "a"), (2, None)] == seen
    assert ["b", "c"] == left


@pytest.mark.parametrize("inline", [True, False])
def test_a_table_alone_has_its_callers_context_on_a_loop(model, inline):
    """Also where the one that came first, for which the call was scheduled, has gone."""
    seen = []

    def see(rows):
        seen.append(TENANT.get())
        return model(rows)

    scored = Batcher(see, Workers(1), inline=inline)

    async def asked(tenant, value):
        TENANT.set(tenant)
        return await adrive(scored.predict(table(value)))

    async def both():
        gone, stays = (asyncio.create_task(asked(tenant, 1)) for tenant in ("gone", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait_for(stays, SOON)

    asyncio.run(both())

    assert ["stays"] == seen


def test_a_table_that_another_thread_scores_has_its_callers_context(model):
    """Where a call for two of them fails, each is scored alone."""
    seen = {}

    def see(rows):
        if len(rows) == 1:
            seen[rows["a"][0]] = TENANT.get()
        return model(rows)

    scored = Batcher(see, Workers(1))
    model.go_on.clear()

    def asked(tenant, value):
        TENANT.set(tenant)
        return drive(scored.predict(table(value)))

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(copy_context().run, asked, "a", 1)]
        assert model.entered.acquire(timeout=SOON)
        futures += [
            pool.submit(copy_context().run, asked, tenant, at) for tenant, at in (("b", 2), ("c", -1))
        ]
        queued(scored, 2)
        model.go_on.set()
        errors = [future.exception(SOON) for future in futures]

    assert {1.0: "a", 2.0: "b", -1.0: "c"} == seen
    assert [type(None), type(None), ValueError] == list(map(type, errors))


class NoWorkers(Workers):
    """Threads that cannot be had, as long as there are to be none."""

    none = False

    def submit(self, call, *, now=False):
        if self.none:
            raise RuntimeError("can't start new thread")
        super().submit(call, now=now)


def test_without_a_worker_who_waits_is_told_so(model):
    """And who comes later is served again."""
    workers = NoWorkers(1)
    scored = Batcher(model, workers, inline=False)
    workers.none = True
    told = ask(scored, table(1), table(2))
    workers.none = False

    assert ["can't start new thread"] * 2 == [str(error.__cause__) for error in told]
    assert told[0] is not told[1]
    assert [[6.0]] == list(map(values, ask(scored, table(3))))


def test_without_a_worker_the_guilty_is_not_found_and_others_are_served(model):
    """Who was in the call that failed is told so; who came behind needs no thread."""
    workers = NoWorkers(1)
    workers.none = True
    scored = Batcher(model, workers, inline=True, max_rows=4)
    told = ask(scored, *(table(value) for value in (1, -1, 3, 4, 5, 6)))

    assert [Overloaded] * 4 == list(map(type, told[:4]))
    assert [[10.0], [12.0]] == list(map(values, told[4:]))


def test_large_calls_that_wait_do_not_refuse_a_batch():
    """One is let in alone, however many rows it has; a batch is those of requests that count already."""
    go_on = threading.Event()
    large = SCHEMA.read([{"a": 1, "plan": "p"}] * (MAX_WAITING + 1))

    def slow(rows):
        assert len(rows) == 1 or go_on.wait(SOON)
        return Prediction([Output("a", rows["a"])])

    scored = Batcher(slow, Workers(1), inline=False)

    async def asked():
        first = asyncio.create_task(adrive(scored.predict(large.part(0, 2000))))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(adrive(scored.predict(rows))) for rows in (large, large.part(0, 1))]
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        return await asyncio.wait_for(asyncio.gather(first, *rest), SOON)

    assert [2000, MAX_WAITING + 1, 1] == [len(told) for told in asyncio.run(asked())]


def test_a_batch_has_no_more_requests_than_a_loop_can_go_on_with(model):
    """They all have their answers in one pass."""
    scored = Batcher(model, Workers(1), inline=True)
    told = ask(scored, *(table(at) for at in range(600)))

    assert [[at * 2.0] for at in range(600)] == list(map(values, told))
    assert [256, 256, 88] == list(map(len, model.calls))


def test_where_all_have_gone_there_is_no_call(model):
    """Nor is one counted."""
    scored = Batcher(model, Workers(1), inline=True)

    async def asked():
        tasks = [asking(scored, at) for at in range(3)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(asked())

    assert (0, 0, 0, 0, 0) == scored.info()


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("guilty", [0, 7, 15])
def test_only_the_guilty_request_fails(model, inline, guilty):
    """Sixteen at once, one of which makes the model raise: fifteen answers, and not many more calls."""
    scored = Batcher(model, Workers(1), inline=inline)
    told = ask(scored, *(table(-1 if at == guilty else at) for at in range(16)))

    assert isinstance(told[guilty], ValueError)
    assert [[at * 2.0] for at in range(16) if at != guilty] == [
        values(prediction) for at, prediction in enumerate(told) if at != guilty
    ]
    assert max(sum(at in call for call in model.calls) for at in range(16)) <= 5
    assert [[2.0]] == list(map(values, ask(scored, table(1))))


def test_a_model_that_wants_to_leave_is_an_error(model):
    """SystemExit takes nobody with it, an interrupt only the main thread, which it may have been meant for."""
    raising = iter([SystemExit, KeyboardInterrupt, KeyboardInterrupt])

    def leaving(rows):
        model.entered.release()
        assert model.go_on.wait(SOON)
        raise next(raising)

    scored = Batcher(leaving, Workers(1))
    with pytest.raises(RuntimeError):
        drive(scored.predict(table(1)))
    with pytest.raises(KeyboardInterrupt):
        drive(scored.predict(table(1)))
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        pool.submit(drive, scored.predict(table(1))).result(SOON)
    assert scored._run is None


FORKED = """
import os, threading, sys
from modelgate import Schema, Workers, drive
from modelgate.scoring.batcher import Batcher
from modelgate.scoring import Output, Prediction

entered, go_on = threading.Event(), threading.Event()
parent = os.getpid()

def model(rows):
    if os.getpid() == parent:
        entered.set()
        go_on.wait()
    return Prediction([Output("a", rows["a"])])

scored = Batcher(model, Workers(1))
table = Schema.of(a=float).read({"a": 7})
thread = threading.Thread(target=lambda: drive(scored.predict(table)))
thread.start()
entered.wait()
child = os.fork()
if child == 0:
    os._exit(int(drive(scored.predict(table)).values[0]))
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
go_on.set()
thread.join()
sys.exit(status)
"""


def test_a_forked_child_begins_anew():
    """What ran in the parent never ends in the child."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=SOON, check=False)

    assert 7 == done.returncode


@pytest.mark.parametrize(
    "options", [{"max_rows": 0}, {"max_rows": 2.5}, {"max_waiting": 0}, {"max_waiting": True}]
)
def test_options_that_cannot_be(options):
    """At construction, by name."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Batcher(len, Workers(1), **options)
