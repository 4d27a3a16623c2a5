"""Exceptions from signal handlers, at any point, leave a deployment intact."""

import dis
import functools
import itertools
import math
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import modelgate
from modelgate import Admission, ConcurrencyLimit, Deployment, Gate, KeyAuth, Schema, drive
from modelgate.flow.fair_pool import FairThreadPool, PoolQuota
from modelgate.http.large_bodies import LargeBodies
from modelgate.inference.batching import batcher
from modelgate.testing import Client, FakeClock, request
from support.waiting import SOON

SCHEMA = Schema.of(x=float)
KEY = "mg_a-key-for-the-double"
# Outcomes of an interrupted request: an exception (None), or an error status.
ENDS = (None, 400, 500, 503)
PACKAGE = str(Path(modelgate.__file__).parent)
# The thread pool is not safe at every line, only where signal handlers run: see the last test.
EXCLUDED = ("fair_pool.py", "testing/client.py", "testing/handlers.py")


class Interrupt(BaseException):
    """Like KeyboardInterrupt, which only the main thread lets pass."""


class SoftLimit(Exception):
    """Like Celery's SoftTimeLimitExceeded."""


@functools.cache
def with_exit_offsets(code):
    """Return the offsets of line events at the end of a ``with``: no signal handler runs there."""
    started, exits, line = set(), set(), None
    for instruction in dis.get_instructions(code):
        if instruction.starts_line is not None:
            line = instruction.positions.lineno
            if line in started:
                exits.add(instruction.offset)
        if instruction.opname == "BEFORE_WITH":
            started.add(line)
    return exits


@functools.cache
def signal_offsets(code):
    """Return the offsets at which CPython runs signal handlers.

    Only those at which an exception has the same handler as a signal's would have.
    """
    table = dis._parse_exception_table(code)

    def handler(offset):
        return [entry.target for entry in table if entry.start <= offset < entry.end]

    instructions = list(dis.get_instructions(code))
    pairs = itertools.pairwise(instructions)
    checks = {"RESUME", "CALL", "CALL_FUNCTION_EX"}
    return {
        after.offset
        for before, after in pairs
        if (before.opname in checks and handler(before.offset) == handler(after.offset))
        or after.opname in ("BEFORE_WITH", "JUMP_BACKWARD")
    }


def is_line(frame, event):
    return event == "line" and frame.f_lasti not in with_exit_offsets(frame.f_code)


def is_signal_point(frame, event):
    return event == "opcode" and frame.f_lasti in signal_offsets(frame.f_code)


POINTS = {"line": is_line, "signal": is_signal_point}


