"""Models that hang, and the requests of everybody else."""

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from modelgate import Admission, Deployment, Gate, Schema, drive
from modelgate.keys import SqlKeyStore
from modelgate.scoring import Query
from modelgate.testing import Client
from support.waiting import SOON, wait_until

SCHEMA = Schema.of(x=float)
SHORT = 0.1


class Model:
    """Fitted estimator whose calls with a negative value hang until *go_on* is set."""

    n_features_in_ = 1

    def __init__(self):
        self.entered, self.go_on, self.rows = threading.Semaphore(0), threading.Event(), []

    def predict(self, rows):
        self.rows += rows[:, 0].tolist()
        if (rows < 0).any():
            self.entered.release()
            assert self.go_on.wait(SOON)
        return rows[:, 0] * 2


@pytest.fixture
def model():
    model = Model()
    yield model
    model.go_on.set()


KINDS = pytest.mark.parametrize("kind", ["estimator", "function", "unbatched"])
INTERFACES = pytest.mark.parametrize("interface", ["wsgi", "asgi"])


def make_gate(model, kind="estimator", threads=4, **options):
    """Create a gate with one deployment that may hang and one that does not."""

    def function(table):
        return model.predict(table["x"].reshape(-1, 1))

    hangs = Deployment(
        "hangs",
        function if kind == "function" else model,
        schema=SCHEMA,
        batch=kind == "estimator",
        plans=False,
        layers=options.pop("layers", ()),
    )
    fine = Deployment("fine", lambda table: table["x"] + 1, schema=SCHEMA)
    return Gate([hangs, fine], keys="open", threads=threads, **{"deadline": SHORT, **options})


def post(client, name, *values, **options):
    return client.post(f"/predict/{name}", json=[{"x": value} for value in values], **options)


def post_until(status, client, name, *values):
    """Post until a response has *status*, and return it: on a busy machine early ones may time out."""

    def post_once():
        response = post(client, name, *values)
        return response if response.status == status else None

    return wait_until(post_once)


async def post_together(gate, requests):
    """Send requests at the same time on one event loop, and return their responses."""
    client = Client(gate.asgi)
    body = b'[{"x": %d}]'
    fields = {"content-type": "application/json"}
    flows = [client._call_asgi("POST", f"/predict/{name}", "", fields, [body % x]) for name, x in requests]
    return await asyncio.wait_for(asyncio.gather(*flows), SOON)


def post_all(gate, interface, requests):
    if interface == "asgi":
        return [answer.status for answer in asyncio.run(post_together(gate, requests))]
    with ThreadPoolExecutor(len(requests)) as pool:
        return [answer.status for answer in pool.map(lambda one: post(Client(gate.wsgi), *one), requests)]


@KINDS
@INTERFACES
def test_hung_model_times_out_and_others_are_served(model, kind, interface):
    """504 at the deadline; forty stuck requests do not affect other deployments."""
    gate = make_gate(model, kind)
    statuses = post_all(gate, interface, [("hangs", -1)] * 40)
    fine = post_until(200, Client(getattr(gate, interface)), "fine", 1)

    assert {504, 503} >= set(statuses)
    assert 504 in statuses
    assert [2.0] == fine.json()["result"]


@KINDS
@INTERFACES
def test_hung_deployment_rejects_requests_until_it_returns(model, kind, interface):
    """503 with Retry-After, without a call; it serves again once its calls have returned."""
    gate = make_gate(model, kind)
    client = Client(getattr(gate, interface))
    # A deployment may use half of the threads; each call in them must exceed the deadline first.
    rejected = post_until(503, client, "hangs", -1)
    calls = len(model.rows)
    again = post_until(503, client, "hangs", -1)
    calls_after = len(model.rows)
    model.go_on.set()
    served = post_until(200, client, "hangs", 1)

    assert (503, "overloaded") == (rejected.status, rejected.json()["error"]["code"])
    assert rejected.header("retry-after") in {"1", "2", "3"}
    assert (503, calls) == (again.status, calls_after)
    assert [2.0] == served.json()["result"]


