"""Measure what a request deadline costs on asyncio, compared to a gate without one.

`with_deadline` limits each wait and shares one timer among all waits of a loop. The alternative is one
`asyncio.timeout_at` per request. In process, in CPU time. Run with BLAS and OpenMP threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/deadlines.py
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
from sklearn.linear_model import LogisticRegression

from modelgate import DeadlineExceeded, Deployment, Flow, Gate, MemoryStore, Schema, Wait
from modelgate.flow.deadline import with_deadline
from overhead import COLUMNS, KEY, no_model, send_asgi

ROUNDS, REQUESTS = 60, 200
SCHEMA = Schema.of(**dict.fromkeys(COLUMNS, float))


async def adrive_with_timeout(flow: Flow[Any], until: float, error: Callable[[], DeadlineExceeded]) -> Any:
    """Run *flow*; at the deadline, raise the error where it waits, like `with_deadline`."""
    step: Callable[[Any], Wait] = flow.send
    value: Any = None
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - perf_counter()) as timeout:
        while True:
            try:
                wait = step(value)
            except StopIteration as stop:
                return stop.value
            try:
                step, value = flow.send, await wait.aio()
            except asyncio.CancelledError as cancelled:
                step, value = flow.throw, error() if timeout.expired() else cancelled
            except BaseException as raised:
                step, value = flow.throw, raised


def with_timeout(flow: Flow[Any], until: float, error: Callable[[], DeadlineExceeded]) -> Flow[Any]:
    """Run *flow* under one `asyncio.timeout_at`."""
    return (yield Wait(lambda: None, partial(adrive_with_timeout, flow, until, error)))


def without_deadline(flow: Flow[Any], until: float, error: Callable[[], DeadlineExceeded]) -> Flow[Any]:
    """Run *flow* without a deadline."""
    return flow


VARIANTS = (without_deadline, with_deadline, with_timeout)


def function_gate() -> Gate:
    """Return a gate whose requests never suspend: its function runs on the event loop."""
    deployment = Deployment("model", "store:no-model", schema=SCHEMA, offload=False)
    return Gate([deployment], keys={KEY: "model"}, store=MemoryStore({"no-model": no_model}))


def estimator_gate() -> Gate:
    """Return a gate whose requests suspend once: they wait for their batch."""
    values = np.random.default_rng(0).normal(size=(200, len(COLUMNS)))
    model = LogisticRegression().fit(values, values[:, 0] > 0)
    return Gate([Deployment("model", model, schema=SCHEMA)], keys={KEY: "model"})


def measure(make: Callable[[], Gate]) -> list[float]:
    """Return the microseconds of CPU per request of each variant; the variants take turns."""
    gates, spent = [make() for _ in VARIANTS], [list[float]() for _ in VARIANTS]
    for turn in range(ROUNDS + 1):
        for variant, gate, times in zip(VARIANTS, gates, spent, strict=True):
            with patch("modelgate.layers.deadline.with_deadline", variant):
                start = time.process_time()
                send_asgi(gate.asgi, REQUESTS)
            if turn:  # The first turn warms up.
                times.append((time.process_time() - start) / REQUESTS * 1e6)
    return [statistics.median(times) for times in spent]


def main() -> None:
    """Print the table."""
    print(f"{'us of CPU a request':24}{'ours':>8}{'timeout_at':>12}{'saved':>8}")
    for name, make in (("function on the loop", function_gate), ("estimator, batched", estimator_gate)):
        none, ours, theirs = measure(make)
        print(f"{name:24}{ours - none:8.1f}{theirs - none:12.1f}{theirs - ours:8.1f}")


if __name__ == "__main__":
    main()
