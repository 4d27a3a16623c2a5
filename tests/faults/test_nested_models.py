"""Models that call other deployments, or their own, while they predict."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from modelgate import Deployment, Gate, Schema
from modelgate.flow import run_coroutine
from modelgate.testing import Client
from support.waiting import SOON

SCHEMA = Schema.of(x=float)
FIELDS = {"content-type": "application/json"}


class Base:
    """Fitted estimator that is not known to be light."""

    n_features_in_ = 1

    def __init__(self, before=lambda: None):
        self.before = before

    def predict(self, rows):
        self.before()
        return rows[:, 0] * 2


async def predict_together(gate, requests):
    """Send requests at the same time on one event loop, and return their results."""
    client = Client(gate.asgi)
    flows = [
        client._call_asgi("POST", f"/predict/{name}", "", FIELDS, [b'[{"x": %d}]' % x])
        for name, x in requests
    ]
    return [answer.json().get("result") for answer in await asyncio.wait_for(asyncio.gather(*flows), SOON)]


def by_score(gate, x, name="base"):
    return gate.score(name, {"x": x}).values[0]


def by_wsgi(gate, x, name="base"):
    return Client(gate.wsgi).post(f"/predict/{name}", json=[{"x": float(x)}]).json()["result"][0]


@pytest.mark.parametrize("threads", [4, 6])
@pytest.mark.parametrize("deadline", [None, SOON])
@pytest.mark.parametrize("way", [by_score, by_wsgi])
def test_handlers_that_call_an_estimator_do_not_starve_it(threads, deadline, way):
    """Sixty requests at once, for two handlers and for the estimator itself."""
    busy = threading.Semaphore(0)
    base = Deployment("base", Base(lambda: busy.acquire(timeout=0.02)), schema=SCHEMA, offload=True)
    gate = Gate([base], keys="open", threads=threads, deadline=deadline)

    @gate.handler("plus", schema=SCHEMA)
    def plus(table):
        return [way(gate, x) + 1 for x in table["x"]]

    @gate.handler("minus", schema=SCHEMA)
    def minus(table):
        return [way(gate, x) - 1 for x in table["x"]]

    requests = [(("plus", "base", "minus")[x % 3], x) for x in range(60)]

    assert [[2 * x + {"plus": 1, "base": 0, "minus": -1}[name]] for name, x in requests] == asyncio.run(
        predict_together(gate, requests)
    )


@pytest.mark.parametrize("deadline", [None, SOON])
@pytest.mark.parametrize("way", [by_score, by_wsgi])
def test_waiting_thread_scores_a_batch_before_it_is_submitted_to_workers(deadline, way):
    """All workers wait for the estimator when it becomes idle, and an event loop is first in its queue."""
    entered, go_on = threading.Semaphore(0), threading.Event()

    def before():
        entered.release()
        assert go_on.wait(SOON)

    base = Base()
    gate = Gate(
        [Deployment("base", base, schema=SCHEMA, offload=True)], keys="open", threads=4, deadline=deadline
    )
    base.before = before
    metrics = gate.deployments.loader.model_metrics["base", "1", "serving"]

    @gate.handler("plus", schema=SCHEMA)
    def plus(table):
        return [way(gate, table["x"][0]) + 1]

    @gate.handler("minus", schema=SCHEMA)
    def minus(table):
        return [way(gate, table["x"][0]) - 1]

    async def run_requests():
        tasks = [asyncio.create_task(predict_together(gate, [("base", 7)]))]
        while metrics.rows_waiting < 1:
            await asyncio.sleep(0.001)
        for name in ("plus", "minus") * 2:
            tasks.append(asyncio.create_task(predict_together(gate, [(name, 7)])))
        while metrics.rows_waiting < 5:
            await asyncio.sleep(0.001)
        go_on.set()
        return [result for answers in await asyncio.gather(*tasks) for result in answers]

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gate.score, "base", {"x": 1})
        assert entered.acquire(timeout=SOON)

        try:
            results = asyncio.run(asyncio.wait_for(run_requests(), SOON))
        finally:
            go_on.set()

        assert [[14.0], [15.0], [13.0], [15.0], [13.0]] == results
        assert [2.0] == first.result(SOON).values.tolist()


class CallsItself:
    """Fitted estimator that calls its own deployment for another row."""

    n_features_in_ = 1

    def __init__(self, way):
        self.way, self.gate = way, None

    def predict(self, rows):
        return [self.way(self.gate, x - 1) + 1 if x else 0.0 for x in rows[:, 0]]


def by_loop(gate, x, name="base"):
    [[value]] = run_coroutine(lambda: predict_together(gate, [(name, x)]))
    return value


def by_thread(gate, x, name="base"):
    """Score in another thread, with the context variables of this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, by_score, gate, x, name).result(SOON)


