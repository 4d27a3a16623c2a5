"""A model that does not return, and what becomes of everybody else."""

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

SOON = 30
SCHEMA = Schema.of(x=float)
SHORT = 0.1


class Model:
    """A fitted estimator; the calls with a negative value hang until they may go on."""

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
    """A gate with a deployment that may hang, and one that does not."""

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


def ask(client, name, *values, **options):
    return client.post(f"/predict/{name}", json=[{"x": value} for value in values], **options)


async def ask_together(gate, asked):
    """The statuses of requests that are all under way at once on one loop."""
    client = Client(gate.asgi)
    body = b'[{"x": %d}]'
    fields = {"content-type": "application/json"}
    flows = [client._ask_asgi("POST", f"/predict/{name}", "", fields, [body % x]) for name, x in asked]
    return await asyncio.wait_for(asyncio.gather(*flows), SOON)


def statuses(gate, interface, asked):
    if interface == "asgi":
        return [answer.status for answer in asyncio.run(ask_together(gate, asked))]
    with ThreadPoolExecutor(len(asked)) as pool:
        return [told.status for told in pool.map(lambda one: ask(Client(gate.wsgi), *one), asked)]


@KINDS
@INTERFACES
def test_the_caller_is_answered_and_the_others_are_served(model, kind, interface):
    """504 at the deadline, in the words of the dialect; forty stuck requests take nothing from the others."""
    gate = make_gate(model, kind)
    told = statuses(gate, interface, [("hangs", -1)] * 40 + [("fine", 1)])
    fine = ask(Client(getattr(gate, interface)), "fine", 1)

    assert {504, 503} >= set(told[:40])
    assert 504 in told[:40]
    assert [200, 200] == [told[40], fine.status]


@KINDS
@INTERFACES
def test_a_deployment_that_hangs_refuses_at_once_until_it_returns(model, kind, interface):
    """503 with Retry-After, without a call; and it serves again as soon as its calls have come back."""
    gate = make_gate(model, kind)
    client = Client(getattr(gate, interface))
    statuses(gate, interface, [("hangs", -1)] * 4)
    for _ in range(4):
        # A share may have half of the threads, each of which is first to be known as stuck.
        refused = ask(client, "hangs", -1)
    calls = len(model.rows)
    again = ask(client, "hangs", -1)
    model.go_on.set()
    for _ in range(SOON * 100):
        served = ask(client, "hangs", 1)
        if served.status == 200:
            break
        model.go_on.wait(0.01)

    assert (503, "1", "overloaded") == (
        refused.status,
        refused.header("retry-after"),
        refused.json()["error"]["code"],
    )
    assert (503, calls) == (again.status, calls)
    assert (200, [2.0]) == (served.status, served.json()["result"])


@INTERFACES
def test_a_coroutine_that_hangs_is_cancelled(interface):
    """Unlike a thread it can be ended, so that nothing is left of it; one that cancels itself has failed."""
    left = []

    async def predict(table):
        if table["x"][0] > 0:
            raise asyncio.CancelledError
        try:
            await asyncio.Event().wait()
        finally:
            left.append("finally")

    gate = Gate([Deployment("hangs", predict, schema=SCHEMA)], keys="open", deadline=SHORT)
    client = Client(getattr(gate, interface))
    told = [ask(client, "hangs", x).status for x in (-1, 1, -1, -1)]

    assert [504, 500, 504, 504] == told
    assert ["finally"] * 3 == left


@INTERFACES
def test_who_waits_behind_a_call_that_hangs_is_not_scored_later(model, interface):
    """A request whose time is over while it queues is left out of the next call."""
    gate = make_gate(model)
    told = statuses(gate, interface, [("hangs", -1)] + [("hangs", at) for at in (101, 102, 103)])
    calls = list(model.rows)
    model.go_on.set()
    for _ in range(SOON * 100):
        if ask(Client(gate.wsgi), "hangs", 7).status == 200:
            break
        model.go_on.wait(0.01)

    assert [504] * 4 == told
    # Those who came with the first may have been in its call; nobody is scored once given up.
    assert [7.0] == model.rows[len(calls) :]


@INTERFACES
def test_a_deployment_with_an_admission_of_its_own_never_takes_all_threads_of_a_server(model, interface):
    """Also not until its first deadline: of a server's four threads it leaves one, and the rest is refused."""
    gate = make_gate(model, deadline=SOON, layers=[Admission(3)])
    with ThreadPoolExecutor(4) as server:
        client = Client(getattr(gate, interface))
        stuck = [server.submit(ask, client, "hangs", -1) for _ in range(3)]
        assert model.entered.acquire(timeout=SOON)
        for _ in range(SOON * 100):
            refused = server.submit(ask, client, "hangs", -1).result(SOON) if full(gate) else None
            if refused is not None:
                break
            model.go_on.wait(0.01)
        fine = server.submit(ask, client, "fine", 1).result(SOON)
        model.go_on.set()
        told = [future.result(SOON).status for future in stuck]

    assert (503, 200) == (refused.status, fine.status)
    assert [200] * 3 == told


