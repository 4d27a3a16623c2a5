"""Metrics of model calls: their reasons, rows and durations."""

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
    WorkerPool,
    adrive,
    drive,
)
from modelgate.flow.deadline import with_deadline
from modelgate.inference import Output, Prediction
from modelgate.inference.batching.batcher import Batcher
from modelgate.inference.model_metrics import LIGHT_ROWS, ModelMetrics
from modelgate.testing import FakeClock
from support.waiting import SOON, wait_until

SCHEMA = Schema.of(a=float)


def table(*values):
    return SCHEMA.read([{"a": value} for value in values])


def double(rows):
    if -1 in rows["a"]:
        raise ValueError("poison")
    return Prediction([Output("double", rows["a"] * 2)])


def predict_together(predictor, *tables):
    async def all_of_them():
        return await asyncio.gather(
            *(adrive(predictor.predict(rows)) for rows in tables), return_exceptions=True
        )

    return asyncio.run(all_of_them())


def nonzero_calls(metrics):
    return {reason: count for reason, count in metrics.calls.items() if count}


def test_model_metrics_count_idle_and_large_calls():
    metrics = ModelMetrics()
    batcher = Batcher(double, WorkerPool(1), max_rows=4, metrics=metrics)
    drive(batcher.predict(table(1, 2)))
    drive(batcher.predict(table(1, 2, 3, 4)))

    assert {"idle": 1, "large": 1} == nonzero_calls(metrics)
    assert (2, 6.0) == (sum(metrics.rows.counts), metrics.rows.sum)
    assert 2 == sum(metrics.seconds.counts)
    assert 0 < metrics.seconds.sum


def test_model_metrics_count_loop_calls():
    """Rows that do not fit into the call are scored in the next one."""
    metrics = ModelMetrics()
    batcher = Batcher(double, WorkerPool(1), inline=True, metrics=metrics)
    predict_together(batcher, table(1), table(2))
    predict_together(batcher, table(*[3] * (LIGHT_ROWS - 1)), table(4, 5))

    assert {"loop": 1, "full": 1, "busy": 1} == nonzero_calls(metrics)


def test_model_metrics_count_busy_calls():
    """Rows that do not fit into the call are scored in the next one; meanwhile they count as waiting."""
    metrics, entered, go_on = ModelMetrics(), threading.Event(), threading.Event()

    def slow(rows):
        entered.set()
        assert go_on.wait(SOON)
        return double(rows)

    batcher = Batcher(slow, WorkerPool(1), inline=False, max_rows=4, metrics=metrics)

    async def run_requests():
        first = asyncio.create_task(adrive(batcher.predict(table(1))))
        await asyncio.to_thread(entered.wait, SOON)
        rest = [asyncio.create_task(adrive(batcher.predict(table(value, value)))) for value in (1, 2, 3)]
        await asyncio.sleep(0)
        observed = (
            metrics.rows_waiting,
            len(metrics.running),
            metrics.count_stuck(0),
            metrics.count_stuck(SOON),
        )
        go_on.set()
        await asyncio.gather(first, *rest)
        return observed

    assert (6, 1, 1, 0) == asyncio.run(asyncio.wait_for(run_requests(), SOON))
    assert {"loop": 1, "full": 1, "busy": 1} == nonzero_calls(metrics)
    assert (0, 0) == (metrics.rows_waiting, len(metrics.running))


def test_model_metrics_count_split_calls():
    """Every failure counts."""
    metrics = ModelMetrics()
    batcher = Batcher(double, WorkerPool(1), inline=True, metrics=metrics)
    predict_together(batcher, table(1), table(-1), table(2))

    assert {"loop": 1, "split": 4} == nonzero_calls(metrics)
    assert 3 == metrics.failed


