"""Locks, threads and random generators in forked children."""

import gc
import subprocess
import sys
import weakref

import pytest

from modelgate.flow import fork_safety
from support.marks import slow
from support.waiting import SOON

FORKED = """
import os, signal, sys, threading
from types import SimpleNamespace
from modelgate import Admission, ConcurrencyLimit, Metrics, RateLimit, ResultCache, Schema, drive
from modelgate.flow.fork_safety import reset_after_fork
from modelgate.limiting import MemoryLimiter, Rate
from modelgate.backends.circuit_breaker import CircuitBreaker
from modelgate.inference import Predictor
from modelgate.scoring import Query
from modelgate.inference.model_metrics import ModelMetrics
from modelgate.models.onnx_export import _converter
from modelgate.testing import StubHandler, request
from modelgate.flow.fair_pool import FairThreadPool
from modelgate.layers._key_lookups import AddressSlots, LookupQueue, LookupTurn

def hit(limiter):
    assert limiter.hit(rate, "a").allowed

def fail(breaker):
    breaker.record_failure(OSError())

def call(layer):
    drive(layer(request(), StubHandler()))

def convert(*_, **__):
    return 1

class Counter:
    def __init__(self):
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self):
        self._lock, self.count = threading.Lock(), 0

    def add(self):
        with self._lock:
            self.count += 1

def predict(cache):
    schema = Schema.of(x=float)
    predictor = Predictor(lambda table: table["x"], schema)
    query = Query({"x": 1}, predictor=predictor, table=schema.read({"x": 1}))
    drive(cache(query, lambda query: predictor.predict(query.table)))

def join(queue):
    turn = LookupTurn("a", None)
    queue.join(turn)
    assert turn.result(300)

def exceed(limit):
    try:
        [call(limit) for _ in range(2)]
    except Exception as error:
        assert (error.status, limit.rejected) == (429, 1)

rate = Rate.parse("9/day")
owner, use = {
    "MemoryLimiter": lambda: (MemoryLimiter(rate), hit),
    "CircuitBreaker": lambda: (CircuitBreaker("it"), fail),
    "RateLimit": lambda: (RateLimit("1/day"), exceed),
    "ConcurrencyLimit": lambda: (ConcurrencyLimit(1), call),
    "Admission": lambda: (Admission(1), call),
    "Metrics": lambda: (Metrics(), call),
    "ModelMetrics": lambda: (ModelMetrics(), lambda metrics: metrics.measure("idle", 1, int)),
    "ResultCache": lambda: (ResultCache(), predict),
    "Counter": lambda: (Counter(), Counter.add),
    "Converter": lambda: (_converter, lambda it: it.convert(None, [], SimpleNamespace(convert_sklearn=convert))),
    "FairThreadPool": lambda: (FairThreadPool(1), lambda threads: threads.share().submit(int).result(300)),
    "AddressSlots": lambda: (AddressSlots(1, 1), lambda slots: (slots.leave(1), slots.enter(1, "a"))),
    "LookupQueue": lambda: (LookupQueue(1, 2), join),
}[sys.argv[1]]()
in_flight = request()
if use is call:
    drive(owner(in_flight, StubHandler()))
with owner._lock:
    child = os.fork()
    if child == 0:
        # Ends the child if it waits for the lock.
        signal.alarm(300)
        try:
            use(owner)
            in_flight.close()
            in_flight.close()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

KINDS = [
    "MemoryLimiter",
    "CircuitBreaker",
    "RateLimit",
    "ConcurrencyLimit",
    "Admission",
    "Metrics",
    "ModelMetrics",
    "FairThreadPool",
    "ResultCache",
    "Counter",
    "Converter",
    "AddressSlots",
    "LookupQueue",
]


@pytest.mark.parametrize("kind", slow(*KINDS))
def test_child_resets_locks_and_calls_in_flight(kind):
    """Requests that were in flight in the parent can still be closed in the child."""
    run = [sys.executable, "-W", "ignore", "-c", FORKED, kind]
    done = subprocess.run(run, timeout=SOON, check=False, capture_output=True, text=True)

    assert 0 == done.returncode, done.stderr


@pytest.mark.slow
def test_child_generates_other_request_ids_than_its_parent():
    forked = """
import os
from modelgate import RequestId, drive
from modelgate.models.onnx_export import _converter
from modelgate.testing import StubHandler, request

layer = RequestId()
os.fork()
os.write(1, drive(layer(request(), StubHandler())).header("x-request-id").encode() + b" ")
"""
    run = [sys.executable, "-W", "ignore", "-c", forked]
    made = subprocess.run(run, timeout=SOON, check=True, capture_output=True, text=True).stdout.split()

    assert 2 == len(set(made))


def test_registration_references_objects_weakly(monkeypatch):
    """Methods of subclasses override the registered ones."""
    # Without the objects of other tests, which would take this process for a forked child from now on.
    monkeypatch.setattr(fork_safety, "_resets", weakref.WeakKeyDictionary())

    class Base:
        def __init__(self):
            fork_safety.reset_after_fork(self._reset)

    class Owner(Base):
        def _reset(self):
            self.resets = getattr(self, "resets", 0) + 1

    owner, collected = Owner(), Owner()
    reference = weakref.ref(collected)
    del collected
    gc.collect()
    fork_safety._reset_all()

    assert reference() is None
    assert 1 == owner.resets
    assert [owner] == list(fork_safety._resets)