@INTERFACES
def test_hung_coroutine_is_cancelled(interface):
    """Unlike a thread, it can be stopped; one that cancels itself has failed."""
    started, ended = [], []

    async def predict(table):
        if table["x"][0] > 0:
            raise asyncio.CancelledError
        started.append("hangs")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("hangs")

    gate = Gate([Deployment("hangs", predict, schema=SCHEMA)], keys="open", deadline=SHORT)
    client = Client(getattr(gate, interface))
    wait_until(lambda: post(client, "hangs", -1).status == 504 and started)
    failed = post_until(500, client, "hangs", 1)
    last = post(client, "hangs", -1)

    assert (500, 504) == (failed.status, last.status)
    assert started == ended


@INTERFACES
def test_requests_queued_behind_a_hung_call_are_not_scored_later(model, interface):
    """A request whose deadline expires in the queue is left out of the next call."""
    gate = make_gate(model)
    statuses = post_all(gate, interface, [("hangs", -1)] + [("hangs", value) for value in (101, 102, 103)])
    calls = list(model.rows)
    model.go_on.set()
    post_until(200, Client(gate.wsgi), "hangs", 7)

    assert [504] * 4 == statuses
    # Requests that arrived with the first may have been in its call.
    assert {7.0} == set(model.rows[len(calls) :])


@INTERFACES
def test_hung_deployment_with_an_admission_limit_leaves_server_threads_free(model, interface):
    """Even before its first deadline: with four server threads, one stays free."""
    gate = make_gate(model, deadline=SOON, layers=[Admission(3)])
    with ThreadPoolExecutor(4) as server:
        client = Client(getattr(gate, interface))
        stuck = [server.submit(post, client, "hangs", -1) for _ in range(3)]
        assert model.entered.acquire(timeout=SOON)
        wait_until(lambda: full(gate))
        rejected = server.submit(post, client, "hangs", -1).result(SOON)
        fine = server.submit(post, client, "fine", 1).result(SOON)
        model.go_on.set()
        statuses = [future.result(SOON).status for future in stuck]

    assert (503, 200) == (rejected.status, fine.status)
    assert [200] * 3 == statuses


def full(gate):
    return gate._catalog["hangs"].deployment.layers[0].in_flight == 3


@INTERFACES
def test_hung_models_release_threads_at_the_deadline(model, interface):
    names = [f"hangs{index}" for index in range(6)]
    deployments = [
        Deployment(name, lambda table: model.predict(table["x"].reshape(-1, 1)), schema=SCHEMA)
        for name in names
    ]
    fine = Deployment("fine", lambda table: table["x"] + 1, schema=SCHEMA)
    gate = Gate([*deployments, fine], keys="open", threads=2, deadline=SHORT)
    statuses = post_all(gate, interface, [(name, -1) for name in names])
    # The first requests may find all threads in use by calls before their deadline.
    fine = post_until(200, Client(getattr(gate, interface)), "fine", 1)

    assert {504} == set(statuses)
    assert [2.0] == fine.json()["result"]


@pytest.mark.parametrize("hanging", [20, 40])
def test_many_hung_deployments_do_not_delay_others(model, hanging, monkeypatch):
    """200 deployments with four threads: long before the deadline shows which of them hang."""
    monkeypatch.setattr("modelgate.flow.fair_pool._SLOW", 0.01)

    def predict(table):
        return model.predict(table["x"].reshape(-1, 1))

    deployments = [
        Deployment(f"d{index}", model if index % 2 else predict, schema=SCHEMA, plans=False, offload=True)
        for index in range(200)
    ]
    gate = Gate(deployments, keys="open", threads=4, deadline=SOON)
    stuck = [(f"d{index}", -1) for index in range(hanging)] * 3

    async def main():
        pending = asyncio.create_task(post_together(gate, stuck))
        fine = [
            await post_together(gate, [(f"d{index}", 1) for index in range(hanging, 200)]) for _ in range(2)
        ]
        model.go_on.set()
        await pending
        return [answer.status for answers in fine for answer in answers]

    assert [200] * (200 - hanging) * 2 == asyncio.run(asyncio.wait_for(main(), SOON))