class Interruption:
    """Raises *error* in this thread at the *number*-th point of modelgate's code."""

    def __init__(self, kind, error, number, excluded):
        self.excluded = excluded
        self.is_point, self.opcodes = POINTS[kind], kind == "signal"
        self.error, self.remaining = error, number
        self.where = None

    def _call(self, frame, event, arg):
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) or name.endswith(self.excluded):
            return None
        frame.f_trace_opcodes = self.opcodes
        return self._step

    def _step(self, frame, event, arg):
        if self.where is None and self.is_point(frame, event):
            self.remaining -= 1
            if self.remaining < 0:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise self.error
        return self._step

    def run(self, call):
        """Return the result of *call*; None if it is interrupted."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            return call()
        except (self.error, modelgate.PredictionError, modelgate.Overloaded):
            return None
        finally:
            sys.settrace(before)


def interrupt_everywhere(kind, error, attempt, excluded=EXCLUDED, least=50):
    """Call *attempt* with an interruption at each point of its code, in turn."""
    number = 0
    while True:
        interruption = Interruption(kind, error, number, excluded)
        attempt(interruption)
        if interruption.where is None:
            break
        number += 1
    assert number > least


class Doubler:
    n_features_in_ = 1

    def __init__(self):
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()
        self.go_on.set()

    def predict(self, rows):
        self.entered.release()
        assert self.go_on.wait(SOON)
        return rows[:, 0] * 2


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def model():
    model = Doubler()
    yield model
    model.go_on.set()


def make_gate(deployed):
    """Create a gate with layers that count requests in flight."""
    layers = [Admission(2), ConcurrencyLimit(2, by="address"), NewKeys()]
    return Gate([Deployment("double", deployed, schema=SCHEMA, plans=False)], layers=layers, keys="open")


class NewKeys(KeyAuth):
    """Authentication that looks up the key in the body as if it was never seen before."""

    def __init__(self):
        super().__init__({KEY: "double"}, max_bodies=4, max_look_ups=2)

    def _remember(self, key_hash):
        pass


def function(table):
    return table["x"] * 2


def score(gate, x):
    return gate.score("double", {"x": x}).values.tolist()


def post(gate, x):
    answer = Client(gate.wsgi).post("/api/predict", json={"api_key": KEY, "input_data": {"x": x}})
    return answer.json()["predictions"] if answer.status == 200 else answer.status


def check_intact(gate, pool, where):
    """Check that any thread can score, and that nothing of the interrupted call is left."""
    results = pool.submit(score, gate, 3).result(SOON), score(gate, 4), post(gate, 5)
    drained = gate.deployments.drain("double", SOON)
    gate.deployments.resume("double")
    metrics = gate.deployments.loader.model_metrics["double", "1", "serving"]
    admission, concurrency, auth = gate.layers
    leftovers = [metrics.running, metrics.rows_waiting, gate._catalog["double"].in_flight._requests]
    leftovers += [auth._bodies._taken, auth._turns._running, auth._turns._waiting, auth._turns._slots._taken]
    leftovers += [admission.in_flight, concurrency._in_flight, gate.metrics._requests._under_way]

    assert ([6.0], [8.0], [10.0], True) == (*results, drained), where
    assert not any(leftovers), where


KINDS = pytest.mark.parametrize("kind", POINTS)
ERRORS = pytest.mark.parametrize("error", [Interrupt, SoftLimit])
DEPLOYED = pytest.mark.parametrize("deployed", ["estimator", "function"])


@KINDS
@ERRORS
@DEPLOYED
@pytest.mark.parametrize("send", [score, post])
def test_deployment_survives_an_interruption_anywhere(pool, model, kind, error, deployed, send):
    """Later requests are served, a drain ends, and nothing counts as running or in flight."""
    gate = make_gate(model if deployed == "estimator" else function)
    score(gate, 1)

    def attempt(interruption):
        assert interruption.run(lambda: send(gate, 1)) in ([2.0], *ENDS), interruption.where
        check_intact(gate, pool, interruption.where)

    interrupt_everywhere(kind, error, attempt)


@KINDS
@ERRORS
def test_quick_path_survives_an_interruption_anywhere(kind, error):
    """Nothing counts as in flight, and the next request is answered by the quick path again."""
    gate = Gate([Deployment("double", function, schema=SCHEMA)], keys={KEY: "double"})
    assert [2.0] == post(gate, 1)
    admission = next(layer for layer in gate.layers if isinstance(layer, Admission))
    gate.metrics._requests._next_measured = math.inf
    layers, passed_on = gate._quick_path.layers, []
    gate._quick_path.layers = lambda request: passed_on.append(request) or layers(request)

    def attempt(interruption):
        assert interruption.run(lambda: post(gate, 1)) in ([2.0], *ENDS), interruption.where
        passed_on.clear()
        assert [10.0] == post(gate, 5)
        leftovers = [gate._catalog["double"].in_flight._requests, gate.metrics._requests._under_way]
        assert not any([*leftovers, admission.in_flight, passed_on]), interruption.where

    interrupt_everywhere(kind, error, attempt)


@KINDS
@ERRORS
@pytest.mark.parametrize("send", [score, post])
def test_interruption_affects_only_its_own_caller(monkeypatch, pool, model, kind, error, send):
    """Another thread, whose table is in the same batch, gets its own prediction."""
    # A model that was measured as brief would be called without a batch.
    monkeypatch.setattr(batcher, "_BRIEF", 0)
    gate = make_gate(model)
    metrics = gate.deployments.loader.model_metrics["double", "1", "serving"]
    score(gate, 1)

    def attempt(interruption):
        model.go_on.clear()
        while model.entered.acquire(blocking=False):
            pass
        first = pool.submit(score, gate, 1)
        assert model.entered.acquire(timeout=SOON)
        second = pool.submit(interruption.run, lambda: send(gate, 2))
        wait_until(lambda: metrics.rows_waiting == 1 or second.done())
        waiting = metrics.rows_waiting
        third = pool.submit(score, gate, 3)
        # The second may be interrupted while it waits, after it was counted.
        wait_until(
            lambda: metrics.rows_waiting == waiting + 1 or (second.done() and metrics.rows_waiting >= 1)
        )
        model.go_on.set()

        assert [[2.0], [6.0]] == [future.result(SOON) for future in (first, third)], interruption.where
        assert second.result(SOON) in ([4.0], *ENDS), interruption.where
        check_intact(gate, pool, interruption.where)

    interrupt_everywhere(kind, error, attempt)


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        PoolQuota.submit,
        partial(PoolQuota.submit, immediate=True),
        partial(PoolQuota.run_with_timeout, timeout=SOON),
    ],
)
def test_thread_pool_survives_a_signal_anywhere(call, busy):
    """Queued calls are made, and all threads can still be used."""

    def attempt(interruption):
        threads = FairThreadPool(2)
        shares = one, other = threads.share(), threads.share()
        go_on, both = threading.Event(), threading.Barrier(3)
        calls = [share.submit(partial(go_on.wait, SOON)) for share in shares]
        calls.append(other.submit(lambda: True))
        if not busy:
            go_on.set()
            wait_until(lambda: not (one.running or other.running))
        interruption.run(lambda: call(one, lambda: None))
        go_on.set()
        results = [future.result(SOON) for future in calls]
        wait_until(lambda: not (one.running or other.running))
        at_once = [share.submit(partial(both.wait, SOON)) for share in shares]
        both.wait(SOON)

        assert [True] * 3 == results, interruption.where
        assert {0, 1, 2} > {future.result(SOON) for future in at_once}, interruption.where

    interrupt_everywhere("signal", Interrupt, attempt, excluded=(), least=10)


def close_as_mounts_do(ended):
    """Mounts close a request again if an exception interrupts the first time."""
    try:
        ended.close()
    finally:
        ended.close()


@pytest.mark.parametrize("kind", ["line", "signal"])
def test_budget_of_large_bodies_survives_an_interruption_anywhere(kind):
    """Whether the interrupted request ends or begins to wait, the others are admitted, and nothing stays counted."""

    def attempt(interruption):
        bodies = LargeBodies(100)
        first, late, *others = (request() for _ in range(4))
        drive(bodies.admit(1, 100, first.on_close))
        flows = [bodies.admit(1, 50, other.on_close) for other in others]
        waits = [next(flow) for flow in flows]
        arrival = bodies.admit(1, 10, late.on_close)
        interruption.run(partial(next, arrival))
        interruption.run(partial(close_as_mounts_do, first))
        for flow, wait in zip(flows, waits, strict=True):
            with pytest.raises(StopIteration):
                flow.send(wait.within(SOON))

        assert 100 == bodies.bytes_in_progress, interruption.where
        for ended in (late, *others):
            close_as_mounts_do(ended)

        assert (0, 0) == (bodies.bytes_in_progress, bodies.waiting), interruption.where

    interrupt_everywhere(kind, Interrupt, attempt, excluded=EXCLUDED[1:], least=10)


@pytest.mark.parametrize("kind", ["line", "signal"])
def test_release_of_an_unread_response_survives_an_interruption_anywhere(kind):
    """A body that arrives later removes the share, or is interrupted. The others are admitted."""

    def attempt(interruption):
        clock = FakeClock()
        bodies = LargeBodies(100, clock=clock)
        unread, late, *others = (request() for _ in range(4))
        share = drive(bodies.admit(1, 100, unread.on_close))
        flows = [bodies.admit(1, 50, other.on_close) for other in others]
        for flow in flows:
            next(flow)
        interruption.run(share.limit_sending)
        share.limit_sending()
        clock.advance(30)
        arrival = bodies.admit(1, 10, late.on_close)
        interruption.run(partial(next, arrival))
        close_as_mounts_do(late)
        for flow in flows:
            with pytest.raises(StopIteration):
                flow.throw(TimeoutError)

        assert 100 == bodies.bytes_in_progress, interruption.where
        for ended in (*others, unread):
            close_as_mounts_do(ended)

        assert (0, 0) == (bodies.bytes_in_progress, bodies.waiting), interruption.where

    interrupt_everywhere(kind, Interrupt, attempt, excluded=EXCLUDED[1:], least=10)


def wait_until(condition):
    for _ in range(SOON * 1000):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError("the condition did not become true")
