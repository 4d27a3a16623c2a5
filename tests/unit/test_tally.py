"""Why each call of a model was made, and what it took."""

import asyncio
import threading
from time import perf_counter

import numpy as np
import pytest

from modelgate import (
    DeadlineExceeded,
    Overloaded,
    PredictionError,
    Predictor,
    Schema,
    Workers,
    adrive,
    drive,
)
from modelgate.flow.bounded import bounded
from modelgate.scoring.batcher import Batcher
from modelgate.scoring.pace import LIGHT_ROWS
from modelgate.scoring.query import Output, Prediction
from modelgate.scoring.tally import Tally
from modelgate.testing import Clock

SCHEMA = Schema.of(a=float)
SOON = 30


def table(*values):
    return SCHEMA.read([{"a": value} for value in values])


def double(rows):
    if -1 in rows["a"]:
        raise ValueError("poison")
    return Prediction([Output("double", rows["a"] * 2)])


def together(scored, *tables):
    async def all_of_them():
        return await asyncio.gather(
            *(adrive(scored.predict(each)) for each in tables), return_exceptions=True
        )

    return asyncio.run(all_of_them())


def made(tally):
    return {reason: count for reason, count in tally.calls.items() if count}


def test_a_model_that_is_idle_is_called_at_once():
    """And a table as large as a batch alone."""
    tally = Tally()
    scored = Batcher(double, Workers(1), max_rows=4, tally=tally)
    drive(scored.predict(table(1, 2)))
    drive(scored.predict(table(1, 2, 3, 4)))

    assert {"idle": 1, "large": 1} == made(tally)
    assert (2, 6.0) == (sum(tally.rows.counts), tally.rows.sum)
    assert 2 == sum(tally.seconds.counts)
    assert 0 < tally.seconds.sum < SOON


def test_what_came_to_an_event_loop():
    """And no more than a call has; the rest waits until that is over."""
    tally = Tally()
    scored = Batcher(double, Workers(1), inline=True, tally=tally)
    together(scored, table(1), table(2))
    together(scored, table(*[3] * (LIGHT_ROWS - 1)), table(4, 5))

    assert {"loop": 1, "full": 1, "busy": 1} == made(tally)


def test_what_came_while_the_model_was_busy():
    """As many rows as fit, and then the rest; meanwhile they wait."""
    tally, entered, go_on = Tally(), threading.Event(), threading.Event()

    def slow(rows):
        entered.set()
        assert go_on.wait(SOON)
        return double(rows)

    scored = Batcher(slow, Workers(1), inline=False, max_rows=4, tally=tally)

    async def asked():
        first = asyncio.create_task(adrive(scored.predict(table(1))))
        await asyncio.to_thread(entered.wait, SOON)
        rest = [asyncio.create_task(adrive(scored.predict(table(at, at)))) for at in (1, 2, 3)]
        await asyncio.sleep(0)
        told = tally.rows_waiting, len(tally.running), tally.overdue(0), tally.overdue(SOON)
        go_on.set()
        await asyncio.gather(first, *rest)
        return told

    assert (6, 1, 1, 0) == asyncio.run(asyncio.wait_for(asked(), SOON))
    assert {"loop": 1, "full": 1, "busy": 1} == made(tally)
    assert (0, 0) == (tally.rows_waiting, len(tally.running))


def test_what_failed_is_split():
    """Every failure counts."""
    tally = Tally()
    scored = Batcher(double, Workers(1), inline=True, tally=tally)
    together(scored, table(1), table(-1), table(2))

    assert {"loop": 1, "split": 4} == made(tally)
    assert 3 == tally.failed


@pytest.mark.parametrize("workers", [None, Workers(1)])
def test_functions_are_counted_too(workers):
    """Sync or async, each call by itself."""
    tally = Tally()

    async def awaited(rows):
        if rows["a"][0] < 0:
            raise ValueError("poison")
        return rows["a"]

    for function in (lambda rows: rows["a"], awaited):
        scored = Predictor(function, SCHEMA, workers=workers, tally=tally)
        assert np.array([3.0]) == drive(scored.predict(table(3))).values
        together(scored, table(4))
    together(scored, table(-4))

    assert {"unbatched": 5} == made(tally)
    assert (1, 0) == (tally.failed, len(tally.running))


def test_time_by_the_clock(monkeypatch):
    """The seconds of a call are those between its beginning and its end."""
    clock, tally = Clock(0), Tally()
    monkeypatch.setattr("modelgate.scoring.tally.perf_counter", clock)
    tally.timed("idle", 3, lambda: clock.advance(0.3))

    assert 0.3 == tally.seconds.sum
    assert 1 == tally.seconds.counts[tally.seconds.bounds.index(0.5)]
    assert 1 == tally.rows.counts[tally.rows.bounds.index(4)]


def test_who_gives_up_makes_no_failure_of_a_call():
    """Neither on a loop, nor in a thread when the time is over."""
    tally = Tally()

    async def waits(rows):
        await asyncio.Event().wait()

    scored = Predictor(waits, SCHEMA, tally=tally)

    async def cancelled():
        task = asyncio.create_task(adrive(scored.predict(table(1))))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancelled())
    with pytest.raises(DeadlineExceeded):
        drive(bounded(scored.predict(table(1)), perf_counter() + 0.01))

    assert ({"unbatched": 2}, 0) == (made(tally), tally.failed)


@pytest.mark.parametrize("workers", [None, Workers(1)])
@pytest.mark.parametrize("batch", [True, False])
def test_what_is_no_prediction_is_a_failure(workers, batch):
    """Of an estimator, batched or not, and of functions, sync and async."""

    class Short:
        n_features_in_ = 1

        def predict(self, rows):
            return np.empty(0)

    async def short(rows):
        return []

    for model in (Short(), lambda rows: [], short):
        tally = Tally()
        scored = Predictor(model, SCHEMA, workers=workers, batch=batch, tally=tally)
        with pytest.raises(PredictionError):
            drive(scored.predict(table(1)))

        assert 1 == tally.failed


@pytest.mark.parametrize("estimator", [True, False])
def test_what_waits_for_a_thread_is_told_and_bounded(estimator, monkeypatch):
    """A function's tables, and an estimator's that are a batch alone; who gives up waits no longer."""
    monkeypatch.setattr("modelgate.flow.threads.MAX_WAITING", 6)
    tally, entered, go_on = Tally(), threading.Event(), threading.Event()

    def slow(rows):
        entered.set()
        assert go_on.wait(SOON)
        return double(rows) if estimator else rows["a"]

    workers = Workers(1)
    tally.queues.add(workers)
    scored = (
        Batcher(slow, workers, max_rows=2, tally=tally)
        if estimator
        else Predictor(slow, SCHEMA, workers=workers, tally=tally)
    )

    async def asked():
        first = asyncio.create_task(adrive(scored.predict(table(1, 2))))
        await asyncio.to_thread(entered.wait, SOON)
        rest = [asyncio.create_task(adrive(scored.predict(table(at, at)))) for at in (1, 2, 3)]
        await asyncio.sleep(0)
        told = [tally.rows_waiting]
        with pytest.raises(Overloaded):
            await adrive(scored.predict(table(4, 4)))
        for task in rest:
            task.cancel()
        await asyncio.wait(rest)
        told.append(tally.rows_waiting)
        go_on.set()
        await first
        return told

    assert [6, 0] == asyncio.run(asyncio.wait_for(asked(), SOON))