def full(gate):
    return gate._entries["hangs"].deployment.layers[0].in_flight == 3


@INTERFACES
def test_many_models_that_hang_leave_the_threads_to_the_others(model, interface):
    """Each takes its place until the deadline, and no longer."""
    names = [f"hangs{at}" for at in range(6)]
    deployments = [
        Deployment(name, lambda table: model.predict(table["x"].reshape(-1, 1)), schema=SCHEMA)
        for name in names
    ]
    fine = Deployment("fine", lambda table: table["x"] + 1, schema=SCHEMA)
    gate = Gate([*deployments, fine], keys="open", threads=2, deadline=SHORT)
    told = statuses(gate, interface, [(name, -1) for name in names])
    # Of those that come first some may find the threads taken by what has not been given up yet.
    fine = [ask(Client(getattr(gate, interface)), "fine", 1).status for _ in range(20)]

    assert {504} == set(told)
    assert 200 == fine[-1]


@INTERFACES
def test_models_share_the_threads_fairly(interface):
    """One that is asked a hundred times at once holds up nobody who asks once: they take turns."""
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
        many = asyncio.create_task(ask_together(gate, [("busy", 1)] * 100))
        await asyncio.to_thread(entered.acquire)
        one = asyncio.create_task(ask_together(gate, [("calm", 1)]))
        while "calm" not in order:
            await asyncio.sleep(0.001)
        go_on.set()
        return await one, await many

    if interface == "asgi":
        one, many = asyncio.run(asyncio.wait_for(main(), SOON))
        told = [answer.status for answer in (*one, *many)]

        # With one thread each, the calm one began while 99 requests of the other were waiting.
        assert ["busy", "calm"] == order[:2]
    else:
        # Each server thread makes its own call: the server, and nobody else, bounds how many there are.
        with ThreadPoolExecutor(20) as pool:
            many = [pool.submit(ask, Client(gate.wsgi), "busy", 1) for _ in range(19)]
            assert entered.acquire(timeout=SOON)
            one = pool.submit(ask, Client(gate.wsgi), "calm", 1)
            while "calm" not in order:
                go_on.wait(0.001)
            go_on.set()
            told = [future.result(SOON).status for future in (one, *many)]

    assert {200} == set(told)


@INTERFACES
def test_a_model_that_hangs_while_it_loads(interface, tmp_path):
    """The wait for it ends with the time of the request, which is shorter than the gate's load_timeout."""
    go_on = threading.Event()

    class Store:
        def load(self, name):
            go_on.wait(SOON)
            return lambda table: table["x"]

    gate = Gate([Deployment("cold", "store:cold", schema=SCHEMA)], keys="open", store=Store(), deadline=SHORT)
    told = ask(Client(getattr(gate, interface)), "cold", 1)
    go_on.set()

    assert (504, "deadline_exceeded") == (told.status, told.json()["error"]["code"])


@INTERFACES
def test_keys_that_hang(interface, monkeypatch, tmp_path):
    """A look-up that does not come back is given up too."""
    store, go_on = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db"), threading.Event()
    key = store.create(owner="us", scopes="*").key
    monkeypatch.setattr(store, "_load", lambda *args: go_on.wait(SOON) and None)
    gate = Gate([Deployment("fine", lambda table: table["x"], schema=SCHEMA)], keys=store, deadline=SHORT)
    told = ask(Client(getattr(gate, interface)), "fine", 1, headers={"x-api-key": key})
    go_on.set()

    assert 504 == told.status


@INTERFACES
def test_a_model_that_hangs_is_replaced(model, interface):
    """Loaded anew it serves, whatever its predecessor still does."""
    models = itertools.chain([model], itertools.repeat(Model()))

    class Store:
        def load(self, name):
            return next(models)

    gate = Gate([Deployment("hangs", "store:m", schema=SCHEMA)], keys="open", store=Store(), deadline=SHORT)
    client = Client(getattr(gate, interface))
    broken = [ask(client, "hangs", -1).status for _ in range(3)]
    gate.reload("hangs")
    mended = ask(client, "hangs", 1)

    assert (504, 503) == (broken[0], broken[-1])
    assert (200, [2.0]) == (mended.status, mended.json()["result"])


def test_a_thread_that_scores_without_a_server_waits_as_long_as_it_takes(model):
    """`Gate.score` has no deadline."""
    gate = make_gate(model)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(lambda: drive(gate._entries.active("hangs").score(Query({"x": -1}))))
        assert model.entered.acquire(timeout=SOON)
        model.go_on.set()

        assert np.array([-2.0]) == told.result(SOON).values
