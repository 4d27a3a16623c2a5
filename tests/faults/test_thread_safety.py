"""Models that only one thread may call at a time."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelgate import ConfigurationError, Deployment, Gate, Predictor, Schema
from modelgate.testing import Client
from support.waiting import SOON

SCHEMA = Schema.of(x=float)
FIELDS = {"content-type": "application/json"}


class OneAtATime:
    """Fitted estimator that counts overlapping calls."""

    n_features_in_ = 1

    def __init__(self):
        self.running = self.overlaps = self.calls = 0

    def predict(self, rows):
        self.calls += 1
        self.running += 1
        self.overlaps += self.running > 1
        time.sleep(0.002)
        self.running -= 1
        return rows[:, 0] * 2


def make_gate(model, **options):
    return Gate(
        [
            Deployment("batched", model, schema=SCHEMA, plans=False, **options),
            Deployment("unbatched", model, schema=SCHEMA, plans=False, batch=False, **options),
        ],
        keys="open",
    )


def build_bodies():
    """Return requests of one row, and of so many rows that they are scored alone."""
    return [
        (f"/predict/{name}", b'[{"x": %d}]' % x) for x in range(8) for name in ("batched", "unbatched")
    ] + [("/predict/batched", b"[" + b",".join([b'{"x": 3}'] * 1100) + b"]")] * 4


def send_all(gate, interface):
    if interface == "asgi":
        client = Client(gate.asgi)

        async def main():
            flows = [client._call_asgi("POST", path, "", FIELDS, [body]) for path, body in build_bodies()]
            return await asyncio.wait_for(asyncio.gather(*flows), SOON)

        return [answer.status for answer in asyncio.run(main())]
    with ThreadPoolExecutor(8) as pool:
        client = Client(gate.wsgi)
        answers = pool.map(lambda it: client.post(it[0], body=it[1], headers=FIELDS), build_bodies())
        return [answer.status for answer in answers]


@pytest.mark.parametrize("offload", [None, False])
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_calls_of_a_model_that_is_not_thread_safe_do_not_overlap(interface, offload):
    """Batches, large requests, and requests to two deployments of the same model."""
    model = OneAtATime()
    gate = make_gate(model, thread_safe=False, offload=offload)
    statuses = send_all(gate, interface)

    assert {200} == set(statuses)
    assert 0 == model.overlaps


def test_calls_of_other_models_overlap():
    model, both = OneAtATime(), threading.Barrier(2)
    gate = make_gate(model)
    model.predict = lambda rows: both.wait(SOON) * 0 + rows[:, 0]
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(gate.score, name, {"x": 1}) for name in ("batched", "unbatched")]

        assert [[1.0], [1.0]] == [future.result(SOON).values.tolist() for future in futures]


def test_locked_model_never_blocks_an_event_loop():
    """Even if it is light: another thread may hold its lock."""
    model, threads = OneAtATime(), set()
    gate = make_gate(model, thread_safe=False)
    model.predict = lambda rows: threads.add(threading.get_ident()) or rows[:, 0]
    for _ in range(5):
        assert {200} == set(send_all(gate, "asgi"))

    assert threading.get_ident() not in threads


def test_explanations_of_a_locked_model_wait_for_it():
    model = OneAtATime()
    predictor = Predictor(model, SCHEMA, plans=False, thread_safe=False)
    table = SCHEMA.read([{"x": 1}])
    with ThreadPoolExecutor(4) as pool:
        flows = [lambda: predictor.score(table), lambda: next_value(predictor, table)] * 4
        list(pool.map(lambda call: call(), flows))

    assert 0 == model.overlaps


def next_value(predictor, table):
    """Call the model as explanations do."""
    try:
        next(predictor.call(lambda: predictor.score(table), 1.0, 1))
    except StopIteration as stop:
        return stop.value


@pytest.mark.parametrize("value", [None, "no"])
def test_thread_safe_must_be_a_boolean(value):
    with pytest.raises(ConfigurationError, match=r"thread_safe must be True or False \(got "):
        Deployment("m", OneAtATime(), schema=SCHEMA, thread_safe=value)


def test_async_function_must_be_thread_safe():
    async def predict(table):
        return table["x"]

    with pytest.raises(ConfigurationError, match="thread_safe must be True for an async function"):
        Gate([Deployment("m", predict, schema=SCHEMA, thread_safe=False)], keys="open")