@pytest.mark.parametrize("offload", [True, False, None])
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("way", [by_score, by_wsgi, by_loop, by_thread])
def test_estimator_can_call_its_own_deployment(offload, interface, way):
    """The inner call does not wait for the outer one, and the deployment keeps serving."""
    if way is by_loop and interface == "asgi":
        # A running event loop requires another thread.
        offload = True
    model = CallsItself(way)
    model.gate = gate = Gate([], keys="open")
    gate.deployments.add(Deployment("base", model, schema=SCHEMA, plans=False, offload=offload))
    client = Client(getattr(gate, interface))
    results = [client.post("/predict/base", json=[{"x": x}]).json()["result"] for x in (0, 1, 0)]

    assert [[0.0], [1.0], [0.0]] == results
    assert gate.deployments.drain("base", SOON)


def test_endless_recursion_of_an_estimator_fails(caplog):
    """The deployment keeps serving."""

    class Endless(CallsItself):
        def predict(self, rows):
            return [self.way(self.gate, x) if x else 0.0 for x in rows[:, 0]]

    model = Endless(by_score)
    model.gate = gate = Gate([Deployment("base", model, schema=SCHEMA, plans=False)], keys="open")
    client = Client(gate.wsgi)
    statuses = [client.post("/predict/base", json=[{"x": x}]).status for x in (0, 1, 0)]

    assert [200, 500, 200] == statuses


@pytest.mark.parametrize("deadline", [None, SOON])
@pytest.mark.parametrize("way", [by_score, by_wsgi, by_loop, by_thread])
def test_estimators_that_call_each_other_do_not_deadlock(deadline, way):
    both = threading.Barrier(2)
    gate = Gate([], keys="open", deadline=deadline)

    class CallsTheOther:
        n_features_in_ = 1

        def __init__(self, other):
            self.other = other

        def predict(self, rows):
            if rows[0, 0] == 0:
                return [0.0] * len(rows)
            both.wait(SOON)
            return [way(gate, 0, self.other) + 1]

    for name, other in (("one", "other"), ("other", "one")):
        gate.deployments.add(Deployment(name, CallsTheOther(other), schema=SCHEMA, plans=False))
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(by_wsgi, gate, 1, name) for name in ("one", "other")]

        assert [1.0, 1.0] == [future.result(SOON) for future in futures]


def test_handlers_with_their_own_event_loop_do_not_starve_an_estimator():
    """All workers wait in such a loop for the estimator, which is called in another thread."""
    entered, go_on = threading.Semaphore(0), threading.Event()
    model = Base()
    base = Deployment("base", model, schema=SCHEMA, offload=True)
    gate = Gate([base], keys="open", threads=2)

    def before():
        entered.release()
        assert go_on.wait(SOON)

    # Set only now: a model is tried when it is loaded.
    model.before = before
    metrics = gate.deployments.loader.model_metrics["base", "1", "serving"]

    @gate.handler("plus", schema=SCHEMA)
    def plus(table):
        return [by_loop(gate, table["x"][0]) + 1]

    @gate.handler("minus", schema=SCHEMA)
    def minus(table):
        return [by_loop(gate, table["x"][0]) - 1]

    async def run_requests():
        tasks = [asyncio.create_task(predict_together(gate, [("base", 7)]))]
        while metrics.rows_waiting < 1:
            await asyncio.sleep(0.001)
        tasks.append(asyncio.create_task(predict_together(gate, [("plus", 7), ("minus", 7)])))
        while metrics.rows_waiting < 3:
            await asyncio.sleep(0.001)
        go_on.set()
        return [result for answers in await asyncio.gather(*tasks) for result in answers]

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gate.score, "base", {"x": 1})
        assert entered.acquire(timeout=SOON)

        try:
            results = asyncio.run(asyncio.wait_for(run_requests(), SOON))
        finally:
            go_on.set()

        assert [[14.0], [15.0], [13.0]] == results
        assert [2.0] == first.result(SOON).values.tolist()