@INTERFACES
def test_models_share_the_threads_fairly(interface):
    """A model with a hundred requests does not delay one with a single request."""
    order, go_on, entered = [], threading.Event(), threading.Semaphore(0)

    def slow(name):
        def predict(table):
            order.append(name)
            entered.release()
            assert go_on.wait(SOON)
            return table["x"]

        return predict

    gate = Gate(
        [Deployment(name, slow(name), schema=SCHEMA) for name in ("busy", "calm")],
        keys="open",
        threads=2,
        deadline=SOON,
    )

    async def main():
        many = asyncio.create_task(post_together(gate, [("busy", 1)] * 100))
        await asyncio.to_thread(entered.acquire)
        one = asyncio.create_task(post_together(gate, [("calm", 1)]))
        while "calm" not in order:
            await asyncio.sleep(0.001)
        go_on.set()
        return await one, await many

    if interface == "asgi":
        one, many = asyncio.run(asyncio.wait_for(main(), SOON))
        statuses = [answer.status for answer in (*one, *many)]

        # With one thread each, the calm model started while 99 requests of the other were queued.
        assert ["busy", "calm"] == order[:2]
    else:
        # Each server thread makes its own call: only the server limits their number.
        with ThreadPoolExecutor(20) as pool:
            many = [pool.submit(post, Client(gate.wsgi), "busy", 1) for _ in range(19)]
            assert entered.acquire(timeout=SOON)
            one = pool.submit(post, Client(gate.wsgi), "calm", 1)
            wait_until(lambda: "calm" in order)
            go_on.set()
            statuses = [future.result(SOON).status for future in (one, *many)]

    assert {200} == set(statuses)


@INTERFACES
def test_hung_model_load_times_out(interface, tmp_path):
    """At the deadline of the request, which is shorter than the gate's load_timeout."""
    go_on = threading.Event()

    class Store:
        def load(self, name):
            go_on.wait(SOON)
            return lambda table: table["x"]

    gate = Gate([Deployment("cold", "store:cold", schema=SCHEMA)], keys="open", store=Store(), deadline=SHORT)
    response = post(Client(getattr(gate, interface)), "cold", 1)
    go_on.set()

    assert (504, "deadline_exceeded") == (response.status, response.json()["error"]["code"])


@INTERFACES
def test_hung_key_lookup_times_out(interface, monkeypatch, tmp_path):
    store, go_on = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db"), threading.Event()
    key = store.create(owner="us", scopes="*").key
    monkeypatch.setattr(store, "_load", lambda *args: go_on.wait(SOON) and None)
    gate = Gate([Deployment("fine", lambda table: table["x"], schema=SCHEMA)], keys=store, deadline=SHORT)
    response = post(Client(getattr(gate, interface)), "fine", 1, headers={"x-api-key": key})
    go_on.set()

    assert 504 == response.status


@INTERFACES
def test_hung_model_can_be_replaced(model, interface):
    """A reloaded model serves while calls of its predecessor still hang."""
    models = itertools.chain([model], itertools.repeat(Model()))

    class Store:
        def load(self, name):
            return next(models)

    gate = Gate([Deployment("hangs", "store:m", schema=SCHEMA)], keys="open", store=Store(), deadline=SHORT)
    client = Client(getattr(gate, interface))
    post_until(503, client, "hangs", -1)
    gate.deployments.reload("hangs")
    served = post_until(200, client, "hangs", 1)

    assert [2.0] == served.json()["result"]


def test_score_without_a_server_has_no_deadline(model):
    gate = make_gate(model)
    with ThreadPoolExecutor(1) as pool:
        response = pool.submit(lambda: drive(gate._catalog.get_active("hangs").score(Query({"x": -1}))))
        assert model.entered.acquire(timeout=SOON)
        model.go_on.set()

        assert np.array([-2.0]) == response.result(SOON).values