@pytest.mark.parametrize("workers", [None, WorkerPool(1)])
def test_model_metrics_count_functions(workers):
    """Sync or async, each call by itself."""
    metrics = ModelMetrics()

    async def awaited(rows):
        if rows["a"][0] < 0:
            raise ValueError("poison")
        return rows["a"]

    for function in (lambda rows: rows["a"], awaited):
        predictor = Predictor(function, SCHEMA, workers=workers, metrics=metrics)
        assert np.array([3.0]) == drive(predictor.predict(table(3))).values
        predict_together(predictor, table(4))
    predict_together(predictor, table(-4))

    assert {"unbatched": 5} == nonzero_calls(metrics)
    assert (1, 0) == (metrics.failed, len(metrics.running))


def test_model_metrics_measure_seconds(monkeypatch):
    clock, metrics = FakeClock(0), ModelMetrics()
    monkeypatch.setattr("modelgate.inference.model_metrics.perf_counter", clock)
    metrics.measure("idle", 3, lambda: clock.advance(0.3))

    assert 0.3 == metrics.seconds.sum
    assert 1 == metrics.seconds.counts[metrics.seconds.bounds.index(0.5)]
    assert 1 == metrics.rows.counts[metrics.rows.bounds.index(4)]


def test_model_metrics_do_not_count_cancelled_calls_as_failed():
    """Neither on a loop, nor in a thread when its deadline is over."""
    metrics, started = ModelMetrics(), []

    async def waits(rows):
        started.append(rows)
        await asyncio.Event().wait()

    predictor = Predictor(waits, SCHEMA, metrics=metrics)

    async def cancelled():
        task = asyncio.create_task(adrive(predictor.predict(table(1))))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    def late():
        with pytest.raises(DeadlineExceeded):
            drive(with_deadline(predictor.predict(table(1)), perf_counter() + 0.01))
        # On a busy machine its time may be over before it begins.
        return len(started) == 2

    asyncio.run(cancelled())
    wait_until(late)

    assert ({"unbatched": 2}, 0) == (nonzero_calls(metrics), metrics.failed)


@pytest.mark.parametrize("workers", [None, WorkerPool(1)])
@pytest.mark.parametrize("batch", [True, False])
def test_model_metrics_count_invalid_predictions_as_failed(workers, batch):
    """For an estimator, batched or not, and for functions, sync and async."""

    class Short:
        n_features_in_ = 1

        def predict(self, rows):
            return np.empty(0)

    async def short(rows):
        return []

    for model in (Short(), lambda rows: [], short):
        metrics = ModelMetrics()
        predictor = Predictor(model, SCHEMA, workers=workers, batch=batch, metrics=metrics)
        with pytest.raises(PredictionError):
            drive(predictor.predict(table(1)))

        assert 1 == metrics.failed


@pytest.mark.parametrize("estimator", [True, False])
def test_model_metrics_count_rows_that_wait_for_a_thread(estimator, monkeypatch):
    """Their number is limited, and cancelled requests are removed."""
    monkeypatch.setattr("modelgate.flow.fair_pool.MAX_WAITING", 6)
    metrics, entered, go_on = ModelMetrics(), threading.Event(), threading.Event()

    def slow(rows):
        entered.set()
        assert go_on.wait(SOON)
        return double(rows) if estimator else rows["a"]

    workers = WorkerPool(1)
    metrics.queues.add(workers)
    predictor = (
        Batcher(slow, workers, max_rows=2, metrics=metrics)
        if estimator
        else Predictor(slow, SCHEMA, workers=workers, metrics=metrics)
    )

    async def run_requests():
        first = asyncio.create_task(adrive(predictor.predict(table(1, 2))))
        await asyncio.to_thread(entered.wait, SOON)
        rest = [asyncio.create_task(adrive(predictor.predict(table(value, value)))) for value in (1, 2, 3)]
        await asyncio.sleep(0)
        rows_waiting = [metrics.rows_waiting]
        with pytest.raises(Overloaded):
            await adrive(predictor.predict(table(4, 4)))
        for task in rest:
            task.cancel()
        await asyncio.wait(rest)
        rows_waiting.append(metrics.rows_waiting)
        go_on.set()
        await first
        return rows_waiting

    assert [6, 0] == asyncio.run(asyncio.wait_for(run_requests(), SOON))
